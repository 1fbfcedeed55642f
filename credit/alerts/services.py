"""Alerts: reads, and what people do with them. They run on the organization's schema (``tenant_context``).

Alerts are raised and cleared by the database (sql/alerts.sql): a seller's low balance in the transaction that makes it
low, all others by a look that a worker takes (recharge/delivery/watch.py). What is sent of them: sending.py.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from credit.alerts.errors import InvalidAlertSettings, NoChannel
from credit.alerts.templates import JSON, places_in, with_places
from credit.models import Account, Alert, AlertMessage, AlertPreference, AlertSettings
from credit.webhooks.addresses import UrlRefused, parse_url
from shared.audit import record, record_change
from shared.database import lock_seller
from shared.errors import NotFound
from shared.outbound.secrets import encrypt
from tenants.models import Organization
from tenants.wakeups import wake_workers

ALERT_COLUMNS = ("id", "kind", "seller_id", "subject", "data", "raised_at", "cleared_at", "read_at", "read_by")
"""What everybody who may is shown of an alert."""

MOST_RECIPIENTS = 10
"""Of each channel."""

MOST_SHOWN = 5
"""Lines of alerts at the top of a page."""

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")
_NOT_THESE = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "idempotency-key", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}  # fmt: skip
_SECRET = re.compile(r"[!-~]{1,500}")


@dataclass(frozen=True, slots=True)
class Threshold:
    """Below which balance (Tomans; None: never) a seller is told, and on which channels beside the console."""

    alert_below: int | None
    by_mail: bool
    phone_number: str


# --- Reads ------------------------------------------------------------------------------------------------------------


def alerts(*, seller_id: int | None, kind: str | None = None, is_open: bool | None = None) -> QuerySet[Alert]:
    """The alerts of one seller, or (None) the organization's own."""
    rows = Alert.objects.filter(seller__isnull=True) if seller_id is None else Alert.objects.filter(seller=seller_id)
    if kind is not None:
        rows = rows.filter(kind=kind)
    return rows if is_open is None else rows.filter(cleared_at__isnull=is_open)


def lines(*, seller_id: int | None) -> list[Alert]:
    """What is shown at the top of pages: what is neither over nor read, the newest first."""
    unread = alerts(seller_id=seller_id, is_open=True).filter(read_at__isnull=True)
    return list(unread.order_by("-pk")[:MOST_SHOWN])


def threshold_of(seller_id: int) -> Threshold:
    """Raises :class:`NotFound` where there is no such seller."""
    account = Account.objects.filter(pk=seller_id).first()
    if account is None:
        raise NotFound("There is no such seller.")
    told = AlertPreference.objects.filter(pk=seller_id).first() or AlertPreference()
    return Threshold(account.alert_below, told.by_mail, told.phone_number)


def alert_settings() -> AlertSettings:
    """What the organization is told of; the defaults where nobody has settled it."""
    return AlertSettings.objects.first() or AlertSettings()


def last_messages(*, limit: int) -> list[AlertMessage]:
    """What was sent last to the organization's own people, or is to be."""
    rows = AlertMessage.objects.filter(seller__isnull=True).select_related("alert")
    return list(rows.order_by("-pk")[:limit])


# --- Writes -----------------------------------------------------------------------------------------------------------


def change_threshold(
    *,
    organization: Organization,
    seller_id: int,
    alert_below: int | None,
    by_mail: bool | None = None,
    phone_number: str | None = None,
) -> Threshold:
    """Sets below which balance (Tomans; None: never) a seller is told. ``by_mail`` and ``phone_number`` (E.164; "":
    none) stay as they are where they are None.

    Raises:
        NotFound: there is no such seller.
        SellerBusy: too much else was going on for this seller; nothing was done.
    """
    with transaction.atomic():
        lock_seller(organization.pk, seller_id)
        before = threshold_of(seller_id)
        after = Threshold(
            alert_below,
            before.by_mail if by_mail is None else by_mail,
            before.phone_number if phone_number is None else phone_number,
        )
        set_alert_below(seller_id, alert_below)
        if (after.by_mail, after.phone_number) != (before.by_mail, before.phone_number):
            AlertPreference.objects.update_or_create(
                pk=seller_id, defaults={"by_mail": after.by_mail, "phone_number": after.phone_number}
            )
        record_change("alert.threshold_changed", str(seller_id), before=_told_of(before), after=_told_of(after))
    return after


def _told_of(threshold: Threshold) -> dict[str, Any]:
    return {
        "alert_below": threshold.alert_below,
        "by_mail": threshold.by_mail,
        "phone_number": threshold.phone_number,
    }


def set_alert_below(seller_id: int, alert_below: int | None) -> None:
    """The threshold alone, in the caller's transaction, which holds the seller's lock and records it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT account_alert_below(%s, %s)", [seller_id, alert_below])


def read_alert(*, alert_id: UUID, seller_id: int | None, by: str) -> Alert:
    """Takes an alert of this seller, or (None) of the organization, off the pages. May be repeated.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    with transaction.atomic():
        alert = alerts(seller_id=seller_id).select_for_update().filter(pk=alert_id).first()
        if alert is None:
            raise NotFound("There is no such alert.")
        if alert.read_at is None:
            alert.read_at, alert.read_by = timezone.now(), by
            alert.save(update_fields=["read_at", "read_by"])
            record("alert.read", str(alert_id), after={"kind": alert.kind, "subject": alert.subject})
    return alert


def change_alert_settings(
    *, organization: Organization, sms_secret: str | None = None, **changes: Any
) -> AlertSettings:
    """Changes what the organization is told of, and how; ``changes``: see the model. What is not given stays.
    ``sms_secret`` is in the clear; "" removes it.

    Raises:
        InvalidAlertSettings: an address, a number or the SMS gateway can't be so.
    """
    with transaction.atomic():
        row, _ = AlertSettings.objects.select_for_update().get_or_create(pk=1)
        before = {name: getattr(row, name) for name in changes}
        for name, value in changes.items():
            setattr(row, name, value)
        if sms_secret is not None:
            if sms_secret and not _SECRET.fullmatch(sms_secret):
                raise InvalidAlertSettings.of_field(
                    "sms_secret", "invalid_secret", "A secret is of printable ASCII characters without blanks."
                )
            row.sms_secret = encrypt(sms_secret) if sms_secret else ""
        _check(row)
        row.save()
        after = changes | ({"sms_secret": "changed"} if sms_secret is not None else {})
        record_change("alert.settings_changed", before=before | {"sms_secret": None}, after=after)
    wake_workers(organization.pk)  # who tell of what is to be told of now
    return row


def _check(row: AlertSettings) -> None:
    for field in ("mail_to", "sms_to"):
        if len(getattr(row, field)) > MOST_RECIPIENTS:
            raise InvalidAlertSettings.of_field(field, "too_many_recipients", f"These are more than {MOST_RECIPIENTS}.")
    for address in row.mail_to:
        try:
            validate_email(address)
        except ValidationError:
            raise InvalidAlertSettings.of_field("mail_to", "invalid_email", "This is no email address.") from None
    if row.sms_url:
        _check_gateway(row)


def _check_gateway(row: AlertSettings) -> None:
    def refuse(field: str, code: str, detail: str) -> InvalidAlertSettings:
        return InvalidAlertSettings.of_field(field, code, detail)

    try:
        # Whatever stands in its places, it leads to the one host that is checked here and at each call.
        urls = [parse_url(with_places(row.sms_url, "", {"to": x, "text": x, "secret": x})) for x in ("x", "y")]
    except UrlRefused as error:
        raise refuse("sms_url", error.code, str(error)) from None
    if len({(url.host, url.port) for url in urls}) > 1:
        raise refuse("sms_url", "place_in_host", "The host's name can't have {to}, {text} or {secret} in it.")
    if row.sms_method == "GET" and row.sms_body:
        raise refuse("sms_body", "body_not_sent", "A GET has no body.")
    if not {"to", "text"} <= places_in(row.sms_url) | places_in(row.sms_body):
        field = "sms_body" if row.sms_method == "POST" else "sms_url"
        raise refuse(field, "place_missing", "The number ({to}) and the words ({text}) have no place in the message.")
    if row.sms_body and row.sms_content_type == JSON:
        try:
            json.loads(with_places(row.sms_body, JSON, {"to": "1", "text": '"\n', "secret": "1"}))
        except ValueError:
            raise refuse("sms_body", "not_json", "With something in its places, this is no JSON.") from None
    if row.sms_header:
        if not _HEADER.fullmatch(row.sms_header) or row.sms_header.lower() in _NOT_THESE:
            raise refuse("sms_header", "invalid_header", "This is no name of a header that can have a secret.")
        if not row.sms_secret:
            raise refuse("sms_secret", "header_without_secret", "There is no secret for this header.")


def send_test(*, organization: Organization) -> int:
    """Writes a message to each address and number of the organization, for the worker to send. Gives how many.

    Raises:
        NoChannel: there is none.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT alert_test()")
            (count,) = cursor.fetchone()
        if not count:
            raise NoChannel
        record("alert.tested", after={"messages": count})
    wake_workers(organization.pk)
    return int(count)
