"""Request ids, and the log: a line of JSON for each request, with nothing in it that is nobody's business."""

import re
import uuid
from pathlib import Path

import pytest

from shared.logs import mask_secrets
from tests.support.bad_input import table
from tests.support.client import Client
from tests.support.logs import ServerLog
from tests.support.raw import send_as
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World, give_credit


@pytest.mark.parametrize(
    "given",
    ["a", "0", "find.me-1_2", "x" * 128, "ABC-123", "6f1c2a9e-0b7d-4c55-9a53-1f0e7d2b8c11"],
    ids=lambda given: given[:20],
)
def test_it_takes_the_request_id_that_is_given(acme: Organization, given: str) -> None:
    for answer in (
        acme.member.client.get("/me", headers={"X-Request-ID": given}),
        acme.anyone.get("/me", headers={"X-Request-ID": given}),
        acme.anyone.get("/nonsense", headers={"X-Request-ID": given}),
    ):
        assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    table(
        ("none", None),
        ("empty", b""),
        ("129 characters", b"x" * 129),
        ("a blank", b"one two"),
        ("a tab", b"one\ttwo"),
        ("a quote", b'"'),
        ("a slash", b"one/two"),
        ("braces", b"{}"),
        ("JSON", b'","level":"info'),
        ("a percent sign", b"%0a"),
        ("Persian", "شناسه".encode()),
        ("Latin-1", b"\xe9"),
    ),
)
def test_it_makes_one_where_what_is_given_will_not_do(acme: Organization, given: bytes | None) -> None:
    headers = [] if given is None else [b"X-Request-ID: " + given]
    made = [send_as(acme.member.client, "GET", "/me", headers).headers["X-Request-ID"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in made)
    assert made[0] != made[1]


@pytest.mark.parametrize("host", ["recharge.test", "acme.recharge.test", "nowhere.recharge.test"])
def test_every_answer_has_one(world: World, host: str) -> None:
    client = Client(world.acme.anyone.address, host)
    for path in ("/livez", "/readyz", "/api/schema", "/api/docs", "/api/v1/me", "/nonsense"):
        assert client.get(path, headers={"X-Request-ID": "given"}).headers["X-Request-ID"] == "given"


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    table(
        ("a success", "GET", "/recharges", 200, "acme"),
        ("a refusal", "POST", "/recharges", 400, "acme"),
        ("an unknown path", "GET", "/nonsense", 404, "acme"),
        ("an export", "GET", "/entries.csv", 200, "acme"),
        ("health", "GET", "/readyz", 200, None),
    ),
)
def test_each_request_is_one_line_of_the_log(
    acme: Organization, log: Path, method: str, path: str, status: int, slug: str | None
) -> None:
    server_log = ServerLog(log)
    request_id = uuid.uuid4().hex
    acme.member.client.request(method, path, headers={"X-Request-ID": request_id})
    line = server_log.wait_for("request", request_id)
    assert (line["method"], line["status"], line["organization"]) == (method, status, slug)
    assert line["path"].endswith(path)
    assert 0 < line["duration_ms"] < 60_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


def test_the_platform_and_an_unknown_host_are_no_organization_in_the_log(world: World, log: Path) -> None:
    server_log = ServerLog(log)
    world.acme.anyone.get("/me")
    for host in ("recharge.test", "nowhere.recharge.test"):
        answer = Client(world.acme.anyone.address, host).get("/me")
        assert server_log.wait_for("request", answer.headers["X-Request-ID"])["organization"] is None


def test_a_whole_day_of_work_leaves_no_secret_in_the_log(world: World, log: Path) -> None:
    acme, server_log = world.acme, ServerLog(log)
    new_password, phone_number = "a very unusual password", "09127654321"
    acme.owner.client.post("/sellers", {"name": "Sara", "username": "sara", "password": new_password})
    pair = acme.anyone.post("/auth/token", {"username": "sara", "password": new_password}).json
    acme.anyone.post("/auth/token", {"username": "sara", "password": PASSWORD + "?"})
    renewed = acme.anyone.post("/auth/token/refresh", {"refresh": pair["refresh"]}).json
    acme.anyone.post("/auth/token/refresh", {"refresh": pair["refresh"]})
    acme.anyone.post("/auth/token/revoke", {"refresh": renewed["refresh"]})
    give_credit(acme.row, acme.member.id, 10_000)
    for _ in range(3):
        acme.member.sell(5000, phone_number=phone_number)
    acme.member.client.get("/recharges?phone_number=%2B989127654321")
    acme.member.client.get("/recharges.csv?phone_number=09127654321")
    acme.member.client.get("/recharges/09127654321")
    acme.member.client.get("/recharges/+989127654321")
    acme.member.client.get("/recharges", headers={"X-Request-ID": "09127654321"})
    acme.anyone.get(f"/recharges/{pair['access']}")
    acme.anyone.get(f"/me?token={pair['access']}")
    last = acme.anyone.get("/nonsense").headers["X-Request-ID"]
    server_log.wait_for("request", last)

    text = server_log.text()
    wait_until(lambda: len(server_log.events()) >= 16)
    assert len({line["event"] for line in server_log.events()}) == 1
    for secret in (
        new_password,
        PASSWORD,
        "9127654321",
        *(token for pair_of in (pair, renewed) for token in (pair_of["access"], pair_of["refresh"])),
        acme.member.client.token,
        acme.owner.client.token,
    ):
        assert secret not in text
    # Nor a part of a token that would do: the signature, or what it says.
    assert pair["access"].split(".")[2] not in text
    assert "eyJ" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    table(
        ("E.164", "to +989121234567.", "to +98912****567."),
        ("plain", "to 09121234567.", "to 0912****567."),
        ("dialled", "to 00989121234567.", "to 0098912****567."),
        ("two", "09121234567 09351234567", "0912****567 0935****567"),
        ("in a path", "/recharges/09121234567", "/recharges/0912****567"),
        ("a token", "Bearer eyJhbGciOiJI.eyJzdWIi.c2ln!", "Bearer (token)!"),
        ("a token in a word", "/x-eyJhbGciOiJI.eyJzdWIi.c2ln/y", "/x-(token)/y"),
        ("a token in a list", "a.b.eyJhbGciOiJI.eyJzdWIi.c2ln d.e.f", "a.b.(token) d.e.f"),
        ("beginnings of tokens", "eyJ" * 100_000, "eyJ" * 100_000),
        ("an id that looks like one", "0912123456709121234567abcdefabcd", "0912123456709121234567abcdefabcd"),
        ("a UUID", "01a20f0b-7f65-7b7c-9dd4-09121234567a", "01a20f0b-7f65-7b7c-9dd4-09121234567a"),
        ("an amount", "1000000000000", "1000000000000"),
        ("no text", 9121234567, 9121234567),
    ),
)
def test_numbers_and_tokens_are_masked_and_ids_are_not(text: object, shown: object) -> None:
    assert mask_secrets(None, "", {"exception": text}) == {"exception": shown}
