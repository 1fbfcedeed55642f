"""Headers of every answer: the API's, pages', files', and errors from before any view.

tests/support/client.py looks at the same in every answer of every test."""

import pytest
import urllib3
from django.test import Client as InProcess
from drf_spectacular.generators import SchemaGenerator

from saas import docs
from shared.headers import NOTHING
from tests.support.client import Answer, Client, check_headers
from tests.support.raw import send
from tests.support.visitor import Visitor
from tests.support.world import PASSWORD, Organization, World


def plain(client: Client, method: str, path: str, **headers: str) -> Answer:
    """Without the looks that the tests' client takes."""
    response = urllib3.request(
        method,
        f"http://{client.address}{path}",
        headers={"Host": client.host, **{name.replace("_", "-"): value for name, value in headers.items()}},
        body=headers.get("body"),
        redirect=False,
        retries=False,
    )
    return Answer(response.status, response.headers, response.data, None)


@pytest.mark.parametrize(
    ("host", "method", "path", "status"),
    [
        ("nowhere.recharge.test", "GET", "/", 404),
        ("nowhere.recharge.test", "GET", "/api/v1/me", 404),
        ("elsewhere.example", "GET", "/sign-in", 404),
        ("acme.recharge.test", "GET", "/nothing", 404),
        ("acme.recharge.test", "GET", "/api/nothing", 404),
        ("acme.recharge.test", "GET", "/api/v1/me", 401),
        ("acme.recharge.test", "DELETE", "/api/v1/me", 401),
        ("acme.recharge.test", "DELETE", "/sign-in", 403),
        ("acme.recharge.test", "POST", "/sign-in", 403),
        ("acme.recharge.test", "GET", "/sign-in", 200),
        ("acme.recharge.test", "GET", "/", 302),
        ("acme.recharge.test", "GET", "/livez", 200),
        ("acme.recharge.test", "GET", "/readyz", 200),
        ("10.1.2.3", "GET", "/livez", 200),
        ("acme.recharge.test", "POST", "/livez", 405),
        ("recharge.test", "GET", "/admin/", 302),
        ("recharge.test", "GET", "/admin/login/", 200),
        ("acme.recharge.test", "GET", "/api/schema", 200),
        ("acme.recharge.test", "GET", "/api/docs", 200),
        ("acme.recharge.test", "GET", "/api/docs?script=", 200),
        ("acme.recharge.test", "GET", "/static/nothing.css", 404),
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_every_answer_has_its_headers(
    world: World, host: str, method: str, path: str, status: int, accept: str
) -> None:
    answer = plain(Client(world.platform.address, host), method, path, Accept=accept)
    assert answer.status == status or (path.startswith("/api/") and answer.status == 406)
    check_headers(answer)
    if not path.startswith("/api/schema"):
        assert "no-store" in answer.headers["Cache-Control"]


def test_a_body_that_is_too_large_is_answered_with_headers(acme: Organization) -> None:
    for path in ("/sign-in", "/api/v1/auth/token", "/api/v1/recharges"):
        lines = [f"POST {path} HTTP/1.1", f"Host: {acme.host}", "Content-Type: application/json"]
        answer = send(acme.anyone.address, *lines, f"Content-Length: {3 * 1024 * 1024}", body=b" " * 3 * 1024 * 1024)
        assert answer.status in (401, 413)
        check_headers(answer)


def test_tokens_and_what_is_done_with_them_are_kept_by_nobody(acme: Organization) -> None:
    pair = acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD})
    answers = [
        pair,
        acme.anyone.post("/auth/token", {"username": "member", "password": "wrong"}),
        acme.anyone.post("/auth/token/refresh", {"refresh": pair.json["refresh"]}),
        acme.member.client.get("/balance"),
        acme.member.client.get("/entries.csv"),
        *(acme.member.sell(5000, key="k") for _ in range(5)),  # the fast path, too
    ]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert {answer.headers["Content-Security-Policy"] for answer in answers} == {NOTHING}


def test_a_page_that_is_refused_may_still_load_its_styles(acme: Organization) -> None:
    for host in (acme.host, "nowhere.recharge.test"):
        page = Visitor(Client(acme.anyone.address, host)).get("/nothing-there")
        assert page.status == 404
        assert "style-src 'self'" in page.headers["Content-Security-Policy"]


# --- The OpenAPI document ---------------------------------------------------------------------------------------------


def test_the_document_may_be_kept_and_is_asked_for_again_by_its_tag(world: World) -> None:
    tags = set()
    for client in (world.platform, world.acme.anyone):
        for accept in ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi"):
            answer = plain(client, "GET", "/api/schema", Accept=accept)
            assert answer.headers["Cache-Control"] == "public, max-age=300"
            assert "Accept" in answer.headers["Vary"]
            tag = answer.headers["ETag"]
            again = plain(client, "GET", "/api/schema", Accept=accept, If_None_Match=tag)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["Cache-Control"] == "public, max-age=300"
            tags.add(tag)
    assert len(tags) == 4


def test_the_document_is_made_once(monkeypatch: pytest.MonkeyPatch, acme: Organization) -> None:
    made = []
    original = SchemaGenerator.get_schema
    monkeypatch.setattr(SchemaGenerator, "get_schema", lambda *a, **k: made.append(1) or original(*a, **k))
    docs._rendered.cache_clear()
    client = InProcess(headers={"host": acme.host, "accept": "application/vnd.oai.openapi+json"})
    for query in ("", "?lang=en", "?lang=tlh", "?lang=x&version=7", "?version=2", *(f"?lang=x{n}" for n in range(50))):
        assert client.get(f"/api/schema{query}").status_code == 200
    assert len(made) == 1
    assert client.get("/api/schema?lang=fa").status_code == 200
    assert docs._rendered.cache_info().currsize == 2
