"""Static files: compressed, named by their content and kept for ever, on every host and whatever is wrong."""

import gzip
import os
import re
from pathlib import Path

import brotli
import pytest
import urllib3
from django.template import Context, Template

from saas.static_files import StaticFiles, StaticStorage, all_files, answer
from tenants.models import Organization as OrganizationRow
from tests.support.client import check_headers
from tests.support.environment import database_at
from tests.support.server import ROOT, serving
from tests.support.waiting import wait_until
from tests.support.world import Organization, World

FOR_EVER = "public, max-age=31536000, immutable"


def fetch(address: str, host: str, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    """The answer with its body as it was on the wire."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request(
        method,
        f"http://{address}{path}",
        headers={"Host": host, **more},
        decode_content=False,
        redirect=False,
        retries=False,
    )


def named_files(page: bytes) -> set[str]:
    """The static files that a page names."""
    return set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.decode()))


def test_every_file_that_a_page_names_is_small_and_kept_for_ever(acme: Organization) -> None:
    address = acme.anyone.address
    for host, path in ((acme.host, "/sign-in"), ("recharge.test", "/sign-in"), ("recharge.test", "/admin/login/")):
        named = named_files(fetch(address, host, path, Accept="text/html").data)
        assert len(named) >= 3
        for file in named:
            plain = fetch(address, host, file)
            check_headers(plain)  # type: ignore[arg-type]
            assert (plain.status, plain.headers["Cache-Control"]) == (200, FOR_EVER), file
            assert "Content-Encoding" not in plain.headers
            if file.endswith((".woff2", ".png")):  # small already
                continue
            small = fetch(address, host, file, Accept_Encoding="gzip, deflate, br, zstd")
            assert (small.headers["Content-Encoding"], small.headers["Vary"]) == ("br", "Accept-Encoding"), file
            assert brotli.decompress(small.data) == plain.data
            assert len(small.data) < len(plain.data) * (0.5 if len(plain.data) > 1000 else 1)
            zipped = fetch(address, host, file, Accept_Encoding="br;q=0, gzip")
            assert zipped.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(zipped.data) == plain.data
            again = fetch(address, host, file, If_None_Match=plain.headers["ETag"])
            assert (again.status, again.data, again.headers["Cache-Control"]) == (304, b"", FOR_EVER)
            head = fetch(address, host, file, "HEAD")
            assert (head.status, head.data, head.headers["Content-Length"]) == (200, b"", str(len(plain.data)))


def page_once(address: str, host: str, status: int) -> urllib3.BaseHTTPResponse:
    """The page of a host at an address that there is not, as soon as it has this status: each process knows for some
    seconds what it has learnt of an organization."""
    pages = []

    def is_so() -> bool:
        pages.append(fetch(address, host, "/nothing-there", Accept="text/html"))
        return pages[-1].status == status

    wait_until(is_so, f"{host} is {status}")
    return pages[-1]


def test_they_are_there_on_every_host(world: World) -> None:
    OrganizationRow.objects.filter(pk=world.globex.row.pk).update(status="suspended")
    address, seen = world.platform.address, set()
    for host, status in (
        (world.acme.host, 404),
        (world.globex.host, 403),
        ("recharge.test", 404),
        ("nowhere.recharge.test", 404),
        ("elsewhere.example", 404),
        ("192.0.2.7:8000", 404),
    ):
        page = page_once(address, host, status)
        assert 'rel="stylesheet"' in page.data.decode()
        for file in named_files(page.data):
            seen.add(file)
            assert fetch(address, host, file).status == 200, (host, file)
    assert len(seen) >= 3  # the same on all of them: a browser fetches them once for each host


def test_without_a_database_a_page_says_so_and_has_its_styles(tmp_path: Path) -> None:
    nobody = os.environ | database_at("postgres://nobody@127.0.0.1:9/nothing")
    with serving(tmp_path / "log", workers=1, threads=2, environment=nobody, wait=False) as server:
        wait_until(lambda: "Listening" in server.log.read_text() and _answers(server.address), "it listens", seconds=60)
        page = fetch(server.address, "acme.recharge.test", "/sign-in", Accept="text/html", Accept_Language="fa")
        assert page.status == 503
        assert 'dir="rtl"' in page.data.decode()
        for file in named_files(page.data):
            assert fetch(server.address, "acme.recharge.test", file).status == 200, file


def _answers(address: str) -> bool:
    try:
        return fetch(address, "any", "/livez").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_a_style_sheet_names_what_it_needs_by_content(acme: Organization) -> None:
    sheet = fetch(acme.anyone.address, acme.host, StaticStorage().url("shared/console.css"))
    fonts = re.findall(r'url\("([^"]+\.woff2)"\)', sheet.data.decode())
    assert fonts
    for font in fonts:
        found = fetch(acme.anyone.address, acme.host, f"/static/shared/{font}")
        assert (found.status, found.headers["Cache-Control"]) == (200, FOR_EVER)
        assert found.headers["Content-Type"] == "font/woff2"


def test_another_content_has_another_name(tmp_path: Path) -> None:
    (tmp_path / "some.css").write_text('a { background: url("b.svg#x") url(data:image/png;base64,AA) }')
    (tmp_path / "b.svg").write_text("<svg/>")

    def names() -> tuple[str, str]:
        found = StaticFiles()
        found.add("x/some.css", tmp_path / "some.css")
        found.add("x/b.svg", tmp_path / "b.svg")
        sheet, picture = found.named("x/some.css"), found.named("x/b.svg")
        assert sheet
        assert picture
        content = sheet.content.decode()
        assert f'url("{picture.tagged_name[2:]}#x") url(data:image/png;base64,AA)' in content
        return sheet.tagged_name, picture.tagged_name

    sheet, picture = names()
    assert names() == (sheet, picture)
    # What it names has changed, and with it the sheet.
    (tmp_path / "b.svg").write_text("<svg></svg>")
    other_sheet, other_picture = names()
    assert other_sheet != sheet
    assert other_picture != picture


def test_a_name_of_another_release_is_answered_and_not_kept(acme: Organization) -> None:
    other = fetch(acme.anyone.address, acme.host, "/static/shared/console.0123456789ab.css")
    assert (other.status, other.headers["Cache-Control"]) == (200, "no-store")
    unnamed = fetch(acme.anyone.address, acme.host, "/static/shared/console.css")
    assert unnamed.headers["Cache-Control"] == "public, max-age=0, must-revalidate"


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/nothing.css",
        "/static/shared",
        "/static/../manage.py",
        "/static/shared/../../../saas/settings.py",
        "/static/%2e%2e/manage.py",
        "/static//etc/passwd",
        "/static/shared/console.css/",
        "/static/shared/console.css%00",
        "/static/shared/console.zzzzzzzzzzzz.css",
    ],
)
def test_nothing_else_is_answered(acme: Organization, path: str) -> None:
    # The client would tidy the path up.
    assert answer({"PATH_INFO": path, "REQUEST_METHOD": "GET"}) is None
    assert fetch(acme.anyone.address, acme.host, path).status == 404


def test_it_is_asked_for_and_not_written(acme: Organization) -> None:
    assert fetch(acme.anyone.address, acme.host, "/static/shared/console.css", "POST").status in (403, 404, 405)


def test_a_template_can_not_name_a_file_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no static file"):
        Template("{% load static %}{% static 'shared/none.css' %}").render(Context())


def test_whatever_the_templates_name_is_there() -> None:
    named = {
        name
        for template in ROOT.glob("*/templates/**/*.html")
        for name in re.findall(r"{% static '([^']+)' %}", template.read_text())
    }
    assert len(named) >= 4
    assert [name for name in named if all_files().named(name) is None] == []
