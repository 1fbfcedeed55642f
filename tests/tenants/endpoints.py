"""Every endpoint there is, from the URL maps; and for each of them who may call it and with what.

A new endpoint without a row here makes test_isolation.py fail.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from tests.support.client import Answer, Client

ADMIN, SELLER, BOTH, PLATFORM_ADMIN, ANYONE = "admin", "seller", "admin or seller", "platform admin", "anyone"
OWNER = "whose it is"


@dataclass(frozen=True)
class Endpoint:
    """A method on a path as the URL map writes it, who may call it, and the body that makes it succeed."""

    method: str
    route: str
    who: str
    body: dict[str, Any] | None = None
    has_key: bool = False
    is_own: bool = False
    """It changes the own account, whatever one's role is."""
    accepted: tuple[int, ...] = (200, 201, 202, 204)
    """What who may call it is answered. (Where a success needs a code, that has a test of its own.)"""

    def __str__(self) -> str:
        return f"{self.method} {self.route}"

    def ask(self, client: Client, ids: dict[str, Any], **options: Any) -> Answer:
        """Calls it; ``ids`` fill the places of its path, by their names in the URL map."""
        path = "/" + self.route
        for name, value in ids.items():
            for kind in ("bigint", "any_uuid", "slug", "str"):
                path = path.replace(f"<{kind}:{name}>", str(value))
        assert "<" not in path, path
        if self.has_key:
            options["key"] = uuid.uuid4().hex
        return client.request(self.method, path, json=self.body, **options)


PASSWORD = "an unusual password"
_NEW_SELLER = {"name": "Sara", "username": "sara", "password": PASSWORD}
_NEW_MEMBER = {"username": "nima", "password": PASSWORD, "role": "accountant"}
_NEW_PLATFORM_USER = {"username": "nima", "password": PASSWORD, "role": "platform_operator"}
_NEW_ORGANIZATION = {"slug": "initech", "name": "Initech", "admin": {"username": "owner", "password": PASSWORD}}
_WEBHOOK = {"url": "https://hooks.example.com/recharges", "events": ["recharge.succeeded"]}
_API_KEY = {"name": "Till", "scopes": ["read"]}
_STATEMENT = {"seller_id": 1, "from": "2026-01-01", "to": "2026-01-31"}
_RECHARGE = {"phone_number": "09121234567", "amount": 5000}

_AUTHENTICATION = [
    Endpoint("POST", "api/v1/auth/token", ANYONE, {}),
    Endpoint("POST", "api/v1/auth/token/refresh", ANYONE, {}),
    Endpoint("POST", "api/v1/auth/token/revoke", ANYONE, {}),
    Endpoint("GET", "api/schema", ANYONE),
    Endpoint("GET", "api/docs", ANYONE),
]


def _second_factor(who: str) -> list[Endpoint]:
    code = {"code": "123456"}
    return [
        Endpoint("GET", "api/v1/second-factor", who),
        Endpoint("POST", "api/v1/second-factor/totp", who, is_own=True),
        Endpoint("DELETE", "api/v1/second-factor/totp", who, code, is_own=True, accepted=(400,)),
        Endpoint("POST", "api/v1/second-factor/totp/confirm", who, code, is_own=True, accepted=(404,)),
        Endpoint("POST", "api/v1/second-factor/recovery-codes", who, code, is_own=True, accepted=(400,)),
    ]


ORGANIZATION = [
    *_AUTHENTICATION,
    Endpoint("GET", "api/v1/sessions", BOTH),
    Endpoint("DELETE", "api/v1/sessions", BOTH, is_own=True),
    Endpoint("DELETE", "api/v1/sessions/<any_uuid:session_id>", OWNER, is_own=True),
    Endpoint("GET", "api/v1/me", BOTH),
    Endpoint("GET", "api/v1/members", ADMIN),
    Endpoint("POST", "api/v1/members", ADMIN, _NEW_MEMBER),
    Endpoint("PATCH", "api/v1/members/<str:username>", ADMIN, {"role": "support"}),
    Endpoint("POST", "api/v1/members/<str:username>/invitation", ADMIN, accepted=(409,)),
    *_second_factor(BOTH),
    Endpoint("GET", "api/v1/sellers", ADMIN),
    Endpoint("POST", "api/v1/sellers", ADMIN, _NEW_SELLER),
    Endpoint("GET", "api/v1/sellers/<bigint:seller_id>", ADMIN),
    Endpoint("PATCH", "api/v1/sellers/<bigint:seller_id>", ADMIN, {"name": "Renamed"}),
    Endpoint("GET", "api/v1/sellers/<bigint:seller_id>/balance", ADMIN),
    Endpoint("GET", "api/v1/balance", SELLER),
    Endpoint("GET", "api/v1/entries", BOTH),
    Endpoint("GET", "api/v1/entries.csv", BOTH),
    Endpoint("GET", "api/v1/credit-requests", BOTH),
    Endpoint("POST", "api/v1/credit-requests", SELLER, {"amount": 5000}, has_key=True),
    Endpoint("GET", "api/v1/credit-requests/<any_uuid:request_id>", BOTH),
    Endpoint("GET", "api/v1/credit-requests/<any_uuid:request_id>/slip", BOTH),
    # (With a picture: tests/credit/test_slips.py.)
    Endpoint("PUT", "api/v1/credit-requests/<any_uuid:request_id>/slip", SELLER, {}, accepted=(415,)),
    Endpoint("POST", "api/v1/credit-requests/<any_uuid:request_id>/approve", ADMIN),
    Endpoint("POST", "api/v1/credit-requests/<any_uuid:request_id>/reject", ADMIN, {"reason": "No."}),
    Endpoint("GET", "api/v1/periods", ADMIN),
    Endpoint("POST", "api/v1/periods", ADMIN, {"last_day": "2026-01-20"}),
    Endpoint("GET", "api/v1/adjustments", ADMIN),
    Endpoint(
        "POST", "api/v1/adjustments", ADMIN, {"seller_id": 1, "amount": 5000, "reason": "Paid twice."}, has_key=True
    ),
    Endpoint("GET", "api/v1/adjustments/<any_uuid:adjustment_id>", ADMIN),
    Endpoint("POST", "api/v1/adjustments/<any_uuid:adjustment_id>/approve", ADMIN),
    Endpoint("POST", "api/v1/adjustments/<any_uuid:adjustment_id>/reject", ADMIN, {"reason": "No."}),
    Endpoint("GET", "api/v1/transfers", BOTH),
    Endpoint("POST", "api/v1/transfers", SELLER, {"to": 3, "amount": 5000}, has_key=True),
    Endpoint("GET", "api/v1/transfers/<any_uuid:transfer_id>", BOTH),
    Endpoint("GET", "api/v1/branch", SELLER),
    Endpoint("POST", "api/v1/branch", SELLER, _NEW_SELLER),
    Endpoint("GET", "api/v1/branch/<bigint:child_id>", SELLER),
    Endpoint("PATCH", "api/v1/branch/<bigint:child_id>", SELLER, {"is_active": False}),
    Endpoint("GET", "api/v1/branch/<bigint:child_id>/entries", SELLER),
    Endpoint("GET", "api/v1/branch/<bigint:child_id>/recharges", SELLER),
    Endpoint("GET", "api/v1/branch/credit-requests", SELLER),
    Endpoint("GET", "api/v1/branch/credit-requests/<any_uuid:asked_id>", SELLER),
    Endpoint("POST", "api/v1/branch/credit-requests/<any_uuid:asked_id>/approve", SELLER),
    Endpoint("POST", "api/v1/branch/credit-requests/<any_uuid:asked_id>/reject", SELLER, {"reason": "No."}),
    Endpoint("GET", "api/v1/api-keys", BOTH),
    Endpoint("POST", "api/v1/api-keys", BOTH, _API_KEY),
    Endpoint("GET", "api/v1/api-keys/<any_uuid:key_id>", BOTH),
    Endpoint("DELETE", "api/v1/api-keys/<any_uuid:key_id>", BOTH),
    Endpoint("POST", "api/v1/api-keys/<any_uuid:key_id>/rotate", BOTH),
    Endpoint("GET", "api/v1/audit", ADMIN),
    Endpoint("GET", "api/v1/audit.csv", ADMIN),
    Endpoint("GET", "api/v1/alerts", BOTH),
    Endpoint("GET", "api/v1/alerts/threshold", SELLER),
    Endpoint("PUT", "api/v1/alerts/threshold", SELLER, {"alert_below": 100_000}),
    Endpoint("GET", "api/v1/alerts/settings", ADMIN),
    Endpoint("PATCH", "api/v1/alerts/settings", ADMIN, {"mail_to": ["desk@acme.example"]}),
    # (Where there is somebody to be told: tests/credit/test_alerts.py.)
    Endpoint("POST", "api/v1/alerts/test", ADMIN, accepted=(409,)),
    # The member's own.
    Endpoint("POST", "api/v1/alerts/<any_uuid:alert_id>/read", OWNER),
    Endpoint("GET", "api/v1/webhooks", BOTH),
    Endpoint("POST", "api/v1/webhooks", BOTH, _WEBHOOK),
    Endpoint("GET", "api/v1/webhooks/<any_uuid:webhook_id>", BOTH),
    # The member's own, which an admin may see and not change.
    Endpoint("PATCH", "api/v1/webhooks/<any_uuid:webhook_id>", SELLER, {"is_active": True}),
    Endpoint("DELETE", "api/v1/webhooks/<any_uuid:webhook_id>", SELLER),
    Endpoint("POST", "api/v1/webhooks/<any_uuid:webhook_id>/rotate-secret", SELLER),
    Endpoint("GET", "api/v1/webhooks/<any_uuid:webhook_id>/deliveries", BOTH),
    Endpoint("POST", "api/v1/webhooks/<any_uuid:webhook_id>/deliveries/<any_uuid:delivery_id>/resend", SELLER),
    Endpoint("GET", "api/v1/recharges", BOTH),
    Endpoint("POST", "api/v1/recharges", SELLER, _RECHARGE, has_key=True),
    Endpoint("GET", "api/v1/recharges/<any_uuid:recharge_id>", BOTH),
    Endpoint("GET", "api/v1/recharges.csv", BOTH),
    Endpoint("POST", "api/v1/recharges/validate", SELLER, _RECHARGE),
    Endpoint("POST", "api/v1/recharges/<any_uuid:recharge_id>/resolve", ADMIN, {"status": "failed", "reason": "No."}),
    Endpoint("GET", "api/v1/statements", BOTH),
    Endpoint("POST", "api/v1/statements", BOTH, _STATEMENT),
    Endpoint("GET", "api/v1/statements/<any_uuid:statement_id>", BOTH),
    Endpoint("GET", "api/v1/statements/<any_uuid:statement_id>/proof", BOTH),
    Endpoint("GET", "api/v1/statements/<any_uuid:statement_id>.pdf", BOTH),
    Endpoint("GET", "api/v1/statements/<any_uuid:statement_id>.xlsx", BOTH),
    Endpoint("GET", "api/v1/statements/<any_uuid:statement_id>.csv", BOTH),
    Endpoint("GET", "api/v1/operators", BOTH),
    Endpoint("POST", "api/v1/operators", ADMIN, {"operator": "shatel", "name": "Shatel Mobile"}),
    Endpoint("GET", "api/v1/operators/<slug:operator>", BOTH),
    Endpoint("PATCH", "api/v1/operators/<slug:operator>", ADMIN, {"least_amount": 1000}),
    Endpoint("GET", "api/v1/commissions", ADMIN),
    Endpoint("PUT", "api/v1/commissions", ADMIN, {"seller_id": None, "operator": None, "basis_points": 300}),
    Endpoint("GET", "api/v1/settings", ADMIN),
    Endpoint("PATCH", "api/v1/settings", ADMIN, {"duplicate_window": 60}),
    Endpoint("GET", "api/v1/limits", ADMIN),
    Endpoint("PUT", "api/v1/limits", ADMIN, {"seller_id": None, "per_sale": 900_000}),
    Endpoint("GET", "api/v1/limits/mine", SELLER),
    Endpoint("GET", "api/v1/gateways", ADMIN),
    Endpoint("POST", "api/v1/gateways", ADMIN, {"name": "second", "kind": "simulator"}),
    Endpoint("GET", "api/v1/gateways/<slug:name>", ADMIN),
    Endpoint("PATCH", "api/v1/gateways/<slug:name>", ADMIN, {"read_timeout_ms": 5000}),
    Endpoint("DELETE", "api/v1/gateways/<slug:name>", ADMIN),
    Endpoint("POST", "api/v1/recharges/bulk", SELLER, {"items": [_RECHARGE | {"idempotency_key": "k"}]}),
]

PLATFORM = [
    *_AUTHENTICATION,
    Endpoint("GET", "api/v1/sessions", PLATFORM_ADMIN),
    Endpoint("DELETE", "api/v1/sessions", PLATFORM_ADMIN, is_own=True),
    Endpoint("DELETE", "api/v1/sessions/<any_uuid:session_id>", PLATFORM_ADMIN, is_own=True),
    Endpoint("GET", "api/v1/me", PLATFORM_ADMIN),
    Endpoint("GET", "api/v1/members", PLATFORM_ADMIN),
    Endpoint("POST", "api/v1/members", PLATFORM_ADMIN, _NEW_PLATFORM_USER),
    Endpoint("PATCH", "api/v1/members/<str:username>", PLATFORM_ADMIN, {"role": "platform_auditor"}),
    Endpoint("POST", "api/v1/members/<str:username>/invitation", PLATFORM_ADMIN, accepted=(409,)),
    *_second_factor(PLATFORM_ADMIN),
    Endpoint("GET", "api/v1/organizations", PLATFORM_ADMIN),
    Endpoint("POST", "api/v1/organizations", PLATFORM_ADMIN, _NEW_ORGANIZATION),
    Endpoint("GET", "api/v1/organizations/<slug:slug>", PLATFORM_ADMIN),
    Endpoint("POST", "api/v1/organizations/<slug:slug>/suspend", PLATFORM_ADMIN),
    Endpoint("POST", "api/v1/organizations/<slug:slug>/activate", PLATFORM_ADMIN),
    Endpoint("GET", "api/v1/audit", PLATFORM_ADMIN),
    Endpoint("GET", "api/v1/audit.csv", PLATFORM_ADMIN),
]


def closed(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Those that need a token."""
    return [endpoint for endpoint in endpoints if endpoint.who != ANYONE]


def published(urlconf: str) -> set[str]:
    """``METHOD route`` of everything below ``api/`` in a URL map."""
    return set(_published(get_resolver(urlconf), ""))


def _published(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _published(pattern, route)
        elif route.startswith("api/"):
            view = pattern.callback.cls
            for method in view.http_method_names:
                if method not in ("head", "options") and hasattr(view, method):
                    yield f"{method.upper()} {route}"
