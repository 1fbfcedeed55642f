"""What a dealer sees and does below him, and that nobody sees it from beside or from below."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from django.db import transaction

from credit.models import AuditRecord, CreditRequest, Entry, Seller, Transfer, WebhookMessage
from credit.webhooks.services import create_webhook
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.sessions import somebody_waits
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor, shown
from tests.support.world import PASSWORD, Organization, Person, give_credit, make_person, place


@dataclass(frozen=True)
class Family:
    """The top has two children, one of whom has a child, the nephew of the other."""

    top: Person
    child: Person
    sibling: Person
    grandchild: Person
    stranger: Person


@pytest.fixture
def family(acme: Organization) -> Family:
    address = acme.member.client.address
    sibling, grandchild, stranger = (
        make_person(acme.row, name, address, is_seller=True) for name in ("sibling", "grandchild", "stranger")
    )
    place(acme.row, acme.neighbour.id, acme.member.id)
    place(acme.row, sibling.id, acme.member.id)
    place(acme.row, grandchild.id, acme.neighbour.id)
    give_credit(acme.row, acme.member.id, 100_000)
    return Family(acme.member, acme.neighbour, sibling, grandchild, stranger)


def ids_of(answer: Answer) -> set[int]:
    return {one["id"] for one in answer.json["results"]}


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def test_a_dealer_sees_all_below_him_and_what_they_have_and_sell(acme: Organization, family: Family) -> None:
    give_credit(acme.row, family.grandchild.id, 20_000)
    sold = family.grandchild.sell(5000).json
    assert ids_of(family.top.client.get("/branch")) == {family.child.id, family.sibling.id, family.grandchild.id}
    assert ids_of(family.child.client.get("/branch")) == {family.grandchild.id}
    for nobody in (family.sibling, family.grandchild, family.stranger):
        assert ids_of(nobody.client.get("/branch")) == set()
    path = f"/branch/{family.grandchild.id}"
    seen = family.top.client.get(path).json
    assert seen == {
        "id": family.grandchild.id,
        "name": "grandchild",
        "username": "grandchild",
        "parent_id": family.child.id,
        "is_active": True,
        "created_at": seen["created_at"],
        "balance": 15_000,
        "sales_today": 1,
        "sold_today": 5000,
        "children": 0,
    }
    assert family.top.client.get(f"/branch/{family.child.id}").json["children"] == 1
    entries = family.top.client.get(f"{path}/entries").json["results"]
    assert entries == family.grandchild.client.get("/entries").json["results"]
    assert len(family.top.client.get(f"{path}/entries?kind=credit").json["results"]) == 1
    assert [one["id"] for one in family.child.client.get(f"{path}/recharges").json["results"]] == [sold["id"]]
    assert family.child.client.get(f"{path}/recharges?status=failed").json["results"] == []
    # The sale itself is the seller's own to open.
    assert told(family.top.client.get(f"/recharges/{sold['id']}")) == (404, "not_found")


def test_nothing_is_seen_from_beside_or_from_below(acme: Organization, family: Family) -> None:
    """Sibling, nephew, uncle, child, oneself, a stranger: all the same as nobody."""
    pairs = [
        (family.sibling, family.child), (family.sibling, family.grandchild), (family.grandchild, family.sibling),
        (family.child, family.top), (family.grandchild, family.child), (family.grandchild, family.top),
        (family.child, family.sibling), (family.top, family.top), (family.top, family.stranger),
        (family.stranger, family.child),
    ]  # fmt: skip
    asked = asks(acme, family.grandchild, 1000)
    with nothing_written():
        for who, whom in pairs:
            for path in ("", "/entries", "/recharges"):
                answer = who.client.get(f"/branch/{whom.id}{path}")
                assert told(answer) == (404, "not_found"), (who.username, whom.username, path)
            switched = who.client.patch(f"/branch/{whom.id}", {"is_active": False})
            assert told(switched) == (404, "not_found"), (who.username, whom.username)
        # Above, but not the parent: sees him, and does not switch him.
        answer = family.top.client.patch(f"/branch/{family.grandchild.id}", {"is_active": False})
        assert told(answer) == (404, "not_found")
        for who in (family.top, family.sibling, family.grandchild, family.stranger):
            assert told(who.client.get(f"/branch/credit-requests/{asked}")) == (404, "not_found")
            assert told(who.client.post(f"/branch/credit-requests/{asked}/approve")) == (404, "not_found")
            answer = who.client.post(f"/branch/credit-requests/{asked}/reject", {"reason": "no"})
            assert told(answer) == (404, "not_found")
    visitors = {person.username: Visitor.signed_in(person) for person, _ in pairs}
    for who, whom in pairs:
        for path in ("", "/sales", "/entries", "/switch-off", "/switch-on"):
            page = visitors[who.username].get(f"/branch/{whom.id}{path}")
            assert page.status == 404, (who.username, whom.username, path)
    for who in (family.top, family.sibling, family.grandchild, family.stranger):
        for path in ("", "/approve", "/reject"):
            assert visitors[who.username].get(f"/branch/requests/{asked}{path}").status == 404, (who.username, path)


def test_a_dealer_makes_a_child_who_signs_in(acme: Organization, family: Family) -> None:
    body = {"name": "Kiosk", "username": "kiosk", "password": PASSWORD}
    made = family.child.client.post("/branch", body)
    assert (made.status, made.json["parent_id"], made.json["balance"]) == (201, family.child.id, 0)
    assert acme.anyone.post("/auth/token", {"username": "kiosk", "password": PASSWORD}).status == 200
    with acme.context:
        assert Seller.objects.get(pk=made.json["id"]).ancestors == [family.child.id, family.top.id]
    with nothing_written():
        assert family.top.client.post("/branch", body).code == "username_taken"
        parent = family.top.client.post("/branch", body | {"username": "x", "parent_id": family.stranger.id})
        assert parent.faults == {("parent_id", "unknown_field")}
    # The fifth level makes no sixth.
    below = make_person(acme.row, "fourth", acme.member.client.address, is_seller=True)
    place(acme.row, below.id, family.grandchild.id)
    fifth = make_person(acme.row, "fifth", acme.member.client.address, is_seller=True)
    place(acme.row, fifth.id, below.id)
    with nothing_written():
        assert told(fifth.client.post("/branch", body | {"username": "sixth"})) == (409, "not_a_tree")


def test_a_dealer_switches_off_and_on_whom_he_has_switched_off_himself(acme: Organization, family: Family) -> None:
    path = f"/branch/{family.child.id}"
    give_credit(acme.row, family.child.id, 10_000)
    give_credit(acme.row, family.grandchild.id, 10_000)
    assert family.top.client.patch(path, {"is_active": False}).json["is_active"] is False
    assert family.top.client.patch(path, {"is_active": False}).status == 200  # again: nothing is done
    assert told(family.child.sell()) == (403, "seller_inactive")
    # Those below him go on, and are seen from above; nobody gives them but who is active.
    assert family.grandchild.sell().status == 201
    assert family.top.client.get(f"/branch/{family.grandchild.id}").status == 200
    gives_back = family.grandchild.client.post("/transfers", {"to": family.child.id, "amount": 5}, key="k")
    assert told(gives_back) == (403, "seller_inactive")
    assert family.top.client.patch(path, {"is_active": True}).json["is_active"] is True
    assert family.child.sell().status == 201
    # Whom the organization has switched off, it alone switches on: also if he was off already.
    for by_dealer_first in (False, True):
        if by_dealer_first:
            family.top.client.patch(path, {"is_active": False})
        acme.owner.client.patch(f"/sellers/{family.child.id}", {"is_active": False})
        with nothing_written():
            assert told(family.top.client.patch(path, {"is_active": True})) == (403, "permission_denied")
        acme.owner.client.patch(f"/sellers/{family.child.id}", {"is_active": True})
    with acme.context:
        acts = AuditRecord.objects.filter(action="seller.changed", actor="member").order_by("pk")
        assert [act.after for act in acts] == [{"is_active": False}, {"is_active": True}, {"is_active": False}]
    for bad in ({}, {"is_active": None}, {"is_active": "no"}, {"is_active": 0}, {"name": "x", "is_active": True}):
        assert family.top.client.patch(path, bad).status == 400, bad


# --- What they ask for ------------------------------------------------------------------------------------------------


def asks(acme: Organization, person: Person, amount: int) -> str:
    """A credit request while the organization has them go to the parent; its id."""
    assert acme.owner.client.patch("/settings", {"requests_go_to_parent": True}).json["requests_go_to_parent"] is True
    made = person.client.post("/credit-requests", {"amount": amount, "note": "please"}, key=uuid.uuid4().hex)
    assert made.status == 201
    return str(made.json["id"])


def approve(person: Person, asked: str) -> Answer:
    return person.client.post(f"/branch/credit-requests/{asked}/approve")


def test_a_child_asks_the_dealer_who_gives_of_his_own(acme: Organization, family: Family) -> None:
    to_nobody = family.child.client.post("/credit-requests", {"amount": 1}, key="before").json
    assert to_nobody["parent_id"] is None
    asked = asks(acme, family.child, 30_000)
    with acme.context:
        create_webhook(
            organization=acme.row,
            seller_id=family.child.id,
            url="https://hooks.example.com/x",
            events=["credit_request.approved", "transfer.received"],
        )
    (waiting,) = family.top.client.get("/branch/credit-requests?status=pending").json["results"]
    assert (waiting["id"], waiting["parent_id"], waiting["note"]) == (asked, family.top.id, "please")
    assert family.top.client.get("/credit-requests").json["results"][0]["id"] != asked
    given = approve(family.top, asked)
    assert (given.status, given.json["status"], given.json["decided_by"]) == (200, "approved", "member")
    assert (family.top.balance(), family.child.balance()) == (70_000, 30_000)
    again = approve(family.top, asked)
    assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (200, given.json, "true")
    rejected = family.top.client.post(f"/branch/credit-requests/{asked}/reject", {"reason": "no"})
    assert told(rejected) == (409, "already_decided")
    assert (family.top.balance(), family.child.balance()) == (70_000, 30_000)
    (transfer,) = family.child.client.get("/transfers").json["results"]
    assert (transfer["credit_request_id"], transfer["amount"], transfer["from"]) == (asked, 30_000, family.top.id)
    with acme.context:
        assert not Entry.objects.filter(kind="credit", reference=asked).exists()
        assert {one.event for one in WebhookMessage.objects.all()} == {"credit_request.approved", "transfer.received"}
        act = AuditRecord.objects.get(action="credit_request.approved", object=asked)
        assert (act.actor, act.after["parent_id"]) == ("member", family.top.id)


def test_what_the_dealer_s_balance_does_not_bear_still_waits(acme: Organization, family: Family) -> None:
    asked = asks(acme, family.child, 100_001)
    with nothing_written():
        answer = approve(family.top, asked)
        assert told(answer) == (402, "insufficient_credit")
        assert (answer.json["balance"], answer.json["required"]) == (100_000, 100_001)
    give_credit(acme.row, family.top.id, 1)
    acme.owner.client.patch(f"/sellers/{family.child.id}", {"is_active": False})
    with nothing_written():
        assert told(approve(family.top, asked)) == (403, "seller_inactive")
    acme.owner.client.patch(f"/sellers/{family.child.id}", {"is_active": True})
    assert approve(family.top, asked).status == 200
    assert (family.top.balance(), family.child.balance()) == (0, 100_001)


def test_the_organization_may_decide_it_too_and_then_it_is_its_own_credit(acme: Organization, family: Family) -> None:
    asked, other = asks(acme, family.child, 4000), asks(acme, family.child, 5000)
    given = acme.owner.client.post(f"/credit-requests/{asked}/approve")
    assert (given.status, given.json["parent_id"]) == (200, family.top.id)
    assert (family.top.balance(), family.child.balance()) == (100_000, 4000)
    assert approve(family.top, asked).headers["Idempotent-Replayed"] == "true"
    assert (family.top.balance(), family.child.balance()) == (100_000, 4000)
    acme.owner.client.post(f"/credit-requests/{other}/reject", {"reason": "no"})
    assert told(approve(family.top, other)) == (409, "already_decided")
    with acme.context:
        assert not Transfer.objects.exists()


def test_of_the_dealer_and_an_admin_at_once_one_gives(acme: Organization, family: Family) -> None:
    for _ in range(4):
        asked = asks(acme, family.child, 1000)
        before = family.child.balance()
        decide = f"/credit-requests/{asked}/approve"
        together([lambda: approve(family.top, asked), lambda: acme.owner.client.post(decide)] * 3)  # noqa: B023
        assert family.child.balance() == before + 1000
    with acme.context:
        assert CreditRequest.objects.filter(status="approved", parent__isnull=False).count() == 4


def test_what_waits_goes_to_the_organization_with_a_new_place(acme: Organization, family: Family) -> None:
    asked = asks(acme, family.child, 1000)
    place(acme.row, family.child.id, family.sibling.id)
    for dealer in (family.top, family.sibling):
        assert told(approve(dealer, asked)) == (404, "not_found")
    seen = acme.owner.client.get(f"/credit-requests/{asked}").json
    assert (seen["status"], seen["parent_id"]) == ("pending", None)
    assert acme.owner.client.post(f"/credit-requests/{asked}/approve").status == 200
    # Who has no parent, or one who is switched off, asks the organization.
    acme.owner.client.patch(f"/sellers/{family.sibling.id}", {"is_active": False})
    for person in (family.top, family.child):
        made = asks(acme, person, 1)
        assert acme.owner.client.get(f"/credit-requests/{made}").json["parent_id"] is None
    for bad in (None, "yes", 1, []):
        assert acme.owner.client.patch("/settings", {"requests_go_to_parent": bad}).status == 400


def test_what_waits_for_a_dealer_who_is_switched_off_goes_to_the_organization(
    acme: Organization, family: Family
) -> None:
    def waits() -> bool:
        return "Credit requests 1 neighbour 1,000 Tomans" in shown(Visitor.signed_in(acme.owner).get("/today"))

    decided = asks(acme, family.child, 500)
    assert approve(family.top, decided).status == 200
    asked, of_child = asks(acme, family.child, 1000), asks(acme, family.grandchild, 2000)
    assert not waits()  # it is the dealer's to decide
    assert family.top.client.patch(f"/branch/{family.child.id}", {"is_active": False}).status == 200
    acme.owner.client.patch(f"/sellers/{family.top.id}", {"is_active": False})
    acme.owner.client.patch(f"/sellers/{family.child.id}", {"is_active": True})
    parents = {decided: family.top.id, asked: None, of_child: None}
    for request, parent_id in parents.items():
        assert acme.owner.client.get(f"/credit-requests/{request}").json["parent_id"] == parent_id
    assert acme.owner.client.post(f"/credit-requests/{of_child}/approve").status == 200
    assert waits()
    # Also when he comes back.
    acme.owner.client.patch(f"/sellers/{family.top.id}", {"is_active": True})
    assert family.top.client.get("/branch/credit-requests?status=pending").json["results"] == []
    # Who asks while the dealer is being switched off waits, and asks the organization.
    with acme.context, ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Seller.objects.filter(pk=family.top.id).update(is_active=False)
            asking = pool.submit(asks, acme, family.child, 3000)
            while not asking.done() and not somebody_waits():
                pass
        assert CreditRequest.objects.get(pk=asking.result()).parent_id is None


def test_no_key_decides(acme: Organization, family: Family) -> None:
    asked = asks(acme, family.child, 1000)
    key = family.top.client.post("/api-keys", {"name": "Shop", "scopes": ["sell", "read", "credit"]}).json
    grant = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["secret"]}
    token = acme.anyone.post("/auth/token", grant).json["access"]
    program = replace(acme.anyone, token=token)
    assert ids_of(program.get("/branch")) == {family.child.id, family.sibling.id, family.grandchild.id}
    with nothing_written():
        assert program.post(f"/branch/credit-requests/{asked}/approve").status == 403
        assert program.patch(f"/branch/{family.child.id}", {"is_active": False}).status == 403
