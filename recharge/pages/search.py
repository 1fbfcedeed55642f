"""The search of an organization's console: what was found, as lines that lead to its page."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from credit.templatetags.credit import request_state
from recharge.search.queries import Found, Kind, find
from recharge.templatetags.recharge import state
from shared.console.finding import Group, Line, show_found
from shared.console.links import address_of
from shared.console.roles import role_name
from shared.console.views import page, signed_in
from shared.identity.permissions import Permission
from shared.identity.queries import seller_usernames
from shared.identity.roles import may, sees_all_sellers
from shared.phones import part_of_number
from shared.templatetags.console import moment, phone, signed, tomans
from tenants.routing import organization_of


@page()
def search(request: HttpRequest) -> HttpResponse:
    """What there is of what was written, for whoever looks."""
    account, organization = signed_in(request), organization_of(request)

    def found(written: str, most: int, patience: int) -> list[Group]:
        kinds = find(written, somebody=account, organization=organization, most=most, patience=patience)
        return [_group(request, one, written, is_cut_off=len(one.rows) == most) for one in kinds]

    return show_found(request, found)


_HEADINGS: dict[Kind, Promise] = {
    Kind.RECHARGES: _("Recharges"),
    Kind.SELLERS: _("Sellers"),
    Kind.BRANCH: _("My sellers"),
    Kind.CREDIT_REQUESTS: _("Credit requests"),
    Kind.BRANCH_REQUESTS: _("Credit requests of my sellers"),
    Kind.ADJUSTMENTS: _("Adjustments"),
    Kind.TRANSFERS: _("Transfers"),
    Kind.MEMBERS: _("Members"),
}


def _group(request: HttpRequest, found: Found, written: str, *, is_cut_off: bool) -> Group:
    line = _lines_of(request, found)
    return Group(
        name=found.kind.value,
        heading=_HEADINGS[found.kind],
        lines=[line(row) for row in found.rows],
        all_of_it=_list_of(found.kind, written) if is_cut_off else "",
        took_too_long=found.took_too_long,
    )


def _list_of(kind: Kind, written: str) -> str:
    """The list that has all of it, if one can be asked for it."""
    if kind is Kind.RECHARGES and part_of_number(written):
        return f"{address_of('recharges')}?{urlencode({'phone_number': written})}"
    if kind in (Kind.SELLERS, Kind.MEMBERS):
        return f"{address_of(kind.value)}?{urlencode({'search': written})}"
    return ""


def _lines_of(request: HttpRequest, found: Found) -> Callable[[Any], Line]:
    account = signed_in(request)
    sees_all = sees_all_sellers(account)
    if found.kind in (Kind.SELLERS, Kind.BRANCH):
        ids = [row.pk for row in found.rows]
        usernames = seller_usernames(organization_id=organization_of(request).pk, seller_ids=ids)
        url_name = "seller" if found.kind is Kind.SELLERS else "branch_seller"
        return lambda row: Line(
            address_of(url_name, row.pk), _name(row.name), _joined(_name(usernames.get(row.pk, "")), f"#{row.pk}")
        )
    if found.kind is Kind.MEMBERS:
        may_manage = may(account, Permission.MANAGE_MEMBERS)

        def of_member(row: Any) -> Line:
            listed = f"{address_of('members')}?{urlencode({'search': row.username})}"
            address = address_of("member", row.user_id) if may_manage else listed
            return Line(address, _name(row.username), role_name(row.role))

        return of_member
    whose: Callable[[Any], str] = (lambda row: _name(row.seller.name)) if sees_all else (lambda _row: "")
    return {
        Kind.RECHARGES: lambda row: Line(
            address_of("recharge", row.pk),
            _joined(phone(row.phone_number), tomans(row.amount)),
            _joined(state(row), moment(row.created_at), whose(row)),
        ),
        Kind.CREDIT_REQUESTS: lambda row: Line(
            address_of("credit_request", row.pk),
            _joined(whose(row), tomans(row.amount)),
            _joined(request_state(row.status), moment(row.created_at), _name(row.bank_reference)),
        ),
        Kind.BRANCH_REQUESTS: lambda row: Line(
            address_of("branch_request", row.pk),
            _joined(_name(row.seller.name), tomans(row.amount)),
            _joined(request_state(row.status), moment(row.created_at)),
        ),
        Kind.ADJUSTMENTS: lambda row: Line(
            address_of("adjustment", row.pk),
            _joined(_name(row.seller.name), _now("%(amount)s Tomans") % {"amount": signed(row.amount)}),
            _joined(request_state(row.status), moment(row.created_at)),
        ),
        Kind.TRANSFERS: lambda row: Line(
            address_of("transfer", row.pk),
            tomans(row.amount),
            _joined(
                format_html("{}: {}", _now("Giver"), _name(row.giver.name)),
                format_html("{}: {}", _now("Receiver"), _name(row.receiver.name)),
                moment(row.created_at),
            ),
        ),
    }[found.kind]


def _name(text: str) -> str:
    return format_html("<bdi>{}</bdi>", text) if text else ""


def _joined(*parts: str) -> str:
    first, *others = [part for part in parts if part]
    joined = format_html("{}", first)
    for part in others:
        joined = format_html("{} · {}", joined, part)
    return joined
