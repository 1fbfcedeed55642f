"""From the host of a request to its organization: whatever is written in a Host header, an organization is found by its
own name or nothing is found, and the connection never stays on an organization's schema."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from credit.models import Seller
from tenants import routing
from tenants.models import Domain
from tenants.models import Organization as OrganizationRow
from tenants.routing import RoutingMiddleware, normalize_host
from tenants.standby import _Standby
from tests.support.raw import send
from tests.support.waiting import wait_until
from tests.support.world import Organization, World

SAME = [
    "acme.recharge.test",
    "ACME.recharge.TEST",
    "acme.recharge.test:80",
    "acme.recharge.test:65535",
    "acme.recharge.test.",
    "Acme.Recharge.Test.:8000",
]
"""Writings of acme's host (RFC 9110 section 4.2.3, RFC 1034 section 3.1)."""

NOWHERE = {
    "unknown": "nosuch.recharge.test",
    "two levels": "a.acme.recharge.test",
    "an organization below itself": "acme.acme.recharge.test",
    "two organizations": "acme.globex.recharge.test",
    "an empty label": ".recharge.test",
    "an empty label within": "acme..recharge.test",
    "two trailing dots": "acme.recharge.test..",
    "a bare label": "acme",
    "another domain below": "acme.recharge.test.evil.com",
    "another domain that ends alike": "acme.evilrecharge.test",
    "an IPv4 address": "127.0.0.1",
    "an IPv6 address": "[::1]",
    "a number": "2130706433",
    "the server's own address": "localhost",
    "userinfo": "owner@acme.recharge.test",
    "userinfo with a password": "evil.com:80@acme.recharge.test",
    "a path": "acme.recharge.test/globex.recharge.test",
    "a query": "acme.recharge.test?globex.recharge.test",
    "a backslash": "acme.recharge.test\\globex.recharge.test",
    "a port that is no number": "acme.recharge.test:http",
    "a schema's name": "org_acme.recharge.test",
    "the public schema": "public.recharge.test",
    "a percent": "acme%2erecharge.test",
    "a pattern": "acm_.recharge.test",
    "a wildcard": "*.recharge.test",
    "SQL": "acme'--.recharge.test",
    "a list": "acme.recharge.test, globex.recharge.test",
    "a label of 64 characters": "a" * 64 + ".recharge.test",
    "10,000 characters": "a" * 10_000 + ".recharge.test",
    "characters beyond ASCII": "acm\u00e9.recharge.test",
    "capitals beyond ASCII": "ACM\u0118.recharge.test",
    "a full-width dot": "acme\uff0erecharge.test",
    "a Kelvin sign": "\u212a.recharge.test",
    "nothing": "",
}


def test_a_host_may_be_written_in_any_usual_way(acme: Organization) -> None:
    for host in SAME:
        answer = send(acme.anyone.address, "GET /api/v1/me HTTP/1.1", f"Host: {host}", bearer(acme))
        assert answer.status == 200, host
        assert answer.json["organization"] == "acme"


def bearer(organization: Organization) -> str:
    return f"Authorization: Bearer {organization.member.client.token}"


def test_it_finds_nothing_on_any_other_host_and_names_no_organization(acme: Organization) -> None:
    same, line = "X-Request-ID: the-same", "GET /api/v1/me HTTP/1.1"
    unknown = send(acme.anyone.address, line, "Host: nosuch.recharge.test", same)
    for word in (b"acme", b"globex", b"nosuch", b"tenant", b"schema", b"ALLOWED"):
        assert word not in unknown.body
    for name, host in NOWHERE.items():
        answer = send(acme.anyone.address, line, f"Host: {host}", same, bearer(acme))
        assert (answer.status, answer.code) == (404, "not_found"), name
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.body == unknown.body, name


ASTRAY = {
    "an address": ("127.0.0.1", ""),
    "an address with a port": ("127.0.0.1:8000", ":8000"),
    "an IPv6 address with a port": ("[::1]:8000", ":8000"),
    "an unknown name": ("nosuch.recharge.test:8000", ":8000"),
    "a port that is none": ("127.0.0.1:<b>", ""),
    "no host": ("", ""),
}


@pytest.mark.parametrize(("host", "port"), ASTRAY.values(), ids=ASTRAY)
def test_an_unknown_host_is_told_how_organizations_are_addressed(host: str, port: str, world: World) -> None:
    for path in ("/", "/sign-in", "/api/v1/me", "/no/such/page"):
        document = send(world.platform.address, f"GET {path} HTTP/1.1", f"Host: {host}")
        assert (document.status, document.code) == (404, "not_found")
        assert f"The platform is at recharge.test{port};" in document.json["detail"]
        assert f"NAME.recharge.test{port}." in document.json["detail"]
    page = send(world.platform.address, "GET / HTTP/1.1", f"Host: {host}", "Accept: text/html").body.decode()
    assert f"NAME.recharge.test{port}\u2069" in page
    assert "acme" not in page
    assert "<b>" not in page
    assert 'href="/"' not in page, "the home page is nowhere, too"
    persian = send(
        world.platform.address, "GET / HTTP/1.1", f"Host: {host}", "Accept: text/html", "Accept-Language: fa"
    )
    assert "سازمان" in persian.body.decode()


def test_a_page_of_an_organization_asked_of_the_platform_is_said_to_be_one(world: World, acme: Organization) -> None:
    for path in ("/sell", "/recharges", "/sellers", "/api/v1/balance", "/api/v1/recharges"):
        answer = send(world.platform.address, f"GET {path} HTTP/1.1", "Host: recharge.test:8000")
        assert (answer.status, answer.code) == (404, "not_found"), path
        assert answer.json["detail"].startswith("This belongs to an organization. "), path
        assert "NAME.recharge.test:8000." in answer.json["detail"]
    page = send(world.platform.address, "GET /sell HTTP/1.1", "Host: recharge.test", "Accept: text/html").body.decode()
    assert "NAME.recharge.test" in page
    assert 'href="/"' in page
    for path in ("/organizations", "/api/v1/organizations", "/admin/"):
        answer = send(world.platform.address, f"GET {path} HTTP/1.1", f"Host: {acme.host}")
        assert (answer.status, answer.code) == (404, "not_found"), path
        assert answer.json["detail"].startswith("This belongs to the platform. "), path
    for host in ("recharge.test", acme.host):
        answer = send(world.platform.address, "GET /no/such/page HTTP/1.1", f"Host: {host}")
        assert answer.json["detail"] == "There is nothing at this address."


def test_an_unknown_host_has_no_path_at_all(acme: Organization) -> None:
    for path in ("/", "/admin/", "/api/v1/organizations", "/api/schema", "/static/admin/css/none.css"):
        answer = send(acme.anyone.address, f"GET {path} HTTP/1.1", "Host: nosuch.recharge.test")
        assert (answer.status, answer.code) == (404, "not_found"), path


def test_an_organization_that_is_provisioning_is_an_unknown_host(acme: Organization) -> None:
    half = OrganizationRow.objects.create(slug="half-made", name="Half", schema_name="org_half_made")
    Domain.objects.create(tenant=half, domain="half-made.recharge.test")
    for path in ("/me", "/api/schema", "/auth/token"):
        there = acme.anyone.get(path, headers={"Host": "half-made.recharge.test", "X-Request-ID": "the-same"})
        nowhere = acme.anyone.get(path, headers={"Host": "nosuch.recharge.test", "X-Request-ID": "the-same"})
        assert there.status == 404
        assert there.body == nowhere.body


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: acme.recharge.test", "Host: globex.recharge.test"),
        ("Host: globex.recharge.test", "Host: acme.recharge.test"),
        ("Host: acme.recharge.test", "Host: acme.recharge.test"),
    ],
    ids=["ours first", "ours last", "the same"],
)
def test_two_host_headers_are_no_host(headers: tuple[str, str], acme: Organization) -> None:
    answer = send(acme.anyone.address, "GET /api/v1/me HTTP/1.1", *headers, bearer(acme))
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_without_a_host_is_nowhere(version: str, acme: Organization) -> None:
    answer = send(acme.anyone.address, f"GET /api/v1/me HTTP/{version}", bearer(acme))
    assert (answer.status, answer.code) == (404, "not_found")


ELSEWHERE = [
    "X-Forwarded-Host: globex.recharge.test",
    "X-Forwarded-Server: globex.recharge.test",
    "X-Original-Host: globex.recharge.test",
    "Forwarded: host=globex.recharge.test",
    "X_Forwarded_Host: globex.recharge.test",
    "X-Host: globex.recharge.test",
    "X-Forwarded-Prefix: /globex",
    "X-Original-URL: http://globex.recharge.test/api/v1/me",
]
"""Headers that some proxies and frameworks take for the host."""


def test_no_header_but_host_says_where_a_request_goes(acme: Organization, globex: Organization) -> None:
    line, host = "GET /api/v1/me HTTP/1.1", "Host: acme.recharge.test"
    for header in ELSEWHERE:
        assert send(acme.anyone.address, line, host, header, bearer(acme)).json["organization"] == "acme", header
        assert send(acme.anyone.address, line, host, header, bearer(globex)).code == "token_wrong_organization", header


def test_an_absolute_target_leads_nowhere_else(acme: Organization, globex: Organization) -> None:
    """Where the target names one organization and Host another, one of them is asked, and only by its own people."""
    line, host = "GET http://globex.recharge.test/api/v1/me HTTP/1.1", "Host: acme.recharge.test"
    answers = {
        organization.row.slug: send(acme.anyone.address, line, host, bearer(organization))
        for organization in (acme, globex)
    }
    accepted = [slug for slug, answer in answers.items() if answer.status == 200]
    assert len(accepted) == 1
    (asked,) = accepted
    assert answers[asked].json["organization"] == asked
    answers.pop(asked)
    assert [(answer.status, answer.code) for answer in answers.values()] == [(401, "token_wrong_organization")]


def test_the_paths_of_one_kind_of_host_are_not_on_the_other(world: World, acme: Organization) -> None:
    for path in ("/organizations", "/organizations/acme"):
        assert (acme.owner.client.get(path)).code == "not_found"
    for path in ("/recharges", "/sellers", "/balance", "/entries.csv"):
        assert (world.platform_admin.client.get(path)).code == "not_found"
    for path in ("/admin/", "/admin/login/", "/admin/tenants/organization/"):
        assert acme.owner.client.get(path).status == 404


def test_health_is_answered_on_any_host(acme: Organization) -> None:
    for host in ("acme.recharge.test", "nosuch.recharge.test", "127.0.0.1", "a b", ""):
        for path in ("/livez", "/readyz"):
            assert send(acme.anyone.address, f"GET {path} HTTP/1.1", f"Host: {host}").json["status"] == "ok"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("acme.recharge.test", "acme.recharge.test"),
        ("ACME.Recharge.Test", "acme.recharge.test"),
        ("acme.recharge.test:8000", "acme.recharge.test"),
        ("acme.recharge.test.", "acme.recharge.test"),
        ("ACME.recharge.test.:443", "acme.recharge.test"),
        ("[::1]:8000", "[::1]"),
        ("", ""),
    ],
)
def test_a_host_is_kept_in_one_writing(written: str, kept: str) -> None:
    assert normalize_host(written) == kept


# --- The connection, in this process ----------------------------------------------------------------------------------


def request_to(organization: Organization) -> HttpRequest:
    return RequestFactory().get("/", headers={"Host": organization.host})


def schema() -> Any:
    return connection.schema_name


def test_the_connection_is_back_on_public_after_a_request(acme: Organization) -> None:
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append((schema(), Seller.objects.count()))
        return HttpResponse()

    RoutingMiddleware(view)(request_to(acme))
    assert seen == [("org_acme", 2)]
    assert_on_public()


@pytest.mark.parametrize("error", [ValueError, DatabaseError, KeyboardInterrupt, SystemExit])
def test_the_connection_is_back_on_public_after_a_request_that_failed(
    error: type[BaseException], acme: Organization
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        assert Seller.objects.count() == 2
        raise error

    with pytest.raises(error):
        RoutingMiddleware(view)(request_to(acme))
    assert_on_public()


def test_a_request_begins_on_public_whatever_was_left_behind(acme: Organization) -> None:
    connection.set_tenant(acme.row)  # type: ignore[attr-defined]
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(schema())
        return HttpResponse()

    RoutingMiddleware(view)(RequestFactory().get("/", headers={"Host": "recharge.test"}))
    assert seen == ["public"]
    connection.set_tenant(acme.row)  # type: ignore[attr-defined]
    assert RoutingMiddleware(view)(RequestFactory().get("/", headers={"Host": "nosuch.test"})).status_code == 404
    assert_on_public()


def assert_on_public() -> None:
    assert schema() == "public"
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        assert "org_" not in cursor.fetchone()[0]
        cursor.execute("SELECT to_regclass('credit_seller')")
        assert cursor.fetchone() == (None,)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes everything that a process remembers of hosts too old, or lets so many seconds pass."""

    def pass_the_time(seconds: float = routing.CACHE_SECONDS + 0.01) -> None:
        now = routing.time.monotonic()
        monkeypatch.setattr(routing.time, "monotonic", lambda: now + seconds)

    return pass_the_time


def test_what_a_process_remembers_of_hosts_is_young(acme: Organization, later: Callable[[], None]) -> None:
    assert routing.CACHE_SECONDS <= 5
    routing.organization_at(acme.host)
    OrganizationRow.objects.filter(slug="acme").update(name="Renamed")
    try:
        assert name_at(acme.host) == "Acme"
        later()
        assert name_at(acme.host) == "Renamed"
    finally:
        OrganizationRow.objects.filter(slug="acme").update(name="Acme")


def name_at(host: str) -> str:
    found = routing.organization_at(host)
    assert found
    return found.name


def test_a_host_that_is_taken_away_is_soon_nowhere(acme: Organization, later: Callable[[], None]) -> None:
    extra = Domain.objects.create(tenant=acme.row, domain="extra.recharge.test")
    assert name_at(extra.domain) == "Acme"
    extra.delete()
    later()
    assert routing.organization_at("extra.recharge.test") is None


def test_what_a_process_remembers_of_hosts_is_bounded(
    acme: Organization, globex: Organization, later: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        assert routing.organization_at(f"made-up-{number}.recharge.test") is None
    assert not routing._look.found  # nothing that a stranger makes up is remembered
    monkeypatch.setattr(routing, "CACHED_HOSTS", 1)
    assert name_at(acme.host) == "Acme"
    assert name_at(globex.host) == "Globex"
    assert list(routing._look.found) == [acme.host]
    later(routing.IN_USE_SECONDS)
    routing.organization_at("nosuch.recharge.test")
    assert not routing._look.found  # nobody asked for it in all that time


def test_the_hosts_in_use_are_looked_up_together(
    acme: Organization,
    globex: Organization,
    later: Callable[[], None],
    django_assert_num_queries: Callable[[int], AbstractContextManager[Any]],
) -> None:
    for host in (acme.host, globex.host):
        routing.organization_at(host)
    later()
    with django_assert_num_queries(1):
        for host in (acme.host, globex.host) * 3:
            assert routing.organization_at(host)


def test_a_host_that_is_asked_for_now_and_then_stays_known(
    acme: Organization, globex: Organization, later: Callable[[], None]
) -> None:
    """Each of hundreds of organizations sells less often than every two seconds, and a sale is quick where its host is
    known."""
    for host in (acme.host, globex.host):
        routing.organization_at(host)
    for _ in range(3):
        later()
        routing.organization_at(globex.host)
    assert routing.known_organization(acme.host)


def test_who_looks_before_it_is_due_keeps_nobody_waiting(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    routing.forget_routes()
    routing.organization_at(acme.host)
    assert routing.known_organization(acme.host)
    monkeypatch.setattr(routing, "EARLY_SECONDS", 60.0)
    monkeypatch.setattr(routing, "CACHE_SECONDS", 60.0)  # so it is early from the beginning, and not late soon
    assert routing.known_organization(acme.host) is None, "one of them is sent to look"
    look_up, may_go_on = routing._look_up, threading.Event()
    looks = []

    def look_up_when_told(hosts: Any) -> Any:
        looks.append(list(hosts))
        assert may_go_on.wait(30)
        return look_up(hosts)

    monkeypatch.setattr(routing, "_look_up", look_up_when_told)
    before = routing._look
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(in_a_thread, routing.organization_at, acme.host)
        try:
            wait_until(lambda: bool(looks), "it looks")
            assert name_at(acme.host) == "Acme"
            assert routing.known_organization(acme.host)
        finally:
            may_go_on.set()
        assert looking.result(30)
    assert looks == [[acme.host]]
    assert routing._look is not before


def test_who_has_waited_for_a_look_does_not_look_again(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look may take so long that what it found is to be looked up early already."""
    routing.organization_at(acme.host)
    monkeypatch.setattr(routing, "EARLY_SECONDS", routing.CACHE_SECONDS)
    monkeypatch.setattr(routing._look, "moment", float("-inf"))
    look_up, may_go_on, looks = routing._look_up, threading.Event(), []

    def look_up_when_told(hosts: Any) -> Any:
        looks.append(list(hosts))
        assert may_go_on.wait(30)
        return look_up(hosts)

    monkeypatch.setattr(routing, "_look_up", look_up_when_told)
    waited = []
    take = routing._patience
    monkeypatch.setattr(routing, "_patience", lambda look: waited.append(look) or take(look))
    with ThreadPoolExecutor(3) as pool:
        looking = [pool.submit(in_a_thread, routing.organization_at, acme.host) for _ in range(3)]
        try:
            wait_until(lambda: len(waited) == 3 and bool(looks), "one looks, and two wait")
        finally:
            may_go_on.set()
        assert all(one.result(30) for one in looking)
    assert len(looks) == 1


def test_an_early_look_that_fails_is_nobodys_fault(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    routing.organization_at(acme.host)
    monkeypatch.setattr(routing, "EARLY_SECONDS", routing.CACHE_SECONDS)

    def fail(_: Any) -> Any:
        raise OperationalError

    monkeypatch.setattr(routing, "_look_up", fail)
    assert name_at(acme.host) == "Acme"
    monkeypatch.setattr(routing._look, "moment", float("-inf"))
    with pytest.raises(OperationalError):
        routing.organization_at(acme.host)


def test_where_too_many_hosts_are_in_use_there_is_room_for_another(
    acme: Organization, globex: Organization, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    routing.forget_routes()
    monkeypatch.setattr(routing, "CACHED_HOSTS", 2)
    for host in (acme.host, globex.host):
        routing.organization_at(host)
    assert routing.hosts_in_use() == 2
    later()
    routing.organization_at(globex.host)
    assert routing.is_known_at(globex.host)
    assert not routing.is_known_at(acme.host), "who was asked for longest ago is left out"


def in_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    finally:
        connection.close()


def test_what_is_forgotten_while_hosts_are_looked_up_stays_forgotten(
    acme: Organization, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspension in this very process is not undone by another thread that had looked before it."""
    routing.organization_at(acme.host)
    later()
    look_up = routing._look_up

    def look_up_and_be_overtaken(hosts: Any) -> Any:
        found = look_up(hosts)
        monkeypatch.setattr(routing, "_look_up", look_up)
        OrganizationRow.objects.filter(slug="acme").update(name="Renamed")
        routing.forget_routes()
        return found

    monkeypatch.setattr(routing, "_look_up", look_up_and_be_overtaken)
    try:
        routing.organization_at(acme.host)
        assert name_at(acme.host) == "Renamed"
    finally:
        OrganizationRow.objects.filter(slug="acme").update(name="Acme")


def test_a_connection_that_has_seen_many_organizations_is_closed(
    acme: Organization, globex: Organization, settings: Any
) -> None:
    """What PostgreSQL keeps of each of them for the life of a connection must not grow for ever."""
    used = []

    def view(request: HttpRequest) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute("SELECT")
        used.append(connection.connection)
        return HttpResponse()

    middleware = RoutingMiddleware(view)
    settings.ORGANIZATIONS_PER_CONNECTION = 1
    connection.close()
    for organization in (acme, acme, acme, globex, acme, acme, globex):
        middleware(request_to(organization))
    first, second = used[0], used[-1]
    assert first is not second
    assert first.closed
    assert used == [first, first, first, first, second, second, second]


def test_a_connection_to_a_standby_gathers_no_more(acme: Organization, globex: Organization, settings: Any) -> None:
    """Here it is one to the tests' database."""
    settings.ORGANIZATIONS_PER_CONNECTION = 1
    standby, used = _Standby(), []
    for organization in (acme, globex, acme):
        with organization.context, standby.connected({}) as own, own.cursor() as cursor:
            cursor.execute("SELECT")
            used.append(own.connection)
    standby.rest()
    assert used[0] is used[1]
    assert used[1].closed
    assert used[2] is not used[0]
