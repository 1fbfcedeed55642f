"""The console as an app on a phone: a manifest, icons, and a worker that keeps no money."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.http import HttpResponse
from playwright.sync_api import Browser, expect

from credit.models import CreditRequest, Transfer
from credit.slips.services import has_slip
from recharge.models import Claim
from shared.console import installable
from tenants.models import Domain
from tests.browser.people import Guest
from tests.credit.test_slips import picture
from tests.support.client import Client
from tests.support.server import Server, serving, working_environment
from tests.support.visitor import Visitor, in_process, session_of, text_of
from tests.support.world import Organization, Person, World, give_credit, place


def test_each_host_has_a_manifest_with_icons_that_are_there(world: World) -> None:
    address = world.platform.address
    for host, name in ((world.acme.host, "Acme"), ("recharge.test", "")):
        visitor = Visitor(Client(address, host))
        assert 'rel="manifest" href="/app.webmanifest"' in text_of(visitor.get("/sign-in"))
        answer = visitor.get("/app.webmanifest", Accept_Language="fa")
        assert answer.headers["Content-Type"] == "application/manifest+json"
        manifest = json.loads(answer.body)
        assert (manifest["dir"], manifest["lang"], manifest["start_url"]) == ("rtl", "fa", "/")
        if host == world.acme.host:
            assert manifest["name"] == name
        assert {icon["sizes"] for icon in manifest["icons"]} == {"any", "192x192", "512x512"}
        assert {icon.get("purpose") for icon in manifest["icons"]} >= {"any", "maskable"}
        policy = answer.headers["Content-Security-Policy"]
        assert "manifest-src 'self'" in policy
        assert "worker-src 'self'" in policy


def test_another_release_has_another_worker(world: World) -> None:
    script = text_of(Visitor(Client(world.platform.address, world.acme.host)).get("/worker.js"))
    (release,) = re.findall(r'"console-([0-9a-f]{12})"', script)
    (files,) = re.findall(r"const FILES = \[(.*)\]", script)
    assert files.count("/static/") == len(installable.OF_THE_OFFLINE_PAGE)
    assert all(
        re.fullmatch(r'"/static/.+\.[0-9a-f]{12}\.\w+"', one.replace("\\u002D", "-")) for one in files.split(", ")
    )
    assert release


def test_another_page_for_who_is_offline_makes_another_worker_and_another_reader_does_not(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(person: Person) -> bytes:
        return in_process(person, "/worker.js").content

    before = script(acme.owner)
    assert script(acme.member) == script(acme.owner) == before
    monkeypatch.setattr(installable, "offline", lambda request: HttpResponse("another text"))
    assert script(acme.owner) != before


@pytest.fixture
def trusting(chromium: Browser, world: World, tmp_path: Path) -> Iterator[Guest]:
    """At acme.localhost, which browsers trust as they do https: elsewhere they run no service worker."""
    Domain.objects.create(tenant=world.acme.row, domain="acme.localhost", is_primary=False)
    environment = working_environment() | {"BASE_DOMAIN": "localhost"}
    with serving(tmp_path / "log", workers=1, environment=environment) as server:
        context = chromium.new_context(locale="en-GB")
        context.set_default_timeout(15_000)
        yield Guest(context.new_page(), server.address.split(":")[1], "en")
        context.close()
    Domain.objects.filter(domain="acme.localhost").delete()


def test_without_a_connection_it_says_so_and_shows_no_money(world: World, trusting: Guest) -> None:
    give_credit(world.acme.row, world.acme.member.id, 1_234_567)
    page, home = trusting.page, f"http://acme.localhost:{trusting.port}"
    cookie = {"name": "sessionid", "value": session_of(world.acme.member), "url": home}
    page.context.add_cookies([cookie])
    page.goto(f"{home}/sell")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.reload(wait_until="networkidle")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    assert "1,234,567" in page.content()
    kept = page.evaluate(
        "caches.keys().then(async (names) => (await Promise.all(names.map(async (name) =>"
        " (await (await caches.open(name)).keys()).map((one) => one.url)))).flat())"
    )
    paths = {urlsplit(url).path for url in kept}
    assert "/offline" in paths
    assert all(path == "/offline" or path.startswith("/static/") for path in paths), paths
    page.context.set_offline(True)
    page.goto(f"{home}/recharges")
    expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()
    assert "1,234,567" not in page.content()
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") != "0px"  # styled
    page.context.set_offline(False)
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()


def test_what_was_written_to_be_sold_is_there_again_after_the_connection(world: World, trusting: Guest) -> None:
    give_credit(world.acme.row, world.acme.member.id, 1_000_000)
    page, home = trusting.page, f"http://acme.localhost:{trusting.port}"
    page.context.add_cookies([{"name": "sessionid", "value": session_of(world.acme.member), "url": home}])
    page.goto(f"{home}/sell")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    for path, field, text in (("/sell", "#id_phone_number", "09121234567"), ("/bulk", "#id_text", "09121234567,5000")):
        page.goto(home + path)
        page.fill(field, text)
        page.context.set_offline(True)
        page.reload()
        expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()
        page.context.set_offline(False)
        page.get_by_role("link", name="Try again").click()
        expect(page.locator(field)).to_have_value(text)
    # What was looked at is no longer to be written.
    page.click("main form button.btn-primary")
    page.wait_for_selector("form[action='/bulk/sell']")
    page.goto(f"{home}/bulk")
    expect(page.locator("#id_text")).to_have_value("")
    page.goto(f"{home}/sell")
    expect(page.locator("#id_phone_number")).to_have_value("09121234567")
    page.fill("#id_amount", "5000")
    page.click(".amount-line button")
    page.click("#sale form[method=post] button")
    page.wait_for_selector("[data-sold]")
    page.goto(f"{home}/sell")
    expect(page.locator("#id_phone_number")).to_have_value("")
    # Who comes next into this tab does not get it.
    page.fill("#id_phone_number", "09127654321")
    page.context.clear_cookies()
    page.context.add_cookies([{"name": "sessionid", "value": session_of(world.acme.neighbour), "url": home}])
    page.goto(f"{home}/sell")
    expect(page.locator("#id_phone_number")).to_be_focused()
    expect(page.locator("#id_phone_number")).to_have_value("")


def test_a_form_that_is_sent_without_a_connection_stays_and_is_sent_once(
    world: World, trusting: Guest, tmp_path: Path
) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    place(world.acme.row, world.acme.neighbour.id, world.acme.member.id)
    sold = world.acme.member.client.post("/recharges", {"phone_number": "09121234567", "amount": 5000}, key="sold").json
    page, home = trusting.page, f"http://acme.localhost:{trusting.port}"
    page.context.add_cookies([{"name": "sessionid", "value": session_of(world.acme.member), "url": home}])
    page.goto(f"{home}/sell")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    slip = tmp_path / "slip.png"
    slip.write_bytes(picture("PNG"))

    def sends(path: str, **written: str) -> None:
        page.goto(home + path)
        for field, text in written.items():
            page.fill(f"#id_{field}", text)
        if page.locator("input[type=file]").count():
            page.set_input_files("input[type=file]", slip)
        address, button = page.url, page.locator("main form[method=post] button.btn-primary").last
        keys = "[...document.querySelectorAll('main form[method=post] [name=key]')].map((one) => one.value)"
        key = page.evaluate(keys)
        page.context.set_offline(True)
        for _ in range(2):
            button.click()
            expect(page.locator("#alerts")).to_contain_text("The connection was lost")
            expect(button).to_be_enabled()
            page.evaluate("document.getElementById('alerts').replaceChildren()")
        assert page.url == address
        for field, text in written.items():
            expect(page.locator(f"#id_{field}")).to_have_value(text)
        page.context.set_offline(False)
        if written:  # also when somebody reloads the page, who does not know what has arrived
            page.reload()
            for field, text in written.items():
                expect(page.locator(f"#id_{field}")).to_have_value(text)
            assert page.evaluate(keys) == key
            if page.locator("input[type=file]").count():
                page.set_input_files("input[type=file]", slip)
        button.click()
        page.wait_for_url(lambda url: url != address)
        expect(page.locator(".alert-success")).to_be_visible()

    sends("/credit-requests/new", amount="20000", note="by card")
    sends(f"/transfers/confirm?to={world.acme.neighbour.id}&amount=1000&note=&key=page-of-this-test")
    sends(f"/recharges/{sold['id']}/not-received", message="Nothing came")
    with world.acme.context:
        assert CreditRequest.objects.filter(amount=20_000).count() == Transfer.objects.count() == 1
        assert Claim.objects.count() == 1
        assert has_slip(CreditRequest.objects.get(amount=20_000).pk)


def test_what_was_typed_is_kept_in_the_tab_until_it_is_sent(
    world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    guest = open_window(server).become(world.acme.member)
    page = guest.page
    guest.go("acme", "/credit-requests/new")
    page.fill("#id_amount", "50000")
    page.fill("#id_note", "for the weekend")
    page.reload()
    expect(page.locator("#id_amount")).to_have_value("50000")
    expect(page.locator("#id_note")).to_have_value("for the weekend")
    # One that is refused stays as it is, one that is taken is no longer to be written.
    page.fill("#id_amount", "5.5")
    page.click("main form button.btn-primary")
    expect(page.locator("#id_amount")).to_have_attribute("aria-invalid", "true")
    guest.go("acme", "/credit-requests/new")
    expect(page.locator("#id_note")).to_have_value("for the weekend")
    page.fill("#id_amount", "50000")
    page.click("main form button.btn-primary")
    page.wait_for_url("**/credit-requests")
    guest.go("acme", "/credit-requests/new")
    expect(page.locator("#id_note")).to_have_value("")
    expect(page.locator("#id_amount")).to_have_value("")
    page.fill("#id_note", "not for the next")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('typed'))") == []
