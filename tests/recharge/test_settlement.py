"""What becomes of a recharge: the table of outcomes of ``recharge_settle``, and what each leaves in the books."""

import json
import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django_tenants.utils import tenant_context

from credit.errors import BalanceLimitExceeded
from credit.models import Entry
from recharge.delivery.settlement import Settled, settle_recharge
from recharge.models import Recharge, Transition
from recharge.selling.errors import AlreadySettled
from recharge.selling.queries import balance_of
from shared.errors import NotFound
from tenants.models import Organization
from tests.support.bad_input import table
from tests.support.locks import sell_pending
from tests.support.tables import nothing_written
from tests.support.world import World, give_credit, make_seller

LARGEST_BALANCE = 2**53 - 1


@pytest.fixture
def acme_row() -> Organization:
    return Organization.objects.get(slug="acme")


def settle(row: Organization, recharge_id: uuid.UUID, status: str) -> Settled:
    reason = "no such number" if status == F else ""
    return settle_recharge(organization=row, recharge_id=recharge_id, status=Recharge.Status(status), failure=reason)


def adjust(row: Organization, seller_id: int, amount: int) -> None:
    """Puts so many Tomans on a balance that credit requests can't make so large."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ({row.schema_name}.ledger_post(%s, %s, 'adjustment', %s, gen_random_uuid())).posted",
            [row.pk, seller_id, amount],
        )
        assert cursor.fetchone() == (True,)


P, U, S, F = "pending", "unknown", "succeeded", "failed"
SPEND, FILL = "the seller spends all there is", "the seller gets 5,000 more"
DEBIT, REFUND, LATE_CHARGE, REVERSAL = "recharge", "refund", "late_charge", "reversal"


@pytest.mark.parametrize(
    ("before", "status", "outcome", "late", "kinds", "balance_after"),
    table(
        ("succeeds", [], S, "settled", "", [DEBIT], 0),
        ("fails", [], F, "settled", "", [DEBIT, REFUND], 5000),
        ("is unknown", [], U, "settled", "", [DEBIT], 0),
        ("succeeds, was unknown", [U], S, "settled", "", [DEBIT], 0),
        ("fails, was unknown", [U], F, "settled", "", [DEBIT, REFUND], 5000),
        ("is unknown twice", [U], U, "replayed", "", [DEBIT], 0),
        ("succeeds twice", [S], S, "replayed", "", [DEBIT], 0),
        ("fails twice", [F], F, "replayed", "", [DEBIT, REFUND], 5000),
        ("is unknown after success", [S], U, "already_settled", "", [DEBIT], 0),
        ("is unknown after failure", [F], U, "already_settled", "", [DEBIT, REFUND], 5000),
        # Late: delivered after all.
        ("succeeds after the refund", [F], S, "charged_late", "charged", [DEBIT, REFUND, LATE_CHARGE], 0),
        ("the same, was unknown", [U, F], S, "charged_late", "charged", [DEBIT, REFUND, LATE_CHARGE], 0),
        ("the same twice", [F, S], S, "replayed", "charged", [DEBIT, REFUND, LATE_CHARGE], 0),
        ("is unknown after that", [F, S], U, "already_settled", "charged", [DEBIT, REFUND, LATE_CHARGE], 0),
        ("owed", [F, SPEND], S, "owed", "owed", [DEBIT, REFUND], 0),
        ("owed, told again", [F, SPEND, S], S, "owed", "owed", [DEBIT, REFUND], 0),
        ("owed, unknown", [F, SPEND, S], U, "already_settled", "owed", [DEBIT, REFUND], 0),
        ("collected", [F, SPEND, S, FILL], S, "replayed", "charged", [DEBIT, REFUND, LATE_CHARGE], 0),
        ("collected, told again", [F, SPEND, S, FILL, S], S, "replayed", "charged", [DEBIT, REFUND, LATE_CHARGE], 0),
        ("owed, and failed after all", [F, SPEND, S], F, "reversed", "", [DEBIT, REFUND], 0),
        ("that, told again", [F, SPEND, S, F], F, "replayed", "", [DEBIT, REFUND], 0),
        ("owed, failed, owed again", [F, SPEND, S, F], S, "owed", "owed", [DEBIT, REFUND], 0),
        # Late: taken back.
        ("reversed", [S], F, "reversed", "reversed", [DEBIT, REVERSAL], 5000),
        ("reversed twice", [S, F], F, "replayed", "reversed", [DEBIT, REVERSAL], 5000),
        ("succeeds after that", [S, F], S, "already_settled", "reversed", [DEBIT, REVERSAL], 5000),
        ("is unknown after that too", [S, F], U, "already_settled", "reversed", [DEBIT, REVERSAL], 5000),
        ("charged late, reversed", [F, S], F, "reversed", "reversed", [DEBIT, REFUND, LATE_CHARGE, REVERSAL], 5000),
        (
            "and nothing after that",
            [F, S, F],
            S,
            "already_settled",
            "reversed",
            [DEBIT, REFUND, LATE_CHARGE, REVERSAL],
            5000,
        ),
    ),
)
def test_what_is_told_and_what_comes_of_it(
    acme_row: Organization,
    before: list[str],
    status: str,
    outcome: str,
    late: str,
    kinds: list[str],
    balance_after: int,
) -> None:
    seller_id = make_seller(acme_row, "seller", 5000).pk
    recharge_id = sell_pending(acme_row, seller_id, 5000)
    for earlier in before:
        if earlier == SPEND:
            sell_pending(acme_row, seller_id, 5000)
        elif earlier == FILL:
            give_credit(acme_row, seller_id, 5000)
        else:
            settle(acme_row, recharge_id, earlier)
    try:
        settled = settle(acme_row, recharge_id, status)
        assert settled.settlement == outcome
    except AlreadySettled:
        assert outcome == "already_settled"
        settled = None

    with tenant_context(acme_row):
        row = Recharge.objects.get(pk=recharge_id)
        entries = Entry.objects.filter(reference=recharge_id).order_by("number")
        assert [entry.kind for entry in entries] == kinds
        assert {abs(entry.amount) for entry in entries} == {5000}
        assert balance_of(seller_id).balance == balance_after
    assert row.late == late
    assert bool(row.failure) == (row.status == F)
    if settled:
        assert row.status == status
        assert vars(settled.row).keys() == vars(row).keys()
        assert {**vars(settled.row), "_state": None} == {**vars(row), "_state": None}


def test_it_does_not_settle_what_is_not_there(acme_row: Organization) -> None:
    with pytest.raises(NotFound):
        settle_recharge(organization=acme_row, recharge_id=uuid.uuid4(), status=Recharge.Status.SUCCEEDED)


@pytest.mark.breaks_the_books  # a balance that no documents come to
@pytest.mark.parametrize("before", [[], [U], [S]], ids=["pending", "unknown", "succeeded"])
def test_what_would_pass_the_largest_balance_is_not_given_back(acme_row: Organization, before: list[str]) -> None:
    seller_id = make_seller(acme_row, "seller", 5000).pk
    recharge_id = sell_pending(acme_row, seller_id, 5000)
    for earlier in before:
        settle(acme_row, recharge_id, earlier)
    adjust(acme_row, seller_id, LARGEST_BALANCE - 4999)
    with nothing_written(), pytest.raises(BalanceLimitExceeded):
        settle(acme_row, recharge_id, F)
    adjust(acme_row, seller_id, -1)
    assert settle(acme_row, recharge_id, F).settlement == ("reversed" if before == [S] else "settled")
    with tenant_context(acme_row):
        assert balance_of(seller_id).balance == LARGEST_BALANCE


ALLOWED = {(P, U), (P, S), (P, F), (U, S), (U, F), (F, S), (S, F)}


def test_the_transitions_are_these(acme_row: Organization) -> None:
    with tenant_context(acme_row):
        assert set(Transition.objects.values_list("old", "new")) == ALLOWED


@pytest.mark.parametrize(
    ("old", "new"), [(old, new) for old in (P, U, S, F) for new in (P, U, S, F) if old != new], ids=str
)
def test_the_database_refuses_every_other_transition(acme_row: Organization, old: str, new: str) -> None:
    seller_id = make_seller(acme_row, "seller", 5000).pk
    recharge_id = sell_pending(acme_row, seller_id)
    if old != P:
        settle(acme_row, recharge_id, old)
    columns = {
        "status": new,
        "failure": "barred" if new == F else "",
        "completed_at": "2999-01-01T00:00:00Z" if new in (S, F) else None,
    }
    with tenant_context(acme_row), transaction.atomic():
        if (old, new) in ALLOWED:
            assert Recharge.objects.filter(pk=recharge_id).update(**columns) == 1
        else:
            with pytest.raises(IntegrityError, match=f"does not go from {old} to {new}"), transaction.atomic():
                Recharge.objects.filter(pk=recharge_id).update(**columns)
        transaction.set_rollback(True)  # without its entry the books would be wrong


def test_what_is_pending_or_unknown_is_in_flight_and_a_refund_brings_it_back(world: World) -> None:
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 20_000)
    pending, unknown, failed = (sell_pending(row, member.id, amount) for amount in (1000, 2000, 4000))
    member.sell(500)
    settle_recharge(organization=row, recharge_id=unknown, status=Recharge.Status.UNKNOWN)
    settle_recharge(organization=row, recharge_id=failed, status=Recharge.Status.FAILED, failure="barred")

    balance = member.client.get("/balance").json
    assert (balance["balance"], balance["in_flight"], balance["last_entry"]) == (16_500, 3000, 6)
    assert member.client.get(f"/recharges/{pending}").json["completed_at"] is None
    shown = member.client.get(f"/recharges/{failed}").json
    assert (shown["status"], shown["failure"], shown["balance_after"]) == ("failed", "barred", 13_000)
    refund = member.client.get("/entries?kind=refund").json["results"]
    assert [(entry["amount"], entry["reference"]) for entry in refund] == [(4000, str(failed))]


@pytest.mark.parametrize("story", [[F], [F, S], [S, F], [U]], ids=str)
def test_a_sale_sent_again_and_a_call_back_show_what_became_of_it(world: World, story: list[str]) -> None:
    """The same in every place: by hand, by the serializer, in a bulk call, in the data for webhooks."""
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 5000)
    sell_pending(row, member.id, 1)  # so that this operator's recharges are delivered by a worker
    sale = {"phone_number": "09121234567", "amount": 4000, "operator": "telekish"}
    sold = member.client.post("/recharges", sale, key="k")
    assert (sold.status, sold.json["status"], sold.json["late"]) == (201, "pending", None)
    for told in story:
        settle(row, uuid.UUID(sold.json["id"]), told)

    shown = member.client.get(f"/recharges/{sold.json['id']}").json
    assert shown["late"] == {1: None, 2: "charged" if story[0] == F else "reversed"}[len(story)]
    assert member.client.post("/recharges", sale, key="k").json == shown
    bulk = member.client.post("/recharges/bulk", {"items": [sale | {"idempotency_key": "k"}]}).json
    assert bulk["results"][0]["recharge"] == shown
    assert shown in member.client.get("/recharges").json["results"]
    with world.acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT sold::text FROM recharge_recharge AS sold WHERE id = %s", [shown["id"]])
        cursor.execute("SELECT recharge_data(%s::recharge_recharge)", cursor.fetchone())
        assert json.loads(cursor.fetchone()[0]) == shown


def test_a_clock_that_was_set_back_stops_no_money(world: World) -> None:
    """What was sold or asked for "in the future" is settled and decided all the same."""
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 5000)
    recharge_id = sell_pending(row, member.id)
    request = member.client.post("/credit-requests", {"amount": 70}, key="k").json
    with world.acme.context, connection.cursor() as cursor:
        cursor.execute("UPDATE recharge_recharge SET created_at = now() + interval '1 hour'")
        cursor.execute("ALTER TABLE credit_creditrequest DISABLE TRIGGER credit_request_kept")
        cursor.execute(
            "UPDATE credit_creditrequest SET created_at = now() + interval '1 hour' WHERE status = 'pending'"
        )
        cursor.execute("ALTER TABLE credit_creditrequest ENABLE TRIGGER credit_request_kept")
    failed = settle_recharge(
        organization=row, recharge_id=recharge_id, status=Recharge.Status.FAILED, failure="barred"
    ).row
    assert failed.completed_at == failed.created_at
    approved = world.acme.owner.client.post(f"/credit-requests/{request['id']}/approve")
    assert approved.json["decided_at"] == approved.json["created_at"]
    assert member.balance() == 5070
