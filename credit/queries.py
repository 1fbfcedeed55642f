"""Reads of sellers, entries and credit requests. They run on the organization's schema (``tenant_context``)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.db import DataError, connection, transaction
from django.db.models import Case, Exists, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from credit.models import Account, Adjustment, AuditRecord, CreditRequest, Entry, Policy, Seller, kinds_of_document
from shared.database import LARGEST_ID
from shared.errors import NotFound
from shared.models import Membership
from shared.texts import contains, folded, latin_digits
from shared.uuid7 import from_moment, until_moment
from tenants.models import Organization

ENTRY_COLUMNS = ("seller_id", "number", "kind", "amount", "balance_after", "reference", "created_at", "commission")
"""What everybody is shown of an entry: by the API, in CSV files and in workbooks."""

CREDIT_REQUEST_COLUMNS = (
    "id",
    "seller_id",
    "amount",
    "note",
    "status",
    "reason",
    "created_at",
    "decided_at",
    "decided_by",
    "bank_reference",
    "approvals",
    "parent_id",
)
"""What everybody is shown of a credit request: by the API and in webhooks (credit_request_data in sql/webhooks.sql)."""

AUDIT_COLUMNS = ("id", "at", "actor", "key_id", "address", "action", "object", "before", "after", "request_id")
"""What everybody who may is shown of an act: by the API and in CSV files."""

ADJUSTMENT_COLUMNS = (
    "id",
    "seller_id",
    "amount",
    "reason",
    "reference",
    "status",
    "asked_by",
    "created_at",
    "decided_at",
    "decided_by",
    "decision_reason",
)
"""What is shown of an adjustment."""

# What the entries of recharges moved, without their commissions, which the running balance has in it. One statement,
# and so one snapshot; it reads the seller's entries of the time by their numbers.
_NET_SINCE = """
    SELECT
        coalesce(
            (
                SELECT -sum(entry.amount)::bigint FROM credit_entry AS entry
                WHERE entry.seller_id = account.seller_id AND entry.kind IN %(of_sales)s
                    AND entry.number > coalesce(before.number, 0)
            ),
            0
        )
    FROM credit_account AS account
    CROSS JOIN unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS moment (since, number)
    LEFT JOIN LATERAL (
        SELECT entry.number FROM credit_entry AS entry
        WHERE entry.seller_id = account.seller_id AND entry.id < uuid7_floor(moment.since)
        ORDER BY entry.id DESC LIMIT 1
    ) AS before ON true
    WHERE account.seller_id = %(seller_id)s
    ORDER BY moment.number
"""

_OF_SALES = kinds_of_document("recharge")

# How far entries may be out of the order of their numbers without their account saying so (ran_back): what was posted
# before there was such a flag, after a clock was set back a little.
_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class History:
    """What an admin looks at before deciding on a seller's credit. Amounts in Tomans."""

    seller: Seller
    balance: int
    net_amounts: list[int]
    """Net sales since each of the moments that were asked for."""
    requests: list[CreditRequest]
    entries: list[Entry]


def sellers() -> QuerySet[Seller]:
    """All sellers."""
    return Seller.objects.all()


def sellers_like(written: str, *, most: int = 5) -> list[Seller]:
    """The seller with this id, or a few whose name has this in it; only those of just this name, if there are any."""
    number = latin_digits(written)
    if number.isascii() and number.isdigit() and len(number) <= 19:
        by_id = list(sellers().filter(pk=int(number))) if int(number) <= LARGEST_ID else []
        if by_id:
            return by_id
    found = list(sellers().filter(contains("name", written)).order_by("pk")[:most])
    name = folded(written).casefold()
    return [seller for seller in found if folded(seller.name).casefold() == name] or found


def sellers_found(search: str, *, ids: Sequence[int]) -> QuerySet[Seller]:
    """Sellers with this in their name, and those with these ids (whose username has it; that is in another schema)."""
    return sellers().filter(Q(contains("name", search)) | Q(pk__in=ids))


def net_amounts_since(seller_id: int, moments: Sequence[datetime]) -> list[int]:
    """The seller's net sales since each of these moments, in Tomans: what entries have debited less what they refunded,
    whatever commission was earned by it. By the time of the entry, where a report (recharge/reports/sums.py) goes by
    that of the sale."""
    with connection.cursor() as cursor:
        cursor.execute(_NET_SINCE, {"seller_id": seller_id, "moments": list(moments), "of_sales": _OF_SALES})
        return [net_amount for (net_amount,) in cursor.fetchall()]


def history_of(seller_id: int, *, net_since: Sequence[datetime], limit: int) -> History:
    """The balance, the net sales, and the last credit requests and entries of a seller; four queries.

    Raises:
        NotFound: there is no such seller.
    """
    account = Account.objects.select_related("seller").filter(pk=seller_id).first()
    if account is None:
        raise NotFound("There is no such seller.")
    return History(
        seller=account.seller,
        balance=account.balance,
        net_amounts=net_amounts_since(seller_id, net_since),
        requests=list(credit_requests(seller_id=seller_id).order_by("-pk")[:limit]),
        entries=last_entries(seller_id, limit=limit),
    )


def seller_by_id(seller_id: int) -> Seller:
    """Raises :class:`NotFound` where there is none."""
    seller = Seller.objects.filter(pk=seller_id).first()
    if seller is None:
        raise NotFound("There is no such seller.")
    return seller


def names_of_sellers(seller_ids: Iterable[int]) -> dict[int, str]:
    """The names of these sellers, by id."""
    return dict(sellers().filter(pk__in=set(seller_ids)).values_list("pk", "name"))


def members_without_seller(organization: Organization) -> list[tuple[int, str]]:
    """The seller's id and the username of those who sign in as a seller that is not there, as after a restore of a copy
    that is older than the seller."""
    members = Membership.objects.filter(organization_id=organization.pk, seller_id__isnull=False)
    there = set(sellers().values_list("pk", flat=True))
    return sorted(
        (seller_id, username)
        for seller_id, username in members.values_list("seller_id", "username")
        if seller_id is not None and seller_id not in there
    )


def owed_by(seller_ids: Sequence[int]) -> dict[int, int]:
    """What these sellers owe, in Tomans, by id; who owes nothing is not in it. They owe it for recharges, which
    the schema knows (recharge_owed_by in recharge/sql/owed.sql) and this app does not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, recharge_owed_by(id) FROM unnest(%s::bigint[]) AS id", [list(seller_ids)])
        return {seller_id: owed for seller_id, owed in cursor.fetchall() if owed}


def seller_is_active(seller_id: int) -> bool:
    """Whether there is such a seller and nobody switched it off."""
    return Seller.objects.filter(pk=seller_id, is_active=True).exists()


def entries(
    *,
    seller_id: int | None = None,
    kind: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Entry]:
    """Entries of one seller or of all; ``created_from`` ≤ time < ``created_to``. To be ordered by
    :func:`order_of_entries`."""
    rows = filtered(Entry.objects.all(), created_from, created_to, seller_id=seller_id, kind=kind)
    if seller_id is not None:
        rows = rows.filter(**_numbers(seller_id, created_from, created_to))
    return rows


def order_of_entries(seller_id: int | None) -> str:
    """What entries are paged by: one seller's by number, which no clock puts out of order; all sellers' by id."""
    return "pk" if seller_id is None else "number"


def last_entries(seller_id: int, *, limit: int) -> list[Entry]:
    """The last few entries of a seller, newest first."""
    return list(entries(seller_id=seller_id).order_by("-number")[:limit])


def _numbers(seller_id: int, created_from: datetime | None, created_to: datetime | None) -> dict[str, Any]:
    """Bounds for the numbers of what a seller did in a range of time: a page of a statement is found by number, and
    must not look through all that came later. The time is a condition of its own; where it ran back, the only one."""
    own = Entry.objects.filter(seller=seller_id)
    in_order = Exists(Account.objects.filter(pk=seller_id, ran_back=False))
    bounds: dict[str, Any] = {}
    if created_from is not None:
        before = own.filter(**until_moment(_moved(created_from, -_SLACK))).order_by("-id").values("number")[:1]
        bounds["number__gt"] = _bound(in_order, before, 0)
    if created_to is not None:
        after = own.filter(**from_moment(_moved(created_to, _SLACK))).order_by("id").values("number")[:1]
        bounds["number__lt"] = _bound(in_order, after, LARGEST_ID)
    return bounds


def _moved(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:  # the ends of the calendar
        return moment


def _bound(in_order: Exists, numbers: QuerySet[Any, Any], otherwise: int) -> Coalesce:
    return Coalesce(Case(When(in_order, then=Subquery(numbers))), otherwise)


def credit_requests(
    *,
    seller_id: int | None = None,
    status: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[CreditRequest]:
    """Credit requests of one seller or of all; ``created_from`` ≤ time < ``created_to``."""
    return filtered(CreditRequest.objects.all(), created_from, created_to, seller_id=seller_id, status=status)


def credit_requests_to_decide() -> QuerySet[CreditRequest]:
    """Credit requests that wait for an admin, the longest waiting first; not those that were asked of a dealer."""
    return credit_requests(status=CreditRequest.Status.PENDING).filter(parent=None).order_by("pk")


def credit_request_by_id(request_id: UUID, *, seller_id: int | None) -> CreditRequest:
    """One request; with ``seller_id``, only if it is that seller's.

    Raises:
        NotFound: there is none, or it is another's; which of the two is not told.
    """
    request = credit_requests(seller_id=seller_id).filter(pk=request_id).first()
    if request is None:
        raise NotFound("There is no such credit request.")
    return request


def audit_records(
    *,
    actor: str | None = None,
    action: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[AuditRecord]:
    """What people and programs did: of one of them, of one kind; ``created_from`` ≤ time < ``created_to``."""
    rows = AuditRecord.objects.all()
    equal = {"actor": actor, "action": action, "at__gte": created_from, "at__lt": created_to}
    return rows.filter(**{name: value for name, value in equal.items() if value is not None})


def adjustments(
    *,
    seller_id: int | None = None,
    status: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> QuerySet[Adjustment]:
    """Adjustments of one seller's balance or of all; ``created_from`` ≤ time < ``created_to``."""
    return filtered(Adjustment.objects.all(), created_from, created_to, seller_id=seller_id, status=status)


def adjustments_to_decide() -> QuerySet[Adjustment]:
    """Adjustments that wait for a second person, the longest waiting first."""
    return adjustments(status=Adjustment.Status.PENDING).order_by("pk")


def adjustment_by_id(adjustment_id: UUID) -> Adjustment:
    """Raises :class:`NotFound` where there is none."""
    adjustment = adjustments().filter(pk=adjustment_id).first()
    if adjustment is None:
        raise NotFound("There is no such adjustment.")
    return adjustment


def first_entry_at() -> datetime | None:
    """When the organization's first entry was posted; None: there is none."""
    return Entry.objects.order_by("id").values_list("created_at", flat=True).first()


def policy() -> Policy:
    """What the organization demands of its own people; the defaults where nobody has settled it."""
    return Policy.objects.first() or Policy()


def dealer_asked_by(seller_id: int) -> Seller | None:
    """Of whom a seller would ask for credit now, as credit_asked_of (sql/credit_requests.sql) decides when he does;
    None: the organization."""
    if not policy().requests_go_to_parent:
        return None
    parent = seller_by_id(seller_id).parent
    return parent if parent and parent.is_active else None


def is_time_zone(name: str) -> bool:
    """Whether there is a time zone of this (IANA) name: here, and in the database, which counts days by it."""
    if name not in available_timezones():
        return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT now() AT TIME ZONE %s", [name])
    except DataError:
        return False
    return True


def filtered(
    rows: QuerySet[Any], created_from: datetime | None, created_to: datetime | None, **equal: Any
) -> QuerySet[Any]:
    """The rows with these values (None: any) in this range of time."""
    rows = rows.filter(**{name: value for name, value in equal.items() if value is not None})
    if created_from is not None:
        rows = rows.filter(**from_moment(created_from))
    if created_to is not None:
        rows = rows.filter(**until_moment(created_to))
    return rows
