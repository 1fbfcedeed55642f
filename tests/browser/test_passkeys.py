"""Passkeys in a real browser, which plays the authenticator, too (WebAuthn's virtual one): shared/passkeys.js, and what
it and the server say to each other.

Browsers have passkeys only over https, and on localhost: so the organizations are reached there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from shared.models import Passkey, RecoveryCode
from tenants.models import Domain
from tests.browser.people import Guest
from tests.support.server import Server, serving, working_environment
from tests.support.world import World

Window = Callable[..., Guest]

USE = "form[data-passkey] button"


@pytest.fixture
def local(world: World, settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of these organizations at localhost."""
    settings.BASE_DOMAIN = "localhost"  # this process's: for the windows' addresses
    rows = [Domain(tenant=one.row, domain=f"{one.row.slug}.localhost") for one in (world.acme, world.globex)]
    Domain.objects.bulk_create(rows)
    try:
        environment = working_environment() | {"BASE_DOMAIN": "localhost"}
        with serving(tmp_path_factory.mktemp("local") / "log", workers=1, environment=environment) as running:
            yield running
    finally:
        Domain.objects.filter(domain__in=[row.domain for row in rows]).delete()


class Authenticator:
    """A device with a fingerprint reader, as the window's browser finds it."""

    def __init__(self, page: Page) -> None:
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        self._id: str = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def _send(self, method: str, **parts: object) -> dict[str, list[dict[str, object]]]:
        answer: dict[str, list[dict[str, object]]] = self._cdp.send(
            f"WebAuthn.{method}", {"authenticatorId": self._id, **parts}
        )
        return answer

    def hosts(self) -> list[object]:
        """Where each passkey that it keeps is good."""
        return [one["rpId"] for one in self._send("getCredentials")["credentials"]]

    @contextmanager
    def of_a_stranger(self) -> Iterator[None]:
        """The finger is not the owner's."""
        self._send("setUserVerified", isUserVerified=False)
        yield
        self._send("setUserVerified", isUserVerified=True)


def add_passkey(guest: Guest, slug: str | None, name: str) -> None:
    guest.go(slug, "/account/security/passkeys/add")
    guest.page.fill("#id_name", name)
    guest.page.click(USE)


def leave(guest: Guest, slug: str | None) -> None:
    """Signs out, by the button of the menu."""
    guest.go(slug, "/account/preferences")
    guest.page.locator("form[action='/sign-out']").evaluate("(form) => form.requestSubmit()")
    guest.page.wait_for_url("**/sign-in**")


def is_in(guest: Guest, username: str) -> None:
    """The account that the pages are shown to."""
    guest.page.wait_for_url(lambda url: "/sign-in" not in url)
    expect(guest.page.get_by_text(username).first).to_be_attached()


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("fa", 360)])
def test_a_passkey_is_added_signs_in_proves_and_is_removed(
    world: World, local: Server, open_window: Window, accessible: Callable[[Page], None], language: str, width: int
) -> None:
    guest = open_window(local, language=language, width=width)
    device = Authenticator(guest.page)
    guest.sign_in("acme", "owner")

    # The first brings recovery codes; it is kept for this host.
    add_passkey(guest, "acme", "work laptop")
    expect(guest.page.locator("#codes li, #codes")).not_to_have_count(0)
    accessible(guest.page)
    passkey = Passkey.objects.get()
    assert (passkey.user, passkey.host, passkey.name) == (world.acme.owner.user, "acme.localhost", "work laptop")
    assert device.hosts() == ["acme.localhost"]
    assert RecoveryCode.objects.filter(user=world.acme.owner.user, used_at=None).count() == 10

    # The same device again has one already: it is told, and nothing is added.
    add_passkey(guest, "acme", "work laptop once more")
    expect(guest.page.locator("form[data-passkey] [role=alert]")).to_have_text(
        guest.t("This device already has a passkey for this account.")
    )
    accessible(guest.page)

    # After the password it is asked for.
    leave(guest, "acme")
    guest.page.fill("#id_username", "owner")
    guest.page.fill("#id_password", "correct horse battery")
    guest.page.click("form[data-once] button")
    guest.page.wait_for_url("**/sign-in/second-step")
    accessible(guest.page)
    guest.page.click(USE)
    is_in(guest, "owner")

    # And it signs in alone, but not a stranger at the owner's device.
    leave(guest, "acme")
    guest.page.get_by_role("link", name=guest.t("Sign in with a passkey")).click()
    guest.page.wait_for_url("**/sign-in/passkey")
    with device.of_a_stranger():
        guest.page.click(USE)
        expect(guest.page.locator("form[data-passkey] [role=alert]")).to_have_text(
            guest.t("The browser returned no passkey. Try again, or use another way.")
        )
    accessible(guest.page)
    expect(guest.page.locator(USE)).to_be_enabled()
    guest.page.click(USE)
    is_in(guest, "owner")
    passkey.refresh_from_db()
    assert passkey.last_used_at is not None
    assert passkey.sign_count > 1

    # To another organization it is unknown.
    elsewhere = guest.go("globex", "/sign-in/passkey")
    elsewhere.page.click(USE)
    expect(elsewhere.page.locator("form[data-passkey] [role=alert]")).to_be_visible()

    # Who takes it away has proved a moment ago who it is.
    guest.go("acme", "/account/security")
    guest.page.get_by_role("link", name=guest.t("Remove")).first.click()
    guest.page.locator("#danger button.btn-danger").click()
    guest.page.wait_for_url("**/account/security")
    assert not Passkey.objects.exists()
    assert not RecoveryCode.objects.exists()

    # The device has it still, and it is good for nothing.
    leave(guest, "acme")
    guest.go("acme", "/sign-in/passkey")
    guest.page.click(USE)
    expect(guest.page.locator("main .alert-danger, .alert-danger").first).to_be_visible()
    assert guest.complaints == []
