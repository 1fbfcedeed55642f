"""What ``POST /recharges`` and its list refuse: a clear 4xx each, and nothing is written."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.bad_input import (
    AMOUNTS,
    BODIES,
    CONTENT_TYPES,
    KEYS,
    MEBIBYTE,
    NO_SELLERS,
    NO_UUIDS,
    NOT_JSON,
    TOO_LARGE,
    UNPARSABLE_KEYS,
    UNREADABLE,
    Refusal,
    chunks,
    cursor_of,
    invalid,
    moments,
    queries,
    table,
)
from tests.support.client import Client
from tests.support.raw import send_as
from tests.support.tables import nothing_written
from tests.support.world import Organization

pytestmark = pytest.mark.usefixtures("way")

GOOD = b'{"phone_number": "09121234567", "amount": 5000}'


@pytest.fixture
def seller(funded: Organization) -> Iterator[Client]:
    """A seller who could pay for it; in the whole test nothing may be written."""
    with nothing_written():
        yield funded.member.client


@pytest.mark.parametrize(("amount", "code"), AMOUNTS)
def test_it_refuses_the_amount(seller: Client, amount: str, code: str) -> None:
    body = f'{{"phone_number": "09121234567", "amount": {amount}}}'.encode()
    invalid(("amount", code)).check(seller.request("POST", "/recharges", body=body, key="k"))


def test_it_refuses_an_amount_of_five_thousand_digits(seller: Client) -> None:
    body = b'{"phone_number": "09121234567", "amount": %s}' % (b"9" * 5000)
    UNREADABLE.check(seller.request("POST", "/recharges", body=body, key="k"))


PHONES = table(
    ("empty", "", "invalid_phone_number"),
    ("white space", "   ", "invalid_phone_number"),
    ("a landline", "02122334455", "not_a_mobile_number"),
    ("a landline from abroad", "+982122334455", "not_a_mobile_number"),
    ("a digit short", "0912123456", "invalid_phone_number"),
    ("a digit long", "091212345678", "invalid_phone_number"),
    ("half of it", "0912", "invalid_phone_number"),
    ("letters", "0912ABCDEFG", "invalid_phone_number"),
    ("a word", "nonsense", "invalid_phone_number"),
    ("an extension", "09121234567 ext. 5", "invalid_phone_number"),
    ("an address", "tel:+989121234567", "invalid_phone_number"),
    ("two numbers", "09121234567, 09121234568", "invalid_phone_number"),
    ("two pluses", "++989121234567", "invalid_phone_number"),
    ("a plus behind", "989121234567+", "invalid_phone_number"),
    ("the United States", "+12025550123", "foreign_phone_number"),
    ("the United Kingdom, dialled", "00447911123456", "foreign_phone_number"),
    ("the United Kingdom", "+447911123456", "foreign_phone_number"),
    ("Afghanistan, whose mobiles look alike", "+93912123456", "foreign_phone_number"),
    ("Devanagari digits", "०९१२१२३४५६७", "invalid_phone_number"),
    ("Bengali digits", "০৯১২১২৩৪৫৬৭", "invalid_phone_number"),
    ("full-width digits", "０９１２１２３４５６７", "invalid_phone_number"),
    ("superscript digits", "⁰⁹¹²¹²³⁴⁵⁶⁷", "invalid_phone_number"),
    ("ten thousand digits", "09" * 5000, "invalid_phone_number"),
    ("ten thousand blanks", " " * 10_000 + "09121234567", "invalid_phone_number"),
    ("a number", 9121234567, "not_a_string"),
    ("a float", 9121234567.0, "not_a_string"),
    ("true", True, "not_a_string"),
    ("a list", ["09121234567"], "not_a_string"),
    ("an object", {"number": "09121234567"}, "not_a_string"),
    ("null", None, "null"),
)


@pytest.mark.parametrize(("phone_number", "code"), PHONES)
def test_it_refuses_the_phone_number(seller: Client, phone_number: object, code: str) -> None:
    answer = seller.post("/recharges", {"phone_number": phone_number, "amount": 5000}, key="k")
    invalid(("phone_number", code)).check(answer)


@pytest.mark.parametrize(
    "escaped",
    table(
        ("NUL", "0912\\u00001234567"),
        ("NUL behind", "09121234567\\u0000"),
        ("half a surrogate pair", "0912\\ud8001234567"),
        ("the other half", "\\udfff09121234567"),
    ),
)
def test_it_refuses_a_character_that_cannot_be_stored(seller: Client, escaped: str) -> None:
    body = f'{{"phone_number": "{escaped}", "amount": 5000}}'.encode()
    UNREADABLE.check(seller.request("POST", "/recharges", body=body, key="k"))


@pytest.mark.parametrize(
    "written",
    table(
        ("plain", "09121234567"),
        ("from abroad", "+989121234567"),
        ("dialled from abroad", "00989121234567"),
        ("no zero", "9121234567"),
        ("no plus", "989121234567"),
        ("blanks", " +98 912 123 4567 "),
        ("hyphens and brackets", "(0912) 123-4567"),
        ("no-break blanks", "0912\u00a0123\u202f4567"),
        ("Persian digits", "۰۹۱۲۱۲۳۴۵۶۷"),
        ("Persian digits from abroad", "+۹۸۹۱۲۱۲۳۴۵۶۷"),
        ("Arabic digits", "٠٩١٢١٢٣٤٥٦٧"),
        ("mixed digits", "۰۹12۱۲۳٤567"),
        ("copied from right-to-left text", "\u202b\u200f۰۹۱۲۱۲۳۴۵۶۷\u202c"),
    ),
)
def test_it_accepts_a_number_as_people_write_it(funded: Organization, written: str) -> None:
    answer = funded.member.sell(phone_number=written)
    assert (answer.status, answer.json["phone_number"]) == (201, "+989121234567")


FIELDS = table(
    ("no phone number", {"phone_number": None}, ("phone_number", "required")),
    ("no amount", {"amount": None}, ("amount", "required")),
    ("an unknown operator", {"operator": "verizon"}, ("operator", "invalid_choice")),
    ("an operator in capitals", {"operator": "MCI"}, ("operator", "invalid_choice")),
    ("an empty operator", {"operator": ""}, ("operator", "invalid_choice")),
    ("an operator that is a list", {"operator": ["mci"]}, ("operator", "invalid_choice")),
    ("an operator that is an object", {"operator": {}}, ("operator", "invalid_choice")),
    ("an operator that is a number", {"operator": 1}, ("operator", "invalid_choice")),
    ("an operator that is true", {"operator": True}, ("operator", "invalid_choice")),
    ("an operator of 10,000 characters", {"operator": "m" * 10_000}, ("operator", "invalid_choice")),
    ("a misspelt field", {"opertor": "mci"}, ("opertor", "unknown_field")),
    ("somebody's seller_id", {"seller_id": 1}, ("seller_id", "unknown_field")),
    ("a number of no known operator", {"phone_number": "09951000000"}, ("operator", "unknown_operator")),
)


@pytest.mark.parametrize(("change", "fault"), FIELDS)
def test_it_refuses_the_field(seller: Client, change: dict[str, object], fault: tuple[str, str]) -> None:
    body = json.loads(GOOD) | change
    body = {name: value for name, value in body.items() if value is not None}
    invalid(fault).check(seller.post("/recharges", body, key="k"))


def test_it_refuses_an_operator_that_is_null(seller: Client) -> None:
    answer = seller.post("/recharges", json.loads(GOOD) | {"operator": None}, key="k")
    invalid(("operator", "null")).check(answer)


def test_it_names_every_field_at_fault(seller: Client) -> None:
    answer = seller.post("/recharges", {"phone_number": "nonsense", "operator": "Verizon"}, key="k")
    faults = [("phone_number", "invalid_phone_number"), ("operator", "invalid_choice"), ("amount", "required")]
    invalid(*faults).check(answer)


def test_it_names_at_most_twenty_unknown_fields(seller: Client) -> None:
    answer = seller.post("/recharges", {f"surprise {number}": 1 for number in range(50_000)}, key="k")
    invalid(*((f"surprise {number}", "unknown_field") for number in range(20))).check(answer)


@pytest.mark.parametrize(("body", "refusal"), BODIES)
def test_it_refuses_the_body(seller: Client, body: bytes, refusal: Refusal) -> None:
    refusal.check(seller.request("POST", "/recharges", body=body, key="k"))


def test_it_refuses_no_body(seller: Client) -> None:
    invalid(("phone_number", "required"), ("amount", "required")).check(seller.post("/recharges", key="k"))


@pytest.mark.parametrize(
    ("size", "refusal"),
    table(
        ("a megabyte, and bad", MEBIBYTE, invalid(("surprise", "unknown_field"))),
        ("a byte more", MEBIBYTE + 1, TOO_LARGE),
        ("five megabytes", 5 * MEBIBYTE, TOO_LARGE),
    ),
)
def test_it_refuses_the_chunked_body(seller: Client, size: int, refusal: Refusal) -> None:
    body = b'{"surprise": "%s"}' % (b"x" * (size - 16))
    assert len(body) == size
    headers, content = chunks(body)
    answer = send_as(
        seller, "POST", "/recharges", [b"Content-Type: application/json", b"Idempotency-Key: k", headers], content
    )
    refusal.check(answer)


def test_it_accepts_a_chunked_body(funded: Organization) -> None:
    headers, content = chunks(GOOD)
    answer = send_as(
        funded.member.client,
        "POST",
        "/recharges",
        [b"Content-Type: application/json", b"Idempotency-Key: k", headers],
        content,
    )
    assert (answer.status, answer.json["balance_after"]) == (201, 995_000)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_it_refuses_the_content_type(seller: Client, content_type: str) -> None:
    answer = seller.request("POST", "/recharges", body=GOOD, key="k", headers={"Content-Type": content_type})
    NOT_JSON.check(answer)


def test_it_refuses_a_body_without_a_content_type(seller: Client) -> None:
    answer = send_as(seller, "POST", "/recharges", [b"Idempotency-Key: k", b"Content-Length: %d" % len(GOOD)], GOOD)
    NOT_JSON.check(answer)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_it_accepts_json_by_any_usual_name(funded: Organization, content_type: str) -> None:
    answer = funded.member.client.request(
        "POST", "/recharges", body=GOOD, key="k", headers={"Content-Type": content_type}
    )
    assert answer.status == 201


def headers_with(key: bytes | None) -> list[bytes]:
    headers = [b"Content-Type: application/json", b"Content-Length: %d" % len(GOOD)]
    return headers if key is None else [*headers, b"Idempotency-Key: " + key]


@pytest.mark.parametrize(("key", "refusal"), KEYS)
def test_it_refuses_the_idempotency_key(seller: Client, key: bytes | None, refusal: Refusal) -> None:
    refusal.check(send_as(seller, "POST", "/recharges", headers_with(key), GOOD))


@pytest.mark.parametrize("key", UNPARSABLE_KEYS)
def test_it_refuses_a_request_that_is_no_http(seller: Client, key: bytes) -> None:
    assert send_as(seller, "POST", "/recharges", headers_with(key), GOOD).status == 400


@pytest.mark.parametrize(
    "key",
    table(
        ("one character", b"k"),
        ("255 characters", b"k" * 255),
        ("every printable one", bytes(range(33, 127))),
        ("a blank inside", b"one two"),
    ),
)
def test_it_accepts_the_idempotency_key(funded: Organization, key: bytes) -> None:
    assert send_as(funded.member.client, "POST", "/recharges", headers_with(key), GOOD).status == 201
    found = funded.member.client.get(f"/recharges?idempotency_key={quote(key)}").json["results"]
    assert len(found) == 1


QUERIES = queries(
    ("a cursor of entries", f"cursor={cursor_of('entry<0199b7e2-0000-7000-8000-000000000000')}", ("cursor", "invalid")),
    ("a cursor with no id", f"cursor={cursor_of('recharge<1')}", ("cursor", "invalid")),
    (
        "a cursor of no direction",
        f"cursor={cursor_of('recharge=0199b7e2-0000-7000-8000-000000000000')}",
        ("cursor", "invalid"),
    ),
    ("an unknown status", "status=nonsense", ("status", "invalid_choice")),
    ("a status in capitals", "status=PENDING", ("status", "invalid_choice")),
    ("an empty status", "status=", ("status", "invalid_choice")),
    ("a status with NUL", "status=%00", ("status", "invalid_choice")),
    ("a status twice", "status=pending&status=failed", ("status", "repeated_parameter")),
    ("an unknown lateness", "late=yes", ("late", "invalid_choice")),
    ("no lateness, which is no filter", "late=", ("late", "invalid_choice")),
    ("an unknown operator", "operator=verizon", ("operator", "invalid_choice")),
    ("a landline", "phone_number=02122334455", ("phone_number", "not_a_mobile_number")),
    ("a foreign number", "phone_number=%2B12025550123", ("phone_number", "foreign_phone_number")),
    ("an empty phone number", "phone_number=", ("phone_number", "invalid_phone_number")),
    ("a phone number with NUL", "phone_number=0912%001234567", ("phone_number", "invalid_phone_number")),
    ("an empty key", "idempotency_key=", ("idempotency_key", "blank")),
    ("a key of 256 characters", f"idempotency_key={'k' * 256}", ("idempotency_key", "max_length")),
    ("a key with a blank behind it", "idempotency_key=order-7%20", ("idempotency_key", "invalid")),
    ("a key with a blank before it", "idempotency_key=%20order-7", ("idempotency_key", "invalid")),
    ("a blank", "idempotency_key=%20", ("idempotency_key", "invalid")),
    ("a Persian key", "idempotency_key=%DA%A9", ("idempotency_key", "invalid")),
    ("a key with a line feed", "idempotency_key=key%0A", ("idempotency_key", "invalid")),
    ("a key with a tab", "idempotency_key=one%09two", ("idempotency_key", "invalid")),
    ("no UTF-8", "idempotency_key=%ff", ("idempotency_key", "invalid")),
    *moments("created_from"),
    *moments("created_to")[:4],
)


@pytest.mark.parametrize(("query", "fault"), QUERIES)
def test_its_list_refuses_the_query(seller: Client, query: str, fault: tuple[str, str]) -> None:
    invalid(fault).check(seller.get(f"/recharges?{query}"))


def test_its_list_refuses_a_key_with_nul(seller: Client) -> None:
    answer = seller.get("/recharges?idempotency_key=a%00b")
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert {field for field, _ in answer.faults} == {"idempotency_key"}


def test_its_list_refuses_more_parameters_than_anyone_sends(seller: Client) -> None:
    answer = seller.get("/recharges?" + "&".join(f"a{number}=1" for number in range(1001)))
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    "seller_id",
    table(
        ("zero", "0"),
        ("negative", "-1"),
        ("beyond a bigint", "9223372036854775808"),
        ("5,000 digits", "9" * 5000),
        ("empty", ""),
        ("a word", "nonsense"),
        ("a float", "1.0"),
        ("Persian digits", "%DB%B1"),
        ("NUL", "1%00"),
    ),
)
def test_its_list_refuses_the_seller(funded: Organization, seller_id: str) -> None:
    invalid(("seller_id", "invalid")).check(funded.owner.client.get(f"/recharges?seller_id={seller_id}"))


@pytest.mark.parametrize("recharge_id", NO_UUIDS)
def test_no_recharge_is_at_a_bad_address(seller: Client, recharge_id: str) -> None:
    Refusal(404, "not_found").check(seller.get(f"/recharges/{recharge_id}"))


@pytest.mark.parametrize("seller_id", NO_SELLERS)
def test_no_balance_is_at_a_bad_address(funded: Organization, seller_id: str) -> None:
    Refusal(404, "not_found").check(funded.owner.client.get(f"/sellers/{seller_id}/balance"))
