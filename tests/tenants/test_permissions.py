"""Every endpoint and every page, asked as every role of the own organization, as another organization's, and as nobody:
what is let in, and what is refused, is what permissions.py says."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client as InProcess
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from credit.models import WebhookMessage
from credit.services import create_api_key
from credit.webhooks.services import create_webhook
from recharge.batches.rows import BatchRow, with_keys
from recharge.batches.services import begin_batch
from recharge.delivery.settlement import settle_recharge
from recharge.margins.services import post_margins
from recharge.models import GatewaySettings, MarginBatch, OperatorSettings, Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from shared.identity.roles import MEMBER_ROLES, PLATFORM_ROLES, works_for_seller
from tests.support.dealers import place, set_rate
from tests.support.visitor import session_of, sign_in_of
from tests.support.world import (
    Organization,
    Person,
    World,
    ask,
    make_member,
    make_platform_user,
    make_seller,
    people_of,
    raise_waiting_requests,
)
from tests.tenants import endpoints, permissions
from tests.tenants.test_isolation import provisioned_slug, stock

NOWHERE = {"bigint": "999999999", "any_uuid": str(uuid.uuid4()), "uuid": str(uuid.uuid4()), "slug": "xx", "str": "xx"}


def roles_of(row: str, roles: tuple[str, ...]) -> set[str]:
    """The roles that a row of the table lets in."""
    found = set(roles) if row in ("anyone", "everybody") else set(row.split())
    assert found <= set(roles), row
    return found


def people_of_platform(world: World) -> dict[str, Person]:
    people = {"platform_admin": world.platform_admin}
    for role in PLATFORM_ROLES:
        if role not in people:
            people[role] = make_platform_user(f"the-{role}", role, world.platform.address)
    return people


# --- The API ----------------------------------------------------------------------------------------------------------


def test_every_endpoint_has_a_row() -> None:
    assert set(permissions.ENDPOINTS) == endpoints.published("saas.urls_organization")
    assert set(permissions.PLATFORM_ENDPOINTS) == endpoints.published("saas.urls_platform")


@pytest.mark.parametrize("kind", ["organization", "platform"])
def test_an_endpoint_is_for_its_roles_alone(kind: str, world: World, acme: Organization, globex: Organization) -> None:
    is_platform = kind == "platform"
    table = permissions.PLATFORM_ENDPOINTS if is_platform else permissions.ENDPOINTS
    people = people_of_platform(world) if is_platform else people_of(acme)
    strangers = people_of(acme if is_platform else globex)
    wrong = []
    for endpoint, row in table.items():
        method, _, route = endpoint.partition(" ")
        path = "/" + re.sub(r"<(\w+):\w+>", lambda found: NOWHERE[found[1]], route)
        body = None if method in ("GET", "DELETE") else {}
        for role, person in people.items():
            answer = person.client.request(method, path, json=body)
            if role in roles_of(row, tuple(people)):
                is_right = answer.status < 500 and (answer.status not in (401, 403) or row == "anyone")
            else:
                is_right = (answer.status, answer.code) == (403, "permission_denied")
            if not is_right:
                wrong.append((endpoint, role, answer.status, answer.code))
        if row == "anyone":
            continue
        client = people[next(iter(people))].client
        answer = replace(client, token=None).request(method, path, json=body)
        if answer.code != "not_authenticated":
            wrong.append((endpoint, "nobody", answer.status, answer.code))
        for role, stranger in strangers.items():
            answer = replace(client, token=stranger.client.token).request(method, path, json=body)
            if answer.code != "token_wrong_organization":
                wrong.append((endpoint, f"another organization's {role}", answer.status, answer.code))
    assert wrong == []


# --- The pages --------------------------------------------------------------------------------------------------------


def pages(urlconf: str) -> dict[str, str]:
    """The routes of all pages, by name; the admin site has tests of its own."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, str]]:
        for pattern in resolver.url_patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, route)
            elif not route.startswith(("api/", "admin/")):
                yield str(pattern.name), route

    return dict(walk(get_resolver(urlconf), ""))


def test_every_page_has_a_row() -> None:
    assert set(permissions.PAGES) == set(pages("saas.urls_organization"))
    assert set(permissions.PLATFORM_PAGES) == set(pages("saas.urls_platform"))


def browser_of(person: Person, host: str = "") -> InProcess:
    """In this process, which asks no form for its token."""
    client = InProcess(headers={"host": host or person.client.host, "accept": "text/html"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    return client


def opened(browser: InProcess, path: str) -> tuple[int, str]:
    """What a page answers, or (one that only does something) what it answers when it is to be done."""
    answer = browser.get(path)
    if answer.status_code == 405:
        answer = browser.post(path)
    answer.close()
    return answer.status_code, answer.headers.get("Location", "").partition("?")[0]


ASKED = {"resolve": "?status=failed", "close_claim": "?as=delivered"}
"""What the addresses of pages ask, by name."""

LAST = ("delete_webhook", "end_api_key", "sign_out")
"""After which something is gone."""


def test_a_page_of_an_organization_is_for_its_roles_alone(acme: Organization, globex: Organization) -> None:
    with acme.context:
        webhook, _ = create_webhook(
            organization=acme.row, seller_id=None, url="https://hooks.example.com/a", events=["recharge.succeeded"]
        )
        key, _ = create_api_key(organization=acme.row, seller_id=None, name="n", scopes=["read"], created_by="owner")
    ids = stock(acme) | {
        "passkey_id": 1,
        "uid": "MQ",
        "token": "x",
        "month": "1405-01",
        "user_id": make_member(acme.row, "sixth", "support").user.pk,
    }
    with acme.context:
        delivery = WebhookMessage.objects.get(endpoint=webhook)
        OperatorSettings.objects.create(operator="irancell", gateway=GatewaySettings.objects.get())
        open_ = sell_recharge(
            organization=acme.row, seller_id=acme.member.id, item=Item("+989351234567", "irancell", 5000, "open")
        ).row
        settle_recharge(organization=acme.row, recharge_id=uuid.UUID(open_.id), status=Recharge.Status.UNKNOWN)
    ids["recharge_id"] = open_.id
    ids["batch_id"] = margin_batch_of(acme)
    ids["key"] = bulk_sale_of(acme)
    with acme.context:
        alert = raise_waiting_requests()
    of_organization = {
        "webhook_id": webhook.pk,
        "key_id": key.pk,
        "delivery_id": delivery.pk,
        "alert_id": alert,
    }
    wrong = look_at_pages(
        permissions.PAGES,
        "saas.urls_organization",
        people_of(acme),
        {role: ids if works_for_seller(role) else ids | of_organization for role in MEMBER_ROLES},
    )
    stranger = browser_of(globex.owner, acme.host)
    for name, route in pages("saas.urls_organization").items():
        path = address(route, ids)
        if permissions.PAGES[name] != "anyone" and opened(stranger, path) != (302, "/sign-in"):
            wrong.append((name, "another organization's admin", opened(stranger, path)))
    assert wrong == []


def bulk_sale_of(organization: Organization) -> uuid.UUID:
    """The key of rows that the member sells at once."""
    key = uuid.uuid4()
    (item,) = with_keys([Item("+989121234567", "mci", 5000)], key)
    with organization.context:
        begin_batch(
            seller_id=organization.member.id, key=key, rows=[BatchRow(1, item, "")], made_by="member", user_id=None
        )
    return key


def margin_batch_of(organization: Organization) -> uuid.UUID:
    """What the member has earned by another's sale."""
    kiosk = make_seller(organization.row, "kiosk", 5000).pk
    place(organization.row, kiosk, organization.member.id)
    set_rate(organization.row, organization.member.id, 500)
    with organization.context:
        item = Item("+989121234567", "mci", 5000, "below")
        sell_recharge(organization=organization.row, seller_id=kiosk, item=item)
        post_margins(organization=organization.row)
        return MarginBatch.objects.get().pk


def test_a_page_of_the_platform_is_for_its_roles_alone(world: World) -> None:
    user = make_platform_user("sixth", "platform_auditor").user
    ids = {"slug": provisioned_slug(), "passkey_id": 1, "uid": "MQ", "token": "x", "user_id": user.pk}
    people = people_of_platform(world)
    assert look_at_pages(permissions.PLATFORM_PAGES, "saas.urls_platform", people, dict.fromkeys(people, ids)) == []


def address(route: str, ids: dict[str, Any]) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", lambda found: str(ids[found[1]]), route)


def look_at_pages(
    table: dict[str, str], urlconf: str, people: dict[str, Person], ids: dict[str, dict[str, Any]]
) -> list[Any]:
    wrong: list[Any] = []
    browsers = {role: browser_of(person) for role, person in people.items()}
    ids = {role: ids[role] | {"session_id": sign_in_of(person).public_id} for role, person in people.items()}
    nobody = InProcess(headers={"host": next(iter(people.values())).client.host, "accept": "text/html"})
    for name, route in sorted(pages(urlconf).items(), key=lambda page: page[0] in LAST):
        for role, browser in browsers.items():
            path = address(route, ids[role]) + ASKED.get(name, "")
            if table[name] == "anyone":
                continue
            status, to = opened(browser, path)
            is_let_in = role in roles_of(table[name], tuple(people))
            if (status == 404) == is_let_in or status >= 500 or to == "/sign-in":
                wrong.append((name, role, status, to))
        if table[name] != "anyone" and opened(nobody, path) != (302, "/sign-in"):
            wrong.append((name, "nobody", opened(nobody, path)))
    return wrong


@pytest.mark.parametrize("role", MEMBER_ROLES)
def test_no_link_and_no_button_leads_to_what_is_refused(acme: Organization, role: str) -> None:
    """From the start on, through all links that a role is shown."""
    stock(acme)
    ask(acme.member)
    browser = browser_of(people_of(acme)[role])
    found, todo, refused = {"/"}, ["/"], []
    while todo:
        page = todo.pop()
        answer = browser.get(page)
        if answer.status_code not in (200, 302, 405, 422):  # it only does something; a form that is not filled in
            refused.append((page, answer.status_code))
        html = answer.getvalue().decode() if answer.headers.get("Content-Type", "").startswith("text/html") else ""
        answer.close()
        links = re.findall(r' (?:href|action|hx-get|hx-post)="(/[^"#]*)"', html)
        for link in [*links, *([answer.headers["Location"]] if answer.status_code == 302 else [])]:
            path = unescape(link).partition("?")[0]
            if path not in found and not path.startswith(("/static/", "/sign-out", "/language", "/api/")):
                found.add(path)
                todo.append(unescape(link))
    assert refused == []
    assert len(found) > 5, found


def test_another_organizations_role_says_nothing_here(acme: Organization, globex: Organization) -> None:
    """Whoever is an admin there and a cashier here is a cashier here."""
    make_member(globex.row, "both", "admin")
    here = make_member(acme.row, "both", "cashier", acme.anyone.address, seller_id=acme.member.id)
    assert here.client.get("/sellers").code == "permission_denied"
    assert json.loads(here.client.get("/me").body)["role"] == "cashier"
