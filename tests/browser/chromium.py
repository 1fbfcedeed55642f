"""Which Chromium the browser tests use, and whether it runs here at all.

``python -m tests.browser.chromium`` (deploy/test.sh) starts Playwright's driver and the browser once, and says what is
missing, with status 1; with ``--find`` it only looks for a browser.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Error, Playwright, sync_playwright

# Chromium must not look for anything outside of this machine; and every host of the tests is the server.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # Pages live for a second: to compile their scripts better costs more than it spares.
    "--js-flags=--no-opt --no-maglev",
    "--host-resolver-rules=MAP *.recharge.test 127.0.0.1, MAP recharge.test 127.0.0.1, MAP *.localhost 127.0.0.1, "
    "MAP localhost 127.0.0.1, MAP * ~NOTFOUND",
]

_ADVICE = """On Debian:
    {sudo}apt-get update && {sudo}apt-get install -y chromium libatomic1
On Ubuntu, whose package chromium is a snap that does not run here, Playwright's own build does:
    .venv/bin/playwright install --with-deps chromium
Or set CHROMIUM to the path of one."""


class Missing(Exception):
    """The browser tests can't run here; the message says why, and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n{_ADVICE.format(sudo='' if os.geteuid() == 0 else 'sudo ')}")


def runs(program: str) -> bool:
    """Whether this is a browser that starts; Ubuntu's chromium-browser may be no more than a pointer to a snap."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def chromium_path(playwright: Playwright | None = None) -> str:
    """The Chromium to use: the one that CHROMIUM names, the system's, or the one that Playwright has installed.

    Raises:
        Missing: there is none that runs.
    """
    if named := os.environ.get("CHROMIUM"):
        if not runs(named):
            raise Missing(f"CHROMIUM is {named}, and that is no browser that runs.")
        return named
    # The headless shell is the same engine without a browser's own windows: it takes half the CPU.
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) and runs(found):
            return found
    if playwright and Path(playwright.chromium.executable_path).exists():
        return playwright.chromium.executable_path
    raise Missing("The browser tests need Chromium, and there is none that runs.")


def check_driver() -> None:
    """Starts the program that Playwright speaks to; all that it says itself is that the connection was closed.

    Raises:
        Missing: it does not run.
    """
    node, _script = compute_driver_executable()
    tried = subprocess.run([node, "--version"], capture_output=True, text=True)
    if tried.returncode:
        library = re.search(r"[\w.+-]+\.so[\w.]*", tried.stderr)
        reason = f"it needs {library[0]}, which is not installed." if library else f"{tried.stderr.strip()}"
        raise Missing(f"Playwright's driver, which the browser tests use, does not run: {reason}")


def check() -> None:
    """Starts the driver and the browser, and closes them.

    Raises:
        Missing: one of them does not run.
    """
    check_driver()
    with sync_playwright() as playwright:
        path = chromium_path(playwright)
        try:
            playwright.chromium.launch(executable_path=path, args=ARGUMENTS).close()
        except Error as error:
            raise Missing(f"The browser {path} does not start: {error.message.splitlines()[0]}") from None


if __name__ == "__main__":
    try:
        if "--find" in sys.argv:
            print(chromium_path())
        else:
            check()
    except Missing as missing:
        sys.exit(str(missing))
