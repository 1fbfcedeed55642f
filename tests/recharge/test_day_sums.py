"""Days that are over are summed up once for reports, which say the same with these sums as without them."""

import random
import re
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django_tenants.utils import tenant_context

from credit.models import Entry, Policy
from recharge.delivery.settlement import settle_recharge
from recharge.margins.services import post_margins
from recharge.models import DayPosting, DaySum, Recharge, SummedDay
from recharge.reports import work as work_module
from recharge.reports.books import find_faults
from recharge.reports.posted import PostedReport, posted_report
from recharge.reports.sums import Report, report
from recharge.reports.work import REST_SECONDS, DaySumWork, sum_up_days
from shared.horizon import horizon
from tenants.models import Organization
from tenants.worker import Worker
from tests.support.dealers import make_path, set_rate
from tests.support.earlier import earlier, move_back, move_entries_back
from tests.support.locks import sell_through_sandbox
from tests.support.waiting import wait_until
from tests.support.world import database_url, make_seller

TEHRAN = "Asia/Tehran"


@pytest.fixture
def row() -> Organization:
    return Organization.objects.get(slug="acme")


def sell(row: Organization, seller_id: int, operator: str, amount: int) -> UUID:
    """Of mci it is delivered at once, and in training; of telekish it waits."""
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute(
            "SELECT (sold).id FROM recharge_sell(%s, %s, %s, '+989121234567', %s, %s, false)",
            [row.pk, seller_id, uuid4().hex, operator, amount],
        )
        (id,) = cursor.fetchone()
        assert id
        return UUID(str(id))


def settle(row: Organization, recharge_id: UUID, status: str) -> None:
    settle_recharge(
        organization=row,
        recharge_id=recharge_id,
        status=Recharge.Status(status),
        failure="barred" if status == "failed" else "",
    )


def something_comes(row: Organization, dice: random.Random, results: int) -> None:
    """Results of any recharges that there are: of open ones, or other ones than before."""
    with tenant_context(row):
        # What was taken back has failed for good.
        ids = list(Recharge.objects.exclude(late="reversed").order_by("pk").values_list("pk", "status"))
    for id, status in dice.sample(ids, min(results, len(ids))):
        after = {"pending": ["succeeded", "failed", "unknown"], "unknown": ["succeeded", "failed"]}.get(
            status, ["failed"] if status == "succeeded" else ["succeeded"]
        )
        settle(row, id, dice.choice(after))


def days_go_by(row: Organization, dice: random.Random, days: int) -> int:
    """On each day two sellers sell, and results come, of that day's recharges and of earlier ones. The second has so
    little that he owes late charges. Gives the first one's id."""
    sell_through_sandbox(row)
    sellers = [make_seller(row, "rich", 1_000_000).pk, make_seller(row, "poor", 30_000).pk]
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("SELECT commission_set(NULL, '', 250, NULL, 'owner')")
    for _ in range(days):
        for _ in range(8):
            sell(row, sellers[0], dice.choice(("mci", "telekish", "telekish")), dice.choice((1_000, 2_000, 5_000)))
        sell(row, sellers[1], "telekish", 2_000)
        something_comes(row, dice, 8)
        with tenant_context(row):
            move_back(timedelta(days=1))
    return sellers[0]


def today(zone: str = TEHRAN) -> date:
    return timezone.localdate(timezone=ZoneInfo(zone))


def reports(row: Organization, days: int, zone: str = TEHRAN) -> tuple[Report, PostedReport]:
    """Of so many days until today."""
    last = today(zone)
    with tenant_context(row):
        with timezone.override(ZoneInfo(zone)):
            sold = report(first=last - timedelta(days=days), last=last, most_sellers=3)
        return sold, posted_report(first=last - timedelta(days=days), last=last, most_sellers=3)


def without_sums(row: Organization, days: int, zone: str = TEHRAN) -> tuple[Report, PostedReport]:
    with tenant_context(row), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM recharge_summedday")
        found = reports(row, days, zone)
        transaction.set_rollback(True)
    return found


def sum_up_all(row: Organization) -> int:
    """How many days it summed up, once no clock can be behind what is written: on a cluster they may differ."""
    written, done = timezone.now(), 0
    with tenant_context(row):
        wait_until(lambda: horizon(organization_id=row.pk, table="recharge_recharge") > written, "no clock is behind")
    while step := sum_up_days(organization=row, most=3):
        done += step
    return done


def summed(row: Organization, days: int, zone: str = TEHRAN) -> list[bool]:
    """Of the sales of each of these days until today, whether they are read from the sums."""
    last = today(zone)
    bounds = [
        datetime.combine(last - timedelta(days=back), datetime.min.time(), ZoneInfo(zone))
        for back in range(days, -2, -1)
    ]
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("SELECT sales_are_summed FROM report_days(%s) ORDER BY day", [bounds])
        return [is_summed for (is_summed,) in cursor.fetchall()]


@pytest.mark.parametrize("seed", range(4))
def test_reports_say_the_same_with_sums_and_without(row: Organization, seed: int) -> None:
    dice = random.Random(seed)
    rich = days_go_by(row, dice, 6)
    top, dealer, kiosk = make_path(row, "top", "dealer", "kiosk", credit=50_000)
    for dealer_id, basis_points in ((top, 900), (dealer, 500), (kiosk, 300)):
        set_rate(row, dealer_id, basis_points)
    settle(row, sell(row, kiosk, "telekish", 10_000), "succeeded")
    post_margins(organization=row)
    with tenant_context(row):
        move_entries_back(timedelta(days=3), which="entry.kind IN ('margin', 'margin_back')")
        assert {entry.kind for entry in Entry.objects.all()} >= {"margin", "refund", "reversal", "late_charge"}

    for turn in range(4):
        if turn:
            sum_up_all(row)
            assert summed(row, 6)[:5] == [True] * 5  # yesterday, when it has been over for two hours
            assert summed(row, 6)[-1] is False
            assert not any(summed(row, 6, "America/Los_Angeles"))
        for days in (0, 2, 6):
            for zone in (TEHRAN, "UTC", "America/Los_Angeles"):
                assert reports(row, days, zone) == without_sums(row, days, zone)
        sold, posted = reports(row, 6)
        assert sold.total.accepted == 6 * 9 + 1 + turn
        assert sum(sums.margins for sums in sold.days.values()) == posted.total.margins == 600
        # What comes now is in the reports at once, before anybody sums up.
        something_comes(row, dice, 3)
        settle(row, sell(row, rich, "telekish", 1_000), "failed")
        assert reports(row, 6) == without_sums(row, 6) != (sold, posted)


def a_week(row: Organization) -> int:
    """One seller and seven days, each with a recharge that has succeeded, and of the fourth day one that is open. Gives
    the seller's id."""
    sell_through_sandbox(row)
    seller = make_seller(row, "seller", 1_000_000).pk
    for day in range(7):
        settle(row, sell(row, seller, "telekish", 1_000), "succeeded")
        if day == 3:
            sell(row, seller, "telekish", 5_000)
        with tenant_context(row):
            move_back(timedelta(days=1))
    return seller


def test_a_report_reads_the_sums(row: Organization) -> None:
    a_week(row)
    assert sum_up_all(row) >= 6
    sold, posted = reports(row, 8)
    with tenant_context(row), transaction.atomic():
        DaySum.objects.update(amount=F("amount") + 1)
        DayPosting.objects.filter(kind="recharge").update(amount=F("amount") - 1)
        read = reports(row, 8)
        transaction.set_rollback(True)
    summed_up = len([sums for sums in sold.days.values() if sums.accepted]) - summed(row, 8)[-2:].count(False) + 1
    assert read[0].total.delivered_amount - sold.total.delivered_amount == summed_up
    assert read[1].total.sold_amount - posted.total.sold_amount == summed_up


_SUM = "operator, seller_id, was, is_now, training, recharges, amount, commission, margin"
TAMPERINGS = {
    "sales of more": "UPDATE recharge_daysum SET amount = amount + 1 WHERE begins = %s",
    "sales that were otherwise": "UPDATE recharge_daysum SET was = 'failed' WHERE begins = %s",
    "no sales": "DELETE FROM recharge_daysum WHERE begins = %s",
    "sales counted twice": (
        f"INSERT INTO recharge_daysum (begins, {_SUM}) SELECT begins, {_SUM} FROM recharge_daysum WHERE begins = %s"
    ),
    "margins of nothing": (
        f"INSERT INTO recharge_daysum (begins, {_SUM}) VALUES (%s, '', 1, '', '', false, 0, 0, 0, 5)"
    ),
    "postings of less": "UPDATE recharge_dayposting SET amount = amount - 1 WHERE begins = %s",
    "postings with a commission": "UPDATE recharge_dayposting SET commission = 7 WHERE begins = %s",
    "postings of another kind": "UPDATE recharge_dayposting SET kind = 'refund' WHERE begins = %s",
    "no postings": "DELETE FROM recharge_dayposting WHERE begins = %s",
}


def test_reconcile_finds_sums_that_are_not_those_of_the_day(row: Organization) -> None:
    """And what it says mends them."""
    a_week(row)
    sum_up_all(row)
    right = reports(row, 8)
    with tenant_context(row), connection.cursor() as cursor:
        assert find_faults() == []
        day = SummedDay.objects.order_by("-begins")[2]
        for name, statement in TAMPERINGS.items():
            cursor.execute(statement, [day.begins])
            assert reports(row, 8) != right, name
            (fault,) = find_faults()
            assert (fault.invariant, fault.fault, fault.row) == (
                10, "day_sums_differ", day.begins.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            ), name  # fmt: skip
            (call,) = re.findall(r"SELECT org_acme\.days_forget\('[^']+'\)", fault.detail)
            cursor.execute(call)
            assert reports(row, 8) == right, name
            assert sum_up_all(row) == 1
            assert find_faults() == []
            assert reports(row, 8) == right, name


def test_sums_that_reports_do_not_read_are_no_fault(row: Organization) -> None:
    """A result has come since, and nobody has summed up anew yet."""
    a_week(row)
    sum_up_all(row)
    with tenant_context(row):
        (waiting,) = Recharge.objects.filter(status="pending").values_list("pk", flat=True)
        settle(row, waiting, "succeeded")
        assert find_faults() == []
        sum_up_all(row)
        assert find_faults() == []


def test_a_day_whose_sums_were_left_behind_is_not_counted_twice(row: Organization) -> None:
    a_week(row)
    days = sum_up_all(row)
    right = reports(row, 8)
    with tenant_context(row):
        SummedDay.objects.all().delete()
    assert sum_up_all(row) == days
    assert reports(row, 8) == right


def test_a_day_with_a_late_result_is_summed_up_again(row: Organization) -> None:
    a_week(row)
    sum_up_all(row)
    days = summed(row, 8)
    with tenant_context(row):
        (waiting,) = Recharge.objects.filter(status="pending").values_list("pk", flat=True)
    settle(row, waiting, "succeeded")
    assert [before and not after for before, after in zip(days, summed(row, 8), strict=True)].count(True) == 1
    found = reports(row, 8)
    assert found == without_sums(row, 8)
    assert found[0].total.changed.delivered_later_amount == 5_000
    assert sum_up_all(row) == 1
    assert summed(row, 8) == days
    assert reports(row, 8) == found == without_sums(row, 8)
    assert sum_up_all(row) == 0


def test_what_was_written_before_a_day_was_summed_up_and_committed_after_it_counts(row: Organization) -> None:
    a_week(row)
    with tenant_context(row):
        (waiting,) = Recharge.objects.filter(status="pending").values_list("pk", flat=True)
    with closing(psycopg2.connect(database_url())) as slow, slow.cursor() as cursor:
        cursor.execute("SELECT outcome FROM org_acme.recharge_settle(%s, %s, 'succeeded', '')", [row.pk, str(waiting)])
        assert sum_up_days(organization=row, most=100) >= 6
        before = reports(row, 8)
        slow.commit()
    found = reports(row, 8)
    assert found == without_sums(row, 8)
    assert found != before
    assert sum_up_all(row) == 1
    assert reports(row, 8) == found


def test_the_sums_are_kept_as_days_are_looked_through(row: Organization) -> None:
    """What happened before its horizon is in a day's sums. Horizons follow, so that a report looks through the late
    results of the last days alone."""
    a_week(row)
    sum_up_all(row)
    with tenant_context(row):
        SummedDay.objects.update(horizon=earlier("horizon", timedelta(days=2)))
        assert sum_up_all(row) == 0
        assert SummedDay.objects.filter(horizon__lt=timezone.now() - timedelta(hours=1)).count() == 0
    assert reports(row, 8) == without_sums(row, 8)


def test_days_of_another_time_zone_are_summed_up_anew(row: Organization) -> None:
    a_week(row)
    count = sum_up_all(row)
    with tenant_context(row):
        Policy.objects.update_or_create(pk=1, defaults={"time_zone": "America/Los_Angeles"})
    assert reports(row, 8, "America/Los_Angeles") == without_sums(row, 8, "America/Los_Angeles")
    assert abs(sum_up_all(row) - count) <= 1
    with tenant_context(row):
        assert set(SummedDay.objects.values_list("zone", flat=True)) == {"America/Los_Angeles"}
        assert set(DaySum.objects.values_list("begins", flat=True)) <= set(
            SummedDay.objects.values_list("begins", flat=True)
        )
    assert any(summed(row, 8, "America/Los_Angeles"))
    for zone in ("America/Los_Angeles", TEHRAN):
        assert reports(row, 8, zone) == without_sums(row, 8, zone)


def test_a_worker_sums_up_a_day_after_the_other(row: Organization) -> None:
    a_week(row)
    work = DaySumWork(pause=3600.0)
    for _ in range(2):  # in an hour it goes on with the next
        Worker([work]).run_once()
        with tenant_context(row):
            (first,) = SummedDay.objects.values_list("begins", flat=True)
        assert 3500 < (work.seconds_until_due(row) or 0) <= 3600
    Worker([DaySumWork(pause=0.0)]).run_once()
    with tenant_context(row):
        days = list(SummedDay.objects.order_by("-begins").values_list("begins", flat=True))
    assert days[0] == first  # the last one first
    assert len(days) >= 6
    assert sum_up_all(row) == 0


def test_a_day_that_takes_too_long_is_left_for_a_while(row: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    a_week(row)
    monkeypatch.setattr(work_module, "DAY_SECONDS", 0.001)
    work = DaySumWork()
    Worker([work]).run_once()
    assert (work.seconds_until_due(row) or 0) > REST_SECONDS - 60
    with tenant_context(row):
        assert not SummedDay.objects.exists()


def test_of_two_workers_one_sums_up(row: Organization) -> None:
    a_week(row)
    with closing(psycopg2.connect(database_url())) as other, other.cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute("SELECT days_sum_up(clock_timestamp(), 1)")
        assert cursor.fetchone() == (1,)
        assert sum_up_days(organization=row, most=100) == 0
        other.commit()
    assert sum_up_days(organization=row, most=100) >= 5


@pytest.mark.parametrize("is_ahead", [True, False])
def test_sums_of_days_that_are_not_over_by_the_clock_are_not_read(row: Organization, is_ahead: bool) -> None:
    """The clock was three days ahead when they were summed up, or has been set back by three days since."""
    seller_id = a_week(row)
    sum_up_all(row)
    with tenant_context(row), connection.cursor() as cursor:
        if is_ahead:
            cursor.execute("SELECT days_sum_up(clock_timestamp() + interval '3 days', 100)")
            assert cursor.fetchone()[0] > 0
        else:  # all of it is three days later than it was
            by = timedelta(days=3)
            move_back(-by)
            SummedDay.objects.update(begins=F("begins") + by, ends=F("ends") + by, horizon=F("horizon") + by)
            DaySum.objects.update(begins=F("begins") + by)
            DayPosting.objects.update(begins=F("begins") + by, sold_at=F("sold_at") + by)
        assert SummedDay.objects.filter(begins__lt=timezone.now(), ends__gt=timezone.now()).exists()
    sell(row, seller_id, "mci", 5_000)
    assert reports(row, 10) == without_sums(row, 10)
    with tenant_context(row):
        assert [fault.fault for fault in find_faults() if fault.fault == "day_sums_differ"] == []
    sum_up_all(row)
    assert reports(row, 10) == without_sums(row, 10)
    with tenant_context(row):
        assert not SummedDay.objects.filter(horizon__gt=timezone.now()).exists()


def test_a_result_counts_that_comes_when_the_clock_was_ahead_before(row: Organization) -> None:
    """By the clock that made the sums it came before them."""
    a_week(row)
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("SELECT days_sum_up(clock_timestamp() + interval '50 minutes', 100)")
        assert cursor.fetchone()[0] >= 5
        late = Recharge.objects.get(status="pending").pk
    settle(row, late, "failed")
    assert reports(row, 10) == without_sums(row, 10)
    with tenant_context(row):
        assert find_faults() == []
    assert sum_up_all(row) >= 5
    assert reports(row, 10) == without_sums(row, 10)
    with tenant_context(row):
        assert find_faults() == []
