"""Passkeys (WebAuthn): adding and removing them, and looking at what a browser answers.

A passkey is bound to the host that it was made on: browsers use it nowhere else, and what is signed says where it was
asked for. The challenge is the caller's to keep, and good once. Nothing is asked of who made the authenticator.

The package is imported by the first who needs it: it takes 0.4 seconds, which no command is to wait for.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from shared.errors import NotFound, Problem
from shared.identity.accounts import Account, account_of
from shared.identity.realm import Realm
from shared.identity.sign_ins import record_refused_sign_in
from shared.models import Passkey, User
from shared.second_factor.errors import PasskeyRefused, TooManyPasskeys
from shared.second_factor.services import after_removal, first_recovery_codes, lock_factors, record_of

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

MOST_PASSKEYS = 20

LONGEST_ANSWER = 20_000
"""Characters of what a browser answers; an answer with an attestation has several thousand."""

_LONGEST_ID = 1023
"""Bytes of a credential's id (WebAuthn section 4)."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a browser is: what it signs."""

    host: str
    """Without the port: the relying party's id."""
    origin: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a browser is asked for, and what its answer must hold."""

    options: str
    """JSON, as ``navigator.credentials`` takes it (bytes in base64url)."""
    challenge: bytes


def ask_to_add(account: Account, *, site: Site) -> Asked:
    """To make a passkey for this account, on an authenticator that has none of it."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=site.host,
        rp_name=site.host,
        user_id=_handle(account.user),
        user_name=account.username,
        exclude_credentials=_descriptors(account.user, site),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    return Asked(options_to_json(options), options.challenge)


def ask_for(user: User | None, *, site: Site) -> Asked:
    """To sign with a passkey of this user; None: with any, by somebody whom the authenticator has looked at."""
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers.structs import UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=site.host,
        allow_credentials=_descriptors(user, site) if user else [],
        user_verification=UserVerificationRequirement.PREFERRED if user else UserVerificationRequirement.REQUIRED,
    )
    return Asked(options_to_json(options), options.challenge)


def _descriptors(user: User, site: Site) -> "list[PublicKeyCredentialDescriptor]":
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    ids = Passkey.objects.filter(user=user, host=site.host).values_list("credential_id", flat=True)
    return [PublicKeyCredentialDescriptor(id=bytes(one)) for one in ids]


def _handle(user: User) -> bytes:
    """What an authenticator knows the user as: the same each time, and nothing that says who it is."""
    return salted_hmac("shared.second_factor.passkeys", str(user.pk), algorithm="sha256").digest()


def add_passkey(account: Account, *, site: Site, answer: str, challenge: bytes, name: str) -> list[str]:
    """Keeps the passkey that a browser has made. Returns recovery codes in the clear, if these are the account's first.

    Raises:
        PasskeyRefused: the answer is not what was asked for, here.
        TooManyPasskeys: there are as many as there may be.
    """
    from webauthn import verify_registration_response

    credential = _read(answer)
    try:
        made = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
        )
    except Exception as error:  # noqa: BLE001 - whatever the package makes of made-up bytes
        raise PasskeyRefused(f"The passkey is not good: {error}") from None
    if len(made.credential_id) > _LONGEST_ID:
        raise PasskeyRefused("The passkey's id is too long.")
    try:
        with transaction.atomic():
            lock_factors(account)
            if Passkey.objects.filter(user=account.user).count() >= MOST_PASSKEYS:
                raise TooManyPasskeys(f"There are {MOST_PASSKEYS} passkeys, which is the most.")
            Passkey.objects.create(
                user=account.user,
                credential_id=made.credential_id,
                public_key=made.credential_public_key,
                host=site.host,
                sign_count=made.sign_count,
                name=name,
            )
            codes = first_recovery_codes(account)
            record_of(account, "passkey.added", after={"name": name})
    except IntegrityError:
        raise PasskeyRefused("There is this passkey already.") from None
    return codes


def whose(*, site: Site, answer: str, challenge: bytes, user: User | None) -> int:
    """The id of the user whose passkey has signed. ``user``: it must be one of this user; None: of anybody, and the
    authenticator must have verified who it is that signs. Which realm's user it is, is the caller's to look at.

    Raises:
        PasskeyRefused: the answer is not what was asked for, here.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers import base64url_to_bytes

    credential = _read(answer)
    try:
        credential_id = base64url_to_bytes(credential["rawId"])
    except (KeyError, TypeError, ValueError):
        raise PasskeyRefused("The answer can't be read.") from None
    with transaction.atomic():
        # The row lock: of two answers that count the same, the second is refused.
        known = Passkey.objects.select_for_update().filter(credential_id=credential_id, host=site.host)
        passkey = (known.filter(user=user) if user else known).first()
        if passkey is None:
            raise PasskeyRefused("There is no such passkey here.")
        try:
            used = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=site.host,
                expected_origin=site.origin,
                credential_public_key=bytes(passkey.public_key),
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=user is None,
            )
        except Exception as error:  # noqa: BLE001 - whatever the package makes of made-up bytes
            raise PasskeyRefused(f"The passkey is not good: {error}") from None
        passkey.sign_count, passkey.last_used_at = used.new_sign_count, timezone.now()
        passkey.save(update_fields=["sign_count", "last_used_at"])
        return passkey.user_id


def account_by_passkey(*, realm: Realm, site: Site, answer: str, challenge: bytes) -> Account:
    """Who signs in with a passkey alone, which knows whose it is. That its account is switched off is kept.

    Raises:
        PasskeyRefused: as :func:`whose`.
        SellerInactive, PermissionDenied: the account was switched off, or is another realm's.
    """
    user_id = whose(site=site, answer=answer, challenge=challenge, user=None)
    try:
        return account_of(realm=realm, user_id=user_id)
    except Problem as problem:
        username = User.objects.values_list("username", flat=True).get(pk=user_id)
        record_refused_sign_in(username.rpartition("/")[2], problem.code)
        raise


def _read(answer: str) -> dict[str, Any]:
    try:
        credential = json.loads(answer) if len(answer) <= LONGEST_ANSWER else None
    except (ValueError, RecursionError):
        credential = None
    if not isinstance(credential, dict):
        raise PasskeyRefused("The answer can't be read.")
    return credential


def passkey_of(account: Account, *, passkey_id: int) -> Passkey:
    """One of the account's own.

    Raises:
        NotFound: it has none of this id.
    """
    passkey = Passkey.objects.filter(user=account.user, pk=passkey_id).first()
    if passkey is None:
        raise NotFound("There is no such passkey.")
    return passkey


def remove_passkey(account: Account, *, realm: Realm, passkey_id: int) -> None:
    """Ends it. Whoever asks has been proved to be the owner.

    Raises:
        NotFound: the account has none of this id.
        LastSecondFactor: it is the last factor, and one is required.
    """
    with transaction.atomic():
        lock_factors(account)
        passkey = passkey_of(account, passkey_id=passkey_id)
        passkey.delete()
        after_removal(account, realm)
        record_of(account, "passkey.removed", before={"name": passkey.name})
