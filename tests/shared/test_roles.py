"""Roles: what the table says, that everything asks it, and that a role which only looks is one more row of it."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from django.conf import settings
from django.http import HttpRequest
from django.test import Client as InProcess

from saas.navigation import MENU, menu_of
from shared.identity.permissions import Permission
from shared.identity.roles import (
    ADMIN,
    CASHIER,
    MEMBER_ROLES,
    ROLES,
    SELLER,
    Role,
    Scope,
    may,
    roles_that_may,
    seller_in_view,
    works_for_seller,
)
from shared.identity.tokens import Principal
from shared.rest.permissions import Needs, needs
from tests.support.server import ROOT
from tests.support.visitor import Visitor, session_of
from tests.support.world import (
    Organization,
    Person,
    World,
    access_token,
    ask,
    ask_for_adjustment,
    give_credit,
    give_slip,
    place,
)
from tests.tenants import endpoints

APPS = ("saas", "tenants", "shared", "credit", "recharge")

# --- The table --------------------------------------------------------------------------------------------------------


def test_each_permission_is_somebodys() -> None:
    given = {permission for role in ROLES.values() for permission in role.permissions}
    assert given == set(Permission)


def test_whose_rows_somebody_sees_is_said_by_the_role_alone() -> None:
    assert seller_in_view(Principal(7, ADMIN, None)) is None
    assert seller_in_view(Principal(7, ADMIN, 3)) is None  # a seller's id makes nobody a seller
    assert seller_in_view(Principal(7, SELLER, 3)) == 3
    for role in (SELLER, "platform_admin", "of a newer release", ""):
        with pytest.raises(LookupError):  # and no seller's id makes nobody see all
            seller_in_view(Principal(7, role, None))


def test_a_role_that_is_not_in_the_table_may_do_nothing() -> None:
    assert [permission for permission in Permission if may(Principal(7, "of a newer release", 3), permission)] == []


def test_who_may_sell_has_a_seller() -> None:
    assert (
        roles_that_may(Permission.SELL)
        == {role for role in MEMBER_ROLES if works_for_seller(role)}
        == {SELLER, CASHIER}
    )


def test_a_seller_s_permission_is_refused_where_no_view_can_ask_for_the_seller() -> None:
    request = HttpRequest()
    request.method, request.user = "GET", Principal(7, SELLER, 3)  # type: ignore[assignment]
    permission: Needs = needs(Permission.VIEW_ENTRIES)()
    assert not permission.has_permission(request, None)  # type: ignore[arg-type]


def test_a_misspelt_method_is_found_when_the_view_is_read() -> None:
    with pytest.raises(AssertionError):
        needs(Permission.VIEW_SELLERS, PSOT=Permission.MANAGE_SELLERS)


# --- Who asks it ------------------------------------------------------------------------------------------------------


def files(suffix: str) -> Iterator[tuple[Path, str]]:
    for app in APPS:
        for path in sorted((ROOT / app).rglob(f"*{suffix}")):
            yield path, path.read_text()


def test_nothing_asks_for_a_role_by_its_name() -> None:
    code = re.compile(
        r"""\.role\s*(==|!=|in\b|not in\b(?! act\.roles))|["']role["']\]\s*(==|!=)|\baccount\.seller_id"""
    )
    page = re.compile(r"""\{%[^%]*\baccount\.(role\s*(==|!=|in)|seller_id)""")
    found = [path for path, text in files(".py") if code.search(text)]
    found += [path for path, text in files(".html") if page.search(text)]
    # What a token says of an account, and accounts of the ledger.
    known = {
        "shared/identity/signing_in.py",
        "shared/rest/permissions.py",
        "credit/queries.py",
        "credit/chain/verification.py",
    }
    assert {str(path.relative_to(ROOT)) for path in found} == known


def test_each_permission_that_a_template_asks_for_is_one() -> None:
    """A misspelt one would be one that nobody has."""
    asked = {name for _path, text in files(".html") for name in re.findall(r"\bmay\.(\w+)", text)}
    assert len(asked) > 5
    assert asked <= {permission.value for permission in Permission}


def test_each_line_of_a_menu_leads_to_a_page(world: World) -> None:
    people = {"platform_admin": world.platform_admin, ADMIN: world.acme.owner, SELLER: world.acme.member}
    place(world.acme.row, world.acme.neighbour.id, world.acme.member.id)  # some lines are a dealer's alone
    seen = set()
    for role, person in people.items():
        visitor = Visitor.signed_in(person)
        page = visitor.get("/account/preferences").body.decode()
        addresses = re.findall(r'<a class="nav-link[^"]*" href="([^"]+)"', page)
        assert len(set(addresses)) == len(addresses) == len(menu_of(ROLES[role])) > 3
        assert {address: visitor.get(address).status for address in addresses} == dict.fromkeys(addresses, 200)
        seen |= set(menu_of(ROLES[role]))
    assert seen == set(MENU)


# --- A role that only looks -------------------------------------------------------------------------------------------

CHANGES = {
    Permission.MANAGE_ALERTS,
    Permission.MANAGE_OWN_THRESHOLD,
    Permission.CLOSE_PERIODS,
    Permission.MANAGE_SELLERS,
    Permission.DECIDE_CREDIT_REQUESTS,
    Permission.MAKE_ADJUSTMENTS,
    Permission.MAKE_STATEMENTS,
    Permission.RESOLVE_RECHARGES,
    Permission.MANAGE_WEBHOOKS,
    Permission.MANAGE_API_KEYS,
    Permission.MANAGE_MEMBERS,
    Permission.MANAGE_SETTINGS,
}


@pytest.fixture
def looks_only(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> Organization:
    """Acme, whose admins may look at everything and change nothing."""
    admin = ROLES[ADMIN]
    monkeypatch.setitem(ROLES, ADMIN, Role(admin.scope, admin.permissions - CHANGES))  # type: ignore[arg-type]
    return acme


def in_process(person: Person) -> InProcess:
    """Speaks to this process, whose table is another."""
    client = InProcess(
        headers={"host": person.client.host, "authorization": f"Bearer {person.client.token}", "accept": "*/*"}
    )
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    return client


def test_through_the_api_who_only_looks_sees_everything_and_changes_nothing(looks_only: Organization) -> None:
    acme = looks_only
    give_credit(acme.row, acme.member.id, 1_000_000)
    acme.owner.client.post("/gateways", {"name": "second", "kind": "simulator"})
    webhook = {"url": "https://hooks.example.com/recharges", "events": ["recharge.succeeded"]}
    place(acme.row, acme.neighbour.id, acme.member.id)
    transfer = {"to": acme.neighbour.id, "amount": 5000}
    ids = {
        "transfer_id": acme.member.client.post("/transfers", transfer, key="t").json["id"],
        "child_id": acme.neighbour.id,
        "asked_id": uuid.uuid4(),
        "seller_id": acme.member.id,
        "recharge_id": acme.member.sell().json["id"],
        "request_id": ask(acme.member),
        "statement_id": acme.member.client.post("/statements", {"from": "2026-01-02", "to": "2026-01-03"}).json["id"],
        "adjustment_id": ask_for_adjustment(acme.row, acme.member.id),
        "webhook_id": acme.member.client.post("/webhooks", webhook).json["id"],
        "key_id": acme.member.client.post("/api-keys", {"name": "Till", "scopes": ["sell"]}).json["id"],
        "delivery_id": uuid.uuid4(),
        "alert_id": uuid.uuid4(),
        "operator": "mci",
        "username": "owner",
        "name": "second",
    }
    give_slip(acme.row, acme.member.id, ids["request_id"])
    client, answers = in_process(acme.owner), {}
    asked = [endpoint for endpoint in endpoints.closed(endpoints.ORGANIZATION) if not endpoint.is_own]
    for endpoint in asked:
        path = "/" + re.sub(r"<\w+:(\w+)>", lambda found: str(ids[found[1]]), endpoint.route)
        answer = client.generic(endpoint.method, path, json.dumps(endpoint.body or {}), "application/json")
        answers[str(endpoint)] = answer.status_code
        if answer.streaming:
            answer.close()  # it has a file open
    assert answers == {
        str(endpoint): 200 if endpoint.method == "GET" and endpoint.who != endpoints.SELLER else 403
        for endpoint in asked
    }


def test_on_the_pages_who_only_looks_finds_no_way_to_what_is_refused(looks_only: Organization) -> None:
    acme = looks_only
    give_credit(acme.row, acme.member.id, 1_000_000)
    acme.member.sell()
    ask(acme.member)
    acme.owner.client.post("/gateways", {"name": "second", "kind": "simulator"})
    client, found, todo = in_process(acme.owner), {"/today"}, ["/today"]
    while todo:
        address = todo.pop()
        answer = client.get(address)
        assert answer.status_code == 200, address
        body = answer.getvalue()
        page = body.decode() if answer["Content-Type"].startswith("text/html") else ""
        for address in re.findall(r' (?:href|action|hx-get)="(/[^"#]*)"', page):
            path = unescape(address).partition("?")[0]
            own = ("/", "/sign-out", "/language")
            if path not in found and path not in own and not path.startswith(("/static/", "/account/sessions/")):
                found.add(path)
                todo.append(unescape(address))
    assert {"/sellers", "/credit-requests", "/recharges", "/ledger", "/reports", "/webhooks", "/settings"} <= found
    assert f"/sellers/{acme.member.id}" in found


def test_a_token_with_a_role_of_a_newer_release_opens_nothing(acme: Organization) -> None:
    stranger = replace(acme.owner.client, token=access_token(acme.owner.user, acme.row, "of a newer release", None))
    for endpoint in endpoints.closed(endpoints.ORGANIZATION):
        if "<" not in endpoint.route and not endpoint.route.endswith("/me"):
            answer = endpoint.ask(stranger, {})
            assert (answer.status, answer.code) == (403, "permission_denied"), endpoint


def test_the_scopes_are_those_of_the_hosts() -> None:
    for name, role in ROLES.items():
        assert (role.scope is Scope.PLATFORM) == (name not in MEMBER_ROLES)
