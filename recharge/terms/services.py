"""What an organization's admins settle: gateways, what is sold of each operator, the guard against slips.

A sale reads the settings in its own transaction, so that a change holds from the next sale on. Workers know of it
within five seconds (delivery.SETTINGS_SECONDS); what they do not know yet they try again.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone
from psycopg2 import errorcodes
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from credit.adjustments import PolicyChange, change_policy
from credit.errors import InvalidPolicy
from credit.queries import policy as demanded
from recharge.delivery.gateways.kinds import kind_of
from recharge.models import BUILT_IN_GATEWAY, GatewaySettings, OperatorSettings, Recharge, Settings
from recharge.operators import BUILT_IN_NAMES, Operator, folded_name
from recharge.periods.queries import closed_until
from recharge.terms.errors import GatewayExists, GatewayInUse, InvalidTerms, OperatorExists
from recharge.terms.queries import OperatorTerms, added_operators, forget_operator_names, terms_of_operator
from shared.audit import record, record_change
from shared.errors import NotFound, Unavailable
from shared.money import LARGEST_AMOUNT
from shared.outbound.secrets import encrypt
from shared.sick import sqlstate_of
from tenants.models import Organization
from tenants.services import require_second_factor

_log = structlog.get_logger("recharge.settings")

# What is checked of a form's fields and of a body's before they come here.
GATEWAY_NAME = r"^[a-z0-9][a-z0-9_-]*\Z"
KEY_ID = r"^[!-~]*\Z"
"""Printable ASCII without blanks: it is sent in a header."""
SHORTEST_TIMEOUT_MS, LONGEST_TIMEOUT_MS = 100, 15_000
MOST_AMOUNTS = 100
"""Amounts in an operator's list."""


def change_settings(
    *,
    organization: Organization,
    by: str,
    duplicate_window: int | None = None,
    send_within: int | None = None,
    training: bool | None = None,
    refuses_owing: bool | None = None,
    claim_hours: int | None = None,
    claim_days: int | None = None,
    receipts_by_sms: bool | None = None,
    numbers_kept_months: int | None = None,
    policy: PolicyChange | None = None,
    requires_second_factor: bool | None = None,
) -> Settings:
    """Changes what is settled for the whole organization. What is None stays; ``by`` is the admin's username.
    ``policy``: what :func:`credit.adjustments.change_policy` takes, where None means something.

    Raises:
        InvalidPolicy: there is no such time zone; or periods are closed, whose days would begin elsewhere.
    """
    given = {
        "duplicate_window": duplicate_window,
        "send_within": send_within,
        "training": training,
        "refuses_owing": refuses_owing,
        "claim_hours": claim_hours,
        "claim_days": claim_days,
        "receipts_by_sms": receipts_by_sms,
        "numbers_kept_months": numbers_kept_months,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with transaction.atomic():
        settings, _ = Settings.objects.select_for_update().get_or_create(pk=1)
        before = {name: getattr(settings, name) for name in changes}
        for name, value in changes.items():
            setattr(settings, name, value)
        settings.save(update_fields=list(changes))
        record_change("settings.changed", before=before, after=changes)
        if policy is not None:
            if "time_zone" in policy and policy["time_zone"] != demanded().time_zone and closed_until() is not None:
                raise InvalidPolicy.of_field(
                    "time_zone", "periods_closed", "Periods are closed, so that their days begin where they did."
                )
            change_policy(**policy)
        if requires_second_factor is not None:
            require_second_factor(organization=organization, is_required=requires_second_factor)
    _log.info("settings_changed", organization=organization.slug, by=by, **changes, **(policy or {}))
    return settings


# --- Gateways ---------------------------------------------------------------------------------------------------------


def create_gateway(
    *, organization: Organization, by: str, name: str, kind: str, secret: str = "", **options: Any
) -> GatewaySettings:
    """Sets up a gateway; nothing goes through it until an operator is given to it. ``options``: see the model.

    Raises:
        InvalidTerms: the name is the built-in gateway's, or something is missing that its kind needs.
        GatewayExists: there is one of this name.
    """
    if name == BUILT_IN_GATEWAY:
        raise InvalidTerms.of_field("name", "reserved", "This is the name of the gateway that is always there.")
    row = GatewaySettings(name=name, kind=kind, secret=encrypt(secret) if secret else "", **options)
    _check_gateway(row)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            record("gateway.created", name, after={"kind": kind, **_told_of(row)})
    except IntegrityError:
        raise GatewayExists(f"There is a gateway {name!r} already.") from None
    _log.info("gateway_created", organization=organization.slug, by=by, gateway=name, kind=kind)
    return row


def change_gateway(
    *, organization: Organization, by: str, name: str, secret: str | None = None, **options: Any
) -> GatewaySettings:
    """Changes a gateway. Its name and kind stay for good, since recharges refer to it by its name.

    A new secret or time limit holds for what is under way through it, too. With another address or key id it is another
    gateway: what was submitted is asked about where it was submitted, with the secret of then.

    Raises:
        NotFound: there is no such gateway.
        InvalidTerms: its kind can't have that.
    """
    with transaction.atomic():
        row = _locked_gateway(name)
        was, before = (row.url, row.key_id), _told_of(row)
        for field, value in options.items():
            setattr(row, field, value)
        if secret is not None:
            row.secret = encrypt(secret)
        _check_gateway(row)
        if (row.url, row.key_id) == was:
            row.save()
        else:
            _replace(row)
        after = _told_of(row) | ({"secret": "changed"} if secret is not None else {})
        record_change("gateway.changed", name, before=before | {"secret": None}, after=after)
    changed = sorted([*options, *(["secret"] if secret is not None else [])])
    _log.info("gateway_changed", organization=organization.slug, by=by, gateway=name, changed=changed)
    return row


def _told_of(row: GatewaySettings) -> dict[str, Any]:
    """Of a gateway, what the audit table has: never its secret."""
    return {name: getattr(row, name) for name in ("url", "key_id", "connect_timeout_ms", "read_timeout_ms")}


def _replace(row: GatewaySettings) -> None:
    """Keeps a locked gateway that was changed as a new row, and retires the one that is stored. A claim that has seen
    the old one submits through it, and asks there."""
    retired = row.pk
    GatewaySettings.objects.filter(pk=retired).update(retired_at=timezone.now())
    row.pk = None
    row.save(force_insert=True)
    OperatorSettings.objects.filter(gateway_id=retired).update(gateway=row)


def delete_gateway(*, organization: Organization, by: str, name: str) -> None:
    """Deletes a gateway that nothing needs any longer.

    Raises:
        NotFound: there is no such gateway.
        GatewayInUse: an operator has it, or recharges that went through it are not at their end.
        Unavailable: sales or exports kept this from looking; nothing was done.
    """
    with transaction.atomic():
        with _no_sales():
            row = _locked_gateway(name)
        operators = OperatorSettings.objects.filter(gateway=row).order_by("operator")
        if operators:
            raise GatewayInUse(f"It delivers for {', '.join(one.operator for one in operators)}.")
        # Each by its own index; the lock is held meanwhile.
        of_it = Recharge.objects.filter(gateway=name)
        in_flight = of_it.filter(status__in=[Recharge.Status.PENDING, Recharge.Status.UNKNOWN])
        if in_flight.exists() or of_it.filter(due_at__isnull=False).exists():
            raise GatewayInUse("Recharges are under way through it.")
        GatewaySettings.objects.filter(name=name).delete()
        record("gateway.deleted", name, before={"kind": row.kind, **_told_of(row)})
    _log.info("gateway_deleted", organization=organization.slug, by=by, gateway=name)


@contextmanager
def _no_sales() -> Iterator[None]:
    """Lets the organization's sales that have begun come to their end, and keeps others from beginning until this
    transaction ends (recharge_stop_sales in SQL).

    Raises:
        Unavailable: some did not come to their end within a second.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT recharge_stop_sales()")
        yield
    except OperationalError as error:
        if sqlstate_of(error) == errorcodes.LOCK_NOT_AVAILABLE:
            raise Unavailable("Too much was going on to see what is under way; nothing was done, try again.") from None
        raise


def _locked_gateway(name: str) -> GatewaySettings:
    # Twice: one that was replaced while this waited for it is gone, and the one in its place was not yet to be seen.
    for _ in range(2):
        row = GatewaySettings.objects.select_for_update().filter(name=name, retired_at__isnull=True).first()
        if row is not None:
            return row
    raise NotFound("There is no such gateway.")


def _check_gateway(row: GatewaySettings) -> None:
    kind = kind_of(row)
    for field in ("url", "key_id", "secret"):  # time limits are taken of any kind: all have them by default
        if kind and field in kind.needs and not getattr(row, field):
            raise InvalidTerms.of_field(field, "required", f"A gateway of kind {row.kind} needs this.")
        if getattr(row, field) and not (kind and kind.has(field)):
            raise InvalidTerms.of_field(field, "not_of_this_kind", f"A gateway of kind {row.kind} has none.")
    if row.url:
        _check_url(row.url)


def _check_url(url: str) -> None:
    try:
        parsed = parse_url(url)
    except LocationParseError:
        parsed = Url()
    is_plain = url.isascii() and url.isprintable() and not re.search(r"[ @?#\\]", url)  # parse_url would correct it
    if parsed.scheme != "https" or not parsed.host or parsed.port == 0 or not is_plain:
        detail = "This must be an https:// address without a user, a password, a query or a fragment."
        raise InvalidTerms.of_field("url", "invalid_url", detail)


# --- Operators --------------------------------------------------------------------------------------------------------


def add_operator(*, organization: Organization, by: str, operator: str, name: str) -> OperatorTerms:
    """Adds an operator of the organization's own to those that can be sold. ``operator`` is its code (OPERATOR_CODE).

    Raises:
        OperatorExists: there is one of this code, a built-in one or one that was added, or one has it for its name.
        InvalidTerms: another one has this name, or has it for its code.
    """
    try:
        with transaction.atomic():
            taken = _names_of_others(operator)
            if operator in Operator or operator in taken:
                raise IntegrityError
            _check_name(name, taken)
            OperatorSettings(operator=operator, name=name).save(force_insert=True)
            record("operator.added", operator, after={"name": name})
    except IntegrityError:
        raise OperatorExists(f"There is an operator {operator!r} already.") from None
    forget_operator_names()
    _log.info("operator_added", organization=organization.slug, by=by, operator=operator, name=name)
    return terms_of_operator(operator)


def change_operator(
    *,
    organization: Organization,
    by: str,
    operator: str,
    name: str | None = None,
    gateway: str | None = None,
    amounts: Sequence[int] | None = None,
    least_amount: int | None = None,
    most_amount: int | None = None,
) -> OperatorTerms:
    """Changes which gateway delivers an operator's recharges, and which amounts (Tomans) are sold of it: those of a
    list, or those of a range. Each takes the place of the other; what is None stays. Empty ``amounts`` drop the list.

    Raises:
        NotFound: it is neither a built-in operator nor one that the organization has added.
        InvalidTerms: there is no such gateway, the amounts contradict each other, a built-in one is given a name, or
            another one has this name, or has it for its code.
    """
    is_range = least_amount is not None or most_amount is not None
    if amounts and is_range:
        raise InvalidTerms.of_field("amounts", "amounts_and_range", "Give a list of amounts or a range, not both.")
    if amounts and len(set(amounts)) < len(amounts):
        raise InvalidTerms.of_field("amounts", "repeated", "An amount is named twice.")
    with transaction.atomic():
        # Before the operator's row, as whoever deletes the gateway: it stays until this is committed.
        delivering = _gateway_to_deliver(gateway)
        if operator in Operator:
            if name is not None:
                raise InvalidTerms.of_field("name", "built_in", "A built-in operator keeps its name.")
            OperatorSettings.objects.get_or_create(operator=operator)
        elif not OperatorSettings.objects.filter(operator=operator).exists():
            raise NotFound("There is no such operator.")
        if name is not None:
            _check_name(name, _names_of_others(operator))  # before the row is locked: its holder waits for no name
        row = OperatorSettings.objects.select_for_update(of=("self",)).get(operator=operator)
        before = _terms_told_of(row)
        if name is not None:
            row.name = name
        if gateway is not None:
            row.gateway = delivering
        if amounts is not None or is_range:
            row.amounts = sorted(amounts or [])
        if amounts:
            row.least_amount, row.most_amount = 1, LARGEST_AMOUNT
        if least_amount is not None:
            row.least_amount = least_amount
        if most_amount is not None:
            row.most_amount = most_amount
        if row.least_amount > row.most_amount:
            field = "most_amount" if least_amount is None else "least_amount"
            detail = f"The least amount would be {row.least_amount} Tomans, the most {row.most_amount}."
            raise InvalidTerms.of_field(field, "least_above_most", detail)
        row.save()
        record_change("operator.changed", str(operator), before=before, after=_terms_told_of(row))
        terms = terms_of_operator(operator)
    forget_operator_names()
    _log.info(
        "operator_changed",
        organization=organization.slug,
        by=by,
        operator=str(operator),
        gateway=terms.gateway,
        amounts=terms.amounts,
        least_amount=terms.least_amount,
        most_amount=terms.most_amount,
    )
    return terms


def _terms_told_of(row: OperatorSettings) -> dict[str, Any]:
    """Of an operator's terms, what the audit table has."""
    return {
        "name": row.name,
        "gateway": row.gateway.name if row.gateway else None,
        "amounts": list(row.amounts),
        "least_amount": row.least_amount,
        "most_amount": row.most_amount,
    }


def _names_of_others(operator: str) -> set[str]:
    """The names and codes of all operators but this one, folded. Until this transaction ends, no other
    writes any: sellers name operators in the rows that they sell, and one name of two would sell what nobody meant."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(0, ('recharge_operatorsettings'::regclass::oid::bigint & 2147483647)::int)"
        )
    others = {code: name for code, name in added_operators().items() if code != operator}
    return {folded_name(name) for code_and_name in others.items() for name in code_and_name} | set(BUILT_IN_NAMES)


def _check_name(name: str, taken: set[str]) -> None:
    if folded_name(name) in taken:
        raise InvalidTerms.of_field("name", "operator_name_taken", "There is an operator of this name already.")


def _gateway_to_deliver(name: str | None) -> GatewaySettings | None:
    if name is None or name == BUILT_IN_GATEWAY:
        return None
    try:
        return _locked_gateway(name)
    except NotFound:
        raise InvalidTerms.of_field("gateway", "unknown_gateway", "There is no such gateway.") from None
