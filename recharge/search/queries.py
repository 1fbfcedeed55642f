"""What is found by a few characters: recharges, sellers, requests and other documents, members. Each for who
may see it, and of a seller the own alone. It runs on the organization's schema (``tenant_context``).

No statement takes longer than the caller's patience: a kind that is not found in time says so, and the others are
there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Right
from django.utils import timezone

from credit import queries as credit
from credit import transfers, tree
from recharge.models import Recharge
from recharge.selling.queries import recharges, that_end
from recharge.selling.short_numbers import recharge_of_short_number
from shared.database import LARGEST_ID, TookTooLong, within
from shared.idempotency import LONGEST_KEY, is_idempotency_key
from shared.identity.permissions import Permission
from shared.identity.queries import seller_ids_by_username
from shared.identity.realm import Realm
from shared.identity.roles import Somebody, may, seller_in_view
from shared.members.services import members_like
from shared.phones import DIGITS_OF_NUMBER, PartOfNumber, part_of_number
from shared.texts import UnreadableNumber, contains, folded, latin_digits, read_whole_number
from shared.uuid7 import from_moment, ids_that_begin
from tenants.models import Organization

LEAST = 4
"""Characters of a number, an id or a key from which on it is looked for; of a name two will do."""
LEAST_OF_NAME = 2
LEAST_OF_DIGITS = 8
"""Characters, of digits alone, that are taken for the beginning of an id or a key: fewer are the last ones of a number,
and each id of some months begins with the same four."""
INSIDE_DAYS = 92
"""A part of a number that is neither its beginning nor its end is looked for among the recharges of so many days."""
MOST_SELLERS = 100
"""Sellers of one name whose requests are looked for."""


class Kind(Enum):
    """What there is to be found; in the order in which it is shown."""

    RECHARGES = "recharges"
    SELLERS = "sellers"
    BRANCH = "branch"
    """Sellers below the one who looks."""
    CREDIT_REQUESTS = "credit_requests"
    BRANCH_REQUESTS = "branch_requests"
    """What those below ask for."""
    ADJUSTMENTS = "adjustments"
    TRANSFERS = "transfers"
    MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a kind, and whether looking for more of them took too long."""

    kind: Kind
    rows: list[Any]
    took_too_long: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Who looks for what, and how many rows of a kind are wanted."""

    written: str
    somebody: Somebody
    organization: Organization
    most: int

    @property
    def own(self) -> int | None:
        """The one seller whose rows are seen; None: all."""
        return seller_in_view(self.somebody)

    @property
    def name(self) -> str:
        """What was written as names are compared; "" where that is too little."""
        name = folded(self.written)
        return name if len(name) >= LEAST_OF_NAME else ""

    @property
    def number(self) -> PartOfNumber | None:
        part = part_of_number(self.written)
        # +98912 is as much as 0912.
        return part if part and max(len(part.digits), len(part.beginning) - len("+98") + 1) >= LEAST else None

    @property
    def is_beginning(self) -> bool:
        """Whether it is enough for the beginning of an id or a key."""
        return len(self.written) >= (LEAST_OF_DIGITS if self.written.isdecimal() else LEAST)

    @property
    def ids(self) -> tuple[UUID, UUID] | None:
        return ids_that_begin(latin_digits(self.written)) if self.is_beginning else None

    @property
    def key(self) -> str:
        """What was written as an idempotency key; "" where none is so."""
        key = latin_digits(self.written)
        return key if LEAST <= len(key) <= LONGEST_KEY and is_idempotency_key(key) else ""

    @property
    def seller_id(self) -> int | None:
        written = latin_digits(self.written)
        is_id = written.isascii() and written.isdigit() and len(written) <= 19
        return int(written) if is_id and int(written) <= LARGEST_ID else None

    @property
    def name_and_amount(self) -> tuple[str, int] | None:
        """A name and an amount, of what was written with a blank between; of a seller, who needs no name, the amount
        alone."""
        words = self.written.split()
        for place, word in enumerate(words):
            rest = folded("".join(words[:place] + words[place + 1 :]))
            if rest or self.own is not None:
                try:
                    return rest, read_whole_number(word)
                except UnreadableNumber:
                    continue
        return None


def find(written: str, *, somebody: Somebody, organization: Organization, most: int, patience: int) -> list[Found]:
    """What somebody may see of what has this: at most ``most`` rows of each kind, the newest first; no kinds of which
    there are none. ``patience``: milliseconds that a statement may take."""
    search = Search(written.strip(), somebody, organization, most)
    found = []
    for kind, permission, look in _KINDS:
        if not search.written or not may(somebody, permission):
            continue
        rows: list[Any] = []
        took_too_long = False
        try:
            for some in look(search):
                with within(patience):
                    rows += _new(some, rows, most)
                if len(rows) >= most:
                    break
        except TookTooLong:
            took_too_long = True
        if rows or took_too_long:
            found.append(Found(kind, rows, took_too_long))
    return found


def _new(some: Iterable[Any], rows: list[Any], most: int) -> list[Any]:
    """Those that are not there yet, as many as there is room for."""
    there = {row.pk for row in rows}
    return [row for row in some if row.pk not in there][: most - len(rows)]


Looks = Iterator[Iterable[Any]]
"""Where to look, one place after the other: each is read when the one before has not given enough."""


def _recharges(search: Search) -> Looks:
    rows = recharges(seller_id=search.own)
    if search.own is None:
        rows = rows.select_related("seller")
    newest, most = rows.order_by("-pk"), search.most
    if by_number := recharge_of_short_number(search.written, seller_id=search.own):
        yield [by_number]
    if part := search.number:
        yield from _of_number(newest, part, most)
    if ids := search.ids:
        yield newest.filter(pk__range=ids)[:most]
    if key := search.key:
        yield rows.filter(idempotency_key=key)[:most]
        if search.is_beginning:
            # In the order of the index: of a beginning that thousands have, the first few are read, and no more.
            yield rows.filter(idempotency_key__startswith=key).order_by("idempotency_key")[:most]


def _of_number(newest: QuerySet[Recharge], part: PartOfNumber, most: int) -> Looks:
    if part.is_whole:
        yield newest.filter(phone_number=part.beginning)[:most]
        return
    yield that_end(newest, part.digits)[:most]
    if part.beginning:
        yield newest.filter(phone_number__startswith=part.beginning)[:most]
    since = timezone.now() - timedelta(days=INSIDE_DAYS)
    inside = newest.alias(dialled=Right("phone_number", DIGITS_OF_NUMBER)).filter(dialled__contains=part.digits)
    yield inside.filter(**from_moment(since))[:most]


def _sellers(search: Search) -> Looks:
    rows = credit.sellers().order_by("-pk")
    if search.seller_id is not None:
        yield rows.filter(pk=search.seller_id)
    if search.name:
        yield rows.filter(contains("name", search.written))[: search.most]
        yield rows.filter(pk__in=_by_username(search))[: search.most]


def _by_username(search: Search) -> list[int]:
    return seller_ids_by_username(organization_id=search.organization.pk, search=search.written, limit=MOST_SELLERS)


def _branch(search: Search) -> Looks:
    assert search.own is not None
    if search.name or search.seller_id is not None:
        below = tree.branch_of(search.own).order_by("-pk")
        if search.seller_id is not None:
            yield below.filter(pk=search.seller_id)
        if search.name:
            yield below.filter(contains("name", search.written))[: search.most]
            yield below.filter(pk__in=_by_username(search))[: search.most]


def _credit_requests(search: Search) -> Looks:
    rows = credit.credit_requests(seller_id=search.own)
    yield from _requests(search, rows.select_related("seller").order_by("-pk"), of_all=search.own is None)


def _branch_requests(search: Search) -> Looks:
    assert search.own is not None
    rows = transfers.requests_to(search.own)
    yield from _requests(search, rows.select_related("seller").order_by("-pk"), of_all=True)


def _requests(search: Search, newest: QuerySet[Any], *, of_all: bool) -> Looks:
    most = search.most
    if ids := search.ids:
        yield newest.filter(pk__range=ids)[:most]
    if len(search.written) >= LEAST:
        yield newest.filter(bank_reference__startswith=latin_digits(search.written))[:most]
    if key := search.key:
        yield newest.filter(idempotency_key=key)[:most]
        if search.is_beginning:
            yield newest.filter(idempotency_key__startswith=key)[:most]
    if pair := search.name_and_amount:
        name, amount = pair
        of_amount = newest.filter(amount=amount)
        if name and of_all:
            named = credit.sellers().filter(contains("name", name)).order_by("-pk").values("pk")[:MOST_SELLERS]
            of_amount = of_amount.filter(seller_id__in=named)
        elif name or of_all:
            return
        yield of_amount[:most]


def _documents(rows: Callable[[int | None], QuerySet[Any]]) -> Callable[[Search], Looks]:
    """Documents that are found by their id alone."""

    def look(search: Search) -> Looks:
        if ids := search.ids:
            yield rows(search.own).filter(pk__range=ids).order_by("-pk")[: search.most]

    return look


def _members(search: Search) -> Looks:
    # A seller's own member is found as the seller.
    if search.name:
        realm = Realm(search.organization.pk, search.organization.slug)
        yield members_like(realm, search.written, with_sellers=False).order_by("-pk")[: search.most]


_KINDS: tuple[tuple[Kind, Permission, Callable[[Search], Looks]], ...] = (
    (Kind.RECHARGES, Permission.VIEW_RECHARGES, _recharges),
    (Kind.SELLERS, Permission.VIEW_SELLERS, _sellers),
    (Kind.BRANCH, Permission.VIEW_BRANCH, _branch),
    (Kind.CREDIT_REQUESTS, Permission.VIEW_CREDIT_REQUESTS, _credit_requests),
    (Kind.BRANCH_REQUESTS, Permission.VIEW_BRANCH, _branch_requests),
    (
        Kind.ADJUSTMENTS,
        Permission.VIEW_ADJUSTMENTS,
        _documents(lambda own: credit.adjustments(seller_id=own).select_related("seller")),
    ),
    (
        Kind.TRANSFERS,
        Permission.VIEW_TRANSFERS,
        _documents(lambda own: transfers.transfers(seller_id=own).select_related("giver", "receiver")),
    ),
    (Kind.MEMBERS, Permission.VIEW_MEMBERS, _members),
)
