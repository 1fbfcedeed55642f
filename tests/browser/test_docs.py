"""Swagger UI runs under its policy."""

from collections.abc import Callable

import pytest

from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import World


@pytest.mark.parametrize("slug", ["acme", None], ids=["organization", "platform"])
def test_the_documentation_runs_and_shows_the_operations(
    world: World, server: Server, open_window: Callable[..., Guest], slug: str | None
) -> None:
    guest = open_window(server).go(slug, "/api/docs")
    guest.page.wait_for_selector(".opblock")
    guest.page.click("#operations-auth-post_auth_token .opblock-summary-control")
    guest.page.wait_for_selector("#operations-auth-post_auth_token .opblock-body")
    guest.page.click("#operations-auth-post_auth_token .try-out button")
    guest.page.click("#operations-auth-post_auth_token button.execute")
    guest.page.wait_for_selector("#operations-auth-post_auth_token .live-responses-table")
    assert guest.complaints == []
