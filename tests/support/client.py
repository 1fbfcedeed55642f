"""A client for the tests: real HTTP to the running server, each answer checked against its OpenAPI document."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, reduce
from operator import getitem
from typing import Any

import urllib3
from drf_spectacular.generators import SchemaGenerator
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

# Retries are the tests' business: a retry in secret would hide what they look for.
_pool = urllib3.PoolManager(maxsize=64, retries=False, timeout=urllib3.Timeout(connect=5, read=60))


def keep_no_connections() -> None:
    """Closes those that are kept open for the next request. A server behind a proxy waits for that when it stops, for a
    quarter of a minute (saas/draining.py)."""
    _pool.clear()


_of_every_request: dict[str, str] = {}


@contextmanager
def requests_out_of_the_ordinary() -> Iterator[None]:
    """Within it, each request says something that changes nothing, and that recharge/api/fast_path.py does not know."""
    _of_every_request["Accept"] = "*/*;q=1"
    try:
        yield
    finally:
        _of_every_request.clear()


@dataclass(frozen=True)
class Answer:
    """A response: its status, headers (case-insensitive), body, and the body as JSON where it is that."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes
    json: Any

    @property
    def code(self) -> str | None:
        """The code of a problem document; None for anything else."""
        return self.json.get("code") if isinstance(self.json, dict) else None

    @property
    def faults(self) -> set[tuple[str, str]]:
        """The (field, code) pairs of an ``invalid_request``."""
        return {(fault["field"], fault["code"]) for fault in self.json.get("errors", [])}


@dataclass(frozen=True)
class Client:
    """Speaks to one host of the server at ``address`` (host:port), with one token or with none."""

    address: str
    host: str
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.request("POST", path, json=json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.request("PUT", path, json=json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.request("PATCH", path, json=json, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        is_page: bool = False,
    ) -> Answer:
        """``json`` is sent as JSON, ``body`` as it is (with application/json unless ``headers`` say otherwise); ``key``
        is the Idempotency-Key. A path without a leading ``/api`` is below ``/api/v1``, unless a page ``is_page``."""
        sent = {"Host": self.host, **_of_every_request, **self.headers}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if key is not None:
            sent["Idempotency-Key"] = key
        if json is not None:
            body = _encode(json)
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        if not is_page and not path.startswith(("/api/", "http", "/livez", "/readyz", "/admin", "//")):
            path = "/api/v1" + path
        response = _pool.request(method, f"http://{self.address}{path}", headers=sent, body=body, redirect=False)
        answer = Answer(response.status, response.headers, response.data, _json(response))
        if is_page:
            check_page(path, answer)
        else:
            check_contract(method, path, self.host, answer)
        return answer


def _encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def _json(response: urllib3.BaseHTTPResponse) -> Any:
    content_type = response.headers.get("Content-Type", "")
    if content_type in ("application/json", "application/problem+json"):
        return json.loads(response.data)
    return None


def check_headers(answer: Answer) -> None:
    """What every answer has, whoever gave it and whatever it is."""
    headers = answer.headers
    assert headers.get("X-Content-Type-Options") == "nosniff", headers
    assert headers.get("X-Frame-Options") == "DENY", headers
    assert headers.get("Referrer-Policy") == "same-origin", headers
    assert headers.get("Cross-Origin-Opener-Policy") == "same-origin", headers
    assert "frame-ancestors 'none'" in headers.get("Content-Security-Policy", ""), headers
    kept = headers.get("Cache-Control", "")
    assert "no-store" in kept or "max-age=" in kept, headers
    if headers.get("Content-Type", "") in ("application/json", "application/problem+json"):
        assert "no-store" in kept, headers


def check_page(path: str, answer: Answer) -> None:
    """What holds for every page, of every host, to everybody."""
    check_headers(answer)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", answer.headers["X-Request-ID"])
    assert answer.status < 500 or answer.status == 503, answer
    if answer.status == 200 or answer.status >= 400:
        policy = answer.headers.get("Content-Security-Policy", "")
        is_picture = answer.headers.get("Content-Type", "").startswith("image/") and "default-src 'none'" in policy
        assert "script-src 'self'" in policy or answer.status >= 400 or is_picture, answer.headers
        assert "unsafe" not in policy
    # Django's own admin site has a way of its own to heed the policy.
    if answer.headers.get("Content-Type", "").startswith("text/html") and not path.startswith("/admin/"):
        text = answer.body.decode()
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|javascript:", text), text
        assert "{%" not in text
        assert "{{" not in text


def check_contract(method: str, path: str, host: str, answer: Answer) -> None:
    """What holds for every answer of every path: the request id, problem documents, and the OpenAPI document."""
    check_headers(answer)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", answer.headers["X-Request-ID"])
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", answer
        problem = answer.json
        assert problem["status"] == answer.status
        assert problem["request_id"] == answer.headers["X-Request-ID"]
        assert problem["code"]
        assert problem["detail"]
        _check_schema(problem, "organization", "components", "schemas", "Problem")
        assert (answer.status == 401) == (answer.headers.get("WWW-Authenticate") == "Bearer")
        if (method, path) == ("POST", "/api/v1/recharges/bulk") and answer.status in (400, 402):
            # The one error whose document has more to it.
            content = ("responses", str(answer.status), "content", "application/problem+json", "schema")
            _check_schema(problem, "organization", "paths", path, "post", *content)
    elif path.startswith("/api/v1"):
        kind = "platform" if host.lower().split(":")[0].rstrip(".") == "recharge.test" else "organization"
        _check_success(kind, method, path.partition("?")[0], answer)


def _check_success(kind: str, method: str, path: str, answer: Answer) -> None:
    with _documents:
        templates = _templates(kind)
    template = next((template for pattern, template in templates if pattern.fullmatch(path)), None)
    assert template, f"{path} is not in the OpenAPI document of the {kind}"
    verb, status = "get" if method == "HEAD" else method.lower(), str(answer.status)
    described = _document(kind)["paths"][template][verb]["responses"][status]
    if "content" not in described:
        assert answer.body == b""
    elif answer.json is not None and method != "HEAD":
        content = ("responses", status, "content", "application/json", "schema")
        _check_schema(answer.json, kind, "paths", template, verb, *content)


def _check_schema(value: Any, kind: str, *place: str) -> None:
    """Against what stands at this place of the document."""
    with _documents:
        validator = _validator(kind, place)
    if fault := best_match(validator.iter_errors(value)):
        raise fault


@cache
def _validator(kind: str, place: tuple[str, ...]) -> Validator:
    """Kept: making one, which checks the whole schema, takes longer than the server takes to answer."""
    document = _generated(kind)
    schema = {**document, **reduce(getitem, place, document)}
    made: type[Validator] = validator_for(schema)
    made.check_schema(schema)
    return made(schema)


@cache
def _templates(kind: str) -> list[tuple[re.Pattern[str], str]]:
    """The paths of the document. An address of its own comes before one that is a parameter: /recharges/bulk before
    /recharges/{recharge_id}."""
    paths = sorted(_generated(kind)["paths"], key=lambda path: "{" in path)
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path).replace(".csv", r"\.csv")), path) for path in paths]


_documents = threading.Lock()  # drf-spectacular generates one at a time


def _document(kind: str) -> dict[str, Any]:
    with _documents:
        return _generated(kind)


@cache
def _generated(kind: str) -> dict[str, Any]:
    generator = SchemaGenerator(urlconf=f"saas.urls_{kind}", api_version=None)
    document: dict[str, Any] = json.loads(json.dumps(generator.get_schema(request=None, public=True), default=str))
    return document
