"""No dead ends: what a page offers somebody can be opened, and sent, by whoever it is offered to."""

import re
from collections import deque
from html import unescape
from urllib.parse import parse_qsl, urljoin, urlsplit

from django.urls import Resolver404, ResolverMatch, resolve

from shared.identity.roles import MEMBER_ROLES, PLATFORM_ROLES
from tests.browser.scenery import furnish
from tests.support.server import Server
from tests.support.visitor import Visitor, text_of
from tests.support.world import Person, World, make_platform_user
from tests.tenants.permissions import PAGES, PLATFORM_PAGES

LINK = re.compile(r'<a [^>]*?href="([^"#]+)"|<(?!form)[^>]*? hx-get="([^"]+)"')
FORM = re.compile(r"<form ([^>]*)>(.*?)</form>", re.S)
METHOD, ACTION = re.compile(r'method="?post', re.I), re.compile(r'\baction="([^"]+)"')

ELSEWHERE = {"schema", "docs"}
"""Not of the consoles; they have tests of their own."""


def where(path: str, urlconf: str) -> ResolverMatch | None:
    try:
        return resolve(urlsplit(path).path, urlconf)
    except Resolver404:
        return None


def dead_ends(person: Person, urlconf: str, table: dict[str, str]) -> tuple[list[str], set[str]]:
    """Follows each kind of link once from the start page on. Gives what is offered and refused, and the pages seen."""
    visitor, role = Visitor.signed_in(person), person.client.get("/me").json["role"]
    waiting, known = deque([("/", "the start")]), set()
    found, seen = [], set()

    def may(name: str) -> bool:
        return {role, "everybody", "anyone"} & set(table.get(name, "").split()) != set()

    while waiting:
        path, offered_by = waiting.popleft()
        match = where(path, urlconf)
        if match is None:
            found.append(f"{offered_by}: {path} is nowhere")
            continue
        # One row of a list stands for all; so do other values of the same filters.
        kind = (match.url_name, tuple(sorted({name for name, _ in parse_qsl(urlsplit(path).query)})))
        if kind in known or match.namespace or match.url_name in ELSEWHERE:
            continue
        known.add(kind)
        answer = visitor.get(path)
        if answer.status in (301, 302, 303):
            waiting.append((urljoin(path, answer.headers["Location"]), offered_by))
            continue
        if answer.status not in (200, 204):  # 204: nothing new, to a part of a page that asks
            found.append(f"{offered_by}: {path} is {answer.status}")
            continue
        seen.add(str(match.url_name))
        if "html" not in answer.headers.get("Content-Type", ""):
            continue
        page = text_of(answer)
        for hits in LINK.findall(page):
            link = urljoin(path, unescape(hits[0] or hits[1]))
            if not urlsplit(link).scheme:
                waiting.append((link, str(match.url_name)))
        for attributes, _ in FORM.findall(page):
            action = ACTION.search(attributes)
            target = where(urljoin(path, unescape(action[1])), urlconf) if action else match
            if METHOD.search(attributes) and not (target and may(str(target.url_name))):
                found.append(f"{match.url_name}: a form to {action and action[1]} that may not be sent")
    return found, seen


def test_nobody_is_offered_what_is_refused(world: World, server: Server) -> None:
    people, _ids = furnish(world)
    for role in MEMBER_ROLES:
        found, seen = dead_ends(people[role], "saas.urls_organization", PAGES)
        assert found == [], role
        assert len(seen) > 8, (role, seen)  # it found its way
    for role in PLATFORM_ROLES:
        person = people["root"] if role == "platform_admin" else make_platform_user(role, role, server.address)
        found, seen = dead_ends(person, "saas.urls_platform", PLATFORM_PAGES)
        assert found == [], role
        assert len(seen) > 5, (role, seen)
