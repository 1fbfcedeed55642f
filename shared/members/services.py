"""Adds members, changes what they are, and ends what they have.

A member is a :class:`~shared.models.Membership` of an organization; on the platform's own host it is a user with a
``platform_role``. A seller's member is made, and switched off and on, with the seller (credit/services.py).

Whatever takes something from somebody is in force when it commits: the epoch rises, so that access tokens are over
(shared/identity/epochs.py), and the sign-ins end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from shared.audit import record
from shared.errors import AccessChanged, InvalidMember, LastAdmin, NotFound, NotInvited, UsernameTaken
from shared.identity import accounts, lockout, new_accounts, password_changes
from shared.identity.acting import acting
from shared.identity.permissions import Permission
from shared.identity.realm import Realm
from shared.identity.roles import MEMBER_ROLES, PLATFORM_ADMIN, PLATFORM_ROLES, SELLER, roles_that_may, works_for_seller
from shared.identity.sign_ins import raise_epoch
from shared.models import Membership, Passkey, SignIn, Totp, User
from shared.second_factor.errors import OwnSecondFactor
from shared.second_factor.services import forget_factors
from shared.texts import contains

Row = Membership | User

INVITATION_DAYS = 7


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who may sign in here, and as what."""

    user_id: int
    username: str
    role: str
    seller_id: int | None
    """The seller on whose account it sells; None: it works for no single one."""
    is_active: bool
    second_factor: bool
    last_sign_in: datetime | None
    created_at: datetime
    email: str
    must_change_password: bool
    is_invited: bool
    """It has no password yet: a link to choose one was sent."""
    is_sellers: bool
    """It is a seller's own member, which changes with the seller."""


# --- Who there is -----------------------------------------------------------------------------------------------------


def roles_to_give(realm: Realm) -> tuple[str, ...]:
    """The roles that members may be given here."""
    return PLATFORM_ROLES if realm.is_platform else tuple(role for role in MEMBER_ROLES if role != SELLER)


def members(realm: Realm) -> QuerySet[Any]:
    """The rows of everybody who may sign in here or could once; :func:`member_in` reads one."""
    if realm.is_platform:
        return _with_second_factor(accounts.platform_users(), "pk")
    rows = Membership.objects.select_related("user").filter(organization_id=realm.require_organization_id())
    return _with_second_factor(rows, "user_id")


def members_like(realm: Realm, search: str, *, with_sellers: bool = True) -> QuerySet[Any]:
    """Rows of :func:`members` with this in the username; ``with_sellers``: also those who are a seller themselves."""
    rows = members(realm).filter(contains("username", search))
    return rows if with_sellers or realm.is_platform else rows.exclude(role=SELLER)


def _with_second_factor(rows: QuerySet[Any], user: str) -> QuerySet[Any]:
    apps = Totp.objects.filter(user_id=OuterRef(user), confirmed_at__isnull=False)
    found: QuerySet[Any] = rows.annotate(
        second_factor=Exists(apps) | Exists(Passkey.objects.filter(user_id=OuterRef(user)))
    )
    return found


def member_in(row: Row) -> Member:
    """What a row of :func:`members` says."""
    has_factor: bool = row.second_factor  # type: ignore[union-attr] # annotated
    if isinstance(row, User):
        user, username, role, seller_id, is_active = row, row.username, row.platform_role, None, row.is_active
        last_sign_in, created_at = row.last_login, row.date_joined
    else:
        user, username, role, seller_id = row.user, row.username, row.role, row.seller_id
        is_active = row.is_active and user.is_active
        last_sign_in, created_at = row.last_sign_in_at, row.created_at
    return Member(
        user_id=user.pk,
        username=username,
        role=role,
        seller_id=seller_id,
        is_active=is_active,
        second_factor=has_factor,
        last_sign_in=last_sign_in,
        created_at=created_at,
        email=user.email,
        must_change_password=user.must_change_password,
        is_invited=not user.has_usable_password(),
        is_sellers=_is_sellers(role),
    )


def _is_sellers(role: str) -> bool:
    return role == SELLER


def member_of_user(*, realm: Realm, user_id: int) -> Member:
    """The member that this user is here.

    Raises:
        NotFound: it is none.
    """
    row = members(realm).filter(**{"pk" if realm.is_platform else "user_id": user_id}).first()
    if row is None:
        raise NotFound("There is no such member.")
    return member_in(row)


# --- Adding -----------------------------------------------------------------------------------------------------------


def add_member(
    *, realm: Realm, username: str, role: str, password: str = "", email: str = "", seller_id: int | None = None
) -> Member:
    """Somebody who may sign in here from now on, with a password that must be changed. Without a password nobody knows
    one: a link to choose it goes to the email address (see :func:`invitation_to`).

    Raises:
        InvalidRequest: the role is none of :func:`roles_to_give`; a cashier's seller is missing, or is none; another
            role has one; the name, the password or the email address won't do, or neither of these was given.
        UsernameTaken: there is one of this name.
        AccessChanged: whoever adds may not any longer.
    """
    _check_role(realm, role)
    _check_seller(realm, role, seller_id)
    if not password and not email:
        raise InvalidMember.of_field(
            "password", "password_or_email", "Give a password, or an email address to invite to."
        )
    checked = new_accounts.check_credentials(
        username=username, password=password or password_changes.suggest_password(), email=email
    )
    user = User(username=checked if realm.is_platform else f"{realm.slug}/{checked}", email=email)
    user.set_password(password or None)  # before the transaction: it takes as long as hashing does
    user.must_change_password = bool(password)
    with transaction.atomic():
        _lock(realm)
        try:
            with transaction.atomic():
                if realm.is_platform:
                    _give_platform_role(user, role)
                    user.save()
                else:
                    organization_id = realm.require_organization_id()
                    membership = Membership(user=user, organization_id=organization_id, username=checked, role=role)
                    new_accounts.save_member(membership, seller_id=seller_id)
        except IntegrityError:
            raise UsernameTaken(f"There is a user {checked!r} already.") from None
        record("member.created", checked, after=_told(role, seller_id) | {"is_invited": not password})
    return member_of_user(realm=realm, user_id=user.pk)


def _check_role(realm: Realm, role: str) -> None:
    if role not in roles_to_give(realm):
        detail = f"This must be one of {', '.join(roles_to_give(realm))}."
        if role in MEMBER_ROLES and not realm.is_platform:
            detail += " A seller's member is made with the seller (POST /sellers)."
        raise InvalidMember.of_field("role", "invalid_choice", detail)


def _check_seller(realm: Realm, role: str, seller_id: int | None) -> None:
    """A role that works for one seller needs one who is there: whose own member is."""
    if not works_for_seller(role):
        if seller_id is not None:
            raise InvalidMember.of_field(
                "seller_id", "seller_not_allowed", f"A member with the role {role} has no seller."
            )
        return
    if seller_id is None:
        raise InvalidMember.of_field("seller_id", "seller_missing", "On whose account does this member sell?")
    sellers = Membership.objects.filter(organization_id=realm.require_organization_id(), role=SELLER)
    if not sellers.filter(seller_id=seller_id).exists():
        raise InvalidMember.of_field("seller_id", "no_such_seller", "There is no such seller.")


def _give_platform_role(user: User, role: str) -> None:
    """Django's own flags follow the role: the admin site is a platform admin's alone."""
    user.platform_role = role
    user.is_superuser = user.is_staff = role == PLATFORM_ADMIN


def _told(role: str, seller_id: int | None) -> dict[str, Any]:
    return {"role": role} | ({} if seller_id is None else {"seller_id": seller_id})


# --- Changing ---------------------------------------------------------------------------------------------------------


def change_member(
    *,
    realm: Realm,
    username: str,
    role: str | None = None,
    seller_id: int | None = None,
    is_active: bool | None = None,
    second_factor: bool | None = None,
    when_reset: Callable[[User], None] | None = None,
) -> Member:
    """Another role, or switched off or on, or (``second_factor`` False) without the second factors that were lost; what
    is None stays. In force when it commits. ``seller_id`` goes with a role that works for a seller. ``when_reset`` is
    told of the owner of second factors that were taken away, once that is in force.

    Of several who do it at once, each sees what the one before has done: the last active admin stays.

    Raises:
        NotFound: there is no such member.
        InvalidRequest: as of :func:`add_member`; or it is a seller's own member, which changes with the seller (but for
            its second factors); or ``second_factor`` is True: its owner alone can enrol one.
        OwnSecondFactor: nobody takes away the own ones so, without showing one.
        LastAdmin: nobody who is active could manage members any longer.
        AccessChanged: whoever changes it may not any longer.
    """
    if "\0" in username:  # which the database would refuse
        raise NotFound("There is no such member.")
    if role is not None:
        _check_role(realm, role)
        _check_seller(realm, role, seller_id)
    elif seller_id is not None:
        raise InvalidMember.of_field("seller_id", "seller_not_allowed", "A seller is given together with a role.")
    if second_factor:
        raise InvalidMember.of_field("second_factor", "not_to_be_given", "Its owner alone can enrol a second factor.")
    resets, has_reset = second_factor is False, False
    with transaction.atomic():
        if resets and not realm.is_platform:
            _lock_user_of(realm, username)
        rows = _lock(realm, username)
        row = next((one for one in rows if one.username == accounts.normalized(username)), None)
        if row is None:
            raise NotFound("There is no such member.")
        before = _state(row)
        if _is_sellers(before["role"]) and not (resets and role is None and is_active is None):
            raise InvalidMember.of_field(
                "username", "is_seller", "A seller's own member changes with the seller (PATCH /sellers/{id})."
            )
        after = dict(before)
        if role is not None:
            after |= {"role": role, "seller_id": seller_id}
        if is_active is not None:
            after["is_active"] = is_active
        if _manages(before) and not _manages(after) and not any(_manages_now(one) for one in rows if one is not row):
            raise LastAdmin
        _check_actor(realm, rows)
        if after != before:
            _store(realm, row, before, after)
        user = row if isinstance(row, User) else row.user
        if resets:
            has_reset = _reset_second_factor(realm, user, row.username)
    if has_reset and when_reset:
        when_reset(user)
    return member_of_user(realm=realm, user_id=user.pk)


def _lock_user_of(realm: Realm, username: str) -> None:
    """Before memberships are locked: whoever sets a password holds the user, and then asks for the membership. (On the
    platform they are one row.)"""
    here = Membership.objects.filter(
        organization_id=realm.require_organization_id(), username=accounts.normalized(username)
    )
    users = User.objects.filter(pk__in=here.values("user_id")).select_for_update(no_key=True)
    list(users.values_list("pk"))


def _reset_second_factor(realm: Realm, user: User, username: str) -> bool:
    """Whether there was something to be taken away. Whoever holds what was lost may have an open session by it: that
    ends, too."""
    if acting().user_id == user.pk:
        raise OwnSecondFactor
    if not forget_factors(user.pk):
        return False
    end_all_access(realm=realm, user_id=user.pk)
    record("member.second_factor_reset", username)
    return True


def _lock(realm: Realm, username: str = "") -> list[Any]:
    """The rows of all who manage members here and of this one, locked in the order of their ids until the transaction
    ends: two who switch each other off at once come one after the other."""
    admins, name = sorted(roles_that_may(Permission.MANAGE_MEMBERS)), accounts.normalized(username)
    rows: QuerySet[Any]
    if realm.is_platform:
        rows = accounts.platform_users().filter(Q(platform_role__in=admins) | Q(username=name))
    else:
        rows = (
            Membership.objects.select_related("user")
            .filter(organization_id=realm.require_organization_id())
            .filter(Q(role__in=admins) | Q(username=name))
        )
    # Not FOR UPDATE: the key stays, and rows that refer to it need not wait.
    locked = list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))
    if not username:
        _check_actor(realm, locked)
    return locked


def _check_actor(realm: Realm, rows: list[Any]) -> None:
    """Whoever acts still may, now that nobody changes it meanwhile. A command always does.

    Raises:
        AccessChanged: it was changed since the request was let in.
    """
    user_id = acting().user_id
    if user_id is None:
        return
    if not any(_manages_now(row) for row in rows if (row.pk if realm.is_platform else row.user_id) == user_id):
        raise AccessChanged


def _state(row: Row) -> dict[str, Any]:
    if isinstance(row, User):
        return {"role": row.platform_role, "seller_id": None, "is_active": row.is_active}
    return {"role": row.role, "seller_id": row.seller_id, "is_active": row.is_active}


def _manages(state: dict[str, Any]) -> bool:
    return bool(state["is_active"]) and state["role"] in roles_that_may(Permission.MANAGE_MEMBERS)


def _manages_now(row: Row) -> bool:
    """Whether somebody could manage members: the platform may have switched the user off besides."""
    return _manages(_state(row)) and (isinstance(row, User) or row.user.is_active)


def _store(realm: Realm, row: Row, before: dict[str, Any], after: dict[str, Any]) -> None:
    if isinstance(row, User):
        _give_platform_role(row, after["role"])
        row.is_active = after["is_active"]
        row.save(update_fields=["platform_role", "is_superuser", "is_staff", "is_active"])
        user_id = row.pk
    else:
        row.role, row.seller_id, row.is_active = after["role"], after["seller_id"], after["is_active"]
        if not row.is_active:
            row.withdrawn_at = timezone.now()
        row.save(update_fields=["role", "seller_id", "is_active", "withdrawn_at"])
        user_id = row.user_id
    end_all_access(realm=realm, user_id=user_id, keeps_browsers=bool(after["is_active"]))
    if before["is_active"] != after["is_active"]:
        record("member.activated" if after["is_active"] else "member.deactivated", row.username)
    was, now = _told(before["role"], before["seller_id"]), _told(after["role"], after["seller_id"])
    if was != now:
        record("member.role_changed", row.username, before=was, after=now)


def end_all_access(*, realm: Realm, user_id: int, keeps_browsers: bool = False) -> None:
    """What a user has here is over when this commits: access tokens, refresh tokens and sessions. A browser's session
    is looked up with each request: where the account stands (``keeps_browsers``), it goes on, as what the account is
    now.
    """
    sign_ins = SignIn.objects.filter(user_id=user_id, organization_id=realm.organization_id, revoked_at=None)
    if keeps_browsers:
        sign_ins = sign_ins.filter(kind=SignIn.Kind.API)
    sign_ins.update(revoked_at=timezone.now())
    raise_epoch(user_id=user_id)


def reset_password(*, realm: Realm, user_id: int, password: str, state: str, address: str = "") -> None:
    """A new password for a member, who must change it at the next sign-in; all that the member has open ends by that.

    ``state``: what :func:`shared.identity.password_changes.password_state` said when the form was made. The same again
    changes nothing. ``address`` is the client's.

    Raises:
        NotFound: there is no such member.
        InvalidRequest: the password won't do, or it is a seller's own member, whose password is reset with the seller.
        PasswordChanged: it was changed meanwhile, to something else; nothing was done.
        Throttled: it was changed meanwhile, and too often asked whether to this.
        AccessChanged: whoever resets it may not any longer.
    """
    member = member_of_user(realm=realm, user_id=user_id)
    if member.is_sellers:
        raise InvalidMember.of_field("username", "is_seller", "A seller's password is reset with the seller.")

    def in_the_same_transaction() -> None:
        _check_actor(realm, list(members(realm).filter(**{"pk" if realm.is_platform else "user_id": acting().user_id})))
        end_all_access(realm=realm, user_id=user_id)
        record("member.password_set", member.username)

    password_changes.set_password_of(
        user=User.objects.get(pk=user_id),
        realm=realm,
        username=member.username,
        password=password,
        state=state,
        address=address,
        also=in_the_same_transaction,
    )


# --- Invitations ------------------------------------------------------------------------------------------------------

_SALT = "shared.members.invitation"


def invitation_to(user: User) -> str:
    """What a link has in it by which this user chooses the first password: good once, and for 7 days."""
    return signing.dumps([user.pk, password_changes.password_state(user)], salt=_SALT)


def renew_invitation(*, realm: Realm, username: str, email: str = "", address: str = "") -> Member:
    """Somebody who has not chosen a password yet is to be sent an invitation once more (:func:`invitation_to`); if
    ``email`` is another address, to that: then what was sent to the one before is not good any longer. ``address`` is
    the client's.

    Raises:
        NotFound: there is no such member.
        NotInvited: a password is set, or the member is switched off.
        InvalidRequest: it is no email address.
        Throttled: too many were sent.
        AccessChanged: whoever sends it may not any longer.
    """
    if "\0" in username:  # which the database would refuse
        raise NotFound("There is no such member.")
    if email:
        new_accounts.check_credentials(username="name", password=password_changes.suggest_password(), email=email)
    name = accounts.normalized(username)
    with transaction.atomic():
        if not realm.is_platform:
            _lock_user_of(realm, name)
        rows = _lock(realm, name)
        row = next((one for one in rows if one.username == name), None)
        if row is None:
            raise NotFound("There is no such member.")
        _check_actor(realm, rows)
        user = row if isinstance(row, User) else row.user
        if user.has_usable_password() or not (row.is_active and user.is_active):
            raise NotInvited
        # Nobody's mailbox is to be filled.
        lockout.count_attempt(realm=realm, username=name, address=address, door="reset", is_failure=True)
        if email and email != user.email:
            user.email = email
            user.set_unusable_password()  # another one than before
            user.save(update_fields=["email", "password"])
        record("member.invited", name)
    return member_of_user(realm=realm, user_id=user.pk)


def invited_by(*, realm: Realm, token: str) -> User | None:
    """Whom a link invites here; None: nobody, or no longer."""
    try:
        user_id, state = signing.loads(token, salt=_SALT, max_age=INVITATION_DAYS * 24 * 60 * 60)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    user = accounts.user_of_realm(realm=realm, user_id=user_id)
    return user if user and constant_time_compare(password_changes.password_state(user), state) else None


def accept_invitation(*, realm: Realm, token: str, new: str) -> None:
    """The first password, by whoever followed the link; of many who do it at once, for one.

    Raises:
        NotFound: the link is not good, or no longer.
        InvalidRequest: the password won't do.
    """
    user = invited_by(realm=realm, token=token)
    if user is None:
        raise NotFound("This link is not good any longer.")
    password_changes.choose_first_password(user=user, new=new, state=password_changes.password_state(user))
