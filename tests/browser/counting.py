"""Counts what somebody does at a window, and whether the focus was ever lost meanwhile."""

from playwright.sync_api import Page

# In the session's storage, so that it goes on from page to page. A key that is held down is one key. Lost is what a
# person could see: a frame in which the focus, once it was somewhere, is nowhere.
_SCRIPT = """
(() => {
  const count = (name) => sessionStorage.setItem(name, Number(sessionStorage.getItem(name)) + 1);
  addEventListener("keydown", (event) => { if (!event.repeat) count("counted-keys"); }, true);
  addEventListener("click", (event) => { if (event.detail) count("counted-clicks"); }, true);
  let was = "";
  const look = () => {
    if (document.activeElement === document.body) sessionStorage.setItem("lost-focus", `after ${was}`);
    else was = document.activeElement.outerHTML.slice(0, 200);
    requestAnimationFrame(look);
  };
  addEventListener("focusin", look, { once: true });
})();
"""


class Counting:
    """Of a window, from its next page on: keys, clicks of a mouse, and the focus."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.add_init_script(_SCRIPT)

    def _counted(self, name: str) -> int:
        return int(self._page.evaluate(f"Number(sessionStorage.getItem('counted-{name}'))"))

    @property
    def keys(self) -> int:
        return self._counted("keys")

    @property
    def clicks(self) -> int:
        return self._counted("clicks")

    @property
    def lost_focus(self) -> str | None:
        """After what the focus was nowhere; None: it never was."""
        lost: str | None = self._page.evaluate("sessionStorage.getItem('lost-focus')")
        return lost
