"""API keys: how programs prove who they are. Everything here runs on the organization's schema, for its evidence.

A program exchanges a key's id and secret for an access token of five minutes (the client-credentials grant of RFC 6749
section 4.4), and asks with that. What a token may do is what the key's role may *and* its scopes name (roles.py). A
secret is random, of 256 bits: nobody guesses it, so its SHA-256 is kept, and a try of it locks no key out.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from shared.audit import record
from shared.database import lock_seller
from shared.errors import (
    ApiKeyEnded,
    BadCredentials,
    InvalidApiKey,
    KeyRefused,
    NotFound,
    SellerInactive,
    TokenExpired,
    TokenInvalid,
    TooManyApiKeys,
)
from shared.identity import lockout
from shared.identity.acting import acting
from shared.identity.epochs import end_access, subject_of
from shared.identity.realm import Realm
from shared.identity.roles import AUDITOR, KEY_SCOPES, READ, SELLER
from shared.identity.tokens import AccessToken, Principal, name_realm
from shared.models import ApiKey, Membership
from shared.uuid7 import new_id

PREFIX = "rk_live_"
"""Begins each secret: whoever finds one in a log or a repository, or searches them for some, knows what it is."""

SECRET_BYTES = 32

HINT_LENGTH = 4
"""Characters at a secret's end that are kept readable."""

MOST_KEYS_OF_ORGANIZATION = 100
MOST_KEYS_OF_SELLER = 20
"""Keys that are neither ended nor expired."""

MOST_ADDRESSES = 50
"""Addresses or networks that a key may be let in from."""

FORMER_SECRET_FOR = timedelta(hours=24)
"""How long the secret that was replaced is good, too."""

LISTED_FOR = timedelta(days=30)
"""How long a key is listed after its end. The row stays: what it has sold names it."""

SEEN_EVERY = timedelta(minutes=1)
"""How often at most the last use is written, as long as it is from the same address."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An access token for a program: its life in seconds, and its scopes as OAuth writes them, with blanks between."""

    access: str
    expires_in: int
    scope: str


# --- Reads ------------------------------------------------------------------------------------------------------------


def api_keys(*, organization_id: int, seller_id: int | None = None) -> QuerySet[ApiKey]:
    """The keys of one seller, or all: the organization's own and every seller's. Those that ended lately, too."""
    since = timezone.now() - LISTED_FOR
    listed = (Q(ended_at=None) | Q(ended_at__gt=since)) & (Q(expires_at=None) | Q(expires_at__gt=since))
    rows = ApiKey.objects.filter(listed, organization_id=organization_id)
    return rows if seller_id is None else rows.filter(seller_id=seller_id)


def api_key_by_id(key_id: UUID, *, organization_id: int, seller_id: int | None) -> ApiKey:
    """One key; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    key = api_keys(organization_id=organization_id, seller_id=seller_id).filter(pk=key_id).first()
    if key is None:
        raise NotFound("There is no such API key.")
    return key


def living_key_of(principal: Principal, *, organization_id: int) -> ApiKey:
    """The key that a token was issued for, as it is now.

    Raises:
        TokenInvalid: it has ended or expired.
        TokenExpired: the access was ended since, and not the key: another secret gets a new token.
    """
    assert principal.key_id
    key = _living(organization_id).filter(pk=principal.key_id).first()
    if key is None or (key.seller_id, _role_of(key)) != (principal.seller_id, principal.role):
        raise TokenInvalid("The API key that this token was issued for has ended.")
    if key.epoch > principal.epoch:
        raise TokenExpired("The API key's secret was replaced; get a token with the new one.")
    return key


def is_living(key: ApiKey) -> bool:
    """Whether it is neither ended nor expired."""
    return key.ended_at is None and (key.expires_at is None or key.expires_at > timezone.now())


def _living(organization_id: int) -> QuerySet[ApiKey]:
    expires_later = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(expires_later, organization_id=organization_id, ended_at=None)


def _role_of(key: ApiKey) -> str:
    """What a key may be at most. Its scopes narrow it."""
    return AUDITOR if key.seller_id is None else SELLER


# --- Writes -----------------------------------------------------------------------------------------------------------


def create_key(
    *,
    organization_id: int,
    seller_id: int | None,
    name: str,
    scopes: Sequence[str],
    created_by: str,
    allowed_addresses: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A key of a seller (who is there: the caller has looked), or of the organization; and its secret, which is told
    this once. ``created_by`` is the username of whoever makes it.

    Raises:
        InvalidApiKey: the scopes, an address or the expiry won't do.
        TooManyApiKeys: the seller has 20 already, or the organization 100.
        SellerBusy: too much else was going on for this organization; nothing was done.
    """
    chosen = [scope for scope in KEY_SCOPES if scope in scopes]
    if not chosen or set(scopes) - set(chosen):
        raise InvalidApiKey.of_field("scopes", "invalid", f"Name one or more of: {', '.join(KEY_SCOPES)}.")
    if seller_id is None and chosen != [READ]:
        detail = f'A key of the organization reads: its scopes are ["{READ}"].'
        raise InvalidApiKey.of_field("scopes", "organization_reads", detail)
    networks = normalize_networks(allowed_addresses)
    now = timezone.now()
    if expires_at is not None and expires_at <= now:
        raise InvalidApiKey.of_field("expires_at", "not_in_future", "This must be in the future.")
    secret = _new_secret()
    key = ApiKey(
        id=new_id(now),
        organization_id=organization_id,
        seller_id=seller_id,
        name=name,
        scopes=chosen,
        allowed_addresses=networks,
        hint=secret[-HINT_LENGTH:],
        secret_hash=_hash(secret),
        created_by=created_by,
        created_at=now,
        expires_at=expires_at,
    )
    with transaction.atomic():
        lock_seller(organization_id, 0)  # no seller's: so that two at once don't both find the last place free
        living = _living(organization_id)
        if living.count() >= MOST_KEYS_OF_ORGANIZATION:
            raise TooManyApiKeys(most=MOST_KEYS_OF_ORGANIZATION)
        if seller_id is not None and living.filter(seller_id=seller_id).count() >= MOST_KEYS_OF_SELLER:
            raise TooManyApiKeys(most=MOST_KEYS_OF_SELLER)
        key.save(force_insert=True)
        record("api_key.created", str(key.pk), after=_told_of(key))
    return key, secret


def rotate_key(
    *, organization_id: int, key_id: UUID, seller_id: int | None, end_old: bool = False
) -> tuple[ApiKey, str]:
    """Gives a key a new secret, which is told this once. The one before is good for 24 hours more, and of two before
    the older one ends; with ``end_old`` the new one alone is good from now on, and access that was given ends.

    Raises:
        NotFound: there is no such key, or (with ``seller_id``) it is not this seller's.
        ApiKeyEnded: it has ended or expired.
    """
    secret, now = _new_secret(), timezone.now()
    with transaction.atomic():
        key = _locked(organization_id, key_id, seller_id)
        if not is_living(key):
            raise ApiKeyEnded
        key.former_hash = "" if end_old else key.secret_hash
        key.former_until = None if end_old else now + FORMER_SECRET_FOR
        key.secret_hash, key.hint = _hash(secret), secret[-HINT_LENGTH:]
        if end_old:
            _end_access(key)
        key.save(update_fields=["former_hash", "former_until", "secret_hash", "hint", "epoch"])
        record("api_key.rotated", str(key.pk), after={"name": key.name, "end_old": end_old})
    return key, secret


def end_key(*, organization_id: int, key_id: UUID, seller_id: int | None) -> ApiKey:
    """Ends a key, and the access that it was given. One that has ended stays as it is.

    Raises:
        NotFound: there is no such key, or (with ``seller_id``) it is not this seller's.
    """
    with transaction.atomic():
        key = _locked(organization_id, key_id, seller_id)
        if key.ended_at is None:
            key.ended_at = timezone.now()
            _end_access(key)
            key.save(update_fields=["ended_at", "epoch"])
            record("api_key.ended", str(key.pk), after={"name": key.name})
    return key


def _locked(organization_id: int, key_id: UUID, seller_id: int | None) -> ApiKey:
    """A key of this owner, held until the transaction ends."""
    rows = api_keys(organization_id=organization_id, seller_id=seller_id)
    key = rows.select_for_update(no_key=True).filter(pk=key_id).first()
    if key is None:
        raise NotFound("There is no such API key.")
    return key


def _end_access(key: ApiKey) -> None:
    """Tokens that were issued for it until now sell nothing from when this commits."""
    key.epoch += 1
    end_access(subject_of(key_id=key.pk), key.epoch)


def _told_of(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "seller_id": key.seller_id,
        "scopes": key.scopes,
        "allowed_addresses": key.allowed_addresses,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


# --- The grant --------------------------------------------------------------------------------------------------------


def grant_access(*, realm: Realm, client_id: str, client_secret: str, address: str) -> Grant:
    """An access token for a key's id and secret. ``address`` is the client's.

    A right secret is good however many wrong ones came from the same address: many programs may share it, and one of
    them have a secret that was replaced. Wrong ones are counted for the address, and refused from some number on.

    Raises:
        BadCredentials: there is no such key here, or this is not its secret.
        Throttled: the same, too many times from this address.
        KeyRefused: it has ended or expired, or is not let in from this address.
        SellerInactive: its seller was switched off.
    """
    key = _key_named(realm, client_id)
    now = timezone.now()
    if not _is_secret_of(key, client_secret, now):
        lockout.look_from_address(door="key", address=address, is_right=lambda: False)  # it has been looked at
        if key is not None:
            _record_refusal(key, "secret")
        raise BadCredentials("There is no API key with this id and secret here.")
    assert key is not None
    if key.ended_at is not None:
        _record_refusal(key, "ended")
        raise KeyRefused("This API key has ended.")
    if key.expires_at is not None and key.expires_at <= now:
        _record_refusal(key, "expired")
        raise KeyRefused("This API key has expired.")
    if key.allowed_addresses and not _is_in(address, key.allowed_addresses):
        _record_refusal(key, "address")
        raise KeyRefused(f"This API key is not let in from {address}.")
    if _is_of_seller_switched_off(key):
        _record_refusal(key, "seller")
        raise SellerInactive
    _note_use(key, address, now)
    return _grant(realm, key, now)


def _key_named(realm: Realm, client_id: str) -> ApiKey | None:
    """The key of this realm with this id. Ended ones are here for ever: their holder is told."""
    try:
        key_id = UUID(client_id)
    except ValueError:
        return None
    if realm.is_platform or str(key_id) != client_id.lower():
        return None
    return ApiKey.objects.filter(pk=key_id, organization_id=realm.require_organization_id()).first()


def _is_secret_of(key: ApiKey | None, secret: str, now: datetime) -> bool:
    given = _hash(secret)
    if key is None:
        return False
    is_former = key.former_until is not None and key.former_until > now
    # Both are compared whatever comes of the first: time tells nothing.
    right = hmac.compare_digest(given, key.secret_hash)
    return hmac.compare_digest(given, key.former_hash if is_former else "") or right


def _is_of_seller_switched_off(key: ApiKey) -> bool:
    """Whether the seller's own user may not sign in."""
    return (
        key.seller_id is not None
        and Membership.objects.filter(
            organization_id=key.organization_id, seller_id=key.seller_id, role=SELLER, is_active=False
        ).exists()
    )


def _note_use(key: ApiKey, address: str, now: datetime) -> None:
    with transaction.atomic():
        if key.last_used_at is None or key.last_used_from != address or now - key.last_used_at > SEEN_EVERY:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now, last_used_from=address[:45])
        _record(key, "api_key.signed_in")


def _record_refusal(key: ApiKey, reason: str) -> None:
    """In a transaction of its own: the refusal that follows must not take it back."""
    with transaction.atomic():
        _record(key, "api_key.refused", reason=reason)


def _record(key: ApiKey, action: str, **after: Any) -> None:
    by = replace(acting(), user_id=None, key_id=key.pk, name=key.name)
    record(action, str(key.pk), after={"name": key.name, **after}, by=by)


def _grant(realm: Realm, key: ApiKey, now: datetime) -> Grant:
    token = AccessToken()
    life = AccessToken.lifetime
    if key.expires_at is not None:
        life = min(life, key.expires_at - now)
        token.set_exp(lifetime=life)
    scope = " ".join(key.scopes)
    token["sub"] = subject_of(key_id=key.pk)
    name_realm(token, realm)
    token["role"], token["seller_id"] = _role_of(key), key.seller_id
    token["scope"], token["epoch"] = scope, key.epoch
    return Grant(str(token), int(life.total_seconds()), scope)


def _is_in(address: str, networks: Sequence[str]) -> bool:
    try:
        client = ip_address(address)
    except ValueError:
        return False
    if isinstance(client, IPv6Address):
        client = client.ipv4_mapped or client
    return any(client in ip_network(network) for network in networks)


def normalize_networks(addresses: Sequence[str]) -> list[str]:
    """Addresses and networks as they are kept, each once: 203.0.113.7 is 203.0.113.7/32.

    Raises:
        InvalidApiKey: there are too many, or one is none.
    """
    if len(addresses) > MOST_ADDRESSES:
        detail = f"There are more than {MOST_ADDRESSES} addresses."
        raise InvalidApiKey.of_field("allowed_addresses", "too_many", detail)
    networks = []
    for written in addresses:
        try:
            if "%" in written:  # a zone: of one machine's own interfaces
                raise ValueError
            network = ip_network(written)
        except ValueError:
            detail = f"{written[:60]!r} is no IP address and no network like 203.0.113.0/24."
            raise InvalidApiKey.of_field("allowed_addresses", "invalid_address", detail) from None
        # As _is_in reads a client's address. (A network with such an address has 96 bits at least, or one set beyond.)
        if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped):
            network = IPv4Network((mapped, max(network.prefixlen - 96, 0)))
        networks.append(str(network))
    return list(dict.fromkeys(networks))


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
