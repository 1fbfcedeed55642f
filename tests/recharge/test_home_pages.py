"""The admin's home page: what needs a decision, and what happened today; and the page of one seller."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from credit.models import Seller
from credit.services import create_credit_request
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.models import Recharge
from recharge.pages.home import MOST_COUNTED, ROWS_SHOWN
from recharge.reports import sums
from recharge.selling import queries
from shared.models import User
from tests.support.locks import sell_pending
from tests.support.queries import queries_of
from tests.support.visitor import MARKUP, Visitor, shown, text_of
from tests.support.world import Organization, ask, give_credit


@pytest.fixture
def funded(funded: Organization) -> Organization:
    give_credit(funded.row, funded.neighbour.id, 1_000_000)
    return funded


def home(organization: Organization):
    return Visitor.signed_in(organization.owner).get("/today")


def unknown(organization: Organization, amount: int = 5000) -> uuid.UUID:
    """A recharge that no gateway can tell the end of."""
    recharge = sell_pending(organization.row, organization.member.id, amount)
    settle_recharge(organization=organization.row, recharge_id=recharge, status=Recharge.Status.UNKNOWN)
    return recharge


def late(organization: Organization, amount: int = 5000) -> uuid.UUID:
    """A recharge that failed, was refunded, and turned out to have been delivered."""
    recharge = sell_pending(organization.row, organization.member.id, amount)
    settle_recharge(
        organization=organization.row, recharge_id=recharge, status=Recharge.Status.FAILED, failure="no answer"
    )
    resolve_recharge(
        organization=organization.row,
        recharge_id=recharge,
        status=Recharge.Status.SUCCEEDED,
        reason="it was delivered",
        by="owner",
    )
    return recharge


def test_it_is_the_admins_alone(acme: Organization) -> None:
    assert Visitor.signed_in(acme.member).get("/today").status == 404
    assert Visitor(acme.anyone).get("/today").status == 302
    assert Visitor.signed_in(acme.owner).get("/").headers["Location"] == "/today"
    assert Visitor.signed_in(acme.member).get("/").headers["Location"] == "/sell"


def test_a_calm_day_says_so(acme: Organization) -> None:
    page = shown(home(acme))
    assert "Nothing is waiting for you." in page
    assert "Nothing was sold today yet." in page
    assert "Net sales 0 Tomans" in page
    assert "in training" not in page


def test_what_waits_is_named_and_counted(funded: Organization) -> None:
    request = ask(funded.neighbour, 77_000)
    unknown(funded, 6000)
    late(funded, 8000)
    page = home(funded)
    assert "Nothing is waiting for you." not in shown(page)
    assert "Credit requests 1 neighbour 77,000 Tomans" in shown(page)
    assert "Recharges with unknown outcome 1" in shown(page)
    assert "0912 123 4567 · member 6,000 Tomans" in shown(page)
    assert "Changed after completion 1" in shown(page)
    assert "0912 123 4567 · member 8,000 Tomans delivered late, charged again" in shown(page)
    for address in (f"/credit-requests/{request}", "/credit-requests?status=pending", "/recharges?status=unknown"):
        assert f'href="{address}"' in text_of(page)


def test_what_was_decided_waits_no_more(funded: Organization) -> None:
    recharge = unknown(funded)
    assert "Recharges with unknown outcome" in shown(home(funded))
    settle_recharge(organization=funded.row, recharge_id=recharge, status=Recharge.Status.SUCCEEDED)
    assert "Nothing is waiting for you." in shown(home(funded))


def test_the_longest_waiting_come_first_and_many_are_not_counted_through(funded: Organization) -> None:
    with funded.context:
        for number in range(MOST_COUNTED):
            create_credit_request(
                organization=funded.row,
                seller_id=funded.member.id,
                idempotency_key=str(number),
                amount=1000 + number,
                note="",
            )
    page = shown(home(funded))
    assert "Credit requests 99+ member 1,000 Tomans" in page
    assert f"{1000 + ROWS_SHOWN - 1:,} Tomans" in page
    assert f"{1000 + ROWS_SHOWN:,} Tomans" not in page


def test_what_came_late_is_shown_for_a_week_but_what_is_owed_until_it_is_paid(funded: Organization) -> None:
    charged = late(funded)
    # Refunded, the refund spent, then delivered after all: the balance does not bear it.
    owed = sell_pending(funded.row, funded.neighbour.id, 900_000)
    settle_recharge(organization=funded.row, recharge_id=owed, status=Recharge.Status.FAILED, failure="no answer")
    sell_pending(funded.row, funded.neighbour.id, 950_000)
    resolve_recharge(
        organization=funded.row, recharge_id=owed, status=Recharge.Status.SUCCEEDED, reason="delivered", by="owner"
    )
    reversed_ = sell_pending(funded.row, funded.member.id, 5000)
    settle_recharge(organization=funded.row, recharge_id=reversed_, status=Recharge.Status.SUCCEEDED)
    resolve_recharge(
        organization=funded.row, recharge_id=reversed_, status=Recharge.Status.FAILED, reason="back", by="owner"
    )
    with funded.context:
        now = timezone.now()
        rows = queries.late_recharges(since=now - timedelta(days=7), limit=10)
        assert [row.pk for row in rows] == [reversed_, owed, charged]
        assert [row.pk for row in queries.late_recharges(since=now + timedelta(days=1), limit=10)] == [owed]
        assert [row.pk for row in queries.late_recharges(since=now - timedelta(days=7), limit=2)] == [reversed_, owed]
    assert "delivered late, owed" in shown(home(funded))
    assert "reversed, amount returned" in shown(home(funded))


def test_today_is_what_the_tables_say(funded: Organization) -> None:
    funded.member.sell(5000)
    sell_pending(funded.row, funded.neighbour.id, 7000)
    unknown(funded, 11_000)
    failed = sell_pending(funded.row, funded.member.id, 13_000)
    settle_recharge(organization=funded.row, recharge_id=failed, status=Recharge.Status.FAILED, failure="no")
    with funded.context:
        rows = list(Recharge.objects.all())
        totals = sums.totals(created_from=timezone.now() - timedelta(hours=1))
        nothing = sums.totals(created_from=timezone.now() + timedelta(hours=1))
    net = [row.amount for row in rows if row.status != "failed"]
    assert (totals.net, totals.net_amount) == (len(net), sum(net)) == (3, 23_000)
    assert (totals.delivered, totals.delivered_amount) == (1, 5000)
    assert (totals.failed, totals.unknown) == (1, 1)
    assert totals.pending == sum(row.status == "pending" for row in rows)
    assert totals.credited_amount == 2_000_000
    assert (totals.training_net, totals.training_net_amount) == (1, 5000)
    assert "Of these, training sales (not delivered): 1 · 5,000 Tomans" in shown(home(funded))
    assert nothing == sums.Totals(
        net=0, net_amount=0, delivered=0, delivered_amount=0, failed=0, unknown=0, pending=0, credited_amount=0
    )


def test_the_day_is_the_one_of_the_readers_zone(funded: Organization) -> None:
    funded.member.sell(5000)
    pages = {}
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # +14 and -11: never the same day
        User.objects.filter(pk=funded.owner.user.pk).update(time_zone=zone)
        pages[zone] = shown(home(funded))
        assert "Net sales 5,000 Tomans 1 recharge" in pages[zone]
    days = {page.partition("Today ")[2][:10] for page in pages.values()}
    assert len(days) == 2


def test_it_costs_thirteen_queries_however_much_waits(funded: Organization) -> None:
    for _ in range(3):
        ask(funded.member)
        unknown(funded)
        late(funded)
    # The session and the account; requests, adjustments, unknown ones, late ones, sellers' names, two for the day,
    # what is owed, alerts, whether the organization trains, and the version of all that.
    assert len(queries_of(funded.owner, "/today")) == 14


def test_a_sellers_page_has_the_balance_and_what_is_in_flight(funded: Organization) -> None:
    sell_pending(funded.row, funded.member.id, 30_000)
    page = Visitor.signed_in(funded.owner).get(f"/sellers/{funded.member.id}")
    assert "Balance 970,000 Tomans Awaiting outcome, already charged 30,000 Tomans Number of entries 2" in shown(page)
    assert "Username member" in shown(page)
    for address in ("/ledger", "/recharges", "/credit-requests"):
        assert f'href="{address}?seller={funded.member.id}"' in text_of(page)


def test_markup_in_names_is_text(funded: Organization) -> None:
    ask(funded.member)
    unknown(funded)
    late(funded)
    with funded.context:
        Seller.objects.update(name=MARKUP)
    page = text_of(home(funded))
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;") == 3
