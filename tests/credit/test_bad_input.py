"""What the endpoints of sellers and credit refuse: a clear 4xx each, and nothing is written."""

from collections.abc import Iterator

import pytest

from tests.support.bad_input import (
    AMOUNTS,
    BODIES,
    KEYS,
    MEBIBYTE,
    NO_SELLERS,
    NO_UUIDS,
    NOT_JSON,
    SOME_BODIES,
    SOME_CONTENT_TYPES,
    TOO_LARGE,
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
from tests.support.world import PASSWORD, Organization

GOOD = b'{"amount": 5000}'
NOT_FOUND = Refusal(404, "not_found")


@pytest.fixture
def seller(acme: Organization) -> Iterator[Client]:
    """A seller; in the whole test nothing may be written."""
    with nothing_written():
        yield acme.member.client


@pytest.fixture
def admin(acme: Organization) -> Iterator[Client]:
    """An admin; in the whole test nothing may be written."""
    with nothing_written():
        yield acme.owner.client


@pytest.fixture
def waiting(acme: Organization) -> str:
    """The path of a credit request that waits for a decision."""
    return "/credit-requests/" + acme.member.client.post("/credit-requests", {"amount": 5000}, key="w").json["id"]


class TestAskingForCredit:
    @pytest.mark.parametrize(("amount", "code"), AMOUNTS)
    def test_it_refuses_the_amount(self, seller: Client, amount: str, code: str) -> None:
        answer = seller.request("POST", "/credit-requests", body=f'{{"amount": {amount}}}'.encode(), key="k")
        invalid(("amount", code)).check(answer)

    def test_it_refuses_an_amount_of_five_thousand_digits(self, seller: Client) -> None:
        body = b'{"amount": %s}' % (b"9" * 5000)
        UNREADABLE.check(seller.request("POST", "/credit-requests", body=body, key="k"))

    @pytest.mark.parametrize(
        ("body", "fault"),
        table(
            ("no amount", {}, ("amount", "required")),
            ("a note that is a number", {"amount": 1, "note": 5}, ("note", "invalid")),
            ("a note that is true", {"amount": 1, "note": True}, ("note", "invalid")),
            ("a note that is null", {"amount": 1, "note": None}, ("note", "null")),
            ("a note that is a list", {"amount": 1, "note": ["a"]}, ("note", "invalid")),
            ("a note of 501 characters", {"amount": 1, "note": "ن" * 501}, ("note", "max_length")),
            ("a misspelt field", {"amount": 1, "notes": "a"}, ("notes", "unknown_field")),
            ("a status", {"amount": 1, "status": "approved"}, ("status", "unknown_field")),
            ("somebody's seller_id", {"amount": 1, "seller_id": 1}, ("seller_id", "unknown_field")),
        ),
    )
    def test_it_refuses_the_field(self, seller: Client, body: dict[str, object], fault: tuple[str, str]) -> None:
        invalid(fault).check(seller.post("/credit-requests", body, key="k"))

    def test_it_accepts_a_note_of_500_characters(self, acme: Organization) -> None:
        note = "ن" * 500
        answer = acme.member.client.post("/credit-requests", {"amount": 1, "note": note}, key="k")
        assert (answer.status, answer.json["note"]) == (201, note)

    @pytest.mark.parametrize(("body", "refusal"), BODIES)
    def test_it_refuses_the_body(self, seller: Client, body: bytes, refusal: Refusal) -> None:
        refusal.check(seller.request("POST", "/credit-requests", body=body, key="k"))

    def test_it_refuses_a_chunked_body_of_more_than_a_megabyte(self, seller: Client) -> None:
        headers, content = chunks(b'{"note": "%s"}' % (b"x" * MEBIBYTE))
        sent = [b"Content-Type: application/json", b"Idempotency-Key: k", headers]
        TOO_LARGE.check(send_as(seller, "POST", "/credit-requests", sent, content))

    @pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
    def test_it_refuses_the_content_type(self, seller: Client, content_type: str) -> None:
        headers = {"Content-Type": content_type}
        NOT_JSON.check(seller.request("POST", "/credit-requests", body=GOOD, key="k", headers=headers))

    @pytest.mark.parametrize(("key", "refusal"), KEYS)
    def test_it_refuses_the_idempotency_key(self, seller: Client, key: bytes | None, refusal: Refusal) -> None:
        headers = [b"Content-Type: application/json", b"Content-Length: %d" % len(GOOD)]
        headers += [] if key is None else [b"Idempotency-Key: " + key]
        refusal.check(send_as(seller, "POST", "/credit-requests", headers, GOOD))


class TestDeciding:
    """Approving takes an empty object or nothing at all, rejecting a reason."""

    @pytest.mark.parametrize("decision", ["approve", "reject"])
    @pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
    def test_it_refuses_the_body(
        self, acme: Organization, waiting: str, decision: str, body: bytes, refusal: Refusal
    ) -> None:
        with nothing_written():
            refusal.check(acme.owner.client.request("POST", f"{waiting}/{decision}", body=body))

    @pytest.mark.parametrize("decision", ["approve", "reject"])
    @pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
    def test_it_refuses_the_content_type(
        self, acme: Organization, waiting: str, decision: str, content_type: str
    ) -> None:
        body = b"{}" if decision == "approve" else b'{"reason": "no"}'
        headers = {"Content-Type": content_type}
        with nothing_written():
            NOT_JSON.check(acme.owner.client.request("POST", f"{waiting}/{decision}", body=body, headers=headers))

    @pytest.mark.parametrize("decision", ["approve", "reject"])
    @pytest.mark.parametrize("request_id", NO_UUIDS[::3])
    def test_it_refuses_the_address(self, admin: Client, decision: str, request_id: str) -> None:
        NOT_FOUND.check(
            admin.post(f"/credit-requests/{request_id}/{decision}", {"reason": "no"} if decision == "reject" else None)
        )

    @pytest.mark.parametrize(
        ("body", "code"),
        table(
            ("none", {}, "required"),
            ("empty", {"reason": ""}, "blank"),
            ("white space", {"reason": " \t\n "}, "blank"),
            ("null", {"reason": None}, "null"),
            ("a number", {"reason": 5}, "invalid"),
            ("true", {"reason": True}, "invalid"),
            ("a list", {"reason": []}, "invalid"),
            ("501 characters", {"reason": "ن" * 501}, "max_length"),
        ),
    )
    def test_a_rejection_needs_a_reason(
        self, acme: Organization, waiting: str, body: dict[str, object], code: str
    ) -> None:
        with nothing_written():
            invalid(("reason", code)).check(acme.owner.client.post(f"{waiting}/reject", body))

    def test_an_approval_takes_no_amount(self, acme: Organization, waiting: str) -> None:
        with nothing_written():
            answer = acme.owner.client.post(f"{waiting}/approve", {"amount": 1_000_000})
            invalid(("amount", "unknown_field")).check(answer)

    @pytest.mark.parametrize("body", [b"{}", b""], ids=["an empty object", "nothing"])
    def test_an_approval_is_that(self, acme: Organization, waiting: str, body: bytes) -> None:
        assert acme.owner.client.request("POST", f"{waiting}/approve", body=body).json["status"] == "approved"


SELLER = {"name": "Sara", "username": "sara", "password": PASSWORD}


class TestAddingASeller:
    @pytest.mark.parametrize(
        ("change", "fault"),
        table(
            ("an empty name", {"name": ""}, ("name", "blank")),
            ("a blank name", {"name": "  "}, ("name", "blank")),
            ("a name of 201 characters", {"name": "ن" * 201}, ("name", "max_length")),
            ("a name that is a number", {"name": 5}, ("name", "invalid")),
            ("a name that is null", {"name": None}, ("name", "null")),
            ("an empty username", {"username": ""}, ("username", "blank")),
            ("a username with a slash", {"username": "globex/sara"}, ("username", "invalid")),
            ("a username with a blank", {"username": "sa ra"}, ("username", "invalid")),
            ("a username of 151 characters", {"username": "s" * 151}, ("username", "max_length")),
            ("a username that grows when normalised", {"username": "ﬃ" * 60}, ("username", "invalid")),
            ("a username that is a list", {"username": ["sara"]}, ("username", "invalid")),
            ("an empty password", {"password": ""}, ("password", "blank")),
            ("a short password", {"password": "kJ8#xW"}, ("password", "password_too_short")),
            ("a common password", {"password": "password123"}, ("password", "password_too_common")),
            ("a password of 1,025 characters", {"password": "kJ8#x" * 205}, ("password", "max_length")),
            ("a password that is a number", {"password": 1234567890}, ("password", "invalid")),
            ("a role", {"role": "admin"}, ("role", "unknown_field")),
            ("an id", {"id": 7}, ("id", "unknown_field")),
            ("a balance", {"balance": 1_000_000}, ("balance", "unknown_field")),
        ),
    )
    def test_it_refuses_the_field(self, admin: Client, change: dict[str, object], fault: tuple[str, str]) -> None:
        invalid(fault).check(admin.post("/sellers", SELLER | change))

    @pytest.mark.parametrize("name", ["name", "username", "password"])
    def test_it_needs_the_field(self, admin: Client, name: str) -> None:
        body = {field: value for field, value in SELLER.items() if field != name}
        invalid((name, "required")).check(admin.post("/sellers", body))

    @pytest.mark.parametrize(
        "username", ["member", "owner", "ｍember"], ids=["a seller", "an admin", "another writing"]
    )
    def test_it_refuses_a_username_that_is_taken(self, admin: Client, username: str) -> None:
        Refusal(409, "username_taken").check(admin.post("/sellers", SELLER | {"username": username}))

    @pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
    def test_it_refuses_the_body(self, admin: Client, body: bytes, refusal: Refusal) -> None:
        refusal.check(admin.request("POST", "/sellers", body=body))


class TestChangingASeller:
    @pytest.mark.parametrize(
        ("body", "fault"),
        table(
            ("an empty name", {"name": ""}, ("name", "blank")),
            ("a name that is null", {"name": None}, ("name", "null")),
            ("a name of 201 characters", {"name": "ن" * 201}, ("name", "max_length")),
            ("a flag that is a string", {"is_active": "false"}, ("is_active", "invalid")),
            ("a flag that is a number", {"is_active": 0}, ("is_active", "invalid")),
            ("a flag that is null", {"is_active": None}, ("is_active", "null")),
            ("a flag that is a list", {"is_active": []}, ("is_active", "invalid")),
            ("a username", {"username": "sara"}, ("username", "unknown_field")),
            ("a password", {"password": PASSWORD}, ("password", "unknown_field")),
            ("one good and one bad", {"name": "Sara", "is_active": "no"}, ("is_active", "invalid")),
        ),
    )
    def test_it_refuses_the_field(
        self, acme: Organization, admin: Client, body: dict[str, object], fault: tuple[str, str]
    ) -> None:
        invalid(fault).check(admin.patch(f"/sellers/{acme.member.id}", body))

    @pytest.mark.parametrize("seller_id", NO_SELLERS)
    def test_no_seller_is_at_a_bad_address(self, admin: Client, seller_id: str) -> None:
        NOT_FOUND.check(admin.get(f"/sellers/{seller_id}"))
        NOT_FOUND.check(admin.patch(f"/sellers/{seller_id}", {"name": "x"}))

    @pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
    def test_it_refuses_the_body(self, acme: Organization, admin: Client, body: bytes, refusal: Refusal) -> None:
        refusal.check(admin.request("PATCH", f"/sellers/{acme.member.id}", body=body))


ENTRY_QUERIES = queries(
    (
        "a cursor of recharges",
        f"cursor={cursor_of('recharge<0199b7e2-0000-7000-8000-000000000000')}",
        ("cursor", "invalid"),
    ),
    ("an unknown kind", "kind=debit", ("kind", "invalid_choice")),
    ("an empty kind", "kind=", ("kind", "invalid_choice")),
    ("a filter of recharges", "status=pending", ("status", "unknown_parameter")),
    ("a seller of 5,000 digits", f"seller_id={'9' * 5000}", ("seller_id", "invalid")),
    *moments("created_from")[:4],
    *moments("created_to")[4:8],
)

CREDIT_REQUEST_QUERIES = table(
    ("an unknown status", "status=succeeded", ("status", "invalid_choice")),
    ("a filter of entries", "kind=credit", ("kind", "unknown_parameter")),
    ("a seller beyond a bigint", "seller_id=9223372036854775808", ("seller_id", "invalid")),
    ("a cursor of entries", f"cursor={cursor_of('entry<0199b7e2-0000-7000-8000-000000000000')}", ("cursor", "invalid")),
)

SELLER_QUERIES = table(
    ("a filter", "is_active=true", ("is_active", "unknown_parameter")),
    (
        "a cursor with a UUID",
        f"cursor={cursor_of('seller<0199b7e2-0000-7000-8000-000000000000')}",
        ("cursor", "invalid"),
    ),
    ("a cursor with zero", f"cursor={cursor_of('seller<0')}", ("cursor", "invalid")),
    ("a cursor beyond a bigint", f"cursor={cursor_of('seller<9223372036854775808')}", ("cursor", "invalid")),
    ("a cursor of 5,000 digits", f"cursor={cursor_of('seller<' + '9' * 5000)}", ("cursor", "invalid")),
)


@pytest.mark.parametrize(("query", "fault"), ENTRY_QUERIES)
def test_the_statement_refuses_the_query(admin: Client, query: str, fault: tuple[str, str]) -> None:
    invalid(fault).check(admin.get(f"/entries?{query}"))


@pytest.mark.parametrize(("query", "fault"), CREDIT_REQUEST_QUERIES)
def test_the_list_of_credit_requests_refuses_the_query(admin: Client, query: str, fault: tuple[str, str]) -> None:
    invalid(fault).check(admin.get(f"/credit-requests?{query}"))


@pytest.mark.parametrize(("query", "fault"), SELLER_QUERIES)
def test_the_list_of_sellers_refuses_the_query(admin: Client, query: str, fault: tuple[str, str]) -> None:
    invalid(fault).check(admin.get(f"/sellers?{query}"))


@pytest.mark.parametrize("request_id", NO_UUIDS)
def test_no_credit_request_is_at_a_bad_address(seller: Client, request_id: str) -> None:
    NOT_FOUND.check(seller.get(f"/credit-requests/{request_id}"))


@pytest.mark.parametrize("path", ["/entries", "/credit-requests", "/entries.csv"])
def test_a_seller_may_not_ask_for_a_seller(acme: Organization, seller: Client, path: str) -> None:
    for seller_id in (acme.member.id, acme.neighbour.id):
        invalid(("seller_id", "unknown_parameter")).check(seller.get(f"{path}?seller_id={seller_id}"))
