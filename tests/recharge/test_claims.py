"""Claims: who may ask about which recharge, how a claim ends, what its seller is told; and no money moves by it."""

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from credit.adjustments import change_policy, create_adjustment
from credit.alerts.sending import AlertWork
from credit.models import Adjustment, Alert, AlertMessage, AuditRecord, Entry
from recharge.claims import queries
from recharge.claims.errors import (
    ClaimClosed,
    ClaimTooLate,
    InvalidClaim,
    NotDelivered,
    NotRefunded,
    RefundedAlready,
    StillWaiting,
    TooManyMessages,
)
from recharge.claims.services import answer_claim, close_claim, note_seen, open_claim, withdraw_claim
from recharge.delivery.settlement import settle_recharge
from recharge.delivery.watch import WatchWork
from recharge.models import Claim, ClaimMessage, Recharge
from recharge.terms.services import change_settings
from shared.errors import NotAuthenticated, NotFound
from shared.identity.epochs import OF_COMMAND, Access
from tenants import wakeups
from tenants.errors import OrganizationSuspended
from tenants.worker import Worker
from tests.support.claims import make_older
from tests.support.crowd import together
from tests.support.locks import sell_pending
from tests.support.rewriting import rewriting_recharges
from tests.support.world import Organization, give_credit

P, S, F, U = Recharge.Status
AMOUNT = 5000
BY = {"by": "support", "access": OF_COMMAND}


@pytest.fixture
def funded(funded: Organization) -> Organization:
    give_credit(funded.row, funded.neighbour.id, 100_000)
    return funded


def recharge(acme: Organization, *settlements: Recharge.Status, days: int = 0) -> uuid.UUID:
    """A recharge of the member that was settled so, one after the other, and sold so many days ago."""
    sold = sell_pending(acme.row, acme.member.id, AMOUNT)
    for status in settlements:
        settle_recharge(organization=acme.row, recharge_id=sold, status=status, failure="barred" if status == F else "")
    if days:
        with acme.context, rewriting_recharges():
            Recharge.objects.filter(pk=sold).update(created_at=timezone.now() - timedelta(days=days))
    return sold


def opened(acme: Organization, recharge_id: uuid.UUID, message: str = "") -> Claim:
    with acme.context:
        return open_claim(
            organization=acme.row,
            recharge_id=recharge_id,
            seller_id=acme.member.id,
            message=message,
            by="member",
            access=OF_COMMAND,
        ).row


def closed(acme: Organization, claim: Claim, state: Claim.State, **how: Any) -> Claim:
    with acme.context:
        return close_claim(organization=acme.row, claim_id=claim.pk, state=state, **how, **BY).row


def adjustment(acme: Organization, amount: int = AMOUNT, seller_id: int | None = None) -> uuid.UUID:
    with acme.context:
        made = create_adjustment(
            organization=acme.row,
            seller_id=seller_id or acme.member.id,
            idempotency_key=uuid.uuid4().hex,
            amount=amount,
            reason="not received",
            asked_by="owner",
            asked_by_id=1,
        )
    return made.row.pk


# --- Asking -----------------------------------------------------------------------------------------------------------

OPENINGS = [
    ("pending", (), 0, StillWaiting),
    ("unknown", (U,), 0, None),
    ("delivered", (S,), 0, None),
    ("delivered after it was unknown", (U, S), 0, None),
    ("failed", (F,), 0, RefundedAlready),
    ("taken back", (S, F), 0, RefundedAlready),
    ("delivered late", (F, S), 0, None),
    ("on the last day", (S,), 29, None),
    ("a day too late", (S,), 31, ClaimTooLate),
    ("failed, and too late", (F,), 31, RefundedAlready),
]


def test_what_may_be_asked_about(funded: Organization) -> None:
    for name, settlements, days, refusal in OPENINGS:
        sold = recharge(funded, *settlements, days=days)
        if refusal is None:
            claim = opened(funded, sold, "the customer called")
            assert (claim.state, claim.recharge_id, claim.seller_id) == ("open", sold, funded.member.id), name
            assert claim.deadline - claim.created_at == timedelta(hours=24), name
        else:
            with pytest.raises(refusal):
                opened(funded, sold)
            with funded.context:
                assert queries.claims_of(sold) == [], name
    with funded.context:
        change_settings(organization=funded.row, by="owner", claim_hours=2, claim_days=60)
    claim = opened(funded, recharge(funded, S, days=31))
    assert claim.deadline - claim.created_at == timedelta(hours=2)


def test_who_asks_rings_for_the_workers_who_tell_if_nobody_answers(funded: Organization) -> None:
    sold = recharge(funded, S)
    for rings_for in ([funded.row.pk], []):  # the second time it is open already
        wakeups._given.clear()
        opened(funded, sold)
        assert list(wakeups._given) == rings_for


def test_of_another_s_recharge_nobody_asks(funded: Organization, globex: Organization) -> None:
    sold = recharge(funded, S)
    for organization, seller_id in ((funded, funded.neighbour.id), (globex, globex.member.id)):
        with organization.context, pytest.raises(NotFound):
            open_claim(
                organization=organization.row,
                recharge_id=sold,
                seller_id=seller_id,
                message="",
                by="x",
                access=OF_COMMAND,
            )
    claim = opened(funded, sold)
    with funded.context, pytest.raises(NotFound):
        queries.claim_by_id(claim.pk, seller_id=funded.neighbour.id)
    for act in (
        lambda seller_id: withdraw_claim(organization=funded.row, claim_id=claim.pk, seller_id=seller_id, **BY),
        lambda seller_id: answer_claim(
            organization=funded.row, claim_id=claim.pk, seller_id=seller_id, text="x", key="k", **BY
        ),
    ):
        with funded.context, pytest.raises(NotFound):
            act(funded.neighbour.id)
    with funded.context:
        note_seen(organization=funded.row, claim_id=claim.pk, seller_id=funded.neighbour.id)
        assert Claim.objects.get().state == "open"


def test_of_many_who_ask_at_once_one_does(funded: Organization) -> None:
    sold = recharge(funded, S)
    asked = together([lambda: opened(funded, sold).pk] * 8)
    assert len(set(asked)) == 1, asked
    with funded.context:
        assert Claim.objects.count() == AuditRecord.objects.filter(action="claim.opened").count() == 1
        # Not even past the function: it is the index that says so.
        with pytest.raises(DatabaseError, match="claim_open"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO recharge_claim"
                " (id, recharge_id, seller_id, message, asked_by, created_at, deadline, state, closed_by, reference)"
                " SELECT gen_random_uuid(), recharge_id, seller_id, '', '', now(), now(), 'open', '', ''"
                " FROM recharge_claim"
            )


# --- How it ends ------------------------------------------------------------------------------------------------------

ANSWERED, DELIVERED, REFUNDED, WITHDRAWN = (
    Claim.State.ANSWERED, Claim.State.DELIVERED, Claim.State.REFUNDED, Claim.State.WITHDRAWN,
)  # fmt: skip

Adjusted = Callable[[Organization], uuid.UUID | None]

ENDS: list[tuple[str, tuple[Recharge.Status, ...], Claim.State, dict[str, str], Adjusted, type[Exception] | None]] = [
    ("an answer", (), ANSWERED, {"text": "It was there at 10:15"}, lambda _: None, None),
    ("an answer without words", (), ANSWERED, {"text": " "}, lambda _: None, InvalidClaim),
    ("delivered, with a proof", (), DELIVERED, {"reference": "MCI-778"}, lambda _: None, None),
    ("delivered, without", (), DELIVERED, {"reference": ""}, lambda _: None, InvalidClaim),
    ("delivered, and taken back", (F,), DELIVERED, {"reference": "MCI-778"}, lambda _: None, NotDelivered),
    ("refunded, and it is not", (), REFUNDED, {}, lambda _: None, NotRefunded),
    ("refunded: taken back", (F,), REFUNDED, {}, lambda _: None, None),
    ("refunded by an adjustment", (), REFUNDED, {}, adjustment, None),
    ("by a part of it", (), REFUNDED, {}, lambda acme: adjustment(acme, 1), None),
    ("by more than it", (), REFUNDED, {}, lambda acme: adjustment(acme, AMOUNT + 1), NotRefunded),
    ("by one that takes", (), REFUNDED, {}, lambda acme: adjustment(acme, -AMOUNT), NotRefunded),
    ("by another's", (), REFUNDED, {}, lambda acme: adjustment(acme, AMOUNT, acme.neighbour.id), NotRefunded),
    ("by one that there is not", (), REFUNDED, {}, lambda _: uuid.uuid4(), NotRefunded),
    ("by both", (F,), REFUNDED, {}, adjustment, RefundedAlready),
]  # fmt: skip


def test_how_a_claim_ends(funded: Organization) -> None:
    for name, since, state, words, adjusted, refusal in ENDS:
        claim = opened(funded, sold := recharge(funded, S))
        for status in since:
            settle_recharge(organization=funded.row, recharge_id=sold, status=status, failure="taken back")
        how = {**words, "adjustment_id": adjusted(funded)}
        balance = funded.member.balance()
        with funded.context:
            entries = Entry.objects.count()
        if refusal is None:
            done = closed(funded, claim, state, **how)
            assert (done.state, done.reference, done.adjustment_id) == (
                state, words.get("reference", ""), how["adjustment_id"],
            ), name  # fmt: skip
            assert done.closed_by == "support", name
            assert closed(funded, claim, state, **how).closed_at == done.closed_at, name  # again: just so
        else:
            with pytest.raises(refusal):
                closed(funded, claim, state, **how)
            with funded.context:
                assert Claim.objects.get(pk=claim.pk).state == "open", name
        with funded.context:
            assert Entry.objects.count() == entries, name
        assert funded.member.balance() == balance, name


def test_an_adjustment_gives_back_no_recharge_whose_outcome_is_unknown(funded: Organization) -> None:
    """When that is known to be a failure, it is refunded by itself; so the money would come twice."""
    claim, made = opened(funded, sold := recharge(funded, U)), adjustment(funded)
    with pytest.raises(NotRefunded):
        closed(funded, claim, REFUNDED, adjustment_id=made)
    settle_recharge(organization=funded.row, recharge_id=sold, status=S, failure="")
    assert closed(funded, claim, REFUNDED, adjustment_id=made).adjustment_id == made


def test_an_adjustment_gives_back_one_recharge_and_a_recharge_is_given_back_once(funded: Organization) -> None:
    first, second = opened(funded, recharge(funded, S)), opened(funded, recharge(funded, S))
    made, other = adjustment(funded), adjustment(funded)
    with funded.context:
        assert [one.pk for one in queries.adjustments_that_refund(second.recharge)] == [other, made]
    closed(funded, first, REFUNDED, adjustment_id=made)
    with pytest.raises(NotRefunded):
        closed(funded, second, REFUNDED, adjustment_id=made)
    with funded.context:
        assert [one.pk for one in queries.adjustments_that_refund(second.recharge)] == [other]
    again = opened(funded, first.recharge_id)
    with pytest.raises(RefundedAlready):
        closed(funded, again, REFUNDED, adjustment_id=other)


def test_one_that_waits_or_is_older_than_the_sale_gives_nothing_back(funded: Organization) -> None:
    before = adjustment(funded)
    claim = opened(funded, recharge(funded, S))
    with funded.context:
        change_policy(four_eyes_from=1)
    waits = adjustment(funded)
    for made in (before, waits):
        with pytest.raises(NotRefunded):
            closed(funded, claim, REFUNDED, adjustment_id=made)
    with funded.context:
        assert Adjustment.objects.get(pk=waits).status == "pending"
        assert queries.adjustments_that_refund(claim.recharge) == []


def test_what_is_closed_stays_so(funded: Organization) -> None:
    claim = opened(funded, recharge(funded, S))
    closed(funded, claim, ANSWERED, text="It was there")
    for state, how in ((DELIVERED, {"reference": "x"}), (REFUNDED, {"adjustment_id": adjustment(funded)})):
        with pytest.raises(ClaimClosed):
            closed(funded, claim, state, **how)
    with funded.context:
        seller = {"organization": funded.row, "claim_id": claim.pk, "seller_id": funded.member.id, **BY}
        with pytest.raises(ClaimClosed):
            withdraw_claim(**seller)
        with pytest.raises(ClaimClosed):
            answer_claim(**seller, text="but", key="k")
        # Nor does the tables' owner rewrite it, or what was said.
        for statement in (
            "UPDATE recharge_claim SET state = 'open', closed_at = NULL",
            "UPDATE recharge_claim SET message = 'x'",
            "UPDATE recharge_claim SET closed_by = 'x'",
            "UPDATE recharge_claim SET deadline = now()",
            "DELETE FROM recharge_claim",
            "UPDATE recharge_claimmessage SET text = 'x'",
            "DELETE FROM recharge_claimmessage",
        ):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_of_two_ends_at_once_one_is(funded: Organization) -> None:
    claim = opened(funded, recharge(funded, S))
    results = together(
        [
            lambda: str(closed(funded, claim, DELIVERED, reference="MCI-1").state),
            lambda: str(closed(funded, claim, REFUNDED, adjustment_id=made).state),
            lambda: str(withdrawn(funded, claim).state),
        ]
        * 3
        if (made := adjustment(funded))
        else []
    )
    states = Counter(one for one in results if isinstance(one, str))
    assert len(states) == 1, results
    assert all(isinstance(one, str | ClaimClosed) for one in results), results
    with funded.context:
        assert AuditRecord.objects.filter(action="claim.closed").count() == 1


def withdrawn(acme: Organization, claim: Claim) -> Claim:
    with acme.context:
        return withdraw_claim(
            organization=acme.row, claim_id=claim.pk, seller_id=acme.member.id, by="member", access=OF_COMMAND
        ).row


# --- What is said, and who is told ------------------------------------------------------------------------------------


def told(acme: Organization) -> list[tuple[str, str, bool]]:
    """Of the alerts about claims: the claim's state, what was said, and whether it is over."""
    with acme.context:
        rows = Alert.objects.filter(kind="claim_answered").order_by("pk")
        return [(row.data["state"], row.data["text"], row.cleared_at is not None) for row in rows]


def say(acme: Organization, claim: Claim, text: str, key: str, *, seller_id: int | None = None) -> bool:
    with acme.context:
        return answer_claim(
            organization=acme.row, claim_id=claim.pk, seller_id=seller_id, text=text, key=key, **BY
        ).is_replay


def test_its_seller_is_told_of_each_answer_until_he_has_looked(funded: Organization) -> None:
    member = funded.member.id
    claim = opened(funded, recharge(funded, S))
    assert say(funded, claim, "Which SIM is it?", "a") is False
    assert say(funded, claim, "Which SIM is it?", "a") is True  # a double click
    with funded.context:
        assert (queries.answers_unseen(member), queries.claims_waiting()) == (1, 1)
    assert told(funded) == [("open", "Which SIM is it?", False)]
    say(funded, claim, "We ask the operator.", "b")
    assert told(funded) == [("open", "Which SIM is it?", True), ("open", "We ask the operator.", False)]
    say(funded, claim, "The first one.", "c", seller_id=member)  # his own words tell him nothing
    with funded.context:
        note_seen(organization=funded.row, claim_id=claim.pk, seller_id=member)
        assert queries.answers_unseen(member) == 0
        assert [one.text for one in queries.messages_of(claim)] == [
            "Which SIM is it?", "We ask the operator.", "The first one.",
        ]  # fmt: skip
    closed(funded, claim, DELIVERED, reference="MCI-9", text="At 10:15.")
    assert [is_over for _state, _text, is_over in told(funded)] == [True, True, False]
    with funded.context:
        assert (queries.answers_unseen(member), queries.claims_waiting()) == (1, 0)
        assert AlertMessage.objects.filter(channel="mail").count() == 3
        actions = AuditRecord.objects.filter(action__startswith="claim.").order_by("pk")
        assert [row.action for row in actions] == [
            "claim.opened", "claim.answered", "claim.answered", "claim.replied", "claim.closed",
        ]  # fmt: skip
    funded.member.user.email = "kiosk@example.com"
    funded.member.user.save()
    Worker([AlertWork()]).run_once()
    assert {tuple(message.to) for message in mail.outbox} == {("kiosk@example.com",)}
    (end,) = [message for message in mail.outbox if "At 10:15." in message.body]
    assert "MCI" not in end.body  # the proof is on the page


def test_there_is_an_end_to_what_is_said(funded: Organization) -> None:
    claim = opened(funded, recharge(funded, S))
    for number in range(50):
        say(funded, claim, "and?", str(number), seller_id=funded.member.id)
    with funded.context:
        with pytest.raises(TooManyMessages):
            answer_claim(organization=funded.row, claim_id=claim.pk, seller_id=None, text="x", key="50", **BY)
        assert ClaimMessage.objects.count() == 50


def test_what_is_overdue_is_an_alert_and_what_has_failed_closes_itself(funded: Organization) -> None:
    sold = recharge(funded, S)
    claim = opened(funded, sold)
    WatchWork().claim(funded.row, 10)
    with funded.context:
        assert not Alert.objects.filter(kind="claims_overdue").exists()
        assert not queries.is_overdue(claim)
        make_older(claim.pk, hours=25)
        other = opened(funded, recharge(funded, S))
        make_older(other.pk, hours=30)
        assert [one.pk for one in queries.queue(limit=10).rows] == [other.pk, claim.pk]
        assert queries.is_overdue(queries.claim_by_id(claim.pk, seller_id=None))
    WatchWork().claim(funded.row, 10)
    with funded.context:
        assert Alert.objects.get(kind="claims_overdue", cleared_at=None).data["count"] == 2
    settle_recharge(organization=funded.row, recharge_id=sold, status=F, failure="taken back")
    withdrawn(funded, other)
    WatchWork().claim(funded.row, 10)
    with funded.context:
        claim.refresh_from_db()
        assert (claim.state, claim.closed_by) == ("refunded", "")
        assert not Alert.objects.filter(kind="claims_overdue", cleared_at=None).exists()
    assert told(funded) == [("refunded", "", False)]


def test_whose_access_was_ended_does_nothing_and_nobody_of_a_suspended_organization(funded: Organization) -> None:
    sold = recharge(funded, S)
    claim = opened(funded, recharge(funded, S))
    over = Access(user_id=funded.member.user.pk, epoch=0)
    with funded.context:
        with connection.cursor() as cursor:
            cursor.execute("SELECT access_end(%s, 1)", [str(over.user_id)])
        of_claim = {"organization": funded.row, "claim_id": claim.pk, "by": "member"}
        acts: list[Callable[[Access], Any]] = [
            lambda access: open_claim(
                organization=funded.row,
                recharge_id=sold,
                seller_id=funded.member.id,
                message="",
                by="member",
                access=access,
            ),
            lambda access: answer_claim(**of_claim, seller_id=funded.member.id, text="x", key="k", access=access),
            lambda access: withdraw_claim(**of_claim, seller_id=funded.member.id, access=access),
            lambda access: close_claim(**of_claim, state=ANSWERED, text="x", access=access),
        ]
        for act in acts:
            with pytest.raises(NotAuthenticated):
                act(over)
        funded.row.status = "suspended"
        for act in acts:
            with pytest.raises(OrganizationSuspended):
                act(OF_COMMAND)
        assert Claim.objects.get().state == "open"
        assert not ClaimMessage.objects.exists()


# --- Refunded twice ---------------------------------------------------------------------------------------------------


def twice_told(acme: Organization) -> list[tuple[Any, bool]]:
    """Of each such alert: Tomans, and whether it is over."""
    with acme.context:
        alerts = Alert.objects.filter(kind="refunded_twice").order_by("pk")
        return [(one.data["amount"], one.cleared_at is not None) for one in alerts]


def taken_back(acme: Organization, recharge_id: uuid.UUID, amount: int, seller_id: int | None = None) -> None:
    with acme.context:
        create_adjustment(
            organization=acme.row,
            seller_id=seller_id or acme.member.id,
            idempotency_key=uuid.uuid4().hex,
            amount=-amount,
            reason="refunded twice",
            reference=str(recharge_id),
            asked_by="owner",
            asked_by_id=1,
        )


def test_what_an_adjustment_gave_back_and_then_the_operator_is_an_alert_until_it_is_taken_back(
    funded: Organization,
) -> None:
    sold = recharge(funded, S)
    claim = opened(funded, sold)
    closed(funded, claim, Claim.State.REFUNDED, adjustment_id=adjustment(funded, 4000))
    assert twice_told(funded) == []
    for _ in range(2):  # the second time it is so already
        settle_recharge(organization=funded.row, recharge_id=sold, status=F, failure="taken back")
        assert twice_told(funded) == [(4000, False)]
    with funded.context:
        alert = Alert.objects.get(kind="refunded_twice")
        assert (alert.subject, alert.seller_id, alert.data["claim_id"]) == (str(sold), None, str(claim.pk))
        assert (alert.data["seller"], alert.data["seller_id"]) == ("member", funded.member.id)
    before = funded.member.balance()

    taken_back(funded, sold, 3000)
    taken_back(funded, uuid.uuid4(), 4000)
    taken_back(funded, sold, 4000, seller_id=funded.neighbour.id)
    WatchWork().claim(funded.row, 10)
    assert twice_told(funded) == [(4000, False)]  # a part of it, and what is of another recharge, or of another seller
    taken_back(funded, sold, 1000)
    WatchWork().claim(funded.row, 10)
    assert twice_told(funded) == [(4000, True)]
    assert funded.member.balance() == before - 3000 - 4000 - 1000


def test_who_has_it_once_is_no_alert(funded: Organization) -> None:
    """No claim; one that ended otherwise; one that the reversal itself closes."""
    without, answered, waiting = (recharge(funded, S) for _ in range(3))
    closed(funded, opened(funded, answered), Claim.State.ANSWERED, text="It is there.")
    opened(funded, waiting)
    adjustment(funded)
    for sold in (without, answered, waiting):
        settle_recharge(organization=funded.row, recharge_id=sold, status=F, failure="taken back")
    WatchWork().claim(funded.row, 10)
    assert twice_told(funded) == []


def test_what_was_owed_and_fails_again_is_refunded_twice_until_it_is_charged(funded: Organization) -> None:
    sold = recharge(funded, F)
    spent = sell_pending(funded.row, funded.member.id, funded.member.balance())
    settle_recharge(organization=funded.row, recharge_id=sold, status=S)
    with funded.context:
        assert Recharge.objects.get(pk=sold).late == "owed"
    claim = opened(funded, sold)
    closed(funded, claim, Claim.State.REFUNDED, adjustment_id=adjustment(funded, 4000))
    settle_recharge(organization=funded.row, recharge_id=sold, status=F, failure="after all")
    assert twice_told(funded) == [(4000, False)]
    settle_recharge(organization=funded.row, recharge_id=spent, status=F, failure="no")
    settle_recharge(organization=funded.row, recharge_id=sold, status=S)
    WatchWork().claim(funded.row, 10)
    assert twice_told(funded) == [(4000, True)]
