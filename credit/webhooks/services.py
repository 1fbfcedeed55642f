"""Webhook endpoints: who is told what, where. They run on the organization's schema (``tenant_context``).

Messages are written by the database, in the transaction of what they tell of (sql/webhooks.sql), and sent by the worker
(sending.py).
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from credit.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from credit.webhooks.errors import InvalidWebhook, SellersWebhook, TooManyWebhooks, WebhookDisabled
from shared.audit import record, record_change
from shared.database import lock_seller
from shared.errors import IdempotencyKeyReused, NotFound
from shared.idempotency import REPEATED_WITHIN
from shared.outbound.secrets import SecretUnreadable, decrypt, encrypt
from tenants.models import Organization
from tenants.wakeups import wake_workers

MOST_WEBHOOKS = 10
"""Endpoints of one seller, and of the organization itself."""

SECRET_BYTES = 32
"""The Standard Webhooks specification wants 24 to 64."""

PREVIOUS_SECRET_FOR = timedelta(hours=24)
"""How long messages are signed with the previous secret too."""

MOST_PREVIOUS_SECRETS = 10
"""Of those that were replaced within that time; of more, the oldest is given up."""

EVENTS_OF_ORGANIZATION = frozenset({WebhookEndpoint.Event.CHAIN_ROOT})
"""What is told to the organization's own endpoints alone."""

TRIED_FOR = timedelta(days=1)
"""How long a message is tried after it was written (webhook_emit says the same) or resent by hand."""


def events_for(seller_id: int | None) -> list[WebhookEndpoint.Event]:
    """What an endpoint of a seller (None: of the organization) may be told."""
    return [event for event in WebhookEndpoint.Event if seller_id is None or event not in EVENTS_OF_ORGANIZATION]


# --- Reads ------------------------------------------------------------------------------------------------------------


def webhooks(*, seller_id: int | None = None) -> QuerySet[WebhookEndpoint]:
    """The endpoints of one seller, or all: the organization's own and every seller's."""
    rows = WebhookEndpoint.objects.exclude(disabled=WebhookEndpoint.Disabled.DELETED)
    return rows if seller_id is None else rows.filter(seller_id=seller_id)


def webhook_by_id(webhook_id: UUID, *, seller_id: int | None) -> WebhookEndpoint:
    """One endpoint; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    endpoint = webhooks(seller_id=seller_id).filter(pk=webhook_id).first()
    if endpoint is None:
        raise NotFound("There is no such webhook.")
    return endpoint


def deliveries(webhook_id: UUID) -> QuerySet[WebhookMessage]:
    """An endpoint's messages, each with its last attempts in ``shown_attempts``, newest first."""
    attempts = Prefetch("webhookattempt_set", WebhookAttempt.objects.order_by("-id"), to_attr="shown_attempts")
    return WebhookMessage.objects.filter(endpoint_id=webhook_id).prefetch_related(attempts)


# --- Writes -----------------------------------------------------------------------------------------------------------


def create_webhook(
    *,
    organization: Organization,
    seller_id: int | None,
    url: str,
    events: Sequence[str],
    once: bool = False,
    idempotency_key: str = "",
) -> tuple[WebhookEndpoint, str]:
    """An endpoint of a seller, or (without ``seller_id``) of the organization; and its secret, which is told this once.

    ``url`` has been through ``addresses.parse_url``. With ``once``, a request that was made before gets the endpoint
    that it made then (``is_replay``) with its secret: the one with the same key, or, without a key, one that was just
    made with the same content. Else every event would be told twice after a lost answer.

    Raises:
        InvalidWebhook: a seller's endpoint was to be told what only the organization's are.
        IdempotencyKeyReused: the key has made one with other content.
        TooManyWebhooks: there are 10 already.
        SellerBusy: too much else was going on for this owner; nothing was done.
    """
    _check_events(events, seller_id)
    secret = _new_secret()
    with transaction.atomic():
        # So that two at once don't both find nine. Sellers' ids begin at 1: 0 is the organization's own.
        lock_seller(organization.pk, seller_id or 0)
        own = webhooks(seller_id=seller_id) if seller_id else webhooks().filter(seller__isnull=True)
        made = _made_before(own, url, events, idempotency_key) if once else None
        if made is not None:
            return made, _told_again(made) or ""
        if own.count() >= MOST_WEBHOOKS:
            raise TooManyWebhooks(most=MOST_WEBHOOKS)
        with connection.cursor() as cursor:
            cursor.execute("SELECT moment, uuid7_at(moment) FROM clock_timestamp() AS moment")
            created_at, webhook_id = cursor.fetchone()
        endpoint = WebhookEndpoint.objects.create(
            id=webhook_id,
            seller_id=seller_id,
            url=url,
            events=list(events),
            secret=encrypt(secret),
            creation_key=idempotency_key,
            created_at=created_at,
        )
        record("webhook.created", str(webhook_id), after={"seller_id": seller_id, "url": url, "events": list(events)})
    return endpoint, secret


def _check_events(events: Sequence[str], seller_id: int | None) -> None:
    if refused := set(events).difference(events_for(seller_id)):
        detail = f"Only webhooks of the organization are told of {', '.join(sorted(refused))}."
        raise InvalidWebhook.of_field("events", "organization_only", detail)


def _made_before(
    own: QuerySet[WebhookEndpoint], url: str, events: Sequence[str], idempotency_key: str
) -> WebhookEndpoint | None:
    """The one of an owner's endpoints that this request has made already."""
    if idempotency_key:
        made = own.filter(creation_key=idempotency_key).first()
        if made is not None and (made.url, made.events) != (url, list(events)):
            raise IdempotencyKeyReused
    else:
        since = timezone.now() - REPEATED_WITHIN
        same = own.filter(url=url, disabled=WebhookEndpoint.Disabled.NO, created_at__gt=since)
        made = next((one for one in same.order_by("-pk") if set(one.events) == set(events)), None)
    if made is not None:
        made.is_replay = True
    return made


def update_webhook(
    *,
    webhook_id: UUID,
    seller_id: int | None,
    url: str | None = None,
    events: Sequence[str] | None = None,
    is_active: bool | None = None,
) -> WebhookEndpoint:
    """Changes an endpoint of this seller, or of the organization. What is None stays as it is.

    Disabling gives up what waits to be sent; enabling (also after a 410, or five days of failures) begins anew with
    what happens from then on.

    Raises:
        NotFound: the owner has no such endpoint.
        SellersWebhook: the organization's admin asks, and it is a seller's.
        InvalidWebhook: as for :func:`create_webhook`.
    """
    with transaction.atomic():
        endpoint = _locked(webhook_id, seller_id)
        if events is not None:
            _check_events(events, seller_id)
        before = _told_of(endpoint)
        if url is not None:
            endpoint.url = url
        if events is not None:
            endpoint.events = list(events)
        if is_active is True:
            endpoint.disabled = WebhookEndpoint.Disabled.NO
            endpoint.failing_since = None
        elif is_active is False:
            # Why it was disabled before stays.
            endpoint.disabled = endpoint.disabled or WebhookEndpoint.Disabled.BY_HAND
            _waiting(endpoint).update(status=WebhookMessage.Status.FAILED, due_at=None)
        endpoint.save(update_fields=["url", "events", "disabled", "failing_since"])
        record_change("webhook.changed", str(webhook_id), before=before, after=_told_of(endpoint))
    return endpoint


def _told_of(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Of an endpoint, what the audit table has."""
    return {"url": endpoint.url, "events": list(endpoint.events), "is_active": not endpoint.disabled}


def delete_webhook(*, webhook_id: UUID, seller_id: int | None) -> None:
    """Deletes an endpoint of this seller, or of the organization, with its messages.

    Raises:
        NotFound, SellersWebhook: as for :func:`update_webhook`.
    """
    with transaction.atomic():
        endpoint = _locked(webhook_id, seller_id)
        endpoint.disabled = WebhookEndpoint.Disabled.DELETED
        endpoint.save(update_fields=["disabled"])
        record("webhook.deleted", str(webhook_id), before={"seller_id": endpoint.seller_id, "url": endpoint.url})
    # Now that sales write no more messages for it, all rows go, however many; no sale waits for that.
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_purge()")


def rotate_secret(*, webhook_id: UUID, seller_id: int | None, idempotency_key: str = "") -> tuple[WebhookEndpoint, str]:
    """Gives an endpoint a new secret, which is told this once; for 24 hours messages are signed with the old one too.

    A request that was made before gets the secret that it made then (``is_replay``): the one with the same key, or,
    without a key, one that follows within minutes. And however often it is done, the secret that the receiver knows
    stays for its 24 hours.

    Raises:
        NotFound, SellersWebhook: as for :func:`update_webhook`.
    """
    now = timezone.now()
    with transaction.atomic():
        endpoint = _locked(webhook_id, seller_id)
        until = endpoint.previous_secret_until
        if idempotency_key:
            endpoint.is_replay = endpoint.rotation_key == idempotency_key
        else:
            endpoint.is_replay = until is not None and until - PREVIOUS_SECRET_FOR > now - REPEATED_WITHIN
        if endpoint.is_replay and (told := _told_again(endpoint)):
            return endpoint, told
        endpoint.is_replay = False
        secret = _new_secret()
        still_known = endpoint.previous_secret.split() if until is not None and until > now else []
        endpoint.previous_secret = " ".join([endpoint.secret, *still_known][:MOST_PREVIOUS_SECRETS])
        endpoint.previous_secret_until = now + PREVIOUS_SECRET_FOR
        endpoint.secret, endpoint.rotation_key = encrypt(secret), idempotency_key
        endpoint.save(update_fields=["secret", "previous_secret", "previous_secret_until", "rotation_key"])
        record("webhook.secret_rotated", str(webhook_id))
    return endpoint, secret


def resend_message(
    *, organization: Organization, webhook_id: UUID, seller_id: int | None, message_id: UUID
) -> WebhookMessage:
    """Has a message sent (again) now and, if need be, for another day; under the same id, also if it had arrived.

    Raises:
        NotFound, SellersWebhook: as for :func:`update_webhook`; or it has no such message.
        WebhookDisabled: nothing is sent to this endpoint.
    """
    with transaction.atomic():
        endpoint = _locked(webhook_id, seller_id)  # before its messages: the order of webhook_record
        message = deliveries(endpoint.pk).select_for_update().filter(pk=message_id).first()
        if message is None:
            raise NotFound("This webhook has no such delivery.")
        if endpoint.disabled:
            raise WebhookDisabled
        message.status, message.attempts = WebhookMessage.Status.PENDING, 0
        message.due_at = timezone.now()
        message.give_up_at = message.due_at + TRIED_FOR
        message.save(update_fields=["status", "attempts", "due_at", "give_up_at"])
        record("webhook.resent", str(webhook_id), after={"delivery": message.pk})
    wake_workers(organization.pk)
    return message


def _locked(webhook_id: UUID, seller_id: int | None) -> WebhookEndpoint:
    """An endpoint that this owner may change, held until the transaction ends."""
    # Not FOR UPDATE: sales that write messages for it need not wait.
    endpoint = webhooks(seller_id=seller_id).select_for_update(no_key=True).filter(pk=webhook_id).first()
    if endpoint is None:
        raise NotFound("There is no such webhook.")
    if endpoint.seller_id != seller_id:
        raise SellersWebhook
    return endpoint


def _waiting(endpoint: WebhookEndpoint) -> QuerySet[WebhookMessage]:
    return WebhookMessage.objects.filter(endpoint=endpoint, due_at__isnull=False)


def _told_again(endpoint: WebhookEndpoint) -> str | None:
    """The secret; None: it can't be had any more."""
    try:
        return decrypt(endpoint.secret)
    except SecretUnreadable:
        return None


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
