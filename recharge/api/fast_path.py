"""Answers the three calls that clients make most before Django does: a sale, a recharge, a balance.

A request that is ordinary in every way is answered here: its host is known to this process, its token is good, its
headers say JSON, its body is a sale without a fault. Whatever else it may be, nothing is said to it here, and
it goes on to Django and REST framework's view as it came, which decides and answers as everywhere. So no rule stands
here a second time, and what is left out is not checked less: it is work whose result is known.

What is left out (microseconds of this process for a sale, when nothing else runs):

- Django's request and response, its signals, the middleware and the resolving of the address
- REST framework's dispatch, its request and response, content negotiation and rendering: 170
- the serializers: 51 in and 198 out, where sale.py and rendering.py take 3 each

tests/recharge/test_fast_path.py holds that both ways give the same.
"""

import re
import time
from collections.abc import Callable
from http.client import responses
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.http import HttpRequest
from django.urls import resolve

from recharge.selling.queries import own_balance, own_recharge
from recharge.selling.rendering import columns_of_balance, columns_of_recharge
from recharge.selling.sale import read_sale
from recharge.selling.services import sell_recharge
from shared import tracing
from shared.errors import InvalidRequest, NotAuthenticated, Problem
from shared.handlers import PROBLEM_JSON, problem_json, problem_of
from shared.headers import headers_of_api
from shared.idempotency import is_idempotency_key
from shared.identity.permissions import Permission
from shared.identity.realm import Realm
from shared.identity.roles import ROLES, Scope, is_in_scope, own_seller_of
from shared.identity.tokens import Principal, principal_of
from shared.logs import log_request
from shared.metrics import count_request
from shared.requests import request_id_for
from shared.rest.parsers import LARGEST_BODY
from shared.strict_json import NotJSON, parse_json
from tenants.memory import bound_memory
from tenants.models import Organization
from tenants.routing import known_organization


class Answer(NamedTuple):
    """What a WSGI server is told."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def answer(environ: dict[str, Any]) -> Answer | None:
    """The answer to an ordinary request, which is then logged; None for any other, which is as it was.

    ``environ`` is as WSGI has it, its body read whole (saas/bodies.py).
    """
    started = time.perf_counter()
    act = _act_for(environ)
    organization = act and known_organization(environ.get("HTTP_HOST", ""))
    if act is None or organization is None or organization.status != Organization.Status.ACTIVE:
        return None
    realm = Realm(organization.pk, organization.slug)
    try:
        principal = principal_of(environ.get("HTTP_AUTHORIZATION", ""), realm)
    except NotAuthenticated:
        return None
    if principal is None or principal.seller_id is None or principal.role not in act.roles:
        return None
    if principal.scopes is not None and not is_in_scope(act.permission, principal.scopes):
        return None
    # What went wrong on a connection is looked into when Django begins a request.
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.errors_occurred or connection.in_atomic_block:
        return None
    request_id = request_id_for(environ)
    structlog.contextvars.bind_contextvars(request_id=request_id, organization=organization.slug)
    tracing.begin_request(environ, started=started)
    try:
        given = _given(act, environ, organization, principal, request_id)
        if given is None:
            return None
        status, headers, body = given
        scheme, forwarded = environ["wsgi.url_scheme"], environ.get("HTTP_X_FORWARDED_PROTO")
        whole = Answer(
            f"{status} {responses[status]}",
            [*headers, ("Allow", act.allowed), *headers_of_api(scheme, forwarded), ("X-Request-ID", request_id)],
            body,
        )
        method, seconds, slug = environ["REQUEST_METHOD"], time.perf_counter() - started, organization.slug
        log_request(
            method=method,
            path=environ["PATH_INFO"],
            organization=slug,
            status=status,
            duration_ms=seconds * 1000,
            request_id=request_id,
            trace_id=tracing.end_request(method=method, route=act.route, status=status, organization=slug),
        )
        count_request(method=method, route=act.route, status=status, seconds=seconds)
        return whole
    finally:
        bound_memory(organization.schema_name)
        structlog.contextvars.clear_contextvars()


_Given = tuple[int, list[tuple[str, str]], bytes]
"""A status, headers of this answer alone, a body."""

_CONTENT_TYPE = ("Content-Type", "application/json")
_REPLAYED = ("Idempotent-Replayed", "true")


def _encode(content: dict[str, Any]) -> bytes:
    """As REST framework's renderer does: compact, in UTF-8, times with a Z."""
    return orjson.dumps(content, option=orjson.OPT_UTC_Z)


def _given(
    act: "_Act", environ: dict[str, Any], organization: Organization, principal: Principal, request_id: str
) -> _Given | None:
    try:
        return act.carry_out(environ, organization, principal)
    except Problem as refused:
        problem = refused
    except (DatabaseError, InterfaceError) as error:
        known = problem_of(error)
        if known is None:
            _log.error("fast_path_failed", exc_info=error)
            return None  # to be sent to the usual view is to be sent again, which sells nothing twice
        problem = known
    except Exception as error:  # noqa: BLE001 - a defect of ours, which the usual view may not have
        _log.error("fast_path_failed", exc_info=error)
        return None
    headers = [("Content-Type", PROBLEM_JSON), *problem.headers.items()]
    return problem.status, headers, problem_json(problem, request_id).encode()


# --- The three calls --------------------------------------------------------------------------------------------------


def _sell(environ: dict[str, Any], organization: Organization, principal: Principal) -> _Given | None:
    key = environ.get("HTTP_IDEMPOTENCY_KEY", "")
    length = environ.get("CONTENT_LENGTH", "")
    if (
        environ.get("CONTENT_TYPE", "").lower() not in _JSON
        or not is_idempotency_key(key)
        or not (length.isascii() and length.isdecimal())
        or not 0 < int(length) <= LARGEST_BODY
    ):
        return None
    try:
        body = parse_json(environ["wsgi.input"].getvalue())
        if not isinstance(body, dict):
            return None
        item = read_sale(body, key)
    except (NotJSON, InvalidRequest):
        return None
    sold = sell_recharge(
        organization=organization, seller_id=own_seller_of(principal), item=item, access=principal.access
    )
    content = _encode(columns_of_recharge(sold.row))
    return (200, [_CONTENT_TYPE, _REPLAYED], content) if sold.is_replay else (201, [_CONTENT_TYPE], content)


def _show_recharge(environ: dict[str, Any], organization: Organization, principal: Principal) -> _Given | None:
    recharge_id = environ["PATH_INFO"][-_UUID_LENGTH:]
    recharge = own_recharge(organization.schema_name, recharge_id, seller_id=own_seller_of(principal))
    return None if recharge is None else (200, [_CONTENT_TYPE], _encode(columns_of_recharge(recharge)))


def _show_balance(environ: dict[str, Any], organization: Organization, principal: Principal) -> _Given | None:
    balance = own_balance(organization.schema_name, own_seller_of(principal))
    return None if balance is None else (200, [_CONTENT_TYPE], _encode(columns_of_balance(balance)))


class _Act(NamedTuple):
    carry_out: Callable[[dict[str, Any], Organization, Principal], _Given | None]
    permission: Permission
    """What it takes; API keys need a scope with it."""
    roles: frozenset[str]
    """The roles that have it, of those that see one seller's rows alone."""
    allowed: str
    """The header ``Allow`` that REST framework gives the address."""
    route: str
    """The address's pattern in the URL map, for what is counted of it."""


def _act(
    carry_out: Callable[[dict[str, Any], Organization, Principal], _Given | None],
    permission: Permission,
    path: str,
) -> _Act:
    roles = (name for name, role in ROLES.items() if role.scope is Scope.OWN_SELLER and permission in role.permissions)
    found = resolve(path, settings.ROOT_URLCONF)
    viewing = found.func.view_class()  # type: ignore[attr-defined]
    viewing.setup(HttpRequest())
    return _Act(carry_out, permission, frozenset(roles), ", ".join(viewing.allowed_methods), f"/{found.route}")


_RECHARGES_PATH, _BALANCE_PATH = "/api/v1/recharges", "/api/v1/balance"
_SALE = _act(_sell, Permission.SELL, _RECHARGES_PATH)
_RECHARGE = _act(_show_recharge, Permission.VIEW_RECHARGES, f"{_RECHARGES_PATH}/{UUID(int=0)}")
_BALANCE = _act(_show_balance, Permission.VIEW_OWN_BALANCE, _BALANCE_PATH)

_RECHARGE_PATH = re.compile(_RECHARGES_PATH + "/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UUID_LENGTH = 36
_JSON = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")
_ACCEPTED = ("*/*", "application/json", "application/json, */*")
_log = structlog.get_logger("recharge.fast_path")


def _act_for(environ: dict[str, Any]) -> _Act | None:
    """What is asked for, if it is one of the three, and asked for as most clients do."""
    if environ.get("HTTP_ACCEPT", "*/*") not in _ACCEPTED or environ["QUERY_STRING"] or environ["SCRIPT_NAME"]:
        return None
    path = environ["PATH_INFO"]
    match environ["REQUEST_METHOD"]:
        case "POST" if path == _RECHARGES_PATH:
            return _SALE
        case "GET" if environ.get("CONTENT_LENGTH") in (None, "", "0"):
            if path == _BALANCE_PATH:
                return _BALANCE
            return _RECHARGE if _RECHARGE_PATH.fullmatch(path) else None
    return None
