"""What people do in the consoles, in words: the journeys are written with it."""

import re
from dataclasses import dataclass

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext
from playwright.sync_api import Page, expect

from tests.support.visitor import session_of
from tests.support.world import PASSWORD, Person


@dataclass
class Guest:
    """Somebody at a window. Problems of the page itself (script errors, refused by the policy) fail the test."""

    page: Page
    port: str
    language: str

    def __post_init__(self) -> None:
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if "Security Policy" in message.text else None,
        )

    def t(self, text: str, **parts: object) -> str:
        """A text of the pages in this person's language."""
        with translation.override(self.language):
            return gettext(text) % parts if parts else gettext(text)

    def url(self, slug: str | None, path: str = "/") -> str:
        """An address on the host of an organization, or (None) of the platform."""
        host = f"{slug}.{settings.BASE_DOMAIN}" if slug else settings.BASE_DOMAIN
        return f"http://{host}:{self.port}{path}"

    def go(self, slug: str | None, path: str = "/") -> "Guest":
        self.page.goto(self.url(slug, path))
        assert self.complaints == [], self.complaints
        return self

    def sign_in(self, slug: str | None, username: str, password: str = PASSWORD) -> "Guest":
        """By the form, as people do."""
        self.go(slug, "/sign-in")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", password)
        self.page.click("form[data-once] button")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)
        assert self.complaints == [], self.complaints
        return self

    def choose_password(self, old: str, new: str) -> "Guest":
        """Where one lands whose password somebody else has set; nothing else can be opened before."""
        expect(self.page).to_have_url(re.compile("/account/password$"))
        for field, value in (("old", old), ("new", new), ("again", new)):
            self.page.fill(f"#id_{field}", value)
        self.page.click("form[data-once].form-narrow button")
        self.page.wait_for_url(lambda url: "/account/password" not in url)
        return self

    def become(self, person: Person) -> "Guest":
        """Signed in without the form, where signing in is not what is tested."""
        slug = person.row.slug if person.row else None
        self.page.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session_of(person), "url": self.url(slug)}]
        )
        return self
