"""The platform's console in a browser: progress while an organization is provisioned, its books proved, suspension."""

import re
from collections.abc import Callable

import psycopg2
import pytest
from playwright.sync_api import Page, expect

from tenants.models import AuditRecord
from tenants.models import Organization as OrganizationRow
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import PASSWORD, World, database_url


def _fill(page: Page, slug: str) -> None:
    page.fill("#id_slug", slug)
    page.fill("#id_name", "New One")
    page.fill("#id_admin_username", "boss")
    page.fill("#id_admin_password", PASSWORD)


@pytest.fixture
def root(world: World, server: Server, open_window: Callable[..., Guest]) -> Guest:
    return open_window(server).become(world.platform_admin)


def test_provisioning_shows_its_progress(root: Guest, accessible: Callable[[Page], None]) -> None:
    page = root.go(None, "/provision").page
    accessible(page)
    page.fill("#id_slug", "acme")
    expect(page.locator("#slug-state")).to_contain_text("already")
    page.fill("#id_slug", "new-one")
    expect(page.locator("#slug-state")).to_contain_text("new-one.recharge.test")

    _fill(page, "new-one")
    steps: list[str] = []
    page.on("response", lambda answer: steps.append(answer.url) if "/provision/progress" in answer.url else None)
    other = psycopg2.connect(database_url())
    try:
        # The schema can't be filled while somebody holds this lock: there is time to look.
        other.cursor().execute("LOCK TABLE shared_membership IN SHARE MODE")
        page.dblclick("#provision-form button")
        expect(page.locator("#progress")).to_contain_text("Tables and first admin made")
        expect(page.locator("#progress .state-good")).to_have_count(1)
        expect(page.locator("#announcer")).to_have_text("Creating its tables and its first admin.")
        expect(page.locator("#provision-form button")).to_be_disabled()
        accessible(page)
    finally:
        other.close()
    page.wait_for_url("**/organizations/new-one")
    expect(page.locator("main")).to_contain_text("New One is ready. Its admin signs in as boss at http://new-one.rech")
    accessible(page)
    assert steps
    assert AuditRecord.objects.filter(organization="new-one").count() == 1
    assert root.complaints == []


def test_what_is_refused_stays_on_the_form(root: Guest) -> None:
    page = root.go(None, "/provision").page
    _fill(page, "acme")
    page.click("#provision-form button")
    expect(page.get_by_role("alert").first).to_contain_text("An organization at this address already exists")
    expect(page.locator("#id_slug")).to_have_value("acme")
    expect(page.locator("#provision-form button")).to_be_enabled()
    page.fill("#id_slug", "new-one")
    page.fill("#id_admin_password", PASSWORD)
    page.click("#provision-form button")
    page.wait_for_url("**/organizations/new-one")


def test_it_works_without_script(world: World, server: Server, chromium) -> None:
    context = chromium.new_context(java_script_enabled=False)
    try:
        page = Guest(context.new_page(), server.address.split(":")[1], "en").become(world.platform_admin)
        window = page.go(None, "/provision").page
        _fill(window, "new-one")
        window.click("#provision-form button")
        window.wait_for_url("**/organizations/new-one")
        window.get_by_role("button", name="Reconcile now").click()
        expect(window.locator("#books")).to_contain_text("Reconciled")
    finally:
        context.close()


def test_books_are_proved_and_an_organization_is_suspended(root: Guest, accessible: Callable[[Page], None]) -> None:
    page = root.go(None, "/organizations").page
    accessible(page)
    page.get_by_role("link", name="Acme").click()
    expect(page.locator("#books")).to_contain_text("Not reconciled yet")
    page.get_by_role("button", name="Reconcile now").click()
    expect(page.locator("#books .state-good")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("The accounts are reconciled.")
    assert page.url.endswith("/organizations/acme")

    page.get_by_role("link", name="Suspend").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Its address, to make sure")).to_be_focused()
    accessible(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert OrganizationRow.objects.get(slug="acme").status == "active"
    page.get_by_role("link", name="Suspend").press("Enter")
    dialog.get_by_label("Its address, to make sure").fill("acme")
    dialog.get_by_label("Reason").fill("Bills are not paid")
    dialog.get_by_role("button", name="Suspend").press("Enter")
    expect(page.get_by_role("status").first).to_have_text("Acme is suspended.")
    expect(page.get_by_role("main")).to_contain_text("Bills are not paid")
    page.get_by_role("link", name="Activate").click()
    # Enter, pressed without a look, leaves everything as it is.
    expect(dialog.get_by_role("button", name="Leave it suspended")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Activate").click()
    dialog.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("status").first).to_have_text("Acme is active.")
    page.get_by_role("link", name=re.compile("audit log", re.IGNORECASE)).first.click()
    expect(page.locator("tbody tr")).to_have_count(3)
    accessible(page)
