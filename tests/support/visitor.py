"""Somebody at a browser, without the browser: keeps cookies, asks for pages, sends forms. For what needs no script."""

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client as InProcess
from django.utils import timezone
from urllib3.filepost import encode_multipart_formdata

from shared.identity.realm import PLATFORM, Realm
from shared.identity.session_store import SessionStore
from shared.identity.sessions import session_content
from shared.models import Membership, SignIn
from tests.support.client import Answer, Client
from tests.support.world import PASSWORD, Person

MARKUP = '"><script>alert(1)</script><img src=x>'
"""What nobody may ever see run."""


class Visitor:
    """Speaks to the host of ``client``."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.cookies: dict[str, str] = {}

    @classmethod
    def signed_in(cls, person: Person) -> "Visitor":
        """As somebody who has signed in on their host; without the time that a password takes."""
        visitor = cls(person.client)
        visitor.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
        return visitor

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Cookie": cookies, "Accept": "text/html,application/xhtml+xml", **more}

    def _keep(self, answer: Answer) -> Answer:
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """Headers are named with underscores for their dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._keep(self.client.get(path, headers=self._headers(more), is_page=True))

    def submit(self, path: str, fields: dict[str, str | list[str]], to: str | None = None) -> Answer:
        """Loads the page of a form and sends the form (``to`` another address, if that is where it goes)."""
        page = self.get(path)
        assert page.status == 200, page
        (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body.decode())
        return self.post(to or path, {"csrfmiddlewaretoken": token, **fields})

    def post(self, path: str, fields: dict[str, Any]) -> Answer:
        headers = self._headers({"Content-Type": "application/x-www-form-urlencoded"})
        body = urlencode(fields, doseq=True).encode()
        return self._keep(self.client.request("POST", path, body=body, headers=headers, is_page=True))

    def upload(self, path: str, fields: dict[str, str], files: dict[str, tuple[str, bytes]]) -> Answer:
        """Loads the page of a form and sends it with files, each of a name and what is in it."""
        page = self.get(path)
        assert page.status == 200, page
        (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body.decode())
        body, content_type = encode_multipart_formdata({"csrfmiddlewaretoken": token, **fields, **files})
        headers = self._headers({"Content-Type": content_type})
        return self._keep(self.client.request("POST", path, body=body, headers=headers, is_page=True))

    def sign_in(self, username: str, password: str = PASSWORD) -> Answer:
        return self.submit("/sign-in", {"username": username, "password": password})

    def sign_in_to_admin(self, username: str, password: str = PASSWORD) -> Answer:
        return self.submit("/admin/login/", {"username": username, "password": password, "next": "/admin/"})


def session_of(person: Person) -> str:
    """The key of a new session of this person, as a sign-in makes it."""
    session = SessionStore()
    realm = Realm(person.row.pk, person.row.slug) if person.row else PLATFORM
    membership = Membership.objects.filter(user=person.user).first()
    begun = sign_in_of(person)
    withdrawn_at = membership.withdrawn_at if membership else None
    session.update(session_content(realm, withdrawn_at=withdrawn_at, sign_in_id=begun.pk))
    session[SESSION_KEY] = str(person.user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.user.get_session_auth_hash()
    session.create()
    key: str = session.session_key
    return key


def sign_in_of(person: Person) -> SignIn:
    """A browser's sign-in of this person."""
    return SignIn.objects.create(
        user=person.user,
        organization_id=person.row.pk if person.row else None,
        kind=SignIn.Kind.WEB,
        address="127.0.0.1",
        client="visitor",
        expires_at=timezone.now() + timedelta(hours=12),
    )


def text_of(answer: Answer) -> str:
    """An answer's body, markup and all."""
    return answer.body.decode()


def shown(answer: Answer) -> str:
    """A page's words, as somebody reads them."""
    return words_of(text_of(answer).partition("<main")[2].partition("</main>")[0])


def words_of(markup: str) -> str:
    """What is left of markup without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def value_of(answer: Answer, name: str) -> str:
    """The value of an input of this name."""
    found = re.search(
        rf'<input[^>]* name="{name}"[^>]* value="([^"]*)"|<input[^>]* value="([^"]*)"[^>]* name="{name}"',
        text_of(answer),
    )
    assert found
    return found[1] or found[2]


def in_process(person: Person, path: str) -> Any:
    """What Django's own client is answered in this process, where a test has changed something."""
    client = InProcess(headers={"host": person.client.host, "accept": "text/html"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    return client.get(path)
