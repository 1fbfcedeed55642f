"""Sets passwords: the own, a forgotten one, the first one, and that of somebody else. What was signed in with the one
before ends in the same transaction."""

from collections.abc import Callable

from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import constant_time_compare, get_random_string, salted_hmac

from shared.audit import record
from shared.errors import InvalidRequest, NotFound, PasswordChanged, SamePassword
from shared.identity import lockout
from shared.identity.realm import Realm
from shared.identity.sign_ins import end_all_access
from shared.models import User


def change_password(*, user: User, new: str, but: int | None = None) -> None:
    """A new password for somebody who was asked for the old one, which is ``user``'s as it was read then. All that was
    signed in with it ends, but for the sign-in that asks.

    Raises:
        InvalidRequest: it won't do; or it must be changed, and is the same.
        PasswordChanged: the password was changed since; it stays as it is.
    """
    asked_for, named = user.password, _name_in_realm(user)
    if user.must_change_password and user.check_password(new):
        raise SamePassword.of_field("new", "same_password", "This is the password that somebody else knows.")
    if not _replace_password(
        user,
        new,
        still=lambda stored: stored.password == asked_for,
        also=lambda: record("password.changed", named),
        but=but,
    ):
        raise PasswordChanged("The password was changed meanwhile.")


def reset_password(*, user: User, token: str, new: str) -> None:
    """A new password for whoever followed the link with this token; of many who do it at once, for one.

    Raises:
        InvalidRequest: it won't do.
        NotFound: the link is not good, or no longer.
    """
    named = _name_in_realm(user)
    if not _replace_password(
        user,
        new,
        still=lambda stored: default_token_generator.check_token(stored, token),
        also=lambda: record("password.reset", named),
    ):
        raise NotFound("This link is not good any longer.")


def choose_first_password(*, user: User, new: str, state: str) -> None:
    """A password for whoever was invited; of many who do it at once, for one. ``state``: see :func:`password_state`.

    Raises:
        InvalidRequest: it won't do.
        NotFound: there is one by now.
    """
    named = _name_in_realm(user)
    if not _replace_password(
        user,
        new,
        still=lambda stored: constant_time_compare(password_state(stored), state),
        also=lambda: record("password.changed", named),
    ):
        raise NotFound("This link is not good any longer.")


def set_password_of(
    *,
    user: User,
    realm: Realm,
    username: str,
    password: str,
    state: str,
    address: str,
    also: Callable[[], None] | None = None,
) -> None:
    """A new password for somebody else, who must change it at the next sign-in. ``state``: what
    :func:`password_state` said when it was asked for. The same again changes nothing. ``also`` is done in the same
    transaction.

    Raises:
        InvalidRequest: it won't do.
        PasswordChanged: it was changed meanwhile, to something else; nothing was done.
        Throttled, Unavailable: it was changed meanwhile, and too often asked whether to this.
    """
    if _replace_password(
        user,
        password,
        still=lambda stored: constant_time_compare(password_state(stored), state),
        is_anothers=True,
        also=also,
    ):
        return
    # Either the same again, which finds done what it asks for; or somebody was there before. To tell the two apart a
    # password is looked at, so that this is a door like the others.
    user.refresh_from_db(fields=["password"])
    if not lockout.look_at_password(
        realm=realm, username=username, address=address, is_right=lambda: user.check_password(password)
    ):
        raise PasswordChanged("The password was changed meanwhile.")


def _replace_password(
    user: User,
    new: str,
    *,
    still: Callable[[User], bool],
    is_anothers: bool = False,
    also: Callable[[], None] | None = None,
    but: int | None = None,
) -> bool:
    """Sets a password if ``still`` says so of the user as it is stored, which nobody changes meanwhile.
    ``is_anothers``: somebody else knows it, and so it must be changed. ``also`` is done in the same transaction. Every
    access by the old one ends, and every sign-in ``but`` one.

    Raises:
        InvalidRequest: it won't do.
    """
    try:
        password_validation.validate_password(new, user)
    except ValidationError as error:
        first = error.error_list[0]
        raise InvalidRequest.of_field("new", first.code or "invalid", error.messages[0]) from None
    hashed = make_password(new)  # before the lock: it may have to wait for its turn
    with transaction.atomic():
        stored = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not still(stored):
            return False
        stored.password = user.password = hashed
        stored.must_change_password = user.must_change_password = is_anothers
        stored.save(update_fields=["password", "must_change_password"])
        end_all_access(user_id=user.pk, but=but)
        if also:
            also()
    return True


def _name_in_realm(user: User) -> str:
    """The name that a user signs in with."""
    return user.username.rpartition("/")[2]


def password_state(user: User) -> str:
    """Says whether the password is still the same, and nothing else about it."""
    return salted_hmac("shared.services.password_state", user.password, algorithm="sha256").hexdigest()[:32]


def suggest_password() -> str:
    """A password that nobody guesses (59 bits) and that can be read out: no letters or digits that look alike."""
    characters = get_random_string(12, "abcdefghjkmnpqrstuvwxyz23456789")
    return "-".join((characters[:4], characters[4:8], characters[8:]))
