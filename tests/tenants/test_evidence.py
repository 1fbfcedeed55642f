"""Each endpoint that changes something leaves a row in the audit table, whoever else has a right to it."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django_tenants.utils import schema_context

from shared.models import User
from tests.support.world import Organization, World
from tests.tenants import endpoints
from tests.tenants.endpoints import ANYONE, OWNER, SELLER, Endpoint
from tests.tenants.test_isolation import ids as ids  # a fixture

LEAVE_NONE = {
    "POST api/v1/recharges": "the recharge itself is the evidence: it keeps who sold it",
    "POST api/v1/recharges/bulk": "as above",
    "POST api/v1/recharges/validate": "it changes nothing",
}
"""Endpoints that leave no row, and why. Whoever adds one here gives the reason."""

ELSEWHERE = {
    "POST api/v1/auth/token": "tests of sign-ins: a body that signs somebody in is not in the table",
    "POST api/v1/members/<str:username>/invitation": "tests of members: somebody must wait for one",
    "POST api/v1/auth/token/refresh": "it goes on with what a sign-in began",
    "POST api/v1/auth/token/revoke": "tests of sessions",
    "PUT api/v1/credit-requests/<any_uuid:request_id>/slip": "tests/credit/test_slips.py: it takes a picture",
    "POST api/v1/alerts/test": "tests/credit/test_alerts.py: there must be somebody to be told",
    "DELETE api/v1/sessions": "tests of sessions: there must be a sign-in to end",
    "DELETE api/v1/sessions/<any_uuid:session_id>": "as above",
    "POST api/v1/second-factor/totp": "it is not in force yet, and leaves none",
    "POST api/v1/second-factor/totp/confirm": "tests of the second factor: it takes a code",
    "DELETE api/v1/second-factor/totp": "as above",
    "POST api/v1/second-factor/recovery-codes": "as above",
}
"""Endpoints that anyone may call, or whose body the table can't have."""


def changing(rows: list[Endpoint]) -> list[Endpoint]:
    return [row for row in rows if row.method != "GET" and str(row) not in LEAVE_NONE and str(row) not in ELSEWHERE]


def last_number(schema: str, table: str) -> int:
    with schema_context(schema), connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max(id), 0) FROM {table}")
        number: int = cursor.fetchone()[0]
        return number


def names_of(schema: str, table: str, *, since: int) -> list[tuple[str, str]]:
    who = "actor" if table == "credit_auditrecord" else "username"
    with schema_context(schema), connection.cursor() as cursor:
        cursor.execute(f"SELECT {who}, request_id FROM {table} WHERE id > %s", [since])
        return list(cursor.fetchall())


@pytest.mark.parametrize("endpoint", changing(endpoints.ORGANIZATION), ids=str)
def test_what_changes_something_leaves_a_row(endpoint: Endpoint, acme: Organization, ids: dict[str, Any]) -> None:
    person = acme.member if endpoint.who in (SELLER, OWNER) else acme.owner
    since, request_id = last_number("org_acme", "credit_auditrecord"), uuid.uuid4().hex
    body = endpoint.body
    if endpoint.route.endswith("webhooks/<any_uuid:webhook_id>") and endpoint.method == "PATCH":
        body = {"is_active": False}  # what it is not already
    asked = Endpoint(endpoint.method, endpoint.route, endpoint.who, body, endpoint.has_key)
    answer = asked.ask(person.client, ids, headers={"X-Request-ID": request_id})
    assert answer.status in (200, 201, 202, 204), answer
    assert names_of("org_acme", "credit_auditrecord", since=since) == [(person.username, request_id)]


@pytest.mark.parametrize("endpoint", changing(endpoints.PLATFORM), ids=str)
def test_on_the_platforms_host_as_well(endpoint: Endpoint, world: World, ids: dict[str, Any]) -> None:
    client, request_id = world.platform_admin.client, uuid.uuid4().hex
    if endpoint.route.endswith("/activate"):
        assert client.post("/organizations/acme/suspend").status == 200
    User.objects.create(username="clerk", platform_role="platform_operator")
    since = last_number("public", "tenants_auditrecord")
    answer = endpoint.ask(client, ids, headers={"X-Request-ID": request_id})
    assert answer.status in (200, 201, 202, 204), answer
    assert names_of("public", "tenants_auditrecord", since=since) == [("root", request_id)]


def test_each_that_leaves_none_is_there_and_has_a_reason() -> None:
    there = {str(row) for row in (*endpoints.ORGANIZATION, *endpoints.PLATFORM)}
    assert set(LEAVE_NONE) | set(ELSEWHERE) <= there
    assert all(LEAVE_NONE.values())
    assert {str(row) for row in endpoints.ORGANIZATION if row.who == ANYONE and row.method != "GET"} <= set(ELSEWHERE)
