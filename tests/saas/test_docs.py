"""The OpenAPI document and Swagger UI: each kind of host describes its own paths, with assets of its own."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import urllib3

from saas import __version__
from tests.support.client import Client
from tests.support.world import World

SHARED = {
    "/api/v1/auth/token",
    "/api/v1/auth/token/refresh",
    "/api/v1/auth/token/revoke",
    "/api/v1/me",
    "/api/v1/members",
    "/api/v1/members/{username}",
    "/api/v1/members/{username}/invitation",
    "/api/v1/sessions",
    "/api/v1/sessions/{session_id}",
    "/api/v1/second-factor",
    "/api/v1/second-factor/totp",
    "/api/v1/second-factor/totp/confirm",
    "/api/v1/second-factor/recovery-codes",
}
PLATFORM = SHARED | {
    "/api/v1/organizations",
    "/api/v1/organizations/{slug}",
    "/api/v1/organizations/{slug}/suspend",
    "/api/v1/organizations/{slug}/activate",
    "/api/v1/audit",
    "/api/v1/audit.csv",
}
ORGANIZATION = SHARED | {
    "/api/v1/sellers",
    "/api/v1/sellers/{seller_id}",
    "/api/v1/sellers/{seller_id}/balance",
    "/api/v1/balance",
    "/api/v1/entries",
    "/api/v1/entries.csv",
    "/api/v1/credit-requests",
    "/api/v1/credit-requests/{request_id}",
    "/api/v1/credit-requests/{request_id}/slip",
    "/api/v1/credit-requests/{request_id}/approve",
    "/api/v1/credit-requests/{request_id}/reject",
    "/api/v1/recharges",
    "/api/v1/recharges/{recharge_id}",
    "/api/v1/recharges.csv",
    "/api/v1/recharges/bulk",
    "/api/v1/recharges/validate",
    "/api/v1/recharges/{recharge_id}/resolve",
    "/api/v1/operators",
    "/api/v1/operators/{operator}",
    "/api/v1/commissions",
    "/api/v1/settings",
    "/api/v1/limits",
    "/api/v1/limits/mine",
    "/api/v1/gateways",
    "/api/v1/gateways/{name}",
    "/api/v1/api-keys",
    "/api/v1/api-keys/{key_id}",
    "/api/v1/api-keys/{key_id}/rotate",
    "/api/v1/periods",
    "/api/v1/statements",
    "/api/v1/statements/{statement_id}",
    "/api/v1/statements/{statement_id}/proof",
    "/api/v1/statements/{statement_id}.pdf",
    "/api/v1/statements/{statement_id}.xlsx",
    "/api/v1/statements/{statement_id}.csv",
    "/api/v1/adjustments",
    "/api/v1/adjustments/{adjustment_id}",
    "/api/v1/adjustments/{adjustment_id}/approve",
    "/api/v1/adjustments/{adjustment_id}/reject",
    "/api/v1/branch",
    "/api/v1/branch/{child_id}",
    "/api/v1/branch/{child_id}/entries",
    "/api/v1/branch/{child_id}/recharges",
    "/api/v1/branch/credit-requests",
    "/api/v1/branch/credit-requests/{asked_id}",
    "/api/v1/branch/credit-requests/{asked_id}/approve",
    "/api/v1/branch/credit-requests/{asked_id}/reject",
    "/api/v1/transfers",
    "/api/v1/transfers/{transfer_id}",
    "/api/v1/audit",
    "/api/v1/audit.csv",
    "/api/v1/alerts",
    "/api/v1/alerts/threshold",
    "/api/v1/alerts/settings",
    "/api/v1/alerts/test",
    "/api/v1/alerts/{alert_id}/read",
    "/api/v1/webhooks",
    "/api/v1/webhooks/{webhook_id}",
    "/api/v1/webhooks/{webhook_id}/rotate-secret",
    "/api/v1/webhooks/{webhook_id}/deliveries",
    "/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend",
}


def document_of(client: Client) -> dict[str, Any]:
    answer = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status == 200
    document: dict[str, Any] = json.loads(answer.body)
    return document


def test_each_kind_of_host_describes_its_own_paths(world: World) -> None:
    assert set(document_of(world.platform)["paths"]) == PLATFORM
    assert set(document_of(world.acme.anyone)["paths"]) == ORGANIZATION
    assert document_of(world.globex.anyone) == document_of(world.acme.anyone)


def test_the_document_says_what_the_contract_says(world: World) -> None:
    document = document_of(world.acme.anyone)
    assert (document["openapi"], document["info"]["version"]) == ("3.1.1", __version__)
    sale = document["paths"]["/api/v1/recharges"]["post"]
    (key,) = [parameter for parameter in sale["parameters"] if parameter["name"] == "Idempotency-Key"]
    assert (key["in"], key["required"], key["schema"]["maxLength"]) == ("header", True, 255)
    assert set(sale["responses"]) == {"200", "201", "default"}
    amount = document["components"]["schemas"]["NewRechargeRequest"]["properties"]["amount"]
    assert (amount["type"], amount["minimum"], amount["maximum"]) == ("integer", 1, 1_000_000_000_000)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)
    filters = {parameter["name"] for parameter in document["paths"]["/api/v1/recharges"]["get"]["parameters"]}
    assert filters == {
        "status",
        "operator",
        "phone_number",
        "idempotency_key",
        "late",
        "seller_id",
        "created_from",
        "created_to",
        "limit",
        "cursor",
    }


@pytest.mark.parametrize("accept", ["application/vnd.oai.openapi", "application/yaml", "*/*"])
def test_the_document_is_yaml_unless_json_is_asked_for(world: World, accept: str) -> None:
    answer = world.acme.anyone.get("/api/schema", headers={"Accept": accept})
    assert answer.body.startswith(b"openapi: 3.1.1")


@pytest.mark.parametrize("which", ["platform", "organization"])
def test_the_documentation_takes_everything_from_its_own_host(world: World, which: str) -> None:
    client = world.platform if which == "platform" else world.acme.anyone
    page = client.get("/api/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    html = page.body.decode()
    own = f"http://{client.host}/api/docs"
    links = re.findall(r"""(?:href|src)\s*=\s*["']([^"']+)["']""", html)
    absolute = re.findall(r"""["'(](?:https?:)?//[^"')]+""", html)
    assert len(links) >= 4, html
    assert [link for link in absolute if urlsplit(link[1:]).netloc != client.host] == []
    for link in links:
        target = urlsplit(urljoin(own, link))
        assert target.netloc == client.host, link
        headers = {"Host": client.host}
        asset = urllib3.request("GET", f"http://{client.address}{target.path}", headers=headers, redirect=False)
        assert asset.status == 200, link
        assert len(asset.data) > 100
    assert "/api/schema" in html


NARROW = {"limit", "status", "expires_in", "index"}
"""Integers that never need more than 32 bits, whatever they are bounded by."""


def integers_of(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All schemas of integers in a document, each with the name that it stands under."""
    if isinstance(node, list):
        for inner in node:
            yield from integers_of(inner, name)
    elif isinstance(node, dict):
        kinds = node.get("type")
        if kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds):
            yield name, node
        # A parameter's name is beside its schema; of an array's items, the array's counts.
        own = node["name"] if isinstance(node.get("name"), str) and "in" in node else name
        for key, inner in node.items():
            yield from integers_of(inner, own if key in ("schema", "items") else key)


@pytest.mark.parametrize("host", ["platform", "organization"])
def test_every_integer_has_64_bits_but_those_that_are_small_for_certain(world: World, host: str) -> None:
    document = document_of(world.platform if host == "platform" else world.acme.anyone)
    found = list(integers_of(document))
    assert {"status", "expires_in"} <= {name for name, _schema in found}
    for name, schema in found:
        is_small = schema.get("maximum", 2**31) < 2**31 and abs(schema.get("minimum", 0)) < 2**31
        assert schema.get("format") == "int64" or is_small or name in NARROW, (name, schema)
    if host == "organization":
        for name in ("balance", "required", "amount", "balance_after", "seller_id", "created", "last_entry", "number"):
            schemas = [schema for of_name, schema in found if of_name == name]
            assert schemas, name
            assert all(schema.get("format") == "int64" for schema in schemas), name
