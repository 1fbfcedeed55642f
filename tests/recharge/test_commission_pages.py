"""Commissions as pages: an admin sets rates and sees their history; sellers see what they earn, before and after."""

import csv
import html
import io
import re
import uuid
from datetime import timedelta

import jdatetime
from django.utils import timezone, translation

from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.margins.services import post_margins
from recharge.models import Recharge
from recharge.pages.words import format_percent
from recharge.reports.posted import posted_report
from shared.console.formats import first_day_of_month
from tests.recharge.test_commissions import set_rate
from tests.recharge.test_report_pages import tables_of
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor, shown, text_of, value_of
from tests.support.world import Organization, give_credit, make_member, place


def form(**given: str) -> dict[str, str]:
    return {"seller": "", "operator": "", "kind": "percent", "percent": "", "fixed": ""} | given


def test_rates_are_set_changed_and_ended_and_the_history_says_by_whom(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    assert "No commission" in shown(owner.get("/commissions"))
    for given in (
        form(percent="۲٫۵٪"),
        form(percent="3"),
        form(operator="irancell", kind="fixed", fixed="۷۰", percent="99"),
        form(seller="member", operator="mci", percent="0.05 %"),
        form(seller=str(acme.neighbour.id), kind="fixed", fixed="1,000"),
        form(seller="neighbour", kind="none"),
    ):
        answer = owner.submit("/commissions/set", given)
        assert (answer.status, answer.headers.get("Location")) == (302, "/commissions"), shown(answer)
    page = owner.get("/commissions")
    assert "From the next sale the more general rate applies." in shown(page)
    ways = [html.unescape(way) for way in re.findall(r'href="(/commissions/set\?[^"]*)"', text_of(page))]
    assert ways[:2] == [
        f"/commissions/set?seller={acme.member.id}&operator=mci",
        "/commissions/set?seller=&operator=irancell",
    ]
    prepared = owner.get(ways[0])
    assert (value_of(prepared, "seller"), 'value="mci" selected' in text_of(prepared)) == (str(acme.member.id), True)
    rows = re.findall(r"<tr><td.*?</tr>", text_of(page))
    assert [re.sub(r"<[^>]*>", " ", row).split()[:2] for row in rows] == [
        ["member", "Hamrah-e"],
        ["All", "sellers"],
        ["All", "sellers"],
    ]
    assert [re.findall(r'<bdi class="text-nowrap">(.*?)</bdi>', row)[0] for row in rows] == ["0.05%", "70 Tomans", "3%"]
    ended = text_of(owner.get("/commissions?which=all"))
    assert ended.count("Change or end") == len(rows)  # what has ended is changed no more
    assert ended.count("Ended") == 2
    assert "2.5%" in ended
    only = shown(owner.get(f"/commissions?which=all&seller={acme.neighbour.id}"))
    assert ("1,000 Tomans" in only, "70 Tomans" in only) == (True, False)
    assert "There is no such rate." in shown(owner.get(f"/commissions?seller={acme.neighbour.id}"))
    audit = shown(owner.get("/audit-log"))
    assert "Commission set" in audit
    # Who keeps the books may look.
    accountant = make_member(acme.row, "accountant", "accountant", acme.owner.client.address)
    looking = Visitor.signed_in(accountant)
    assert "0.05%" in text_of(looking.get("/commissions"))
    assert "/commissions/set" not in text_of(looking.get("/commissions"))
    assert looking.get("/commissions/set").status == 404


def test_what_is_no_rate_is_said_at_its_field(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    for given, said in (
        (form(), "Write a percentage."),
        (form(percent="100"), "from 0 to 99.99"),
        (form(percent="-1"), "from 0 to 99.99"),
        (form(percent="2.555"), "from 0 to 99.99"),
        (form(percent="ten"), "from 0 to 99.99"),
        (form(kind="fixed", percent="3"), "Write an amount in Tomans."),
        (form(kind="fixed", fixed="0"), "This must be at least 1 Toman."),
        (form(percent="3", seller="nobody"), "There is no such seller."),
        (form(percent="3", operator="nobody"), "nobody"),
        (form(kind="all", percent="3"), "all"),
    ):
        answer = owner.submit("/commissions/set", given)
        assert answer.status == 422, given
        assert said in shown(answer), given
    assert "No commission" in shown(owner.get("/commissions"))


def test_a_seller_sees_what_a_sale_earns_before_and_after_it(acme: Organization) -> None:
    set_rate(acme, basis_points=250)
    give_credit(acme.row, acme.member.id, 100_000)
    seller = Visitor.signed_in(acme.member)
    assert "You earn 2.5%" in shown(seller.get("/sell?phone_number=09121234567"))
    assert "You earn 2.5%" in text_of(seller.get("/sell/number?phone_number=09121234567", HX_Request="true"))
    sale = {"phone_number": "09121234567", "operator": "mci", "amount": "50000", "key": uuid.uuid4().hex}
    query = "&".join(f"{name}={value}" for name, value in sale.items())
    asked = shown(seller.get(f"/sell/confirm?{query}"))
    assert "You earn 1,250 Tomans" in asked
    assert "Balance after 51,250 Tomans" in asked
    done = seller.submit(f"/sell/confirm?{query}", dict(sale), "/sell/confirm")
    assert done.status == 303
    outcome = seller.get(done.headers["Location"])
    assert "You earn 1,250 Tomans" in shown(outcome)
    assert "Balance 51,250 Tomans" in shown(outcome)
    one = done.headers["Location"].removesuffix("/outcome")
    receipt = text_of(seller.get(f"{one}/receipt"))
    # The customer's paper says nothing of it.
    assert re.search(r'<dl class="details d-print-none"><dt>Commission, not printed</dt><dd>1,250 Tomans', receipt)
    whole = shown(seller.get(one))
    assert "Commission 1,250 Tomans (2.5%)" in whole
    assert "\u200e+1,250" in whole
    assert re.search(r">Commission</th>.*>1,250</td>", text_of(seller.get("/recharges")), re.DOTALL)
    assert re.search(r">Commission</th>.*>\u200e\+1,250</td>", text_of(seller.get("/ledger")), re.DOTALL)
    assert "1,250" in text_of(Visitor.signed_in(acme.owner).get(f"/sellers/{acme.member.id}"))


def test_pages_say_nothing_of_commissions_where_there_are_none(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    sold = acme.member.sell().json["id"]
    seller = Visitor.signed_in(acme.member)
    for path in (
        "/sell?phone_number=09121234567",
        f"/sell/confirm?phone_number=09121234567&operator=mci&amount=5000&key={uuid.uuid4().hex}",
        f"/recharges/{sold}/outcome",
        f"/recharges/{sold}/receipt",
        f"/recharges/{sold}",
        "/recharges",
        "/ledger",
    ):
        page = shown(seller.get(path))
        assert ("You earn" in page, "Commission" in page) == (False, False), path
    assert text_of(seller.get("/earnings", HX_Request="true")).strip() == ""


def test_what_is_owed_has_earned_nothing_yet(acme: Organization) -> None:
    set_rate(acme, basis_points=1000)
    give_credit(acme.row, acme.member.id, 10_000)
    late = sell_pending(acme.row, acme.member.id, 7000)
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=late, status=Recharge.Status.FAILED, failure="no")
    assert acme.member.sell(10_000).status == 201
    resolve_recharge(organization=acme.row, recharge_id=late, status="succeeded", reason="late", by="owner")
    with acme.context:
        assert Recharge.objects.get(pk=late).late == "owed"
    assert "Earned today 1,000 Tomans Earned this month 1,000 Tomans" in shown(
        Visitor.signed_in(acme.member).get("/earnings")
    )


def test_margins_of_dealers_are_beside_what_those_who_sold_earned(
    acme: Organization,
) -> None:
    """A dealer who sells nothing himself; by the day on which they were posted, whatever was taken back."""
    dealer, kiosk, owner = acme.neighbour, acme.member, Visitor.signed_in(acme.owner)
    place(acme.row, kiosk.id, dealer.id)
    set_rate(acme, basis_points=1000)
    set_rate(acme, seller_id=dealer.id, basis_points=1500)
    give_credit(acme.row, kiosk.id, 100_000)
    kiosk.sell(5000)
    back = sell_pending(acme.row, kiosk.id, 8000)
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=back, status=Recharge.Status.SUCCEEDED)
    for page in (owner.get("/today"), owner.get("/reports")):
        assert "Margins" not in shown(page)
    post_margins(organization=acme.row)
    assert dealer.balance() == 250 + 400
    resolve_recharge(organization=acme.row, recharge_id=back, status="failed", reason="taken back", by="owner")
    post_margins(organization=acme.row)
    assert dealer.balance() == 250

    said = "Margins today 250 Tomans Margins this month 250 Tomans"
    page = shown(Visitor.signed_in(dealer).get("/earnings"))
    assert "Earned today 0 Tomans" in page
    assert said in page
    part = text_of(Visitor.signed_in(dealer).get("/earnings", HX_Request="true"))
    assert "<dt>Margins today</dt><dd>250 Tomans</dd>" in part
    assert "Margins" not in shown(Visitor.signed_in(kiosk).get("/earnings"))

    today_page = shown(owner.get("/today"))
    assert "Commissions 500 Tomans earned by the sellers Margins of dealers 250 Tomans" in today_page
    lines = {
        "seller": f"{dealer.id},neighbour,0,0,0,0,0,250",
        "day": ",1,5000,1,0,500,250",
        "operator": "mci,1,5000,0,0,500",
    }
    assert "Margins of dealers 250 Tomans" in shown(owner.get("/reports"))
    *tables, failures = tables_of(owner.get("/reports"))
    assert ["Margins" in table[0] for table in [*tables, failures]] == [True, False, True, False]
    assert {len(row) for table in tables for row in table} == {len(tables[0][0]), len(tables[1][0])}
    for by, line in lines.items():
        written = owner.get(f"/reports.csv?by={by}").body.decode().splitlines()
        assert written[0].endswith(",margins") == (by != "operator")
        assert [one for one in written if one.endswith(line)], written
    # As of days that are closed.
    day = timezone.localdate()
    with acme.context:
        found = posted_report(first=day - timedelta(days=1), last=day + timedelta(days=1), most_sellers=10)
    assert (found.total.margins, found.total.commission, found.total.net_amount) == (250, 500, 5000)
    assert sum(sums.margins for sums in found.days.values()) == 250
    assert {name: sums.margins for _, name, sums in found.sellers} == {"member": 0, "neighbour": 250}
    assert set(found.operators) == {"mci", "telekish"}


def test_what_is_earned_today_and_this_month_is_net(acme: Organization) -> None:
    set_rate(acme, basis_points=1000)
    give_credit(acme.row, acme.member.id, 100_000)
    seller = Visitor.signed_in(acme.member)
    acme.member.sell(5000)
    failing = sell_pending(acme.row, acme.member.id, 7000)
    assert "Earned today 1,200 Tomans Earned this month 1,200 Tomans" in shown(seller.get("/earnings"))
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=failing, status=Recharge.Status.FAILED, failure="no")
    assert "Earned today 500 Tomans Earned this month 500 Tomans" in shown(seller.get("/earnings"))
    part = text_of(seller.get("/earnings", HX_Request="true"))
    assert "500 Tomans" in part
    assert "<html" not in part
    # Another's, and what is nobody's.
    assert "Earned today 0 Tomans" in shown(Visitor.signed_in(acme.neighbour).get("/earnings"))
    assert Visitor.signed_in(acme.owner).get("/earnings").status == 404
    cashier = make_member(acme.row, "cashier", "cashier", acme.owner.client.address, seller_id=acme.member.id)
    assert Visitor.signed_in(cashier).get("/earnings").status == 404
    assert "/earnings" not in text_of(Visitor.signed_in(cashier).get("/sell"))
    # Commission by operator: the own rate.
    set_rate(acme, seller_id=acme.member.id, operator="irancell", fixed=70)
    told = shown(seller.get("/earnings"))
    assert "Irancell (MTN) 70 Tomans" in told
    assert "TeleKish 10%" in told


def test_rows_of_a_bulk_sale_say_what_they_earn_together(acme: Organization) -> None:
    """Each needs its whole amount, of what those before it have left and earned."""
    set_rate(acme, basis_points=500)
    give_credit(acme.row, acme.member.id, 10_000)
    seller = Visitor.signed_in(acme.member)

    def preview(*amounts: int) -> str:
        text = "\n".join(f"0912000000{place},{amount}" for place, amount in enumerate(amounts))
        return shown(seller.submit("/bulk", {"text": text, "batch": uuid.uuid4().hex}))

    seen = preview(5000, 5000)
    assert "You earn 500 Tomans Balance after 500 Tomans" in seen
    # 10,000 − 9,500 + 475 = 975: it bears the second, though both together are more than the balance.
    seen = preview(9500, 975)
    assert "Total 10,475 Tomans You earn 523 Tomans Balance after 48 Tomans" in seen
    seen = preview(9500, 980)
    assert "Credit short by 5 Tomans" in seen
    assert "Your credit is enough for 1 of these rows" in seen


def test_reports_say_what_commissions_cost_the_organization(acme: Organization) -> None:
    for seller in (acme.member, acme.neighbour):
        give_credit(acme.row, seller.id, 100_000)
    owner = Visitor.signed_in(acme.owner)
    assert "Commission" not in shown(owner.get("/reports"))
    set_rate(acme, basis_points=100)
    set_rate(acme, seller_id=acme.neighbour.id, basis_points=1000)
    acme.member.sell(5000, phone_number="09351234567")
    acme.neighbour.sell(5000, phone_number="09351234567")
    acme.neighbour.sell(3000, phone_number="09121234567")
    sell_pending(acme.row, acme.member.id, 9000)
    failing = sell_pending(acme.row, acme.member.id, 7000)
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=failing, status=Recharge.Status.FAILED, failure="no")
    page = owner.get("/reports")
    assert "Commission 850 Tomans for delivered recharges" in shown(page)
    found = [{row[0]: row[3] for row in rows[1:]} for rows in tables_of(page)]
    assert found[0]["Total"] == "850"
    assert found[1] == {"Irancell (MTN)": "550", "Hamrah-e Aval (MCI)": "300", "TeleKish": "0", "Total": "850"}
    assert found[2] == {"neighbour": "800", "member": "50", "Total": "850"}
    lines = list(csv.DictReader(io.StringIO(owner.get("/reports.csv?by=seller").body.decode("utf-8-sig"))))
    assert {line["seller"]: line["commission"] for line in lines} == {"neighbour": "800", "member": "50"}
    # Net: what is on its way counts, too.
    assert "Commissions 940 Tomans" in shown(owner.get("/today"))


def test_a_month_begins_where_the_readers_calendar_has_it() -> None:
    day = jdatetime.date(1405, 9, 5).togregorian()
    with translation.override("en"):
        assert first_day_of_month(day) == day.replace(day=1)
        assert [format_percent(points) for points in (0, 5, 50, 250, 300, 9999)] == [
            "0%", "0.05%", "0.5%", "2.5%", "3%", "99.99%",
        ]  # fmt: skip
    with translation.override("fa"):
        assert first_day_of_month(day) == jdatetime.date(1405, 9, 1).togregorian()
        assert format_percent(250) == "۲٫۵٪"
