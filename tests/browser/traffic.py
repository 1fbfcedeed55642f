"""What a window receives of the server, with an empty cache."""

from typing import Any

from playwright.sync_api import Page

MOST_BYTES = 120 * 1024
"""Of a first visit of any page."""


class Traffic:
    """Counts from now on, in bytes as they come over the wire; the cache is never used."""

    def __init__(self, page: Page) -> None:
        self.size = 0
        self.requests = 0
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        devtools.on("Network.loadingFinished", self._count)

    def _count(self, event: dict[str, Any]) -> None:
        self.size += int(event["encodedDataLength"])
        self.requests += 1

    def begin_anew(self) -> None:
        self.size = self.requests = 0
