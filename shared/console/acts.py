"""How the acts in the audit tables (shared/acts.py) are written for people: what was done, and what it has changed."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Protocol

from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import get_language_bidi, gettext
from django.utils.translation import gettext_lazy as _

from shared.acts import ACTS, PLATFORM_ACTS
from shared.console.formats import format_day, format_list, in_digits
from shared.console.roles import role_name
from shared.templatetags.console import moment, tomans

FIELDS: dict[str, Promise] = {
    "accounts": _("Sellers"),
    "action": _("Action"),
    "actor": _("User"),
    "adjustment": _("Adjustment"),
    "alert_below": _("Alert below"),
    "allowed_addresses": _("Allowed addresses"),
    "amount": _("Amount"),
    "amounts": _("Amounts"),
    "api_keys": _("API keys"),
    "approvals": _("Approvals"),
    "at": _("Time"),
    "bank_reference": _("Bank reference"),
    "basis_points": _("Commission (hundredths of a percent)"),
    "by_mail": _("By email"),
    "bytes": _("Bytes"),
    "claim_days": _("Time to ask about a recharge (days)"),
    "claim_hours": _("Hours to answer"),
    "client": _("Browser or program"),
    "code": _("Reason"),
    "connect_timeout_ms": _("Connect timeout (ms)"),
    "created_from": _("Since"),
    "created_to": _("Until"),
    "deadline": _("Answer by"),
    "delete_after": _("Can be deleted from"),
    "delivery": _("Delivery"),
    "digest": _("Digest"),
    "direction": _("Type of adjustment"),
    "duplicate_window": _("Duplicate-sale warning (seconds)"),
    "email": _("Email address"),
    "end_old": _("The old secret was revoked"),
    "ended": _("How many"),
    "entries": _("Entries"),
    "events": _("Events"),
    "expires_at": _("Expires"),
    "failing_least": _("Minimum failures"),
    "failing_percent": _("Percent failing"),
    "failing_window": _("Time window (minutes)"),
    "filters": _("Filters"),
    "fixed": _("Commission (Tomans)"),
    "four_eyes_from": _("Two approvals from"),
    "from": _("From seller"),
    "from_day": _("From day"),
    "from_hour": _("Selling from (hour)"),
    "gateway": _("Gateway"),
    "is_active": _("Active"),
    "is_invited": _("Invited by mail"),
    "key_id": _("Key id"),
    "kind": _("Kind"),
    "language": _("Language"),
    "last_day": _("Last day"),
    "least_amount": _("Minimum"),
    "left": _("Left"),
    "mail_to": _("Email addresses"),
    "members": _("Members"),
    "messages": _("Messages"),
    "most_amount": _("Maximum"),
    "name": _("Name"),
    "note": _("Note"),
    "operator": _("Operator"),
    "organization": _("Organization"),
    "per_day": _("Daily limit"),
    "per_number_per_day": _("Daily limit per number"),
    "per_sale": _("Limit per sale"),
    "parent_id": _("Dealer (id)"),
    "phone_number": _("Phone number"),
    "read_timeout_ms": _("Read timeout (ms)"),
    "reason": _("Reason"),
    "receipts_by_sms": _("Receipts by SMS"),
    "numbers_kept_months": _("Months that phone numbers are kept"),
    "recharge": _("Recharge"),
    "reference": _("Reference"),
    "requests_after": _("Request wait (minutes)"),
    "requires_second_factor": _("Second factor required"),
    "refuses_owing": _("No sales while owing"),
    "role": _("Role"),
    "sales_per_day": _("Sales per day"),
    "scopes": _("Scopes"),
    "secret": _("Secret"),
    "seller": _("Seller"),
    "seller_id": _("Seller's number"),
    "send_within": _("Send within (seconds)"),
    "settlement": _("Recorded as"),
    "sha256": _("SHA-256 digest"),
    "shop_name": _("Shop's name"),
    "slug": _("Address"),
    "sms_body": _("SMS body"),
    "sms_content_type": _("SMS format"),
    "sms_header": _("SMS header"),
    "sms_method": _("SMS method"),
    "sms_secret": _("SMS secret"),
    "sms_to": _("Mobile numbers"),
    "sms_url": _("SMS gateway"),
    "status": _("State"),
    "time_zone": _("Time zone"),
    "requests_go_to_parent": _("Sellers ask their dealer for credit"),
    "subject": _("Subject"),
    "to": _("To seller"),
    "to_day": _("To day"),
    "to_hour": _("Selling until (hour)"),
    "training": _("Training"),
    "unknown_after": _("Without an outcome (minutes)"),
    "url": _("Address"),
    "username": _("Username"),
}
"""The fields that acts are recorded with, and those of forms, as far as they have a name for people; others keep the
API's."""

_VALUES: dict[str, dict[str, Promise]] = {
    "direction": {"more": _("Add to the balance"), "less": _("Take from the balance")},
    "status": {
        "pending": _("Waiting"),
        "approved": _("Approved"),
        "rejected": _("Rejected"),
        "succeeded": _("Succeeded"),
        "failed": _("Failed"),
        "open": _("Being looked into"),
        "answered": _("Answered"),
        "delivered": _("Delivery confirmed"),
        "refunded": _("Refunded"),
        "withdrawn": _("Withdrawn"),
    },
    "kind": {
        "web": _("Browser"),
        "api": _("Program"),
        "totp": _("Authenticator app"),
        "code": _("Code"),
        "passkey": _("Passkey"),
        "simulator": _("Simulator"),
    },
    "code": {
        "bad_credentials": _("Wrong username or password"),
        "wrong_code": _("Wrong code"),
        "passkey_refused": _("Passkey refused"),
        "seller_inactive": _("Inactive"),
        "permission_denied": _("Inactive"),
    },
    "reason": {
        "secret": _("Wrong secret"),
        "ended": _("The key is revoked"),
        "expired": _("The key has expired"),
        "address": _("Not from an allowed address"),
        "seller": _("The seller is deactivated"),
    },
    "settlement": {
        "settled": _("Recorded"),
        "charged_late": _("Charged again"),
        "owed": _("Owed by the seller"),
        "reversed": _("Returned to the seller"),
    },
}
"""What the values of a field are called, where they are the API's words; another value stays as it is."""

_AMOUNTS = {
    "alert_below",
    "amount",
    "amounts",
    "fixed",
    "least_amount",
    "most_amount",
    "four_eyes_from",
    "per_sale",
    "per_day",
    "per_number_per_day",
}


class Act(Protocol):
    """A row of an audit table, as far as it is shown."""

    action: str
    object: str
    before: Any
    after: Any


_MOMENTS = {"at", "created_from", "created_to", "deadline", "delete_after", "expires_at"}
_DAYS = {"from", "from_day", "last_day", "to", "to_day"}
"""The fields that hold moments, and those that hold days, as ISO 8601 has them."""

_FIELDS_OF: dict[str, dict[str, Promise]] = {"statement.made": {"from": _("From day"), "to": _("To day")}}
"""What fields of one action are called, whose names say something else in others."""


def act_name(action: str) -> str:
    """What an action is called in the reader's language; one of a newer release keeps its own name."""
    return str(ACTS.get(action) or PLATFORM_ACTS.get(action) or action)


def changes(act: Act) -> SafeString:
    """What an act has changed, a line a field: the value before, and the one after."""
    before, after = _fields(act.before), _fields(act.after)
    own = _FIELDS_OF.get(act.action, {})
    lines = [(own.get(name) or _label(name), _change(name, before, after)) for name in {**before, **after}]
    return format_html_join("", '<div class="small text-break"><span class="text-secondary">{}:</span> {}</div>', lines)


def field_words(name: str, value: str) -> SafeString:
    """What was chosen or written in a field of a form, after what the field is called, if it has a name for people."""
    label = FIELDS.get(name)
    said = format_html('<span class="text-secondary">{}:</span> ', label) if label else ""
    return format_html("{}{}", said, _value(name, Truncator(value).chars(200)))


def _fields(written: Any) -> Mapping[str, Any]:
    return written if isinstance(written, dict) else {}


def _label(name: str) -> str | SafeString:
    label = FIELDS.get(name)
    return str(label) if label else format_html('<bdi dir="ltr">{}</bdi>', name)


def _change(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> SafeString:
    if name == "secret":
        return format_html("{}", gettext("changed"))
    if name not in before:
        return _value(name, after[name])
    if name not in after:
        return format_html("<del>{}</del>", _value(name, before[name]))
    arrow = "←" if get_language_bidi() else "→"
    return format_html("{} {} {}", _value(name, before[name]), arrow, _value(name, after[name]))


def _time(name: str, value: str) -> str | SafeString:
    """A moment or a day for the reader; what is none stays as it is."""
    try:
        return format_day(date.fromisoformat(value)) if name in _DAYS else moment(datetime.fromisoformat(value))
    except ValueError:
        return value


def _value(name: str, value: Any) -> SafeString:
    shown: Any
    match value:
        case None | "" | []:
            return format_html("{}", "–")
        case bool():
            shown = gettext("yes") if value else gettext("no")
        case str() if name in _MOMENTS or name in _DAYS:
            shown = _time(name, value)
        case str() if name == "role":
            shown = role_name(value)
        case str() if name in _VALUES:
            shown = _VALUES[name].get(value, value)
        case int() if name in _AMOUNTS:
            return format_html("{}", tomans(value))  # in the page's direction: its sign alone would decide another one
        case int():
            shown = in_digits(str(value))
        case list():
            shown = format_list(str(tomans(one) if name in _AMOUNTS and isinstance(one, int) else one) for one in value)
        case dict():
            return format_html_join(" ", "{}: {}", ((_label(key), _value(key, one)) for key, one in value.items()))
        case _:
            shown = value
    return format_html("<bdi>{}</bdi>", shown)
