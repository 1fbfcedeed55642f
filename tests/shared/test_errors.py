"""Errors are problem documents, on every path and with every status."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from psycopg2 import sql

from tests.support.bad_input import table
from tests.support.cleaning import session
from tests.support.client import Client
from tests.support.logs import ServerLog
from tests.support.sessions import sessions
from tests.support.tables import nothing_written
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World, give_credit

UUID = "0199b7e2-0000-7000-8000-000000000000"


UNKNOWN_PATHS = [
    "/api/nonsense",
    "/api/v1/",
    "/api/v1/nonsense",
    "/api/v1/me/",
    "/api/v2/me",
    "/api/v1/محصول",
    "/api/v1/%00",
    "/api/../etc",
]


@pytest.mark.parametrize("host", ["recharge.test", "acme.recharge.test", "nowhere.recharge.test", "elsewhere.example"])
def test_nothing_is_at_an_unknown_path(world: World, host: str) -> None:
    client = Client(world.acme.anyone.address, host)
    answers = {path: client.get(path) for path in UNKNOWN_PATHS}
    assert {path: (answer.status, answer.code) for path, answer in answers.items()} == dict.fromkeys(
        UNKNOWN_PATHS, (404, "not_found")
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    table(
        ("OPTIONS", "OPTIONS", "/recharges", {"GET", "HEAD", "POST"}),
        ("TRACE", "TRACE", "/recharges", {"GET", "HEAD", "POST"}),
        ("DELETE of all", "DELETE", "/recharges", {"GET", "HEAD", "POST"}),
        ("PUT", "PUT", f"/recharges/{UUID}", {"GET", "HEAD"}),
        ("PATCH", "PATCH", f"/recharges/{UUID}", {"GET", "HEAD"}),
        ("an invention", "BREW", "/entries", {"GET", "HEAD"}),
        ("POST of a statement", "POST", "/entries", {"GET", "HEAD"}),
        ("POST of an export", "POST", "/entries.csv", {"GET", "HEAD"}),
        ("GET of a sign-in", "GET", "/auth/token", {"POST"}),
        ("POST of the document", "POST", "/api/schema", {"GET", "HEAD"}),
        ("POST of the documentation", "POST", "/api/docs", {"GET", "HEAD"}),
        ("OPTIONS of the document", "OPTIONS", "/api/schema", {"GET", "HEAD"}),
    ),
)
def test_a_method_that_is_not_there_is_refused_and_the_others_are_named(
    acme: Organization, method: str, path: str, allowed: set[str]
) -> None:
    answer = acme.member.client.request(method, path)
    assert answer.status == 405
    assert answer.code == "method_not_allowed"
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/problem+json", "nonsense"])
def test_an_answer_that_is_not_acceptable_is_refused(acme: Organization, accept: str) -> None:
    for path in ("/recharges", "/balance", "/me"):
        answer = acme.member.client.get(path, headers={"Accept": accept})
        assert (answer.status, answer.code) == (406, "not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json", "text/html, */*;q=0.1"])
def test_json_is_acceptable_in_any_usual_way(acme: Organization, accept: str) -> None:
    assert acme.member.client.get("/me", headers={"Accept": accept}).status == 200


def test_a_problem_document_has_its_members(acme: Organization) -> None:
    for answer in (acme.anyone.get("/nonsense"), acme.anyone.get("/me"), acme.member.sell(1), acme.member.sell(0)):
        assert {"type", "title", "status", "code", "detail", "request_id"} <= set(answer.json)
        assert answer.json["type"] == "about:blank"


def test_an_error_names_its_fields(acme: Organization) -> None:
    answer = acme.member.client.post("/recharges", {"phone_number": "09121234567", "amount": "5000"}, key="k")
    assert [set(fault) for fault in answer.json["errors"]] == [{"field", "code", "detail"}]
    assert "JSON integer" in answer.json["errors"][0]["detail"]


@contextmanager
def renamed(what: str, schema: str, name: str) -> Iterator[None]:
    """Takes a table or a function away from the running server."""
    rename = sql.SQL("ALTER {} {}.{} RENAME TO {}")
    kind = sql.SQL(what)
    with connection.cursor() as cursor:
        cursor.execute(rename.format(kind, sql.Identifier(schema), sql.Identifier(name), sql.Identifier("gone")))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(rename.format(kind, sql.Identifier(schema), sql.Identifier("gone"), sql.Identifier(name)))


def test_a_defect_is_500_says_nothing_of_the_inside_and_is_found_in_the_log(acme: Organization, log: Path) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    server_log = ServerLog(log)
    body = {"phone_number": "09121234567", "amount": 5000}
    with renamed("FUNCTION", acme.row.schema_name, "recharge_sell"), nothing_written():
        answer = acme.member.client.post("/recharges", body, key="k", headers={"X-Request-ID": "find.me-1"})
    assert (answer.status, answer.code, answer.json["request_id"]) == (500, "internal_error", "find.me-1")
    for inside in ("recharge_sell", "org_acme", "psycopg2", "Traceback", "SELECT", "UndefinedFunction"):
        assert inside not in answer.body.decode()
    logged = server_log.wait_for("internal_error", "find.me-1")
    assert logged["organization"] == "acme"
    assert "Traceback" in logged["exception"]
    assert "recharge_sell" in logged["exception"]
    assert acme.member.sell(5000, key="k").status == 201


def test_a_traceback_that_quotes_a_row_hides_the_phone_number_in_it(acme: Organization, log: Path) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    server_log = ServerLog(log)
    table = f"{acme.row.schema_name}.recharge_recharge"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT refusing CHECK (phone_number = '')")
    try:
        with nothing_written():
            answer = acme.member.sell(5000)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT refusing")
    assert answer.code == "internal_error"
    logged = server_log.wait_for("internal_error", answer.headers["X-Request-ID"])
    assert "Failing row contains" in logged["exception"]
    assert "+98912****567" in logged["exception"]
    assert "9121234567" not in server_log.text()


@pytest.mark.parametrize(
    ("table_name", "ask"),
    [
        ("recharge_recharge", lambda acme: acme.member.client.get("/recharges")),
        ("recharge_recharge", lambda acme: acme.member.client.get("/recharges.csv")),
        ("credit_account", lambda acme: acme.member.client.get("/balance")),
        ("credit_seller", lambda acme: acme.owner.client.get("/sellers")),
        ("credit_entry", lambda acme: acme.owner.client.get("/entries")),
    ],
    ids=["list", "export", "balance", "sellers", "statement"],
)
def test_a_read_that_fails_is_500_and_the_next_one_is_well(acme: Organization, table_name: str, ask: object) -> None:
    with renamed("TABLE", acme.row.schema_name, table_name):
        assert [ask(acme).code for _ in range(3)] == ["internal_error"] * 3
    assert [ask(acme).status for _ in range(9)] == [200] * 9  # on every thread


def test_a_defect_in_signing_in_is_500_and_hides_the_password(acme: Organization, log: Path) -> None:
    server_log = ServerLog(log)
    with renamed("TABLE", "public", "shared_refreshfamily"):
        answer = acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD})
    assert answer.code == "internal_error"
    server_log.wait_for("internal_error", answer.headers["X-Request-ID"])
    assert PASSWORD not in server_log.text()


def test_an_organization_that_cannot_be_looked_up_is_503(world: World, acme: Organization) -> None:
    client = Client(acme.anyone.address, f"{uuid.uuid4().hex}.recharge.test")
    with renamed("TABLE", "public", "tenants_domain"):
        answer = client.get("/me")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
    assert client.get("/me").code == "not_found"


@contextmanager
def refusing_database() -> Iterator[None]:
    """While this lasts, the database of the running server takes no connection, and those it had are gone."""
    name = connection.settings_dict["NAME"]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")  # a pooler lets in by a number of its own
        own = [cursor.fetchone()[0], session().info.backend_pid]
    # (Autovacuum's processes are a superuser's, and end by themselves. So do sessions of a cluster's nodes among each
    # other, with those that they are for.)
    end = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND pid <> ALL (%s)"
        " AND backend_type = 'client backend' AND application_name NOT LIKE 'citus_internal%%'"
    )
    # A database can't be closed from within; every PostgreSQL has this other one.
    with sessions(dbname="postgres") as outside:
        for one in outside:
            one.autocommit = True

        def gone() -> bool:
            for one in outside:
                with one.cursor() as cursor:
                    cursor.execute(end, [name, own])
                    if cursor.fetchone() != (0,):
                        return False
            return True

        try:
            for one in outside:
                one.cursor().execute(allow.format(sql.Identifier(name), sql.SQL("false")))
            wait_until(gone)
            yield
        finally:
            for one in outside:
                one.cursor().execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_a_database_that_refuses_is_503_for_everything_and_then_all_is_well(world: World, log: Path) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 10_000)
    connection.ensure_connection()
    server_log = ServerLog(log)

    def ask_everything() -> list[tuple[int, str | None, str | None]]:
        answers = [
            acme.member.sell(5000, key="k"),
            acme.member.client.post("/credit-requests", {"amount": 5000}, key="k"),
            acme.member.client.get("/balance"),
            acme.member.client.get("/recharges"),
            acme.member.client.get("/recharges.csv"),
            acme.owner.client.post("/sellers", {"name": "Sara", "username": "sara", "password": PASSWORD}),
            acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}),
            world.platform_admin.client.get("/organizations"),
            acme.anyone.get("/readyz"),
        ]
        return [(answer.status, answer.code, answer.headers.get("Retry-After")) for answer in answers]

    with refusing_database(), nothing_written():
        # More than the server has threads, so that each finds its connection dead.
        for _ in range(3):
            assert ask_everything() == [(503, "unavailable", "1")] * 9
        assert acme.anyone.get("/livez").status == 200
        assert acme.anyone.get("/nonsense").status in (404, 503)  # by whether the host is remembered
    # At once; but a pooler tries again only a second after it was refused.
    wait_until(lambda: acme.anyone.get("/readyz").status == 200, "it is ready")
    assert [status for status, _, _ in ask_everything()] == [201, 201, 200, 200, 200, 201, 200, 200, 200]
    assert {status for status, _, _ in ask_everything()} == {200, 409}, "replays, and a username that is taken"
    assert acme.member.balance() == 5000
    assert "9121234567" not in server_log.text()
    assert PASSWORD not in server_log.text()
