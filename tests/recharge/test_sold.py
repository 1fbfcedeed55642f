"""What is sold has three names: accepted, delivered, net (recharge/reports/sums.py). Each figure says which it is, and
those of one name are the same wherever they are shown."""

import re
import uuid

import pytest
from django.utils import timezone

from credit.queries import net_amounts_since
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from recharge.reports.sums import Figures, Training, figures_of, report, totals
from shared.days import start_of_day
from tests.recharge.test_report_pages import tables_of
from tests.support.client import Answer
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor
from tests.support.world import Organization, give_credit

pytestmark = pytest.mark.usefixtures("way")

S, F, U = Recharge.Status.SUCCEEDED, Recharge.Status.FAILED, Recharge.Status.UNKNOWN

# What was told of each that was sold; of those in training, after their sale had delivered them.
STORIES = ([], [U], [S], [F], [U, F], [F, S], [S, F])
IN_TRAINING = ([], [], [F])
OWED = 4_000_000


def tell(organization: Organization, recharge_id: uuid.UUID, *story: Recharge.Status) -> None:
    for status in story:
        failure = "no" if status == F else ""
        settle_recharge(organization=organization.row, recharge_id=recharge_id, status=status, failure=failure)


def sell_in_training(organization: Organization, amount: int) -> uuid.UUID:
    """Of an operator without a gateway."""
    return uuid.UUID(organization.member.sell(amount, phone_number="09351234567").json["id"])


@pytest.fixture
def sold(acme: Organization) -> Organization:
    """acme, which sold one of each kind today, of amounts by whose sum one can tell which of them are in it."""
    give_credit(acme.row, acme.member.id, OWED)
    for place, story in enumerate(STORIES):
        tell(acme, sell_pending(acme.row, acme.member.id, 1000 * 2**place), *story)
    for place, story in enumerate(IN_TRAINING):
        tell(acme, sell_in_training(acme, 1_000_000 * 2**place // 4), *story)
    # Refunded, the refund spent, then delivered after all.
    give_credit(acme.row, acme.neighbour.id, OWED)
    owed = sell_pending(acme.row, acme.neighbour.id, OWED)
    tell(acme, owed, F)
    sell_pending(acme.row, acme.neighbour.id, OWED - 500)
    tell(acme, owed, S)
    return acme


def rows_of(organization: Organization) -> list[Recharge]:
    with organization.context:
        return list(Recharge.objects.all())


def test_each_name_means_the_same_in_every_sum(sold: Organization) -> None:
    rows = rows_of(sold)
    assert {(row.status, row.late) for row in rows} == {
        ("pending", ""),
        ("unknown", ""),
        ("succeeded", ""),
        ("failed", ""),
        ("succeeded", "charged"),
        ("succeeded", "owed"),
        ("failed", "reversed"),
    }
    delivered = [row.amount for row in rows if row.status == S]
    net = [row for row in rows if row.status != F]
    net_amount = sum(row.amount for row in net)
    failed, unknown, pending = (
        sum(row.status == status for row in rows) for status in ("failed", "unknown", "pending")
    )

    with timezone.override("Asia/Tehran"), sold.context:
        day = timezone.localdate()
        today, reported = totals(created_from=start_of_day(day)), report(first=day, last=day, most_sellers=10)
        of_platform = figures_of([sold.row], since=start_of_day(day))[sold.row.pk]
        by_entries = [
            net_amounts_since(seller_id, [start_of_day(day)])[0] for seller_id in (sold.member.id, sold.neighbour.id)
        ]

    for of_day in (today, reported.total, reported.days[day]):
        assert (of_day.net, of_day.net_amount) == (len(net), net_amount)
        assert (of_day.delivered, of_day.delivered_amount) == (len(delivered), sum(delivered))
        assert (of_day.accepted, of_day.failed, of_day.open) == (len(rows), failed, unknown + pending)
    assert (today.unknown, today.pending) == (unknown, pending)
    assert of_platform == Figures(sellers=2, accepted=len(rows), failed=failed, unknown=unknown, net_amount=net_amount)
    assert of_platform.net == len(net)
    in_training = [row.amount for row in net if row.training]
    assert (today.training_net, today.training_net_amount) == (len(in_training), sum(in_training))
    assert reported.training == Training(len(in_training), sum(in_training))
    assert sum(by_entries) == net_amount - OWED  # which no entry has debited yet


# --- As they are shown ------------------------------------------------------------------------------------------------


def cards_of(answer: Answer) -> dict[str, list[int]]:
    """The figures at the top of a page: each number of a card, below its label."""
    assert answer.status == 200, answer
    cards = re.findall(r'(?s)<div class="figure-card"><dt>(.*?)</dt>(.*?)</div>', answer.body.decode())
    return {label: [number(shown) for shown in re.findall(r"(?s)<dd[^>]*>(.*?)</dd>", card)] for label, card in cards}


def number(shown: str) -> int:
    found = re.search(r"[0-9][0-9,]*", shown)
    assert found, shown
    return int(found[0].replace(",", ""))


def test_today_and_the_reports_agree(sold: Organization) -> None:
    visitor = Visitor.signed_in(sold.owner)
    today, reports = cards_of(visitor.get("/today")), visitor.get("/reports")
    summed = cards_of(reports)
    heads, *_days, row, _total = tables_of(reports)[0]
    of_today = dict(zip(heads, row, strict=True))

    assert today["Net sales"][:2] == summed["Net sales"]
    net_amount, net = today["Net sales"][:2]
    amount, count = today["Delivered"]
    assert [count] == summed["Delivered"][:1] == [number(of_today["Delivered"])]
    assert [amount] == summed["Tomans delivered"] == [number(of_today["Tomans delivered"])]
    (failed,) = today["Failed, refunded"]
    assert [failed] == summed["Failed"][:1] == [number(of_today["Failed"])]
    still_open = today["Not known yet"][0] + today["Being sent"][0]
    assert [still_open] == summed["Awaiting outcome"] == [number(of_today["Awaiting outcome"])]

    rows = rows_of(sold)
    assert (net_amount, net) == (sum(row.amount for row in rows if row.status != F), count + still_open)
    assert net + failed == len(rows)
    assert summed["Failed"][1] == sum(row.amount for row in rows if row.status == F)
