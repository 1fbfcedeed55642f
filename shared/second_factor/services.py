"""Authenticator apps and recovery codes: enrolling, removing, and looking at a code.

A code of an app (RFC 6238: 6 digits, 30 seconds) is good once. Which one was the last is compared and set under the
row's lock, so that of two who send the same code at once one is refused. A recovery code is a row that is used by one
UPDATE. Guessing is counted by lockout.py at a door of its own: a right password does not forget wrong codes.
"""

import base64
import hashlib
import hmac
import secrets
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from shared.audit import record
from shared.errors import BadCredentials, NotFound
from shared.identity import lockout
from shared.identity.accounts import Account
from shared.identity.acting import acting
from shared.identity.realm import Realm
from shared.identity.sign_ins import record_refused_sign_in
from shared.models import Passkey, RecoveryCode, Totp, User
from shared.outbound.secrets import SecretUnreadable, decrypt, encrypt
from shared.second_factor.errors import (
    LastSecondFactor,
    PasskeyRefused,
    SecondFactorEnrolled,
    SecondFactorRequired,
    WrongCode,
)

_log = structlog.get_logger("recharge.second_factor")

STEP = 30
"""Seconds that an app shows a code."""

STEPS_APART = 1
"""How many steps an app's clock may be before or behind ours (RFC 6238 section 5.2)."""

RECOVERY_CODES = 10

LONGEST_CODE = 40
"""Characters of a code as people write it."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An authenticator app's secret, not yet in force."""

    secret: str
    """In base32, as apps take it by hand."""
    uri: str
    """``otpauth://``, as apps read it from a QR code."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What an account has."""

    app_since: datetime | None
    """Null: no app is in force."""
    passkeys: list[Passkey]
    recovery_codes: int
    """Those that are left."""

    @property
    def any(self) -> bool:
        """Whether there is a second factor. (Recovery codes stand in for one, and are none.)"""
        return self.app_since is not None or bool(self.passkeys)


# --- What there is ----------------------------------------------------------------------------------------------------


def is_required(realm: Realm) -> bool:
    """Whether an account of this realm must have a second factor to work on its pages: on the platform always, but on
    a newcomer's embedded database."""
    return not settings.EMBEDDED if realm.is_platform else realm.requires_second_factor


def factors_of(user: User) -> Factors:
    """What this user has."""
    totp = Totp.objects.filter(user=user, confirmed_at__isnull=False).first()
    return Factors(
        app_since=totp.confirmed_at if totp else None,
        passkeys=list(Passkey.objects.filter(user=user).order_by("pk")),
        recovery_codes=RecoveryCode.objects.filter(user=user, used_at=None).count(),
    )


_HAVE = """
    SELECT user_id FROM shared_totp WHERE user_id = ANY(%s) AND confirmed_at IS NOT NULL
    UNION SELECT user_id FROM shared_passkey WHERE user_id = ANY(%s)
"""


def users_with_second_factor(user_ids: Iterable[int]) -> set[int]:
    """Those of these users who have one."""
    ids = list(user_ids)
    with connection.cursor() as cursor:
        cursor.execute(_HAVE, [ids, ids])
        return {user_id for (user_id,) in cursor.fetchall()}


def has_second_factor(user_id: int) -> bool:
    """Whether this user has one that is in force."""
    return bool(users_with_second_factor([user_id]))


# --- Signing in -------------------------------------------------------------------------------------------------------


def pass_second_step(account: Account, *, realm: Realm, code: str, address: str) -> bool:
    """After the right password, at the API. Returns whether the account lacks what its organization requires: then it
    may do nothing but enrol.

    Raises:
        SecondFactorRequired: the account has a second factor, and ``code`` is empty.
        BadCredentials: it is not good.
        Throttled: too many wrong ones; it was not looked at.
    """
    if not has_second_factor(account.user.pk):
        return realm.requires_second_factor
    if not code:
        raise SecondFactorRequired
    with second_step(account):
        if not is_code_right(account, realm=realm, code=code, address=address):
            raise BadCredentials("There is no account with this name, password and code here.")
    return False


@contextmanager
def second_step(account: Account) -> Iterator[None]:
    """In this block a second factor is looked at, after the right password. That it was not good is kept: whoever
    signs in so knows the password."""
    try:
        yield
    except (BadCredentials, WrongCode):
        record_refused_sign_in(account.username, "wrong_code")
        raise
    except PasskeyRefused as problem:
        record_refused_sign_in(account.username, problem.code)
        raise


def is_code_right(account: Account, *, realm: Realm, code: str, address: str, device: str = "") -> bool:
    """Whether this is a code of the account's app or a recovery code; a right one is used up by that.

    Raises:
        Throttled: too many wrong ones; it was not looked at.
    """
    plain = _plain(code)

    def is_right() -> bool:
        if len(plain) == 6 and plain.isdecimal():
            return _use_code(account.user.pk, plain)
        return _use_recovery_code(account, plain)

    return lockout.look_at_secret(
        door="code", realm=realm, username=account.username, address=address, is_right=is_right, device=device
    )


def check_code_of(account: Account, *, realm: Realm, code: str, address: str, device: str = "") -> None:
    """Who sits at an open session proves to be its owner.

    Raises:
        WrongCode: it is not right.
        Throttled: too many wrong ones.
    """
    if not is_code_right(account, realm=realm, code=code, address=address, device=device):
        raise WrongCode.here()


def _plain(code: str) -> str:
    """Without the blanks and hyphens that people read codes with, in ASCII digits."""
    characters = []
    for character in unicodedata.normalize("NFKC", code[:LONGEST_CODE]):
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            characters.append(str(digit))
        elif not character.isspace() and character != "-":
            characters.append(character.lower())
    return "".join(characters)


def _use_code(user_id: int, code: str) -> bool:
    with transaction.atomic():
        totp = Totp.objects.select_for_update().filter(user_id=user_id, confirmed_at__isnull=False).first()
        if totp is None or (step := _step_of(totp, code)) is None:
            return False
        totp.last_step = step
        totp.save(update_fields=["last_step"])
    return True


def _step_of(totp: Totp, code: str) -> int | None:
    """The step whose code this is, among those that are good now and were not used."""
    try:
        generator = _generator(base64.b32decode(decrypt(totp.secret)))
    except SecretUnreadable as error:
        _log.error("totp_secret_unreadable", user_id=totp.user_id, exc_info=error)
        return None
    now = int(_now()) // STEP
    for step in range(max(now - STEPS_APART, totp.last_step + 1), now + STEPS_APART + 1):
        if hmac.compare_digest(generator.generate(step * STEP), code.encode()):
            return step
    return None


def _now() -> float:
    return time.time()


def _generator(key: bytes) -> TOTP:
    return TOTP(key, 6, SHA1(), STEP)  # noqa: S303 - what all apps speak


def _use_recovery_code(account: Account, code: str) -> bool:
    with transaction.atomic():
        # One statement: of two who send the same, the second finds it used.
        used = RecoveryCode.objects.filter(user=account.user, code_hash=_hash(code), used_at=None)
        if not used.update(used_at=timezone.now()):
            return False
        left = RecoveryCode.objects.filter(user=account.user, used_at=None).count()
        record_of(account, "second_factor.used_recovery_code", after={"left": left})
    return True


def record_of(account: Account, action: str, **more: dict[str, object]) -> None:
    """Evidence of what an account does with its own factors, also where it is not signed in yet."""
    actor = replace(acting(), user_id=account.user.pk, key_id=None, name=account.username)
    record(action, account.username, by=actor, **more)


# --- The app ----------------------------------------------------------------------------------------------------------


def begin_totp(account: Account, *, realm: Realm) -> Enrolment:
    """A secret for an app. It is in force when a code of it was shown; until then a new one may take its place.

    Raises:
        SecondFactorEnrolled: an app is in force.
    """
    key = secrets.token_bytes(20)
    stored = encrypt(base64.b32encode(key).decode())
    with transaction.atomic():
        totp, _is_new = Totp.objects.select_for_update().get_or_create(user=account.user, defaults={"secret": stored})
        if totp.confirmed_at is not None:
            raise SecondFactorEnrolled
        totp.secret, totp.last_step = stored, 0
        totp.save(update_fields=["secret", "last_step"])
    return _enrolment(account, realm, key)


def pending_totp(account: Account, *, realm: Realm) -> Enrolment | None:
    """The secret that was begun with and is not in force; None where there is none."""
    totp = Totp.objects.filter(user=account.user, confirmed_at=None).first()
    if totp is None:
        return None
    try:
        return _enrolment(account, realm, base64.b32decode(decrypt(totp.secret)))
    except SecretUnreadable:
        return None


def _enrolment(account: Account, realm: Realm, key: bytes) -> Enrolment:
    issuer = f"{realm.slug}.{settings.BASE_DOMAIN}" if realm.slug else settings.BASE_DOMAIN
    uri = _generator(key).get_provisioning_uri(account.username, issuer)
    return Enrolment(base64.b32encode(key).decode(), uri)


def confirm_totp(account: Account, *, code: str) -> list[str]:
    """Puts the app in force, and gives recovery codes in the clear, this once. Those from before end.

    Raises:
        NotFound: none was begun with.
        SecondFactorEnrolled: it is in force already.
        WrongCode: the code is not right.
    """
    with transaction.atomic():
        totp = Totp.objects.select_for_update().filter(user=account.user).first()
        if totp is None:
            raise NotFound("Begin with POST /second-factor/totp.")
        if totp.confirmed_at is not None:
            raise SecondFactorEnrolled
        step = _step_of(totp, _plain(code))
        if step is None:
            raise WrongCode.here()
        totp.last_step, totp.confirmed_at = step, timezone.now()
        totp.save(update_fields=["last_step", "confirmed_at"])
        codes = _new_recovery_codes(account)
        record_of(account, "second_factor.enrolled", after={"kind": "totp"})
    return codes


def remove_totp(account: Account, *, realm: Realm) -> None:
    """Ends the app. Whoever asks has been proved to be the owner.

    Raises:
        NotFound: none is in force.
        LastSecondFactor: it is the last factor, and one is required.
    """
    with transaction.atomic():
        lock_factors(account)
        if not Totp.objects.filter(user=account.user, confirmed_at__isnull=False).delete()[0]:
            raise NotFound("No authenticator app is enrolled.")
        after_removal(account, realm)
        record_of(account, "second_factor.removed", before={"kind": "totp"})


def lock_factors(account: Account) -> None:
    """Until the transaction ends, nobody else adds or removes a factor of this user: of two that are each removed for
    the other is there, one would be the last."""
    User.objects.select_for_update(no_key=True).only("pk").get(pk=account.user.pk)


def after_removal(account: Account, realm: Realm) -> None:
    """Raises LastSecondFactor where none is left and one is required. Recovery codes go with the last one."""
    if has_second_factor(account.user.pk):
        return
    if is_required(realm):
        raise LastSecondFactor
    RecoveryCode.objects.filter(user=account.user).delete()


def forget_factors(user_id: int) -> bool:
    """Takes away all of a user's second factors, and what stands in for them. Within a transaction that holds the
    user's row (see :func:`lock_factors`). False: there was none in force."""
    had = has_second_factor(user_id)
    # One that was begun with goes too: who has seen its secret is not known.
    for model in (Totp, Passkey, RecoveryCode):
        model.objects.filter(user_id=user_id).delete()
    return had


# --- Recovery codes ---------------------------------------------------------------------------------------------------


def replace_recovery_codes(account: Account) -> list[str]:
    """New recovery codes, in the clear this once; those from before end.

    Raises:
        NotFound: there is no second factor that they could stand in for.
    """
    with transaction.atomic():
        lock_factors(account)
        if not has_second_factor(account.user.pk):
            raise NotFound("There is no second factor to recover.")
        codes = _new_recovery_codes(account)
        record_of(account, "second_factor.recovery_codes_made")
    return codes


def first_recovery_codes(account: Account) -> list[str]:
    """New ones if none is left, else nothing."""
    return [] if RecoveryCode.objects.filter(user=account.user, used_at=None).exists() else _new_recovery_codes(account)


def _new_recovery_codes(account: Account) -> list[str]:
    codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=account.user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=account.user, code_hash=_hash(code)) for code in codes)
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes]


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
