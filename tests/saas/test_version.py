"""The version stands in one place and is shown at the foot of every page."""

import re
import tomllib

import pytest

from saas import __version__
from tests.support.server import ROOT
from tests.support.visitor import Visitor
from tests.support.world import World

WORDS = {"en": f"Version {__version__}", "fa": f"نسخه {__version__}"}


def foot_of(markup: bytes) -> str:
    (foot,) = re.findall(r"<footer[^>]*>(.*?)</footer>", markup.decode())
    return re.sub(r"<[^>]+>", "", foot)


@pytest.mark.parametrize("language", WORDS)
def test_it_stands_at_the_foot_of_every_page(world: World, language: str) -> None:

    visitors = [
        (Visitor(world.acme.anyone), "/sign-in"),
        (Visitor(world.acme.anyone), "/nowhere"),
        (Visitor(world.platform), "/sign-in"),
        (Visitor.signed_in(world.acme.member), "/sell"),
        (Visitor.signed_in(world.acme.owner), "/sellers"),
        (Visitor.signed_in(world.platform_admin), "/organizations"),
    ]
    for visitor, path in visitors:
        page = visitor.get(path, Accept="text/html", Accept_Language=language)
        assert foot_of(page.body) == WORDS[language], (path, page.status)


def test_nothing_but_the_changelog_says_it_again() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "saas.__version__"}


def test_the_changelog_has_it() -> None:
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", __version__]
