"""What a window receives of the server, with an empty cache."""

from typing import Any

from playwright.sync_api import Page

MOST_BYTES = 120 * 1024
"""Of a first visit of any page."""

SLOW = {"offline": False, "latency": 400, "downloadThroughput": 400_000 / 8, "uploadThroughput": 400_000 / 8}
"""400 kbit/s and 400 ms, which browsers call slow 3G."""


class Traffic:
    """Counts from now on, in bytes as they come over the wire; the cache is never used."""

    def __init__(self, page: Page, *, slow: bool = False) -> None:
        self.size = 0
        self.requests = 0
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        if slow:
            devtools.send("Network.emulateNetworkConditions", SLOW)
        devtools.on("Network.loadingFinished", self._count)

    def _count(self, event: dict[str, Any]) -> None:
        self.size += int(event["encodedDataLength"])
        self.requests += 1

    def begin_anew(self) -> None:
        self.size = self.requests = 0
