"""Closed periods: what is reported of their days is by the day of the entry and stays; what comes late falls into the
days that are open, and both say so."""

import threading
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from recharge.reports.books import find_faults
from shared.console.months import Month, month_of
from tests.recharge.test_report_pages import tables_of
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.earlier import move_back, move_entries_back
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor, shown
from tests.support.world import Organization, give_credit

TEHRAN = ZoneInfo("Asia/Tehran")


def today() -> date:
    """The day that it is where the organization is."""
    return timezone.localdate(timezone=TEHRAN)


def last_month() -> Month:
    """The month before this one."""
    return month_of(month_of(today()).first_day - timedelta(days=1))


@pytest.fixture
def month_ago(acme: Organization) -> Organization:
    """acme, which sold two recharges on the last day of last month: one is delivered, of the other (4,000 Tomans)
    nothing is known yet."""
    give_credit(acme.row, acme.member.id, 100_000)
    assert acme.member.sell(5000).status == 201
    sell_pending(acme.row, acme.member.id, 4000)
    then = datetime.combine(last_month().last_day, time(12), TEHRAN)
    with acme.context:
        move_back(Recharge.objects.latest("created_at").created_at - then)
    return acme


def close(organization: Organization, last_day: date | None = None) -> Answer:
    return organization.owner.client.post("/periods", {"last_day": str(last_day or last_month().last_day)})


def refund(organization: Organization) -> None:
    with organization.context:
        waiting = Recharge.objects.get(status=Recharge.Status.PENDING).pk
    settle_recharge(
        organization=organization.row, recharge_id=waiting, status=Recharge.Status.FAILED, failure="no such number"
    )


def of_last_month(visitor: Visitor, what: str = "reports.csv") -> str:
    month = last_month()
    answer = visitor.get(f"/{what}?from_day={month.last_day}&to_day={month.last_day}&by=operator")
    assert answer.status == 200, answer
    return answer.body.decode("utf-8-sig")


def of_today(visitor: Visitor) -> str:
    return shown(visitor.get(f"/reports?from_day={today()}&to_day={today()}"))


def test_reports_of_a_closed_month_stay_and_what_comes_late_falls_into_the_open_one(month_ago: Organization) -> None:
    visitor = Visitor.signed_in(month_ago.owner)
    assert "telekish,0,0,0,1" in of_last_month(visitor)  # by the day of the sale, while it is open
    closed = close(month_ago)
    assert closed.status == 201, closed
    assert closed.json["last_day"] == str(last_month().last_day)
    assert closed.json["totals"]["recharge"] == {"entries": 2, "amount": -9000, "commission": 0}
    assert closed.json["totals"]["credit"]["amount"] == 100_000
    before = of_last_month(visitor)
    assert before.splitlines() == [
        "operator,sold,sold_amount,given_back,given_back_amount,charged_late,charged_late_amount,net_amount,commission,"
        "earlier,earlier_amount",
        "mci,1,5000,0,0,0,0,5000,0,0,0",
        "telekish,1,4000,0,0,0,0,4000,0,0,0",
    ]
    page = shown(visitor.get(f"/reports?from_day={last_month().last_day}&to_day={last_month().last_day}"))
    assert "each entry counts for its own day" in page
    assert "posted for a recharge of a closed period" not in of_today(visitor)
    refund(month_ago)
    assert of_last_month(visitor) == before
    assert "On these days 1 entry was posted for a recharge of a closed period: \u200e−4,000 Tomans" in of_today(
        visitor
    )
    periods = shown(visitor.get("/periods"))
    assert "−4,000" in periods
    assert "1 entry" in periods
    assert month_ago.owner.client.get("/periods").json["results"] == [closed.json]
    # A range with a closed day in it is by the entry as a whole: the refund is there, as one of what was sold before.
    both = visitor.get(f"/reports.csv?from_day={last_month().last_day}&to_day={today()}&by=operator").body.decode()
    assert "telekish,1,4000,1,4000,0,0,0,0,0,0" in both
    # And who has lost most by what was refunded on these days.
    query = f"from_day={last_month().last_day}&to_day={today()}"
    *_others, losses = tables_of(visitor.get(f"/reports?{query}"))
    seller = month_ago.member
    assert losses == [
        ["Seller", "Refunded", "Refund rate", "Tomans refunded"],
        ["member", "1", "50.0%", "4,000"],
        ["Total of all sellers", "1", "50.0%", "4,000"],
    ]
    written = visitor.get(f"/reports.csv?by=failures&{query}").body.decode("utf-8-sig").splitlines()
    assert written[0].startswith("seller_id,seller,sold,sold_amount,given_back,given_back_amount,")
    assert written[1:] == [f"{seller.id},member,2,9000,1,4000,0,0,5000,0,0,0"]
    with month_ago.context:
        assert find_faults() == []


def test_the_refund_rate_is_of_what_was_sold_on_these_days(month_ago: Organization) -> None:
    """What is given back may be more than what is sold; of what was sold, no more than all stands refunded."""
    with month_ago.context:
        sold_earlier = Recharge.objects.get(status=Recharge.Status.SUCCEEDED)
        move_back(timedelta(days=10))
    assert close(month_ago).status == 201
    visitor = Visitor.signed_in(month_ago.owner)
    query = f"from_day={last_month().last_day}&to_day={today()}"
    assert month_ago.member.sell(3000).status == 201
    refund(month_ago)
    with month_ago.context:
        delivered = Recharge.objects.filter(status=Recharge.Status.SUCCEEDED, amount=sold_earlier.amount).get().pk
    settle_recharge(
        organization=month_ago.row, recharge_id=delivered, status=Recharge.Status.FAILED, failure="taken back"
    )
    *_others, losses = tables_of(visitor.get(f"/reports?{query}"))
    assert losses[1:] == [
        ["member", "2", "0.0%", "9,000"],
        ["Total of all sellers", "2", "0.0%", "9,000"],
    ]
    for _ in range(2):  # of these days, of one seller and operator
        sell_pending(month_ago.row, month_ago.member.id, 1000)
        refund(month_ago)
    *_others, losses = tables_of(visitor.get(f"/reports?{query}"))
    assert losses[-1] == ["Total of all sellers", "4", "66.7%", "11,000"]


@pytest.mark.parametrize(
    ("last_day", "status", "code"),
    table(
        ("today", "today", 409, "period_not_over"),
        ("the future", "2199-01-01", 409, "period_not_over"),
        ("the last day there is", "9999-12-31", 409, "period_not_over"),
        ("no day", "2026-02-30", 400, "invalid_request"),
        ("a number", 20260101, 400, "invalid_request"),
        ("nothing", None, 400, "invalid_request"),
        ("a moment", "2026-01-01T00:00:00Z", 400, "invalid_request"),
        ("Persian digits", "۲۰۲۶-۰۱-۰۱", 400, "invalid_request"),
        ("NUL", "2026-01-0\x00", 400, "invalid_request"),
        ("of one digit", "2026-1-1", 400, "invalid_request"),
    ),
)
def test_what_is_no_period_is_refused(acme: Organization, last_day: object, status: int, code: str) -> None:
    answer = acme.owner.client.post("/periods", {"last_day": str(today()) if last_day == "today" else last_day})
    assert (answer.status, answer.json["code"]) == (status, code)
    assert acme.owner.client.get("/periods").json["results"] == []


def test_days_are_closed_once_and_what_is_within_them_is_closed(month_ago: Organization) -> None:
    assert close(month_ago).status == 201
    again = close(month_ago)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    within = close(month_ago, last_month().last_day - timedelta(days=3))
    assert (within.status, within.json["code"]) == (409, "period_closed")
    assert within.json["last_day"] == str(last_month().last_day)
    later = close(month_ago, today() - timedelta(days=1))
    if last_month().last_day < today() - timedelta(days=1):
        assert later.json["first_day"] == str(last_month().next.first_day)
    records = month_ago.owner.client.get("/audit?action=period.closed").json["results"]
    assert records[-1]["object"] == str(last_month().last_day)


def test_the_days_of_closed_periods_begin_where_they_did(month_ago: Organization) -> None:
    client = month_ago.owner.client
    assert client.patch("/settings", {"time_zone": "Asia/Dubai"}).status == 200
    assert client.patch("/settings", {"time_zone": "Asia/Tehran"}).status == 200
    assert close(month_ago).status == 201
    refused = client.patch("/settings", {"time_zone": "Asia/Dubai", "send_within": 60})
    assert (refused.status, refused.faults) == (400, {("time_zone", "periods_closed")})
    assert client.get("/settings").json["send_within"] != 60
    assert client.patch("/settings", {"time_zone": "Asia/Tehran"}).status == 200
    page = Visitor.signed_in(month_ago.owner).submit("/settings", {"time_zone": "Asia/Dubai"}, to="/settings/time-zone")
    assert "the time zone can't be changed" in shown(page)


def test_of_eight_who_close_at_once_one_does(month_ago: Organization) -> None:
    answers: list[Answer] = []
    clients = [threading.Thread(target=lambda: answers.append(close(month_ago))) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recharge_closedperiod SET last_day = last_day - 1",
        "DELETE FROM recharge_closedperiod",
        "TRUNCATE recharge_closedperiod",
    ],
)
def test_a_closed_period_stays(month_ago: Organization, statement: str) -> None:
    assert close(month_ago).status == 201
    with pytest.raises(DatabaseError, match="stays as it is"), month_ago.context, connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.breaks_the_books
def test_the_proof_of_the_books_finds_an_entry_that_came_into_a_closed_period(month_ago: Organization) -> None:
    assert close(month_ago).status == 201
    give_credit(month_ago.row, month_ago.neighbour.id, 7000)
    with month_ago.context:
        move_entries_back(timedelta(days=35), which=f"entry.seller_id = {month_ago.neighbour.id}")
        faults = find_faults()
    assert [fault.fault for fault in faults] == ["closed_period_differs"], faults


def test_the_page_closes_a_month_after_asking(month_ago: Organization) -> None:
    visitor = Visitor.signed_in(month_ago.owner)
    assert f"Close {last_month()}" in shown(visitor.get("/periods"))
    asked = f"/periods/{last_month().code}/close"
    assert "can't be opened again" in shown(visitor.get(asked))
    assert visitor.get("/periods/1404-13/close").status == 302
    for month, status in (("1404-13", 404), ("x", 404), (month_of(today()).code, 302)):
        assert visitor.submit(asked, {}, to=f"/periods/{month}/close").status == status
    assert month_ago.owner.client.get("/periods").json["results"] == []
    assert visitor.submit(asked, {}).status == 302
    assert "Closed. Reports of these days no longer change." in shown(visitor.get("/periods"))
    assert [one["last_day"] for one in month_ago.owner.client.get("/periods").json["results"]] == [
        str(last_month().last_day)
    ]


def test_months_follow_one_another() -> None:
    month = Month(1403, 11)
    assert (month.next, month.next.next) == (Month(1403, 12), Month(1404, 1))
    assert Month(1403, 12).last_day == date(2025, 3, 20)  # a leap year
    assert Month(1404, 12).last_day == date(2026, 3, 20)
    assert month_of(date(2026, 11, 26)) == Month(1405, 9)
