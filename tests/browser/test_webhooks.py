"""Webhooks in a browser: added, the secret copied, disabled, deleted."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from credit.models import WebhookEndpoint
from credit.webhooks.services import events_for
from shared.outbound.secrets import decrypt
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import Organization


def test_a_webhook_from_its_secret_to_its_end(
    acme: Organization, server: Server, open_window: Callable[..., Guest], accessible: Callable[[Page], None]
) -> None:
    guest = open_window(server).become(acme.member)
    page = guest.go("acme", "/webhooks").page
    accessible(page)
    page.get_by_role("link", name="Add a webhook").first.click()
    accessible(page)
    page.fill("#id_url", "https://hooks.example.com/recharges")
    page.get_by_label("The operator reversed a recharge").uncheck()
    page.get_by_role("button", name="Add", exact=True).dblclick()
    page.wait_for_url("**/webhooks/*-*")
    with acme.context:
        endpoint = WebhookEndpoint.objects.get()
    assert set(events_for(endpoint.seller_id)) - set(endpoint.events) == {"recharge.reversed"}
    expect(page.locator("#secret")).to_have_text(decrypt(endpoint.secret))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#announcer")).to_have_text("Copied.")
    accessible(page)
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)

    page.get_by_role("link", name="Disable").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    accessible(page)
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("status").first).to_contain_text("The webhook is enabled")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".empty")).to_contain_text("No webhooks yet")
    assert guest.complaints == []
