"""Sign-ins that last: where an account is signed in, and what ends that.

There are two ways to end access. A person's epoch (epochs.py) ends all of it: after a changed password, a changed role,
a withdrawn membership. Ending one sign-in ends its refresh tokens or its browser session, and the access tokens that
came from it; of the same person's other sign-ins nobody notices.

Locks are taken in this order: the user, the membership, the sign-ins.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from shared.audit import record
from shared.errors import NotFound
from shared.identity.acting import acting
from shared.identity.epochs import Access, end_access, end_access_of_session, subject_of
from shared.identity.realm import Realm
from shared.models import Membership, SignIn, User

SEEN_EVERY = timedelta(minutes=1)
"""How often it is written that a browser's session is still used."""


def sign_ins_of(*, realm: Realm, user_id: int) -> QuerySet[SignIn]:
    """Where an account is signed in."""
    return SignIn.objects.filter(
        user_id=user_id, organization_id=realm.organization_id, revoked_at=None, expires_at__gt=timezone.now()
    )


def begin_sign_in(
    *,
    realm: Realm,
    user_id: int,
    username: str,
    kind: SignIn.Kind,
    lifetime: timedelta,
    address: str,
    client: str,
    jti: str = "",
    is_new: bool = True,
) -> SignIn:
    """Notes that somebody has signed in. In the transaction that has looked, with the membership locked, whether they
    may. Not ``is_new``: a session that is older than these notes."""
    assert connection.in_atomic_block
    now = timezone.now()
    # Each sign-in takes a little of the old away, so that the table needs no job of its own.
    expired = SignIn.objects.filter(expires_at__lt=now).order_by("pk").select_for_update(skip_locked=True)
    SignIn.objects.filter(pk__in=list(expired.values_list("pk", flat=True)[:20])).delete()
    begun = SignIn.objects.create(
        user_id=user_id,
        organization_id=realm.organization_id,
        kind=kind,
        address=address[:45],
        client=client,
        current_jti=jti,
        expires_at=now + lifetime,
    )
    if is_new:
        if realm.is_platform:
            User.objects.filter(pk=user_id).update(last_login=now)
        else:
            Membership.objects.filter(user_id=user_id).update(last_sign_in_at=now)
        actor = replace(acting(), user_id=user_id, key_id=None, name=username)
        record("sign_in.succeeded", username, after={"kind": str(kind), "client": client}, by=actor)
    return begun


def record_refused_sign_in(username: str, code: str) -> None:
    """Keeps that a sign-in was refused, also of a name that nobody has, and why (``code``). It is a transaction of its
    own: what refuses takes nothing of it back."""
    with transaction.atomic():
        record("sign_in.refused", username, after={"code": code})


def note_use(sign_in_id: int, *, seen_at: datetime, address: str, client: str) -> None:
    """That a browser's session is used, at most once a minute; ``seen_at`` is what was noted before."""
    now = timezone.now()
    if now - seen_at >= SEEN_EVERY:
        SignIn.objects.filter(pk=sign_in_id).update(last_seen_at=now, address=address[:45], client=client)


def raise_epoch(*, user_id: int) -> Membership | None:
    """Ends all access tokens that a member has. Who has a good refresh token goes on with the next one.

    It runs on the schema of the organization, in the transaction of what makes it necessary. The membership as it is
    then, and locked; None for a user of the platform, who is looked up with each request.
    """
    assert connection.in_atomic_block
    membership = Membership.objects.select_for_update(no_key=True).filter(user_id=user_id).first()
    if membership is not None:
        membership.epoch += 1
        membership.save(update_fields=["epoch"])
        end_access(subject_of(user_id), membership.epoch)
    return membership


def end_all_access(*, user_id: int, but: int | None = None) -> Membership | None:
    """Ends everything that somebody is signed in with, but one sign-in, and all access tokens.

    After a changed password or a withdrawn membership. As :func:`raise_epoch`.
    """
    membership = raise_epoch(user_id=user_id)
    SignIn.objects.filter(user_id=user_id, revoked_at=None).exclude(pk=but or 0).update(revoked_at=timezone.now())
    return membership


def end_session(*, realm: Realm, user_id: int, session_id: UUID) -> None:
    """Ends one of an account's own sign-ins. One that has ended stays ended.

    Raises:
        NotFound: there is none of this id, or it is another's.
    """
    with transaction.atomic():
        own = SignIn.objects.filter(user_id=user_id, organization_id=realm.organization_id, public_id=session_id)
        found = own.first()
        if found is None:
            raise NotFound("There is no such session.")
        if _end(realm, user_id, own):
            record("session.ended", str(session_id), before={"kind": str(found.kind), "client": found.client})


def end_other_sessions(*, realm: Realm, user_id: int, but: int | None) -> int:
    """Ends all of an account's sign-ins but one; how many."""
    with transaction.atomic():
        ended = _end(realm, user_id, sign_ins_of(realm=realm, user_id=user_id).exclude(pk=but or 0))
        record("sessions.ended", after={"ended": ended})
    return ended


def end_sign_in(*, realm: Realm, sign_in_id: int, action: str) -> None:
    """Ends a sign-in by what it was begun with: its refresh token, or its cookie. ``action`` is what is recorded."""
    with transaction.atomic():
        rows = SignIn.objects.filter(pk=sign_in_id, organization_id=realm.organization_id)
        found = rows.first()
        if found is not None and _end(realm, found.user_id, rows):
            actor = replace(acting(), user_id=found.user_id, key_id=None, name="")
            record(action, str(found.public_id), before={"kind": str(found.kind), "client": found.client}, by=actor)


def _end(realm: Realm, user_id: int, rows: QuerySet[SignIn]) -> int:
    standing = rows.filter(revoked_at=None).order_by("pk").select_for_update(no_key=True)
    ended = list(standing.values_list("pk", "kind"))
    SignIn.objects.filter(pk__in=[pk for pk, _kind in ended]).update(revoked_at=timezone.now())
    if not realm.is_platform:
        for pk, _kind in ended:
            end_access_of_session(Access(user_id=user_id, family=pk))
    return len(ended)
