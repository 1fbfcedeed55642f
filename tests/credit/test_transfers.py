"""Credit that a dealer gives to a child, or a child back: one document, two entries, and nothing besides."""

import random
import re
import uuid
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django_tenants.utils import tenant_context

from credit.models import Account, AuditRecord, Entry, Transfer, WebhookMessage
from credit.transfers import transfer_credit
from credit.webhooks.services import create_webhook
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from shared.identity.roles import ASKING, READ, SELLING
from shared.money import LARGEST_BALANCE
from tenants.errors import OrganizationSuspended
from tenants.models import Organization as Row
from tests.support.bad_input import AMOUNTS, BODIES, KEYS, Refusal, invalid
from tests.support.client import Answer
from tests.support.crowd import in_processes, in_threads, together
from tests.support.locks import sell_pending
from tests.support.raw import send_as
from tests.support.sessions import deadlocks
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor, shown, text_of, words_of
from tests.support.world import Organization, Person, give_credit, make_person, make_seller, place


@pytest.fixture
def child(acme: Organization) -> Person:
    """The neighbour sells for the member, who has 100,000 Tomans."""
    place(acme.row, acme.neighbour.id, acme.member.id)
    give_credit(acme.row, acme.member.id, 100_000)
    return acme.neighbour


def give(giver: Person, to: object, amount: Any = 5000, *, key: str | None = None, **more: Any) -> Answer:
    return giver.client.post("/transfers", {"to": to, "amount": amount, **more}, key=key or uuid.uuid4().hex)


def test_a_sellers_own_list_adds_up_what_changed_his_balance(acme: Organization, child: Person) -> None:
    assert give(acme.member, child.id, 30_000).status == 201
    assert give(child, acme.member.id, 10_000).status == 201
    for person, change in ((acme.member, "−20,000"), (child, "+20,000"), (acme.owner, "40,000")):
        foot = text_of(Visitor.signed_in(person).get("/transfers")).partition("<tfoot")[2].partition("</tfoot>")[0]
        assert words_of(foot).replace("\u200e", "").endswith(f"Sum of all 2 rows {change}"), person.username
    for number in range(24):  # on two pages: the database adds up
        assert give(acme.member, child.id, 1, key=f"k{number}").status == 201
    assert "−20,024" in shown(Visitor.signed_in(acme.member).get("/transfers"))


def test_a_sellers_own_list_is_sorted_with_the_sign_of_each_change(acme: Organization, child: Person) -> None:
    for giver, to, amount in (
        (acme.member, child, 30_000), (child, acme.member, 10_000), (acme.member, child, 500), (child, acme.member, 200)
    ):  # fmt: skip
        assert give(giver, to.id, amount).status == 201

    def column(person: Person, query: str) -> list[str]:
        page = text_of(Visitor.signed_in(person).get(f"/transfers?{query}"))
        rows = page.partition("<tbody")[2].partition("</tbody>")[0].replace("\u200e", "")
        return re.findall(r'<td class="amount">(?:<span[^>]*>)?([^<]*)', rows)[:: 2 if person is not acme.owner else 1]

    assert column(acme.member, "sort=-amount") == ["+10,000", "+200", "−500", "−30,000"]
    assert column(acme.member, "sort=amount") == ["−30,000", "−500", "+200", "+10,000"]
    assert column(child, "sort=-amount") == ["+30,000", "+500", "−200", "−10,000"]
    assert column(acme.owner, "sort=-amount") == ["30,000", "10,000", "500", "200"]  # no side of theirs: unsigned


def test_a_page_beyond_the_first_goes_on_from_a_negative_change(acme: Organization, child: Person) -> None:
    for number in range(30):
        assert give(acme.member, child.id, 1000 + number).status == 201
    visitor, seen, address = Visitor.signed_in(acme.member), [], "/transfers?sort=-amount&size=25"
    while address:
        page = text_of(visitor.get(address)).replace("\u200e", "")
        seen += re.findall(r'<span class="debit">−1,(\d{3})</span></td>', page.partition("</tbody>")[0])
        older = re.search(r'href="([^"]*)"[^>]*>Next<', page)
        address = "/transfers" + older[1].replace("&amp;", "&") if older else ""
    assert seen == [f"{number:03}" for number in range(30)]


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def test_a_dealer_gives_to_a_child_and_the_child_gives_back(acme: Organization, child: Person) -> None:
    dealer = acme.member
    given = give(dealer, child.id, 30_000, key="k", note="For the week")
    assert given.status == 201
    assert given.json == {
        "id": given.json["id"],
        "from": dealer.id,
        "to": child.id,
        "amount": 30_000,
        "note": "For the week",
        "balance_after": 70_000,
        "created_at": given.json["created_at"],
        "credit_request_id": None,
    }
    back = give(child, dealer.id, 10_000)
    assert (back.status, back.json["balance_after"]) == (201, 20_000)
    assert (dealer.balance(), child.balance()) == (80_000, 20_000)
    again = give(dealer, child.id, 30_000, key="k", note="For the week")
    assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (200, given.json, "true")
    assert (dealer.balance(), child.balance()) == (80_000, 20_000)

    entries = child.client.get("/entries").json["results"]
    assert [(one["kind"], one["amount"], one["balance_after"], one["reference"]) for one in entries] == [
        ("transfer_out", -10_000, 20_000, back.json["id"]),
        ("transfer_in", 30_000, 30_000, given.json["id"]),
    ]
    # Each of the two sees both, with the own balance; who sees all, with the giver's.
    seen = [person.client.get("/transfers").json["results"] for person in (dealer, child, acme.owner)]
    assert [[one["id"] for one in rows] for rows in seen] == [[back.json["id"], given.json["id"]]] * 3
    assert [[one["balance_after"] for one in rows] for rows in seen] == [
        [80_000, 70_000],
        [20_000, 30_000],
        [20_000, 70_000],
    ]
    path = f"/transfers/{given.json['id']}"
    assert dealer.client.get(path).json == given.json
    assert child.client.get(path).json == given.json | {"balance_after": 30_000}
    received = child.client.get("/transfers?direction=received").json["results"]
    assert [one["id"] for one in received] == [given.json["id"]]
    mine = acme.owner.client.get(f"/transfers?seller_id={dealer.id}&direction=given&limit=1").json["results"]
    assert [one["id"] for one in mine] == [given.json["id"]]
    assert acme.owner.client.get("/transfers?direction=given").faults == {("direction", "without_seller")}
    assert child.client.get(f"/transfers?seller_id={dealer.id}").faults == {("seller_id", "unknown_parameter")}
    stranger = make_person(acme.row, "stranger", dealer.client.address, is_seller=True)
    assert stranger.client.get("/transfers").json["results"] == []
    assert told(stranger.client.get(path)) == (404, "not_found")
    with acme.context:
        acts = AuditRecord.objects.filter(action="transfer.created").order_by("pk").values_list("actor", "after")
        assert list(acts) == [
            ("member", {"from": dealer.id, "to": child.id, "amount": 30_000, "note": "For the week"}),
            ("neighbour", {"from": child.id, "to": dealer.id, "amount": 10_000}),
        ]
        assert [row.made_by for row in Transfer.objects.order_by("pk")] == ["member", "neighbour"]


def test_nobody_but_parent_and_child_and_nothing_that_is_not_there(acme: Organization, child: Person) -> None:
    dealer = acme.member
    make_grandchild = make_person(acme.row, "grandchild", dealer.client.address, is_seller=True)
    place(acme.row, make_grandchild.id, child.id)
    stranger = make_seller(acme.row, "Stranger").pk
    sibling = make_seller(acme.row, "Sibling").pk
    place(acme.row, sibling, dealer.id)
    off = make_seller(acme.row, "Off").pk
    place(acme.row, off, dealer.id)
    acme.owner.client.patch(f"/sellers/{off}", {"is_active": False})
    give(dealer, child.id, 1000, key="used")
    with nothing_written():
        for to in (stranger, make_grandchild.id, 10**9):
            assert told(give(dealer, to)) == (404, "not_found")
        assert told(give(child, sibling, 500)) == (404, "not_found")
        assert told(give(make_grandchild, dealer.id, 500)) == (404, "not_found")
        assert give(dealer, dealer.id).faults == {("to", "own_seller")}
        assert told(give(dealer, off)) == (403, "seller_inactive")
        too_much = give(dealer, child.id, 99_001)
        assert told(too_much) == (402, "insufficient_credit")
        assert (too_much.json["balance"], too_much.json["required"]) == (99_000, 99_001)
        for other in ({"amount": 1001}, {"to": off}, {"note": "x"}):
            body = {"to": child.id, "amount": 1000} | other
            assert told(dealer.client.post("/transfers", body, key="used")) == (422, "idempotency_key_reused")
        assert told(dealer.client.post("/transfers", {"to": child.id, "amount": 1})) == (400, "idempotency_key_missing")
        assert told(give(acme.owner, child.id)) == (403, "permission_denied")
    # The key is the giver's own.
    assert give(child, dealer.id, 1000, key="used").status == 201
    acme.owner.client.patch(f"/sellers/{dealer.id}", {"is_active": False})
    assert told(give(dealer, child.id, 7)) == (403, "seller_inactive")
    # What was done was done, whatever was switched off since.
    assert give(dealer, child.id, 1000, key="used").status == 200
    # Those below him go on.
    assert give(child, make_grandchild.id, 0).status == 400
    acme.owner.client.patch(f"/sellers/{dealer.id}", {"is_active": True})
    place(acme.row, child.id, None)
    assert told(give(dealer, child.id)) == (404, "not_found")


def test_a_balance_can_t_pass_the_largest_one(acme: Organization, child: Person) -> None:
    with acme.context, connection.cursor() as cursor:
        cursor.execute("UPDATE credit_account SET balance = %s WHERE seller_id = %s", [LARGEST_BALANCE - 9, child.id])
        assert told(give(acme.member, child.id, 10)) == (409, "balance_limit_exceeded")
        cursor.execute("UPDATE credit_account SET balance = 0 WHERE seller_id = %s", [child.id])


@pytest.mark.parametrize(("amount", "code"), AMOUNTS)
def test_it_refuses_the_amount(acme: Organization, amount: str, code: str) -> None:
    with nothing_written():
        body = f'{{"to": {acme.neighbour.id}, "amount": {amount}}}'.encode()
        invalid(("amount", code)).check(acme.member.client.request("POST", "/transfers", body=body, key="k"))


def test_it_refuses_the_rest(acme: Organization, child: Person) -> None:
    with nothing_written():
        for to, code in (
            (0, "too_small"), (-1, "too_small"), ("2", "not_an_integer"), (2.0, "not_an_integer"), (None, "null"),
            (True, "not_an_integer"), ([2], "not_an_integer"), (2**63, "too_large"),
        ):  # fmt: skip
            assert give(acme.member, to).faults == {("to", code)}
        for note, fault in (("n" * 501, ("note", "max_length")), ("a\0b", ("body", "not_readable"))):
            assert give(acme.member, child.id, note=note).faults == {fault}
        for case in BODIES:
            body, refusal = case.values
            assert isinstance(refusal, Refusal)
            answer = acme.member.client.request("POST", "/transfers", body=body, key="k")
            assert answer.status == refusal.status, case.id
        good = b'{"to": %d, "amount": 5}' % child.id
        for case in KEYS:
            key, refusal = case.values
            headers = [b"Content-Type: application/json", b"Content-Length: %d" % len(good)]
            headers += [] if key is None else [b"Idempotency-Key: " + key]  # type: ignore[operator]
            refusal.check(send_as(acme.member.client, "POST", "/transfers", headers, good))  # type: ignore[union-attr]
        for bad in ("direction=sideways", "seller_id=x", "limit=0", "created_from=now", "to=5", "cursor=x"):
            assert acme.owner.client.get(f"/transfers?{bad}").status == 400, bad


def test_an_api_key_gives_with_the_scope_that_may_spend_the_balance_alone(acme: Organization, child: Person) -> None:
    for scopes, status in (([ASKING, READ], 403), ([SELLING], 201)):
        body = {"name": "Shop", "scopes": scopes}
        key = acme.member.client.post("/api-keys", body).json
        grant = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["secret"]}
        token = acme.anyone.post("/auth/token", grant).json["access"]
        answer = replace(acme.anyone, token=token).post("/transfers", {"to": child.id, "amount": 5}, key="k")
        assert answer.status == status, answer.json
    with acme.context:
        row = Transfer.objects.get()
        assert (row.made_by, row.user_id, str(row.key_id)) == ("Shop", None, key["id"])


def test_a_suspended_organization_transfers_nothing_and_tells_what_was(acme: Organization, child: Person) -> None:
    arguments: dict[str, Any] = {"organization": acme.row, "giver_id": acme.member.id, "receiver_id": child.id}
    with acme.context:
        made = transfer_credit(**arguments, idempotency_key="k", amount=500)
        suspended = Row(**{**_fields(acme.row), "status": Row.Status.SUSPENDED})
        arguments["organization"] = suspended
        with pytest.raises(OrganizationSuspended):
            transfer_credit(**arguments, idempotency_key="other", amount=500)
        again = transfer_credit(**arguments, idempotency_key="k", amount=500)
    assert (again.is_replay, again.row.row.pk, again.row.balance_after) == (True, made.row.row.pk, 99_500)


def _fields(row: Row) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in Row._meta.concrete_fields}


def test_what_the_receiver_owes_is_charged_first(acme: Organization, child: Person) -> None:
    give_credit(acme.row, child.id, 5000)
    with acme.context:
        sold = sell_pending(acme.row, child.id, 5000)
        settle_recharge(
            organization=acme.row, recharge_id=sold, status=Recharge.Status.FAILED, failure="no such number"
        )
        assert give(child, acme.member.id, 5000).status == 201  # what was refunded is spent
        settle_recharge(organization=acme.row, recharge_id=sold, status=Recharge.Status.SUCCEEDED)
        assert give(acme.member, child.id, 7000).json["balance_after"] == 98_000
        assert child.balance() == 2000
        kinds = [entry.kind for entry in Entry.objects.filter(seller=child.id).order_by("number")]
        assert kinds[-3:] == ["transfer_out", "transfer_in", "late_charge"]


def test_the_receiver_s_webhook_is_told(acme: Organization, child: Person) -> None:
    with acme.context:
        for seller_id in (child.id, acme.member.id, None):
            create_webhook(
                organization=acme.row,
                seller_id=seller_id,
                url="https://hooks.example.com/x",
                events=["transfer.received"],
            )
    given = give(acme.member, child.id, 2500)
    with acme.context:
        messages = {
            message.endpoint.seller_id: message for message in WebhookMessage.objects.select_related("endpoint")
        }
    assert set(messages) == {child.id, None}
    assert messages[child.id].event == "transfer.received"
    assert messages[child.id].data == child.client.get(f"/transfers/{given.json['id']}").json
    assert messages[child.id].data["balance_after"] == 2500


def test_a_transfer_says_for_good_what_it_says(acme: Organization, child: Person) -> None:
    give(acme.member, child.id)
    for statement in (
        "UPDATE credit_transfer SET amount = 1",
        "UPDATE credit_transfer SET note = 'x'",
        "DELETE FROM credit_transfer",
        "TRUNCATE credit_transfer",
    ):
        with acme.context, pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


# --- At once ----------------------------------------------------------------------------------------------------------


def test_one_key_from_many_threads_is_one_transfer(acme: Organization, child: Person) -> None:
    answers = together([partial(give, acme.member, child.id, 1000, key="k")] * 16)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 15}
    assert (acme.member.balance(), child.balance()) == (99_000, 1000)


THREADS, EACH = 8, 12


def give_to_and_fro(slug: str, pairs: list[tuple[int, int]], seed: int) -> list[str]:
    """Transfers in both directions from one process's threads; what each came to."""
    row, chance = Row.objects.get(slug=slug), random.Random(seed)

    def one(pair: tuple[int, int], amount: int) -> str:
        giver, receiver = pair
        with tenant_context(row):
            transfer_credit(
                organization=row, giver_id=giver, receiver_id=receiver, idempotency_key=uuid.uuid4().hex, amount=amount
            )
        return "done"

    calls = []
    for _ in range(THREADS * EACH):
        giver, receiver = chance.choice(pairs)
        pair = (giver, receiver) if chance.random() < 0.5 else (receiver, giver)
        calls.append(partial(one, pair, chance.randint(1, 900)))
    return [one if isinstance(one, str) else type(one).__name__ for one in in_threads(calls, THREADS)]


def test_between_twenty_sellers_in_both_directions_from_many_processes_nothing_dead_locks(acme: Organization) -> None:
    """Each seller is a parent of some and a child of another; ids run against the tree for some of them."""
    sellers = [make_seller(acme.row, f"Seller {n}", 5000).pk for n in range(20)]
    order = sellers[10:] + sellers[:10]
    pairs = [(order[(place_ - 1) // 3], order[place_]) for place_ in range(1, 20)]
    for parent, seller in pairs:
        place(acme.row, seller, parent)
    before = deadlocks()
    came_to = in_processes(give_to_and_fro, [("acme", pairs, seed) for seed in range(4)], 4)
    counted = Counter(one for results in came_to for one in results)
    assert set(counted) <= {"done", "InsufficientCredit"}, counted
    assert counted.total() == 4 * THREADS * EACH
    assert deadlocks() == before
    with acme.context:
        balances = list(Account.objects.filter(pk__in=sellers).values_list("balance", flat=True))
        assert (sum(balances), min(balances) >= 0) == (20 * 5000, True)
        moved = Entry.objects.filter(kind__in=["transfer_out", "transfer_in"])
        assert sum(moved.values_list("amount", flat=True)) == 0
        assert Transfer.objects.count() == counted["done"] == moved.count() // 2
