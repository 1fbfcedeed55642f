"""What waits for somebody, for the menu of every page and for the page Today: asked again and again while it is seen.

One query answers, of which each part reads a few rows of an index. It says of each list that is watched which rows are
at its top; two answers that say the same are of the same state, and so the second is 204 and nothing else. A new list
is a row of ``BADGES`` (its page has a badge in the menu) or of ``_ALSO_ON_TODAY``.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, Value
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.models import Alert, Entry
from credit.queries import adjustments_to_decide, credit_requests_to_decide
from recharge.claims.queries import claims_open, claims_unseen
from recharge.models import Recharge
from recharge.selling.queries import recharges
from shared.console.formats import format_number
from shared.console.links import address_of
from shared.console.views import page, signed_in
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from shared.identity.roles import Scope, may, sees_all_sellers, seller_in_view

MOST_COUNTED = 100
"""Of what waits; of more it is said that there are more."""


@dataclass(frozen=True, slots=True)
class Badge:
    """How many rows of a list wait, beside the line of its page in the menu."""

    url_name: str
    permission: Permission
    rows: Callable[[int | None], QuerySet[Any, Any]]
    """Those that wait of a seller (None: of all), in an order that an index has; their keys are UUIDs."""
    label: Promise
    """What waits, to a screen reader; takes ``%(number)s``."""
    scope: Scope = Scope.ALL_SELLERS
    """For whom it is: who works for the organization, or for a seller."""


def _unknown() -> QuerySet[Recharge]:
    return recharges(status=Recharge.Status.UNKNOWN).order_by("pk")


BADGES = (
    Badge(
        "credit_requests",
        Permission.VIEW_CREDIT_REQUESTS,
        lambda _seller: credit_requests_to_decide(),
        _("%(number)s waiting for a decision"),
    ),
    Badge(
        "adjustments",
        Permission.VIEW_ADJUSTMENTS,
        lambda _seller: adjustments_to_decide(),
        _("%(number)s waiting for a decision"),
    ),
    Badge("recharges", Permission.RESOLVE_RECHARGES, lambda _seller: _unknown(), _("%(number)s with unknown outcome")),
    Badge("claims", Permission.VIEW_CLAIMS, lambda _seller: claims_open(), _("%(number)s waiting for an answer")),
    Badge(
        "claims",
        Permission.VIEW_CLAIMS,
        lambda seller: claims_unseen(seller or 0),
        _("%(number)s answered"),
        Scope.OWN_SELLER,
    ),
)

_ALSO_ON_TODAY: tuple[tuple[int, Callable[[], QuerySet[Any, Any]]], ...] = (
    (1, lambda: recharges().order_by("-pk")),
    (1, lambda: Entry.objects.order_by("-pk")),
    (MOST_COUNTED, lambda: recharges(status=Recharge.Status.PENDING).order_by("pk")),
    (MOST_COUNTED, _unknown),
    (MOST_COUNTED, lambda: recharges(late=Recharge.Late.OWED).order_by("pk")),
    (MOST_COUNTED, lambda: Alert.objects.filter(cleared_at=None, read_at=None).order_by("pk")),
)
"""What else changes the page Today: how many rows from the top, and of what. A recharge that ends is
no longer among the pending ones. Where more of these wait than are looked at, sales come in all the time, and the page
changes by them."""


@dataclass(frozen=True, slots=True)
class State:
    """What waits now: a count for each badge, and a text that is the same as long as nothing has changed."""

    counts: dict[Badge, int]
    version: str


def badges_of(account: Account) -> list[Badge]:
    """Those of lists that somebody may see."""
    scope = Scope.ALL_SELLERS if sees_all_sellers(account) else Scope.OWN_SELLER
    return [one for one in BADGES if one.scope is scope and may(account, one.permission)]


def state_of(account: Account) -> State:
    """What waits for this person; one query. The version is that of the page Today for who may see it."""
    badges, seller = badges_of(account), seller_in_view(account)
    also = _ALSO_ON_TODAY if may(account, Permission.VIEW_TODAY) else ()
    parts = [(MOST_COUNTED, one.rows(seller)) for one in badges] + [(most, rows()) for most, rows in also]
    found = _tops(parts) if parts else []
    counts = {badge: sum(place == number for place, _key in found) for number, badge in enumerate(badges)}
    return State(counts, f"{zlib.crc32(repr(found).encode()):08x}")


def _tops(parts: Sequence[tuple[int, QuerySet[Any, Any]]]) -> list[tuple[int, str]]:
    """The keys at the top of each list, with the list's place among them."""
    tops = [
        rows.annotate(place=Value(number)).values_list("place", "pk")[:most]
        for number, (most, rows) in enumerate(parts)
    ]
    found = tops[0].union(*tops[1:], all=True) if len(tops) > 1 else tops[0]
    return sorted((place, str(key)) for place, key in found)


@page()
def live(request: HttpRequest) -> HttpResponse:
    """The badges of the menu, as JSON; 204 where all is as whoever asks has ``seen`` it."""
    state = state_of(signed_in(request))
    if request.GET.get("seen") == state.version:
        return HttpResponse(status=204)
    badges = [
        {"address": address_of(badge.url_name), "count": _written(count), "label": _said(badge, count)}
        for badge, count in state.counts.items()
    ]
    return JsonResponse({"version": state.version, "badges": badges})


def _written(count: int) -> str:
    """Nothing, where nothing waits."""
    if count == MOST_COUNTED:
        return f"{format_number(MOST_COUNTED - 1)}+"
    return format_number(count) if count else ""


def _said(badge: Badge, count: int) -> str:
    return str(badge.label) % {"number": _written(count)}
