"""``POST /recharges`` without what buys nothing on this one path.

A request that is ordinary in every way is answered here: its token was verified before and has not expired, its headers
say JSON, its body is a sale without a fault. Whatever else it may be, it is handed on as it came to REST framework's
view (recharge/api/recharges.py), which decides and answers it as it does everywhere. So no rule stands here a second
time, and what is left out is not checked less: it is work whose result is known.

What is left out:

- REST framework's dispatch, its request and response, content negotiation and rendering: 170 µs
- the verification of a token that this process has verified before (shared/identity/tokens.py): 40 µs
- the serializers: 51 µs in and 198 µs out, where sale.py and rendering.py take 3 µs each
- the middleware for pages: sessions, CSRF, messages, static files (saas/wsgi.py): 150 µs

Together, without the serializers, which were out already: from 1,250 to 660 µs of this process for a sale, the driver's
part in both. (Measured in one process; tests/bench has what it comes to over HTTP.)
"""

import json

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from recharge.api.recharges import RechargesView
from recharge.selling.rendering import rendered_recharge
from recharge.selling.sale import read_sale
from recharge.selling.services import sell_recharge
from shared.errors import InvalidRequest, Problem
from shared.handlers import problem_of, problem_response
from shared.idempotency import is_idempotency_key
from shared.identity.permissions import Permission
from shared.identity.realm import realm_of
from shared.identity.roles import roles_that_may
from shared.identity.tokens import remembered_principal
from shared.rest.parsers import LARGEST_BODY
from shared.strict_json import NotJSON, parse_json
from tenants.routing import organization_of

_usual = RechargesView.as_view()
_MAY_SELL = roles_that_may(Permission.SELL)
_JSON = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")
_ACCEPTED = ("*/*", "application/json", "application/json, */*")


@csrf_exempt  # as REST framework's views: there is no cookie that would sign a request in
def recharges(request: HttpRequest) -> HttpResponseBase:
    """The address ``/recharges``."""
    return (_sell(request) if request.method == "POST" else None) or _usual(request)


recharges.cls = RechargesView  # type: ignore[attr-defined] # what drf-spectacular documents
recharges.initkwargs = {}  # type: ignore[attr-defined]


def _sell(request: HttpRequest) -> HttpResponse | None:
    """The answer to an ordinary sale; None for any other request."""
    headers = request.META
    principal = remembered_principal(headers.get("HTTP_AUTHORIZATION", ""), realm_of(request))
    key = headers.get("HTTP_IDEMPOTENCY_KEY", "")
    length = headers.get("CONTENT_LENGTH", "")
    if (
        principal is None
        or principal.role not in _MAY_SELL
        or principal.seller_id is None
        or headers.get("CONTENT_TYPE", "").lower() not in _JSON
        or headers.get("HTTP_ACCEPT", "*/*") not in _ACCEPTED
        or request.GET
        or not is_idempotency_key(key)
        or not (length.isascii() and length.isdecimal())
        or int(length) > LARGEST_BODY
    ):
        return None
    try:
        body = parse_json(request.body)
        if not isinstance(body, dict):
            return None
        item = read_sale(body, key)
    except (NotJSON, InvalidRequest):
        return None
    try:
        sold = sell_recharge(organization=organization_of(request), seller_id=principal.seller_id, item=item)
    except Problem as problem:
        return problem_response(request, problem)
    except (DatabaseError, InterfaceError) as error:
        known = problem_of(error)
        if known is None:
            raise
        return problem_response(request, known)
    response = HttpResponse(_encode(rendered_recharge(sold.row)), content_type="application/json")
    if sold.is_replay:
        response["Idempotent-Replayed"] = "true"
    else:
        response.status_code = 201
    return response


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
