"""Reports as pages: what is summed up, of which days, and how it is drawn."""

import csv
import io
import re
import uuid
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.utils import timezone
from psycopg2 import sql

from credit.models import Seller
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.models import Recharge
from recharge.pages import reports
from recharge.pages.charts import bars, columns
from recharge.reports.sums import Sums, Training, report
from shared.models import User
from tests.support.chain import FORGET
from tests.support.client import Answer
from tests.support.locks import sell_pending
from tests.support.queries import queries_of
from tests.support.scripts import run_script
from tests.support.sessions import session_at
from tests.support.visitor import Visitor, in_process, shown
from tests.support.world import Organization, give_credit, make_seller

MARKUP = '"><script>alert(1)</script><img src=x>'


@pytest.fixture
def supplied(acme: Organization) -> Organization:
    """acme, whose two sellers have 100,000 Tomans each."""
    give_credit(acme.row, acme.member.id, 100_000)
    give_credit(acme.row, acme.neighbour.id, 100_000)
    return acme


def tables_of(answer: Answer) -> list[list[list[str]]]:
    """The rows of each table, a list of cells each; without what stands below their names on phones."""
    assert answer.status == 200, answer
    page = re.sub(r'(?s)<div class="d-md-none.*?</div>', "", answer.body.decode())
    return [
        [
            [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", table)
        ]
        for table in re.findall(r"(?s)<table[^>]*>(.*?)</table>", page)
    ]


def write_recharge(
    organization: Organization,
    moment: datetime,
    status: str = "succeeded",
    amount: int = 1000,
    *,
    seller_id: int | None = None,
) -> uuid.UUID:
    """A recharge of some other time, with the entries that belong to it; posted at that time as a sale is now.
    Its id."""
    recharge_id = sell_pending(organization.row, seller_id or organization.member.id, amount)
    if status != "pending":
        settle_recharge(
            organization=organization.row,
            recharge_id=recharge_id,
            status=Recharge.Status(status),
            failure="no" if status == "failed" else "",
        )
    moved = uuid.UUID(int=(int(moment.timestamp() * 1000) << 80) | (recharge_id.int & (1 << 80) - 1))
    with connection.cursor() as cursor:
        schema = sql.Identifier(organization.row.schema_name)
        cursor.execute(sql.SQL("ALTER TABLE {}.credit_entry DISABLE TRIGGER credit_entry_append_only").format(schema))
        cursor.execute(
            sql.SQL("UPDATE {}.credit_entry SET reference = %s WHERE reference = %s").format(schema),
            [str(moved), str(recharge_id)],
        )
        cursor.execute(sql.SQL("ALTER TABLE {}.credit_entry ENABLE TRIGGER credit_entry_append_only").format(schema))
        cursor.execute(sql.SQL("ALTER TABLE {}.recharge_recharge DISABLE TRIGGER recharge_content").format(schema))
        cursor.execute(
            sql.SQL(
                "UPDATE {}.recharge_recharge SET id = %s, created_at = %s,"
                " completed_at = CASE WHEN completed_at IS NOT NULL THEN %s END WHERE id = %s"
            ).format(schema),
            [str(moved), moment, moment, str(recharge_id)],
        )
        cursor.execute(sql.SQL("ALTER TABLE {}.recharge_recharge ENABLE TRIGGER recharge_content").format(schema))
    with organization.context:
        run_script(FORGET)
    return moved


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of March 2026, UTC."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def test_it_sums_up_by_day_by_operator_and_by_seller(supplied: Organization) -> None:
    assert supplied.neighbour.sell(7000, phone_number="09351234567").status == 201
    write_recharge(supplied, timezone.now() - timedelta(seconds=1), "succeeded", 1000)
    write_recharge(supplied, timezone.now() - timedelta(seconds=1), "failed", 2000)
    write_recharge(supplied, timezone.now() - timedelta(seconds=1), "unknown", 3000)
    write_recharge(supplied, timezone.now() - timedelta(seconds=1), "pending", 4000)
    days, operators, sellers, failures = tables_of(Visitor.signed_in(supplied.owner).get("/reports"))
    # Today's and yesterday's may be one row or two around midnight; the total is sure.
    assert days[-1] == ["Total", "2", "8,000", "1", "33.3%", "2"]
    assert len(days) == 1 + 7 + 1
    assert operators[1:] == [
        ["Irancell (MTN)", "1", "7,000", "0", "0.0%", "0"],
        ["TeleKish", "1", "1,000", "1", "50.0%", "2"],
        days[-1],
    ]
    assert sellers[1:] == [
        ["neighbour", "1", "7,000", "0", "0.0%", "0"],
        ["member", "1", "1,000", "1", "50.0%", "2"],
        days[-1],
    ]
    assert failures[1:] == [
        ["member", "1", "50.0%", "2,000"],
        ["Total of all sellers", "1", "33.3%", "2,000"],
    ]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", {1: 1, 2: 2, 3: 1}),
        ("Asia/Tehran", {1: 1, 2: 1, 3: 2}),  # +03:30
        ("America/Los_Angeles", {1: 2, 2: 2}),  # -08:00
    ],
)
def test_days_are_days_of_the_readers_zone(supplied: Organization, zone: str, expected: dict[int, int]) -> None:
    for moment in (at(1, 12), at(2, 7, 59), at(2, 20, 30), at(3, 7, 59)):
        write_recharge(supplied, moment)
    User.objects.filter(pk=supplied.owner.user.pk).update(time_zone=zone)
    days, *_ = tables_of(Visitor.signed_in(supplied.owner).get("/reports?from_day=2026-03-01&to_day=2026-03-04"))
    sold = {int(row[0][-2:]): int(row[1]) for row in days[1:-1]}
    assert sold == {day: expected.get(day, 0) for day in (1, 2, 3, 4)}


def test_the_edges_of_the_range_are_sharp(supplied: Organization) -> None:
    first, last = at(2, 0), at(4, 0)
    for moment in (
        first - timedelta(microseconds=1),
        first,
        last - timedelta(microseconds=1),
        last,
    ):
        write_recharge(supplied, moment)
    with supplied.context, timezone.override("UTC"):
        found = report(first=date(2026, 3, 2), last=date(2026, 3, 3), most_sellers=10)
    assert found.total == Sums(delivered=2, delivered_amount=2000, net_amount=2000)
    assert found.days == dict.fromkeys(
        (date(2026, 3, 2), date(2026, 3, 3)), Sums(delivered=1, delivered_amount=1000, net_amount=1000)
    )


def test_a_day_of_23_hours_is_one_day(supplied: Organization) -> None:
    """In Berlin the clocks went forward on 29 March 2026, at 01:00 UTC."""
    write_recharge(supplied, at(28, 22, 59))
    write_recharge(supplied, at(28, 23))
    write_recharge(supplied, at(29, 21, 59))
    write_recharge(supplied, at(29, 22))
    with supplied.context, timezone.override("Europe/Berlin"):
        found = report(first=date(2026, 3, 28), last=date(2026, 3, 30), most_sellers=10)
    assert [sums.delivered for sums in found.days.values()] == [1, 2, 1]


def test_without_sales_each_day_is_zero_and_the_page_says_what_to_do(acme: Organization) -> None:
    answer = Visitor.signed_in(acme.owner).get("/reports?from_day=2026-03-01&to_day=2026-03-03")
    (days,) = tables_of(answer)
    assert days[1:] == [[day, "0", "0", "0", "–", "0"] for day in ("2026-03-01", "2026-03-02", "2026-03-03", "Total")]
    assert answer.body.decode().count("Nothing was sold on these days") == 2


def test_wrong_days_are_said_beside_their_field(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    for query, said in (
        ("from_day=nonsense", "Write a day like"),
        ("from_day=%00&to_day=2026-03-01", "Write a day like"),
        ("to_day=2026-02-30", "Write a day like"),
        ("from_day=2026-03-02&to_day=2026-03-01", "before the first one"),
        ("from_day=2026-03-01&to_day=2026-06-01", "More than 92 days"),
        ("from_day=1900-01-01", "no reports for these days"),
        ("to_day=9999-12-31", "no reports for these days"),
        ("from_day=9999-12-31", "no reports for these days"),
        ("to_day=0001-01-01", "no reports for these days"),
    ):
        answer = visitor.get(f"/reports?{query}")
        assert answer.status == 200
        assert said in answer.body.decode(), query
        assert len(tables_of(answer)[0]) == 1 + 7 + 1
        assert visitor.get(f"/reports.csv?{query}").status == 400
    assert len(tables_of(visitor.get("/reports?from_day=2026-03-01&to_day=2026-05-31"))[0]) == 1 + 92 + 1
    assert len(tables_of(visitor.get("/reports?from_day=1404/12/10&to_day=۱۴۰۴/۱۲/۱۱"))[0]) == 1 + 2 + 1


def test_of_many_sellers_those_that_sold_most(supplied: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    third = make_seller(supplied.row, "Third", 10_000)
    sell_pending(supplied.row, third.pk, 9000)
    supplied.member.sell(1000)
    supplied.neighbour.sell(2000)
    today = timezone.localdate()
    with supplied.context:
        found = report(first=today - timedelta(days=1), last=today + timedelta(days=1), most_sellers=2)
    assert [name for _, name, _ in found.sellers] == ["neighbour", "member"]
    assert found.total == Sums(delivered=2, delivered_amount=3000, open=1, net_amount=12_000)
    rows = csv.DictReader(io.StringIO(Visitor.signed_in(supplied.owner).get("/reports.csv?by=seller").body.decode()))
    assert [(row["seller"], row["succeeded"], row["amount"], row["open"]) for row in rows] == [
        ("neighbour", "1", "2000", "0"),
        ("member", "1", "1000", "0"),
        ("Third", "0", "0", "1"),
    ]


def test_each_table_can_be_exported(supplied: Organization) -> None:
    write_recharge(supplied, at(2, 8))
    visitor = Visitor.signed_in(supplied.owner)
    query = "from_day=2026-03-01&to_day=2026-03-02"
    assert visitor.get(f"/reports.csv?by=day&{query}").body.decode().splitlines() == [
        "\ufeffday,succeeded,amount,failed,open,commission,margins",
        "2026-03-01,0,0,0,0,0,0",
        "2026-03-02,1,1000,0,0,0,0",
    ]
    assert visitor.get(f"/reports.csv?by=operator&{query}").body.decode().splitlines() == [
        "\ufeffoperator,succeeded,amount,failed,open,commission",
        "telekish,1,1000,0,0,0",
    ]
    assert visitor.get(f"/reports.csv?by=seller&{query}").body.decode().splitlines() == [
        "\ufeffseller_id,seller,succeeded,amount,failed,open,commission,margins",
        f"{supplied.member.id},member,1,1000,0,0,0,0",
    ]
    page = visitor.get(f"/reports?{query}").body.decode()
    assert f'href="/reports.csv?by=seller&amp;{query.replace("&", "&amp;")}"' in page


def test_who_loses_by_failures_comes_first_whoever_sold_most(supplied: Organization) -> None:
    """Ordered by Tomans, not by how many; the page shows the first, the file all. What fails after its day is a line of
    its own, and who has nothing else is there by that."""
    give_credit(supplied.row, supplied.member.id, 900_000)
    third, fourth = (make_seller(supplied.row, name, 100_000) for name in ("Third", "Fourth"))
    write_recharge(supplied, at(2, 8), "succeeded", 500_000)
    for _ in range(3):
        write_recharge(supplied, at(2, 9), "failed", 1000)
    write_recharge(supplied, at(2, 9), "failed", 9000, seller_id=third.pk)
    write_recharge(supplied, at(3, 9), "failed", 4000, seller_id=third.pk)
    write_recharge(supplied, at(3, 9), "succeeded", 13_000, seller_id=third.pk)
    open_at_night = write_recharge(supplied, at(3, 9), "unknown", 8000, seller_id=fourth.pk)
    write_recharge(supplied, at(3, 9), "succeeded", 2000, seller_id=supplied.neighbour.id)
    settle_recharge(organization=supplied.row, recharge_id=open_at_night, status=Recharge.Status.FAILED, failure="no")
    visitor, query = Visitor.signed_in(supplied.owner), "from_day=2026-03-01&to_day=2026-03-05"
    total = ["Total of all sellers", "5", "62.5%", "16,000"]
    changed = ["Changed after the dayFailed, refunded: 1, 8,000 Tomans", "\u200e+1", "", "\u200e+8,000"]

    *_others, failures = tables_of(visitor.get(f"/reports?{query}"))
    assert failures == [
        ["Seller", "Failed", "Failure rate", "Tomans failed"],
        ["Third", "2", "66.7%", "13,000"],
        ["member", "3", "75.0%", "3,000"],
        ["Fourth", "0", "–", "0"],
        changed,
        total,
        changed,
    ]
    with supplied.context, timezone.override("UTC"):
        found = report(first=date(2026, 3, 1), last=date(2026, 3, 5), most_sellers=1)
    assert [name for _, name, _ in found.sellers] == ["member"]
    assert [(name, sums.failed, sums.failed_amount) for _, name, sums in found.losses] == [("Third", 2, 13_000)]
    written = visitor.get(f"/reports.csv?by=failures&{query}").body.decode("utf-8-sig")
    assert [(row["seller"], row["failed"], row["failed_amount"]) for row in csv.DictReader(io.StringIO(written))] == [
        ("Third", "2", "13000"),
        ("member", "3", "3000"),
        ("Fourth", "0", "0"),
        ("Fourth (changed after the day)", "1", "8000"),
    ]
    assert "Nothing failed on these days." in shown(visitor.get("/reports?from_day=2026-03-01&to_day=2026-03-01"))


def test_where_sellers_are_left_out_the_page_says_so(supplied: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    """And has no total of rows that are not there, but that of all where it is called so."""
    monkeypatch.setattr(reports, "SELLERS_SHOWN", 1)
    for seller_id in (supplied.member.id, supplied.neighbour.id):
        write_recharge(supplied, at(2, 8), "succeeded", 5000, seller_id=seller_id)
        write_recharge(supplied, at(2, 9), "failed", 1000, seller_id=seller_id)
    page = in_process(supplied.owner, "/reports?from_day=2026-03-01&to_day=2026-03-03").content.decode()
    rows = [
        re.findall(r'<th scope="row"[^>]*><bdi[^>]*>(.*?)</bdi>', table) for table in page.split("<section")[2:]
    ]  # after the days
    assert rows == [["TeleKish", "Total"], ["member"], ["member", "Total of all sellers"]]
    assert "The top 1 by Tomans delivered; the CSV file has all of them." in page
    assert "The top 1 by Tomans failed; the CSV file has all of them." in page
    assert page.count("The top ") == 2


def charts_of(answer: Answer) -> list[list[tuple[str, float, float]]]:
    """Of each chart what it says of each mark, where that begins, and how long it is, in percent."""
    assert answer.status == 200, answer
    found = []
    for chart in re.findall(r'(?s)<figure class="chart">(.*?)</figure>', answer.body.decode()):
        told = re.findall(r'<input type="radio"[^>]* aria-label="([^"]*)"', chart) or [
            re.sub("<[^>]*>", "", said) for said in re.findall(r"<li>(.*?)<svg", chart)
        ]
        places = re.findall(
            r'<rect [^>]*?(?:x|y)="([\d.]+)%" (?:width|height)="([\d.]+)%"', chart.replace('x="12%" width="76%" ', "")
        )
        found.append([(said, float(begin), float(size)) for said, (begin, size) in zip(told, places, strict=True)])
    return found


def test_what_is_drawn_are_the_tables_own_tomans(supplied: Organization) -> None:
    for day, amount in ((2, 12_000), (3, 3_000)):
        write_recharge(supplied, at(day, 8), amount=amount)
    visitor = Visitor.signed_in(supplied.owner)
    page = visitor.get("/reports?from_day=2026-03-01&to_day=2026-03-03")
    days, operators, sellers = charts_of(page)
    # The axis goes to 15,000.
    assert days == [
        ("2026-03-01: 0 Tomans", 100, 0),
        ("2026-03-02: 12,000 Tomans", 20, 80),
        ("2026-03-03: 3,000 Tomans", 80, 20),
    ]
    assert operators == [("TeleKish15,000 Tomans", 0, 100)]
    assert sellers == [("member15,000 Tomans", 0, 100)]
    assert re.findall(r"<span>([\d,]+)</span>", page.body.decode()) == ["15,000", "10,000", "5,000", "0"]
    assert " style=" not in page.body.decode()
    User.objects.filter(pk=supplied.owner.user.pk).update(language="fa")
    days, *_ = charts_of(visitor.get("/reports?from_day=2026-03-01&to_day=2026-03-03"))
    assert days[1] == ("۱۴۰۴/۱۲/۱۱: ۱۲٬۰۰۰ تومان", 20, 80)


@pytest.mark.parametrize(
    ("values", "ticks", "drawn"),
    [
        ([0, 0], [10, 5, 0], [("100.00%", "0.00%")] * 2),
        ([-4], [0, -5, -10], [("0.00%", "40.00%")]),
        ([30, -10], [30, 20, 10, 0, -10], [("0.00%", "75.00%"), ("75.00%", "25.00%")]),
        ([10**15], [10**15, 5 * 10**14, 0], [("0.00%", "100.00%")]),
    ],
)
def test_columns_stand_on_zero_between_round_values(
    values: list[int], ticks: list[int], drawn: list[tuple[str, str]]
) -> None:
    chart = columns([("2026-03-01", value) for value in values], "Tomans")
    assert chart.ticks == ticks
    assert [(mark.begin, mark.size) for mark in chart.marks] == drawn


def test_bars_of_less_than_nothing_are_on_the_other_side() -> None:
    marks = bars([("a", 30), ("b", -10), ("c", 0)], "Tomans").marks
    assert [(mark.begin, mark.size) for mark in marks] == [
        ("25.00%", "75.00%"),
        ("0.00%", "25.00%"),
        ("25.00%", "0.00%"),
    ]


def test_below_many_columns_there_are_as_many_days_as_have_room() -> None:
    marks = columns([(f"2026-01-{day:02}", day) for day in range(1, 32)], "Tomans").marks
    written = [mark.short for mark in marks if mark.short]
    assert written == ["01-03", "01-07", "01-11", "01-15", "01-19", "01-23", "01-27", "01-31"]
    assert [mark.short for mark in marks if mark.short and not mark.is_between] == written[1::2]


def test_the_days_are_written_as_the_reader_writes_them(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    User.objects.filter(pk=acme.owner.user.pk).update(language="fa")
    page = visitor.get("/reports?from_day=2026-03-01&to_day=2026-03-02").body.decode()
    written = re.findall(r'name="(\w+_day)" value="([^"]+)"', page)
    assert written == [("from_day", "۱۴۰۴/۱۲/۱۰"), ("to_day", "۱۴۰۴/۱۲/۱۱")]
    again = visitor.get("/reports?" + "&".join(f"{name}={quote(day)}" for name, day in written))
    assert [row[0] for row in tables_of(again)[0][1:-1]] == ["۱۴۰۴/۱۲/۱۰", "۱۴۰۴/۱۲/۱۱"]


@pytest.mark.parametrize("by", ["", "nonsense", "%00", "Day"])
def test_there_are_no_other_ways_to_sum_up(acme: Organization, by: str) -> None:
    visitor = Visitor.signed_in(acme.owner)
    assert visitor.get(f"/reports.csv?by={by}").status == 400


def test_stored_markup_is_text(supplied: Organization) -> None:
    with supplied.context:
        Seller.objects.filter(pk=supplied.member.id).update(name=MARKUP)
    supplied.member.sell(1000)
    page = Visitor.signed_in(supplied.owner).get("/reports").body.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    page = Visitor.signed_in(supplied.owner).get(f"/reports?from_day={quote(MARKUP)}").body.decode()
    assert "<script>alert" not in page


def test_reports_are_for_the_organizations_admins(supplied: Organization, globex: Organization) -> None:
    supplied.member.sell(1000)
    for path in ("/reports", "/reports.csv"):
        assert Visitor.signed_in(supplied.member).get(path).status == 404
        assert Visitor(supplied.anyone).get(path).status == 302
    assert "member" not in Visitor.signed_in(globex.owner).get("/reports.csv?by=seller").body.decode()


def test_a_report_costs_one_query(supplied: Organization) -> None:
    for _ in range(3):
        supplied.member.sell(1000)
        supplied.neighbour.sell(1000, phone_number="09351234567")
    # The session, the account, until when days are closed, the sums of all three tables; on a page, whether something
    # came late to what was sold on closed days, and whether the organization trains.
    for path in ("/reports", "/reports?from_day=2026-10-01&to_day=2026-11-30"):
        assert len(queries_of(supplied.owner, path)) == 6, path
    # And that it was taken: begun, written, committed.
    assert len(queries_of(supplied.owner, "/reports.csv")) == 7


def test_a_report_reads_the_rows_of_its_days_alone(supplied: Organization) -> None:
    for day in range(1, 5):
        for _ in range(25):
            write_recharge(supplied, at(day, 8), amount=10)
    with supplied.context, connection.cursor() as cursor:
        cursor.execute("ANALYZE recharge_recharge")
    with closing(session_at("org_acme")) as session, session.cursor() as cursor:
        cursor.execute(
            r"""
            WITH its_own AS (
                SELECT oid FROM pg_class
                WHERE relnamespace = 'org_acme'::regnamespace AND relname ~ '^recharge_recharge(_\d+)?$'
            )
            SELECT oid, true FROM its_own
            UNION ALL
            SELECT indexrelid, false FROM pg_index WHERE indrelid IN (SELECT oid FROM its_own)
            """
        )
        oids, are_tables = map(list, zip(*cursor.fetchall(), strict=True))
    with supplied.context, transaction.atomic(), connection.cursor() as cursor, timezone.override("UTC"):
        cursor.execute("SET LOCAL enable_seqscan = off")

        def read() -> tuple[int, int]:
            """Rows by a scan, and by an index, of the transaction where the rows are, which tells nobody yet."""
            cursor.execute(
                "SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FILTER (WHERE is_table),"
                " sum(pg_stat_get_xact_tuples_fetched(oid))"
                " FROM (SELECT count(*) FROM credit_seller) AS there,"
                " unnest(%s::oid[], %s::boolean[]) AS relation (oid, is_table)",
                [oids, are_tables],
            )
            return cursor.fetchone()

        by_scan, by_index = read()
        report(first=date(2026, 3, 2), last=date(2026, 3, 2), most_sellers=10)
        assert read() == (by_scan, by_index + 25)


def test_it_says_how_much_of_it_was_training(supplied: Organization) -> None:
    """Of what is counted as sold: not what failed by the end of its day, nor what a gateway delivered."""
    of_these = "Of these, training sales (not delivered)"
    write_recharge(supplied, at(2, 8), amount=1000)
    visitor = Visitor.signed_in(supplied.owner)
    assert of_these not in shown(visitor.get("/reports?from_day=2026-03-01&to_day=2026-03-02"))
    assert supplied.member.sell(2000).status == 201
    assert supplied.neighbour.sell(5000).status == 201
    failed = supplied.neighbour.sell(7000).json["id"]
    resolve_recharge(
        organization=supplied.row,
        recharge_id=uuid.UUID(failed),
        status=Recharge.Status.FAILED,
        reason="no",
        by="owner",
    )
    write_recharge(supplied, timezone.now() - timedelta(seconds=1), amount=4000)
    with supplied.context:
        days = {"first": timezone.localdate() - timedelta(days=1), "last": timezone.localdate()}
        found = report(**days, most_sellers=10)
    assert found.training == Training(delivered=2, delivered_amount=7000)
    assert (found.total.delivered, found.total.delivered_amount) == (3, 11_000)
    page = shown(visitor.get("/reports"))
    assert f"Delivered 3 {of_these}: 2 · 7,000 Tomans" in page
    User.objects.filter(pk=supplied.owner.user.pk).update(language="fa")
    assert "از این میان آموزشی و بدون تحویل: ۲ شارژ · ۷٬۰۰۰ تومان" in shown(visitor.get("/reports"))
