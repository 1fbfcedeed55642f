"""A real Chromium: Debian's, driven by playwright. ``deploy/test.sh`` installs it where it is missing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from django.db import connections
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.audit import grave_faults
from tests.browser.chromium import ARGUMENTS, chromium_path
from tests.browser.people import Guest
from tests.support.server import Server, serving


# Of this folder, not of the session: beside playwright's event loop other tests fail. A start takes seconds of CPU.
@pytest.fixture(scope="package")
def chromium(django_db_setup: None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Django refuses queries on a thread with a running event loop, which playwright's is: the tests' own are quick
        # and wait for nothing but the database.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        browser = playwright.chromium.launch(executable_path=chromium_path(playwright), args=ARGUMENTS)
        yield browser
        browser.close()
        # Beside an event loop Django has connections of their own: nobody else closes them.
        connections.close_all()
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


# Of a module: beside a delivery worker other tests fail.
@pytest.fixture(scope="module")
def delivering(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a delivery worker beside it, as production has it."""
    with serving(tmp_path_factory.mktemp("delivering") / "log", delivery=True) as running:
        yield running


@pytest.fixture
def open_window(chromium: Browser) -> Iterator[Callable[..., Guest]]:
    """Opens a window of a browser of its own (no cookies yet)."""
    contexts: list[BrowserContext] = []

    def opened(
        server: Server,
        *,
        language: str = "en",
        width: int = 1280,
        height: int = 900,
        script: bool = True,
        touch: bool = False,
        scheme: Literal["light", "dark"] = "light",
    ) -> Guest:
        context = chromium.new_context(
            locale={"en": "en-GB", "fa": "fa-IR"}[language],
            viewport={"width": width, "height": height},
            java_script_enabled=script,
            has_touch=touch,
            color_scheme=scheme,
            # Beside one, playwright does not see all requests.
            service_workers="block",
            reduced_motion="reduce",  # colours in transition are no colours to be judged
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        return Guest(context.new_page(), server.address.split(":")[1], language)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def accessible() -> Callable[[Page], None]:
    """Asserts that a page as it is now has no serious or critical violation of WCAG 2.2 A or AA."""

    def check(page: Page) -> None:
        assert grave_faults(page) == [], page.url

    return check


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path
