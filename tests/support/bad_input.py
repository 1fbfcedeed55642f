"""The tables of bad input that every writing endpoint shares: one line per case, with what it is answered."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.client import Answer

JSON = "application/json"
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Refusal:
    """What a bad request is answered: the status, the code, and the (field, code) of each fault that is named."""

    status: int
    code: str
    faults: set[tuple[str, str]] = field(default_factory=set)

    def check(self, answer: Answer) -> None:
        assert (answer.status, answer.code, answer.faults) == (self.status, self.code, self.faults), answer.json


def invalid(*faults: tuple[str, str]) -> Refusal:
    return Refusal(400, "invalid_request", set(faults))


UNREADABLE = invalid(("body", "not_readable"))  # the body as a whole is at fault, no field of it
NOT_JSON = Refusal(415, "unsupported_media_type")
SURPRISED = invalid(("surprise", "unknown_field"))
TOO_LARGE = Refusal(413, "payload_too_large")


def table(*lines: tuple[Any, ...]) -> list[Any]:
    """Parameters whose first column is what a test's name shows."""
    return [pytest.param(*line[1:], id=line[0]) for line in lines]


# Amounts as they stand in the body, and the code of the fault.
AMOUNTS = table(
    ("zero", "0", "too_small"),
    ("minus zero", "-0", "too_small"),
    ("negative", "-1", "too_small"),
    ("far below", "-9223372036854775809", "too_small"),
    ("a whole float", "5000.0", "not_an_integer"),
    ("a string", '"5000"', "not_an_integer"),
    ("an exponent", "5e3", "not_an_integer"),
    ("beyond a float", "1e400", "not_an_integer"),
    ("below a float", "-1e400", "not_an_integer"),
    ("true", "true", "not_an_integer"),
    ("false", "false", "not_an_integer"),
    ("null", "null", "null"),
    ("an empty list", "[]", "not_an_integer"),
    ("a list", "[5000]", "not_an_integer"),
    ("an object", "{}", "not_an_integer"),
    ("one over the maximum", "1000000000001", "too_large"),
    ("beyond a bigint", "9223372036854775808", "too_large"),
    ("four thousand digits", "9" * 4000, "too_large"),
)

# Whole bodies that no endpoint takes. All endpoints read their bodies with the same parser: those that move money are
# tried with all of these, the others with the first table.
SOME_BODIES = table(
    ("no JSON", b"amount=5000", UNREADABLE),
    ("an array", b"[]", UNREADABLE),
    ("a name twice", b'{"amount": 1, "amount": 1}', UNREADABLE),
    ("an unknown field", b'{"surprise": 1}', invalid(("surprise", "unknown_field"))),
    ("invalid UTF-8", b'{"amount\xff": 1}', UNREADABLE),
    ("100,000 arrays deep", b"[" * 100_000, UNREADABLE),
    ("a byte more than a megabyte", b'{"surprise": "%s"}' % (b"x" * (MEBIBYTE - 15)), TOO_LARGE),
)
BODIES = SOME_BODIES + table(
    ("half a surrogate pair", b'{"amount": "\\ud800"}', UNREADABLE),
    ("NaN", b'{"amount": NaN}', UNREADABLE),
    ("half of it", b'{"amount": 50', UNREADABLE),
    ("two of them", b"{} {}", UNREADABLE),
    ("white space", b" \n ", UNREADABLE),
    ("single quotes", b"{'amount': 5000}", UNREADABLE),
    ("a trailing comma", b'{"amount": 5000,}', UNREADABLE),
    ("an array of objects", b'[{"amount": 5000}]', UNREADABLE),
    ("a string", b'"amount"', UNREADABLE),
    ("a number", b"5000", UNREADABLE),
    ("null", b"null", UNREADABLE),
    ("a name twice, escaped", b'{"amount": 1, "\\u0061mount": 1}', UNREADABLE),
    ("a name twice further in", b'{"amount": {"a": 1, "a": 1}}', UNREADABLE),
    ("a name twice among many", b"{%s}" % b",".join(b'"%d":1' % (n % 100_000) for n in range(100_001)), UNREADABLE),
    ("an unknown field in Persian", '{"مبلغ": 1}'.encode(), invalid(("مبلغ", "unknown_field"))),
    ("an unknown field of no name", b'{"": 1}', invalid(("body", "unknown_field"))),
    ("a surrogate in UTF-8", b'{"amount\xed\xa0\x80": 1}', UNREADABLE),
    ("UTF-16", '{"amount": 1}'.encode("utf-16"), UNREADABLE),
    ("UTF-16 without a mark", '{"amount": 1}'.encode("utf-16-le"), UNREADABLE),
    ("a byte order mark", b'\xef\xbb\xbf{"amount": 1}', UNREADABLE),
    ("half a surrogate pair in a name", b'{"\\udc00": 1}', UNREADABLE),
    ("NUL", b'{"amount": "a\\u0000b"}', UNREADABLE),
    ("NUL in a name", b'{"a\\u0000b": 1}', UNREADABLE),
    ("a bare NUL", b'{"amount": "a\x00b"}', UNREADABLE),
    ("a bare line feed in a string", b'{"amount": "a\nb"}', UNREADABLE),
    ("100,000 objects deep", b'{"a":' * 100_000, UNREADABLE),
    ("900 deep, which can be read", b'{"surprise": %s"\\u0041"%s}' % (b"[" * 900, b"]" * 900), SURPRISED),
    ("Infinity", b'{"amount": Infinity}', UNREADABLE),
    ("-Infinity", b'{"amount": -Infinity}', UNREADABLE),
    ("a number of 5,000 digits", b'{"amount": %s}' % (b"9" * 5000), UNREADABLE),
    ("a megabyte, and bad", b'{"surprise": "%s"}' % (b"x" * (MEBIBYTE - 16)), SURPRISED),
    ("five megabytes", b'{"surprise": "%s"}' % (b"x" * 5 * MEBIBYTE), TOO_LARGE),
)

# Content types, each with a body that is right.
SOME_CONTENT_TYPES = table(("a form", "application/x-www-form-urlencoded"), ("none", ""))
CONTENT_TYPES = SOME_CONTENT_TYPES + table(
    ("a form with files", "multipart/form-data; boundary=x"),
    ("plain text", "text/plain"),
    ("JSON by an old name", "text/json"),
    ("a kind of JSON", "application/problem+json"),
    ("half a type", "application"),
)

# Idempotency keys, as the bytes of the header; None: no header.
KEYS = table(
    ("absent", None, Refusal(400, "idempotency_key_missing")),
    ("empty", b"", Refusal(400, "idempotency_key_missing")),
    ("white space", b"   ", Refusal(400, "idempotency_key_missing")),
    ("256 characters", b"k" * 256, invalid(("Idempotency-Key", "invalid"))),
    ("64 thousand characters", b"k" * 64_000, invalid(("Idempotency-Key", "invalid"))),
    ("a tab", b"one\ttwo", invalid(("Idempotency-Key", "invalid"))),
    # Granian hands no header on whose bytes are not ASCII.
    ("UTF-8", "کلید".encode(), Refusal(400, "idempotency_key_missing")),
    ("Latin-1", b"cl\xe9", Refusal(400, "idempotency_key_missing")),
)

# Keys that the server's HTTP parser refuses, so that the answer is its own.
UNPARSABLE_KEYS = table(
    ("NUL", b"one\x00two"),
    ("a control character", b"one\x01two"),
    ("DEL", b"one\x7ftwo"),
    ("a folded line", b"one\r\n two"),
)

NO_UUIDS = table(
    ("a number", "1"),
    ("a word", "nonsense"),
    ("one digit short", "0199b7e2-0000-7000-8000-00000000000"),
    ("one digit long", "0199b7e2-0000-7000-8000-0000000000000"),
    ("no hyphens", "0199b7e2000070008000000000000000"),
    ("upper case", "0199B7E2-0000-7000-8000-000000000000"),
    ("braces", "{0199b7e2-0000-7000-8000-000000000000}"),
    ("Persian digits", "۰199b7e2-0000-7000-8000-000000000000"),
    ("NUL", "%00"),
    ("no UTF-8", "%ff"),
    ("ten thousand characters", "0" * 10_000),
    ("one that is not there", "0199b7e2-0000-7000-8000-000000000000"),
)

NO_SELLERS = table(
    ("zero", "0"),
    ("negative", "-1"),
    ("a plus", "+1"),
    ("one that is not there", "4711"),
    ("the largest bigint", "9223372036854775807"),
    ("beyond a bigint", "9223372036854775808"),
    ("20 digits", "9" * 20),
    ("5,000 digits", "9" * 5000),
    ("a float", "1.0"),
    ("Persian digits", "۱"),
    ("a word", "nonsense"),
    ("NUL", "1%00"),
)


def cursor_of(position: str | bytes) -> str:
    """A cursor as the server makes them, for anything."""
    position = position.encode() if isinstance(position, str) else position
    return base64.urlsafe_b64encode(position).decode().rstrip("=")


def queries(*lists_filters: tuple[str, str, tuple[str, str]]) -> list[Any]:
    """Bad query strings of any list, and those of a list's own filters."""
    shared = [
        ("an unknown filter", "colour=red", ("colour", "unknown_parameter")),
        ("a misspelt one", "Limit=5", ("Limit", "unknown_parameter")),
        ("an unknown one in Persian", "%D8%B1=1", ("ر", "unknown_parameter")),
        ("a limit of 0", "limit=0", ("limit", "invalid")),
        ("a limit of 201", "limit=201", ("limit", "invalid")),
        ("a negative limit", "limit=-5", ("limit", "invalid")),
        ("a limit with a plus", "limit=%2B5", ("limit", "invalid")),
        ("a limit that is a word", "limit=abc", ("limit", "invalid")),
        ("a limit in Persian", "limit=%DB%B5", ("limit", "invalid")),
        ("a superscript limit", "limit=%C2%B2", ("limit", "invalid")),
        ("an empty limit", "limit=", ("limit", "invalid")),
        ("a limit twice", "limit=5&limit=5", ("limit", "repeated_parameter")),
        ("an endless limit", f"limit={'9' * 5000}", ("limit", "invalid")),
        ("an empty cursor", "cursor=", ("cursor", "blank")),
        ("a cursor that is garbage", "cursor=%21%21", ("cursor", "invalid")),
        ("a cursor of one character", "cursor=A", ("cursor", "invalid")),
        ("a cursor with garbage in it", f"cursor={cursor_of(b'%ff%fe')}", ("cursor", "invalid")),
        ("a cursor with bytes in it", f"cursor={cursor_of(bytes(range(256)))}", ("cursor", "invalid")),
        ("a cursor in Persian", "cursor=%D8%B1", ("cursor", "invalid")),
        ("a cursor of another list", f"cursor={cursor_of('organization<1')}", ("cursor", "invalid")),
        ("a cursor with NUL", "cursor=%00", ("cursor", "null_characters_not_allowed")),
        ("a cursor twice", "cursor=A&cursor=B", ("cursor", "repeated_parameter")),
    ]
    return table(*shared, *lists_filters)


def moments(name: str) -> list[tuple[str, str, tuple[str, str]]]:
    """Bad values of a parameter that is a time."""
    return [
        (f"{name}: {shown}", f"{name}={value}", (name, "invalid"))
        for shown, value in [
            ("empty", ""),
            ("a word", "yesterday"),
            ("a date", "2026-11-24"),
            ("no zone", "2026-11-24T08:30:00"),
            ("a plus that became a space", "2026-11-24T08:30:00+03:30"),
            ("the year 0", "0000-01-01T00:00:00Z"),
            ("the 13th month", "2026-13-01T00:00:00Z"),
            ("the 30th of February", "2026-02-30T00:00:00Z"),
            ("the 25th hour", "2026-02-01T25:00:00Z"),
            ("beyond the last year in UTC", "9999-12-31T23:59:59-12:00"),
            ("before the first year in UTC", "0001-01-01T00:00:00%2B12:00"),
            ("an impossible zone", "2026-11-24T08:30:00%2B99:99"),
            ("Persian digits", "%DB%B2026-11-24T08:30:00Z"),
            ("seconds since 1970", "1795509000"),
            ("NUL", "2026-11-24T08:30:00Z%00"),
            ("a line feed", "2026-11-24T08:30:00Z%0A"),
            ("endless", "9" * 5000),
        ]
    ]


def chunks(body: bytes) -> list[bytes]:
    """The header and the body of a request that does not say how long it is."""
    return [b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)]
