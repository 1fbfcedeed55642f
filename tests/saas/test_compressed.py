"""Pages are compressed; nothing else is that Django answers."""

import gzip

import pytest
import urllib3

from tests.support.client import check_headers
from tests.support.visitor import session_of
from tests.support.world import Organization, World


def fetch(organization: Organization, path: str, accepted: str | None, **headers: str) -> urllib3.BaseHTTPResponse:
    """The answer to a member, with its body as it was on the wire."""
    more = {"Accept-Encoding": accepted} if accepted is not None else {}
    return urllib3.request(
        "GET",
        f"http://{organization.anyone.address}{path}",
        headers={
            "Host": organization.host,
            "Cookie": f"sessionid={session_of(organization.member)}",
            **more,
            **headers,
        },
        decode_content=False,
        redirect=False,
        retries=False,
    )


@pytest.mark.parametrize("path", ["/recharges", "/nothing-there"])
def test_a_page_is_sent_compressed_to_who_takes_that(acme: Organization, path: str) -> None:
    plain = fetch(acme, path, None, Accept="text/html")
    assert "Content-Encoding" not in plain.headers
    small = fetch(acme, path, "gzip, deflate, br", Accept="text/html")
    check_headers(small)  # type: ignore[arg-type]
    assert (small.status, small.headers["Content-Encoding"]) == (plain.status, "gzip")
    assert int(small.headers["Content-Length"]) == len(small.data)
    assert len(small.data) - 101 < len(plain.data) / 2  # without its random bytes
    assert gzip.decompress(small.data).startswith(b"<!doctype html>")
    for answer in (plain, small):
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0, br", "GZIP;q=0.000"])
def test_it_is_sent_as_it_is_to_who_does_not(acme: Organization, accepted: str) -> None:
    page = fetch(acme, "/sell", accepted)
    assert "Content-Encoding" not in page.headers
    assert "Accept-Encoding" in page.headers["Vary"]
    assert page.data.startswith(b"<!doctype html>")


def test_the_length_of_a_page_says_little_of_what_is_in_it(acme: Organization) -> None:
    """Random bytes are added to it, and the token against forged forms is another each time."""
    pages = [fetch(acme, "/sell", "gzip") for _ in range(12)]
    assert len({len(page.data) for page in pages}) > 4
    assert all(page.data[3] & 8 for page in pages)  # the field of a file's name, RFC 1952 section 2.3.1


@pytest.mark.parametrize("path", ["/recharges.csv", "/recharges.xlsx", "/ledger.csv", "/livez", "/app.webmanifest"])
def test_what_is_no_page_is_not_compressed(acme: Organization, path: str) -> None:
    answer = fetch(acme, path, "gzip")
    assert answer.status == 200, path
    assert "Content-Encoding" not in answer.headers


def test_the_api_is_not_compressed(world: World) -> None:
    client = world.acme.member.client
    for path in ("/me", "/balance", "/recharges", "/entries.csv", "/webhooks"):
        answer = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status == 200, path
        assert "Content-Encoding" not in answer.headers
