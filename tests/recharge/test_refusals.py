"""The refusals of the money functions over HTTP, by precedence: of several things that are wrong, which one is told.

Each table begins with what is told first. A line's request has its own fault and those of all lines below it, so that
each is told although the rest is wrong too.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from django.db import connection

from credit.models import Seller
from tenants import models
from tests.support.bad_input import table
from tests.support.client import Answer, Client
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, World, give_credit

pytestmark = pytest.mark.usefixtures("way")

LARGEST_BALANCE = 2**53 - 1


@dataclass
class Sending:
    """A request that is still being put together; at first there is nothing wrong with it."""

    world: World
    path: str
    client: Client
    body: bytes
    key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def send(self) -> Answer:
        return self.client.request("POST", self.path, body=self.body, key=self.key, headers=self.headers)


def on_an_unknown_host(sending: Sending) -> None:
    sending.client = Client(sending.client.address, "nowhere.recharge.test", sending.client.token)


def of_a_suspended_organization(sending: Sending) -> None:
    # One of its own: the server would remember acme or globex as suspended for a while. It is refused before its schema
    # is needed, so there is none.
    slug = f"suspended-{uuid.uuid4().hex}"
    row = models.Organization.objects.create(slug=slug, name=slug, schema_name=f"org_{slug}", status="suspended")
    host = f"{slug}.recharge.test"
    models.Domain.objects.create(tenant=row, domain=host)
    sending.client = Client(sending.client.address, host, sending.client.token)


def for_an_answer_in_html(sending: Sending) -> None:
    sending.headers["Accept"] = "text/html"


def with_no_token(sending: Sending) -> None:
    sending.client = sending.world.acme.anyone


def with_a_token_of_another_organization(sending: Sending) -> None:
    sending.client = Client(sending.client.address, sending.client.host, sending.world.globex.member.client.token)


def by_an_admin(sending: Sending) -> None:
    sending.client = sending.world.acme.owner.client


def by_a_seller(sending: Sending) -> None:
    sending.client = sending.world.acme.member.client


def without_a_key(sending: Sending) -> None:
    sending.key = None


def with_a_bad_key(sending: Sending) -> None:
    sending.key = "k" * 256


def as_a_form(sending: Sending) -> None:
    sending.headers["Content-Type"] = "application/x-www-form-urlencoded"


def of_two_megabytes(sending: Sending) -> None:
    sending.body = b"x" * 2 * 1024 * 1024


def that_is_no_json(sending: Sending) -> None:
    sending.body = b"nonsense"


def with_an_unknown_field(sending: Sending) -> None:
    sending.body = b'{"amount": 0, "surprise": 1}'


def with_a_bad_amount(sending: Sending) -> None:
    sending.body = b'{"phone_number": "09121234567", "amount": 0}'


def with_a_key_of_something_else(sending: Sending) -> None:
    sending.key = "used"


def by_a_seller_who_is_switched_off(sending: Sending) -> None:
    with sending.world.acme.context:
        Seller.objects.filter(pk=sending.world.acme.member.id).update(is_active=False)


Table = list[tuple[Callable[[Sending], None], int, str]]

SALE: Table = [
    (on_an_unknown_host, 404, "not_found"),
    (of_a_suspended_organization, 403, "organization_suspended"),
    (for_an_answer_in_html, 406, "not_acceptable"),
    (with_no_token, 401, "not_authenticated"),
    (with_a_token_of_another_organization, 401, "token_wrong_organization"),
    (by_an_admin, 403, "permission_denied"),
    (without_a_key, 400, "idempotency_key_missing"),
    (with_a_bad_key, 400, "invalid_request"),
    (as_a_form, 415, "unsupported_media_type"),
    (of_two_megabytes, 413, "payload_too_large"),
    (that_is_no_json, 400, "invalid_request"),
    (with_an_unknown_field, 400, "invalid_request"),
    (with_a_bad_amount, 400, "invalid_request"),
    (with_a_key_of_something_else, 422, "idempotency_key_reused"),
    (by_a_seller_who_is_switched_off, 403, "seller_inactive"),
]


@pytest.fixture(autouse=True)
def suspended_are_gone() -> Iterator[None]:
    """Takes away what ``of_a_suspended_organization`` made, which has no books to prove."""
    yield
    models.Organization.objects.filter(status="suspended").delete()


@pytest.mark.parametrize("line", range(len(SALE)), ids=[fault.__name__ for fault, _, _ in SALE])
@pytest.mark.parametrize("path", ["/recharges", "/credit-requests"])
def test_a_sale_and_a_credit_request_are_refused_in_this_order(world: World, path: str, line: int) -> None:
    # Beyond the table: the balance is 0.
    give_credit(world.acme.row, world.acme.member.id, 5000)
    body: dict[str, object] = {"amount": 5000}
    if path == "/recharges":
        body["phone_number"] = "09121234567"
    assert world.acme.member.client.post(path, body, key="used").status == 201
    sending = Sending(world, path, world.acme.member.client, str(body | {"amount": 5001}).replace("'", '"').encode())
    sending.key = "new"
    for fault, _, _ in reversed(SALE[line:]):
        fault(sending)
    _, status, code = SALE[line]
    with nothing_written():
        answer = sending.send()
    assert (answer.status, answer.code) == (status, code), answer.json


DECISION: Table = [
    (on_an_unknown_host, 404, "not_found"),
    (of_a_suspended_organization, 403, "organization_suspended"),
    (for_an_answer_in_html, 406, "not_acceptable"),
    (with_no_token, 401, "not_authenticated"),
    (with_a_token_of_another_organization, 401, "token_wrong_organization"),
    (by_a_seller, 403, "permission_denied"),
    (as_a_form, 415, "unsupported_media_type"),
    (of_two_megabytes, 413, "payload_too_large"),
    (that_is_no_json, 400, "invalid_request"),
    (with_an_unknown_field, 400, "invalid_request"),
]


@pytest.mark.parametrize("line", range(len(DECISION)), ids=[fault.__name__ for fault, _, _ in DECISION])
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_decision_is_refused_in_this_order(world: World, decision: str, line: int) -> None:
    # Beyond the table: there is no such request.
    path = f"/credit-requests/{uuid.uuid4()}/{decision}"
    sending = Sending(world, path, world.acme.owner.client, b"{}")
    for fault, _, _ in reversed(DECISION[line:]):
        fault(sending)
    _, status, code = DECISION[line]
    with nothing_written():
        answer = sending.send()
    assert (answer.status, answer.code) == (status, code), answer.json


@pytest.fixture
def seller(acme: Organization) -> Person:
    """A seller of 10,000 Tomans who has sold one recharge of 8,000 with the key ``used``."""
    give_credit(acme.row, acme.member.id, 10_000)
    assert acme.member.sell(8000, key="used").status == 201
    return acme.member


@pytest.mark.parametrize(
    ("active", "key", "amount", "status", "code"),
    table(
        # The function's own refusals: first the key, then the seller, then the balance (which is 2,000).
        ("a replay, though inactive", False, "used", 8000, 200, None),
        ("reused, though inactive", False, "used", 1, 422, "idempotency_key_reused"),
        ("inactive, though the credit is short", False, "new", 8000, 403, "seller_inactive"),
        ("inactive", False, "new", 1, 403, "seller_inactive"),
        ("a replay, though the credit is short", True, "used", 8000, 200, None),
        ("reused, though the credit is short", True, "used", 8001, 422, "idempotency_key_reused"),
        ("reused", True, "used", 1, 422, "idempotency_key_reused"),
        ("short by one", True, "new", 2001, 402, "insufficient_credit"),
        ("short by all there is", True, "new", 1_000_000_000_000, 402, "insufficient_credit"),
    ),
)
def test_a_sale_that_is_not_made_writes_nothing(
    seller: Person, acme: Organization, active: bool, key: str, amount: int, status: int, code: str | None
) -> None:
    with acme.context:
        Seller.objects.filter(pk=seller.id).update(is_active=active)
    with nothing_written():
        answer = seller.sell(amount, key=key)
    assert (answer.status, answer.code) == (status, code)
    assert seller.balance() == 2000


def test_the_last_toman_can_be_sold(seller: Person) -> None:
    assert seller.sell(2000).json["balance_after"] == 0


@pytest.mark.parametrize(
    "change",
    [{"amount": 7999}, {"phone_number": "09121234568"}, {"operator": "irancell"}],
    ids=["amount", "number", "operator"],
)
def test_a_key_is_reused_if_anything_differs(seller: Person, change: dict[str, object]) -> None:
    body = {"phone_number": "09121234567", "amount": 8000} | change
    with nothing_written():
        answer = seller.client.post("/recharges", body, key="used")
    assert (answer.status, answer.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "same",
    [{}, {"phone_number": "+98 912 123 4567"}, {"phone_number": "۰۹۱۲۱۲۳۴۵۶۷"}, {"operator": "mci"}],
    ids=["to the letter", "the number written otherwise", "in Persian", "its operator named"],
)
def test_the_same_content_in_another_writing_is_a_replay(seller: Person, same: dict[str, object]) -> None:
    body = {"phone_number": "09121234567", "amount": 8000} | same
    with nothing_written():
        answer = seller.client.post("/recharges", body, key="used")
    assert (answer.status, answer.headers.get("Idempotent-Replayed")) == (200, "true")


def test_a_key_is_of_one_seller_and_one_kind(seller: Person, acme: Organization) -> None:
    give_credit(acme.row, acme.neighbour.id, 10_000)
    assert acme.neighbour.sell(8000, key="used").status == 201
    assert seller.client.post("/credit-requests", {"amount": 8000}, key="used").status == 201


def test_too_little_credit_is_told_in_numbers(seller: Person) -> None:
    answer = seller.sell(2001)
    assert answer.json == {
        "type": "about:blank",
        "title": "Insufficient credit",
        "status": 402,
        "code": "insufficient_credit",
        "detail": answer.json["detail"],
        "request_id": answer.headers["X-Request-ID"],
        "balance": 2000,
        "required": 2001,
    }


def test_a_refused_key_may_be_tried_again(seller: Person, acme: Organization) -> None:
    assert seller.sell(2001, key="again").status == 402
    assert seller.sell(0, key="again").status == 400
    give_credit(acme.row, seller.id, 1)
    assert seller.sell(2001, key="again").status == 201
    assert seller.balance() == 0


@pytest.mark.parametrize(
    ("first", "second", "status", "code"),
    table(
        ("approved twice", "approve", "approve", 200, None),
        ("rejected twice", "reject", "reject", 200, None),
        ("rejected after approval", "approve", "reject", 409, "already_decided"),
        ("approved after rejection", "reject", "approve", 409, "already_decided"),
    ),
)
def test_a_decision_is_made_once(acme: Organization, first: str, second: str, status: int, code: str | None) -> None:
    asked = acme.member.client.post("/credit-requests", {"amount": 7000}, key="k").json["id"]

    def decide(decision: str) -> Answer:
        body = {"reason": decision} if decision == "reject" else None
        return acme.owner.client.post(f"/credit-requests/{asked}/{decision}", body)

    decided = decide(first)
    with nothing_written():
        again = decide(second)
    assert (decided.status, again.status, again.code) == (200, status, code)
    assert again.headers.get("Idempotent-Replayed") == ("true" if status == 200 else None)
    assert "Idempotent-Replayed" not in decided.headers
    if status == 200:
        assert again.json == decided.json
    assert acme.member.balance() == (7000 if first == "approve" else 0)


@pytest.mark.breaks_the_books  # a balance that no documents come to
def test_an_approval_beyond_the_largest_balance_is_refused_and_can_be_rejected(acme: Organization) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (posting.made).posted FROM (SELECT {acme.row.schema_name}.ledger_post(%s, %s, 'adjustment', %s,"
            " gen_random_uuid()) AS made) AS posting",
            [acme.row.pk, acme.member.id, LARGEST_BALANCE - 6999],
        )
        assert cursor.fetchall() == [(True,)]
    asked = acme.member.client.post("/credit-requests", {"amount": 7000}, key="k").json["id"]
    with nothing_written():
        answer = acme.owner.client.post(f"/credit-requests/{asked}/approve")
    assert (answer.status, answer.code) == (409, "balance_limit_exceeded")
    rejected = acme.owner.client.post(f"/credit-requests/{asked}/reject", {"reason": "too much"})
    assert rejected.json["status"] == "rejected"
    exactly = acme.member.client.post("/credit-requests", {"amount": 6999}, key="exactly").json["id"]
    assert acme.owner.client.post(f"/credit-requests/{exactly}/approve").status == 200
    assert acme.member.client.get("/balance").json["balance"] == LARGEST_BALANCE
