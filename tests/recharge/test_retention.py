"""Letting go: what is old enough goes, in batches, and nothing else does; numbers are masked where that is wanted."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from credit.models import Alert, AlertMessage, Entry, WebhookAttempt, WebhookMessage
from credit.webhooks.services import create_webhook
from recharge.delivery.settlement import settle_recharge
from recharge.models import Attempt, BulkBatch, LettingGo, Recharge
from recharge.receipts.errors import ReceiptNumberMasked
from recharge.receipts.services import send_receipt
from recharge.reports.books import find_faults
from recharge.retention import work as retention_work
from recharge.retention.kinds import KINDS, Kind
from recharge.retention.services import count_what_would_go, let_go, let_go_of_all
from recharge.retention.work import RetentionWork
from recharge.terms.services import change_settings
from shared.errors import SellerBusy
from shared.identity.epochs import OF_COMMAND
from shared.models import SignIn, SignInAttempts
from tenants.services import suspend_organization
from tests.support import commands
from tests.support.clock import OF_MONEY, clock_of
from tests.support.locks import sell_pending
from tests.support.server import working_url
from tests.support.sessions import session_at
from tests.support.visitor import Visitor, text_of
from tests.support.world import Organization, World, give_credit

KIND = {kind.name: kind for kind in KINDS}
NUMBER, MASKED = "+989121234567", "+98******4567"
OLD = timedelta(days=500)


@pytest.fixture
def long_ago(acme: Organization) -> Iterator[None]:
    """The database's clock is five hundred days back: what is sold is as old."""
    with clock_of(acme, (*OF_MONEY, "webhook_emit", "recharge_settle")) as clock:
        clock.run_from(timezone.now() - OLD)
        give_credit(acme.row, acme.member.id, 1_000_000)
        yield


def gone(organization: Organization, kind: str) -> int:
    with organization.context:
        return sum(let_go_of_all(organization=organization.row, kind=KIND[kind]))


def would_go(organization: Organization, kind: str) -> int:
    with organization.context:
        return count_what_would_go(organization=organization.row, kind=KIND[kind])


def keep_numbers(organization: Organization, months: int) -> None:
    with organization.context:
        change_settings(organization=organization.row, by="owner", numbers_kept_months=months)


def id_of(moment: datetime) -> uuid.UUID:
    with connection.cursor() as cursor:
        cursor.execute("SELECT uuid7_at(%s)", [moment])
        made: uuid.UUID = cursor.fetchone()[0]
        return made


def make_batch(organization: Organization, days: int) -> None:
    BulkBatch.objects.create(
        seller_id=organization.member.id, key=uuid.uuid4(), digest=b"", rows=[], count=1, amount=1, made_by="member",
        created_at=timezone.now() - timedelta(days=days),
    )  # fmt: skip


def aged(organization: Organization, statement: str) -> None:
    with organization.context, connection.cursor() as cursor:
        cursor.execute(statement)


# --- What goes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def messages(acme: Organization, long_ago: None) -> Organization:
    """Five messages of long ago, two of which wait, each tried once; and one of now."""
    with acme.context:
        create_webhook(
            organization=acme.row, seller_id=acme.member.id, url="https://x.example/", events=["recharge.succeeded"]
        )
    for _ in range(5):
        assert acme.member.sell().status == 201
    with acme.context:
        for place, message in enumerate(WebhookMessage.objects.order_by("pk")):
            if place > 1:
                message.status, message.due_at, message.delivered_at = "delivered", None, message.created_at
                message.save()
            WebhookAttempt.objects.create(message=message, attempted_at=message.created_at, latency_ms=1)
    return acme


def test_webhook_messages_that_are_at_their_end_go_with_their_attempts(messages: Organization) -> None:
    assert would_go(messages, "webhook_messages") == 3
    with messages.context:
        assert WebhookMessage.objects.count() == 5
    assert gone(messages, "webhook_messages") == 3
    with messages.context:
        assert set(WebhookMessage.objects.values_list("status", flat=True)) == {"pending"}
        assert WebhookAttempt.objects.count() == 2
    assert gone(messages, "webhook_messages") == 0


def test_what_is_young_stays(funded: Organization) -> None:
    with funded.context:
        create_webhook(
            organization=funded.row, seller_id=funded.member.id, url="https://x.example/", events=["recharge.succeeded"]
        )
    assert funded.member.sell().status == 201
    aged(funded, "UPDATE credit_webhookmessage SET status = 'delivered', due_at = NULL, delivered_at = now()")
    assert (would_go(funded, "webhook_messages"), gone(funded, "webhook_messages")) == (0, 0)


def test_a_setting_of_zero_keeps_them_for_good(messages: Organization, settings: Any) -> None:
    settings.KEPT_DAYS = {**settings.KEPT_DAYS, "webhooks": 0}
    assert (would_go(messages, "webhook_messages"), gone(messages, "webhook_messages")) == (0, 0)
    keep_numbers(messages, 12)  # they have numbers, too
    assert gone(messages, "webhook_messages") == 3


def test_attempts_go_when_their_recharge_is_at_its_end(acme: Organization, long_ago: None) -> None:
    ended, open_ = (sell_pending(acme.row, acme.member.id) for _ in range(2))
    with acme.context:
        for recharge_id, days in ((ended, 500), (open_, 500), (ended, 1)):
            Attempt.objects.create(
                recharge_id=recharge_id, number=days, action="inquire", gateway="sandbox", outcome="unknown",
                started_at=timezone.now() - timedelta(days=days),
            )  # fmt: skip
    settle_recharge(organization=acme.row, recharge_id=ended, status=Recharge.Status.SUCCEEDED)
    aged(acme, f"UPDATE recharge_recharge SET due_at = now() WHERE id = '{ended}'")
    assert gone(acme, "attempts") == 0  # it is to be asked about once more
    aged(acme, f"UPDATE recharge_recharge SET due_at = NULL WHERE id = '{ended}'")
    assert (would_go(acme, "attempts"), gone(acme, "attempts")) == (1, 1)
    with acme.context:
        assert list(Attempt.objects.values_list("recharge_id", "number")) == [(open_, 500), (ended, 1)]
    assert gone(acme, "attempts") == 0


def test_nobody_gets_rid_of_the_attempts_of_the_last_three_months(funded: Organization) -> None:
    """Not even by the function itself, as the role of a web process may call it."""
    sold = sell_pending(funded.row, funded.member.id)
    aged(funded, "SELECT * FROM recharge_claim(10, interval '1 hour')")
    settle_recharge(organization=funded.row, recharge_id=sold, status=Recharge.Status.SUCCEEDED)
    aged(funded, f"UPDATE recharge_recharge SET due_at = NULL WHERE id = '{sold}'")
    with closing(psycopg2.connect(working_url())) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT gone FROM org_acme.attempts_let_go(now() + interval '1 day', '', 100, false)")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT gone FROM org_acme.numbers_mask(now() + interval '1 day', '', 100, false)")
        assert cursor.fetchone() == (0,)


def test_alerts_that_are_over_go_after_their_messages(acme: Organization) -> None:
    then = timezone.now() - OLD
    with acme.context:
        for subject, cleared_at in (("over", then), ("raised", None)):
            alert = Alert.objects.create(
                id=id_of(then), kind="requests_waiting", subject=subject, data={}, raised_at=then, cleared_at=cleared_at
            )
            AlertMessage.objects.create(
                id=id_of(then), alert=alert, channel="mail", status="sent", give_up_at=then, created_at=then
            )
    assert gone(acme, "alerts") == 0  # their messages refer to them
    assert (would_go(acme, "alert_messages"), gone(acme, "alert_messages")) == (2, 2)
    assert (would_go(acme, "alerts"), gone(acme, "alerts")) == (1, 1)
    with acme.context:
        assert list(Alert.objects.values_list("subject", flat=True)) == ["raised"]
        assert not AlertMessage.objects.exists()


def test_files_of_bulk_sales_go_and_what_was_sold_stays(acme: Organization) -> None:
    with acme.context:
        for days in (500, 1):
            make_batch(acme, days)
    assert (would_go(acme, "bulk_sales"), gone(acme, "bulk_sales")) == (1, 1)
    with acme.context:
        assert BulkBatch.objects.count() == 1


def test_sessions_sign_ins_and_tries_that_have_ended_go(world: World) -> None:
    past, user = timezone.now() - timedelta(days=2), world.acme.member.user
    for place in range(30):
        Session.objects.create(session_key=f"old{place}", session_data="", expire_date=past)
        SignIn.objects.create(user=user, expires_at=past)
        SignInAttempts.objects.create(key=f"old{place}", attempts=1, failures=1, window_ends_at=past)
    Session.objects.create(session_key="young", session_data="", expire_date=timezone.now() + timedelta(days=1))
    dry = commands.run("let_go", "--dry-run")
    assert "all: django_session: 30 would go" in dry.stdout, dry.stderr
    assert Session.objects.filter(session_key__startswith="old").count() == 30
    assert commands.run("let_go").returncode == 0
    assert list(Session.objects.values_list("session_key", flat=True)) == ["young"]
    assert not SignIn.objects.filter(expires_at=past).exists()
    assert not SignInAttempts.objects.filter(key__startswith="old").exists()


# --- How --------------------------------------------------------------------------------------------------------------


def test_a_worker_goes_on_where_it_was_cut_off_and_begins_anew_after_a_week(messages: Organization) -> None:
    kind = KIND["webhook_messages"]
    with messages.context:
        first = let_go(organization=messages.row, kind=kind, batch=3)
        assert (first.gone, first.is_last) == (1, False)
        second = let_go(organization=messages.row, kind=kind, batch=3)
        assert (second.gone, second.is_last) == (2, True)
        # What waited then, and does no longer, is found the next time that it begins with the first.
        WebhookMessage.objects.update(status="failed", due_at=None)
        assert let_go(organization=messages.row, kind=kind, batch=3).gone == 0
        LettingGo.objects.update(began_at=timezone.now() - timedelta(days=8))
        assert let_go(organization=messages.row, kind=kind, batch=3).gone == 2
        assert LettingGo.objects.get(kind=kind.name).gone == 5


def test_of_two_at_once_one_finds_nothing_to_do(messages: Organization) -> None:
    kind = KIND["webhook_messages"]
    with messages.context:
        assert let_go(organization=messages.row, kind=kind, batch=3).gone == 1
    with closing(psycopg2.connect(working_url())) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM org_acme.recharge_lettinggo FOR UPDATE")
        with messages.context:
            step = let_go(organization=messages.row, kind=kind, batch=3)
    assert (step.gone, step.is_last) == (0, True)


def test_what_somebody_holds_is_passed_over_and_not_waited_for(messages: Organization) -> None:
    with closing(psycopg2.connect(working_url())) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM org_acme.credit_webhookmessage WHERE status = 'delivered' LIMIT 1 FOR UPDATE")
        assert gone(messages, "webhook_messages") == 2
        other.rollback()
        assert gone(messages, "webhook_messages") == 1


def test_what_changed_before_it_was_locked_stays(messages: Organization) -> None:
    """As a message that is resent in that moment: what is at its end is asked once more under the lock."""
    with closing(session_at("org_acme")) as session, session.cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute("CREATE TEMPORARY SEQUENCE times_asked")
        cursor.execute(
            "SELECT looked, gone"
            " FROM rows_let_go('credit_webhookmessage', 'uuid', 'true', %s, NULL, now(), '', 1, false)",
            ["nextval('times_asked') = 1"],
        )
        assert cursor.fetchone() == (1, 0)
        session.commit()
    with messages.context:
        assert WebhookMessage.objects.count() == 5


def test_nobody_who_sells_waits_for_it(messages: Organization) -> None:
    """With a batch of each kind let go of and not committed, for as long as it likes: with it, and not by it, a sale
    would be at its end."""
    keep_numbers(messages, 12)
    key = uuid.uuid4().hex
    before = messages.member.sell(key=key)
    with messages.context:
        Attempt.objects.create(
            recharge_id=before.json["id"], number=1, action="submit", gateway="sandbox", outcome="succeeded",
            started_at=timezone.now() - OLD,
        )  # fmt: skip
        make_batch(messages, 500)
    with messages.context, transaction.atomic():
        went = {kind.name for kind in KINDS if let_go(organization=messages.row, kind=kind).gone}
        assert went >= {"webhook_messages", "attempts", "bulk_sales", "phone_numbers"}
        assert messages.member.sell().status == 201
        assert messages.member.sell(key=key).json == before.json  # sold again under a key that is being masked
        sale = {"phone_number": "09121234567", "amount": 5000, "allow_duplicate": True}
        items = [{**sale, "idempotency_key": uuid.uuid4().hex} for _ in range(3)]
        assert messages.member.client.post("/recharges/bulk", {"items": items}).json["created"] == 3
    assert set(numbers(messages)) == {NUMBER, MASKED}


def test_the_worker_takes_one_kind_after_the_other(messages: Organization) -> None:
    work = RetentionWork(pause=0.0)
    keep_numbers(messages, 12)
    with messages.context:
        for _ in range(2 * len(KINDS)):
            work.claim(messages.row, 1)
        assert WebhookMessage.objects.count() == 2
        assert set(Recharge.objects.values_list("phone_number", flat=True)) == {MASKED}
        assert (work.seconds_until_due(messages.row) or 0) > 60


def test_it_goes_on_with_the_kind_at_which_it_failed(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Kind] = []

    def let_go_of(*, kind: Kind, **others: Any) -> Any:
        taken.append(kind)
        if kind is KINDS[2] and taken.count(kind) < 3:
            raise SellerBusy
        return let_go(kind=kind, **others)

    monkeypatch.setattr(retention_work, "let_go", let_go_of)
    work = RetentionWork()
    with acme.context:
        for _ in range(2):
            with pytest.raises(SellerBusy):
                work.claim(acme.row, 1)
        work.claim(acme.row, 1)
    assert taken == [*KINDS[:3], KINDS[2], *KINDS[2:]]


def test_the_command_says_what_would_go_and_does_it(messages: Organization) -> None:
    dry = commands.run("let_go", "--dry-run", "--organization", "acme")
    assert "acme: webhook_messages: 3 would go, older than 90 days" in dry.stdout, dry.stderr
    assert "acme: phone_numbers: kept for good" in dry.stdout
    done = commands.run("let_go", "--organization", "acme")
    assert "acme: webhook_messages: 3 went" in done.stdout
    assert "acme: webhook_messages: 0 would go" in commands.run("let_go", "--dry-run").stdout
    missing = commands.run("let_go", "--organization", "nobody")
    assert (missing.returncode, "There is no organization 'nobody'." in missing.stderr) == (2, True)


def test_the_command_lets_go_of_what_suspended_organizations_have(messages: Organization) -> None:
    assert "webhook_messages" not in commands.run("let_go", "--suspended").stdout
    suspend_organization(slug="acme")
    done = commands.run("let_go", "--suspended")
    assert (done.returncode, "acme: webhook_messages: 3 went" in done.stdout) == (0, True), done.stderr
    assert "globex" not in done.stdout
    assert "all: " not in done.stdout, "of the platform's own tables workers let go"


def test_a_number_of_days_that_is_none_is_refused() -> None:
    for value in ("soon", "3", "-1", "99999"):
        refused = commands.run("let_go", "--dry-run", environment={"KEEP_ATTEMPTS_DAYS": value})
        assert refused.returncode != 0
        assert "KEEP_ATTEMPTS_DAYS must be days from 92 to 36500, or 0: for good." in refused.stderr


# --- Numbers ----------------------------------------------------------------------------------------------------------


def numbers(organization: Organization) -> list[str]:
    with organization.context:
        return list(Recharge.objects.order_by("pk").values_list("phone_number", flat=True))


def test_numbers_are_masked_where_the_organization_wants_it(acme: Organization, long_ago: None) -> None:
    key = uuid.uuid4().hex
    sold = acme.member.sell(key=key)
    pending = sell_pending(acme.row, acme.member.id)
    assert gone(acme, "phone_numbers") == 0
    keep_numbers(acme, 12)
    assert (would_go(acme, "phone_numbers"), numbers(acme)) == (1, [NUMBER, NUMBER])
    with acme.context:
        entries = list(Entry.objects.order_by("number").values())
    assert gone(acme, "phone_numbers") == 1
    assert numbers(acme) == [MASKED, NUMBER]  # of the second nobody knows yet what becomes of it
    with acme.context:
        assert find_faults() == []
        assert list(Entry.objects.order_by("number").values()) == entries  # they and their hashes know no numbers
        assert Recharge.objects.get(pk=pending).phone_number == NUMBER
    assert gone(acme, "phone_numbers") == 0

    # The same request again is the same sale; another number under its key is not.
    again = acme.member.sell(key=key)
    assert (again.status, again.json["id"]) == (200, sold.json["id"])
    assert acme.member.client.get(f"/recharges/{sold.json['id']}").json["phone_number"] == MASKED
    body = {"phone_number": "09121239999", "amount": 5000}
    other = acme.member.client.post("/recharges", body, key=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    bulk = {"items": [{"phone_number": NUMBER, "amount": 5000, "idempotency_key": key}]}
    assert acme.member.client.post("/recharges/bulk", bulk).json["results"][0]["outcome"] == "replayed"

    # It is found by what is left of it, shown on the pages, and in files.
    visitor = Visitor.signed_in(acme.owner)
    assert "0*** *** 4567" in text_of(visitor.get("/recharges?phone_number=4567"))
    assert "0*** *** 4567" not in text_of(visitor.get("/recharges?phone_number=09121234567"))
    assert MASKED in visitor.get("/recharges.csv").body.decode()
    assert visitor.get(f"/recharges/{sold.json['id']}").status == 200
    assert Visitor.signed_in(acme.member).get(f"/recharges/{sold.json['id']}/receipt").status == 200


def test_keys_of_bulk_sales_have_no_number_in_them_any_more(acme: Organization, long_ago: None) -> None:
    batch = uuid.uuid4().hex
    for number in ("+989121234567", "+989351234567"):  # with the same last digits
        sold = acme.member.sell(phone_number=number, key=f"page-{batch}-{number}-5000-mci-1")
        assert sold.status == 201
    of_client = acme.member.sell(key="client-+989121234567")
    keep_numbers(acme, 12)
    assert gone(acme, "phone_numbers") == 3
    with acme.context:
        rows = {row.pk: row.idempotency_key for row in Recharge.objects.all()}
    kept = rows.pop(uuid.UUID(of_client.json["id"]))
    assert kept == "client-+989121234567"  # what a client has chosen is the client's
    assert set(rows.values()) == {f"page-{batch}-{pk}-5000-mci-1" for pk in rows}


def test_nothing_else_of_a_recharge_is_rewritten_by_it(acme: Organization, long_ago: None) -> None:
    acme.member.sell()
    pending = sell_pending(acme.row, acme.member.id)
    ended = f"id <> '{pending}'"
    for change in (
        f"phone_number = '+989120000000' WHERE {ended}",
        f"phone_number = '+98******9999' WHERE {ended}",
        f"phone_number = phone_masked(phone_number), amount = 1 WHERE {ended}",
        f"phone_number = phone_masked(phone_number), idempotency_key = 'other' WHERE {ended}",
        f"phone_number = phone_masked(phone_number) WHERE id = '{pending}'",
    ):
        with acme.context, transaction.atomic(), connection.cursor() as cursor, pytest.raises(DatabaseError):
            cursor.execute(f"UPDATE recharge_recharge SET {change}")


def test_a_statement_is_proved_as_far_as_it_can_be(acme: Organization, long_ago: None) -> None:
    acme.member.sell()
    day = (timezone.now() - OLD).date()
    span = {"from": str(day - timedelta(days=2)), "to": str(day + timedelta(days=2))}
    made = acme.member.client.post("/statements", span)
    assert made.status == 201, made
    address = f"/statements/{made.json['id']}/proof"
    whole = acme.member.client.get(address).json
    assert whole["holds"]
    assert "numbers_masked" not in whole
    keep_numbers(acme, 12)
    assert gone(acme, "phone_numbers") == 1
    proof = acme.member.client.get(address).json
    assert (proof["holds"], proof["numbers_masked"]) == (True, True)
    assert proof["digest"] == whole["digest"] != proof["computed"]
    page = Visitor.signed_in(acme.member).get(f"/statements/{made.json['id']}/proof")
    assert "phone numbers of this period are masked" in text_of(page)
    assert commands.run("prove_statements").returncode == 0


def test_no_receipt_goes_to_a_masked_number(acme: Organization, long_ago: None) -> None:
    sold = sell_pending(acme.row, acme.member.id)
    settle_recharge(organization=acme.row, recharge_id=sold, status=Recharge.Status.SUCCEEDED)
    aged(acme, f"UPDATE recharge_recharge SET due_at = NULL WHERE id = '{sold}'")
    keep_numbers(acme, 12)
    assert gone(acme, "phone_numbers") == 1
    with acme.context, pytest.raises(ReceiptNumberMasked):
        send_receipt(
            organization=acme.row,
            recharge_id=sold,
            seller_id=acme.member.id,
            by="member",
            access=OF_COMMAND,
        )


def test_an_admin_says_how_long_numbers_are_kept(acme: Organization) -> None:
    client = acme.owner.client
    assert client.get("/settings").json["numbers_kept_months"] == 0
    assert client.patch("/settings", {"numbers_kept_months": 6}).json["numbers_kept_months"] == 6
    for months in (1, 2, 121, -1):
        refused = client.patch("/settings", {"numbers_kept_months": months})
        assert (refused.status, refused.json["errors"][0]["field"]) == (400, "numbers_kept_months")
    visitor = Visitor.signed_in(acme.owner)
    assert "kept for 6 months" in text_of(visitor.get("/settings"))
    assert visitor.submit("/settings/phone-numbers", {"numbers_kept_months": "12"}).status == 302
    assert "kept for a year" in text_of(visitor.get("/settings"))
    assert visitor.submit("/settings/phone-numbers", {"numbers_kept_months": "7"}).status == 422
    assert client.get("/settings").json["numbers_kept_months"] == 12
