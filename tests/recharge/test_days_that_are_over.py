"""A day's figures are those of its end: what becomes of its recharges afterwards is a line of its own, in the tables
and in the CSV, and not in the chart."""

import csv
import io
import re
import uuid
from datetime import date, datetime, timedelta

import pytest
from django.utils import timezone

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from shared.days import start_of_day
from tests.recharge.test_commissions import set_rate
from tests.recharge.test_report_pages import tables_of
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.earlier import move_back
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor
from tests.support.world import Organization, give_credit

AMOUNT = 5000


@pytest.fixture
def earning(acme: Organization) -> Organization:
    """acme, whose member has credit for one recharge, and earns two percent by it."""
    give_credit(acme.row, acme.member.id, AMOUNT)
    set_rate(acme, operator="telekish", basis_points=200)
    return acme


def midnight() -> datetime:
    """When today began, where the readers of these tests are."""
    with timezone.override("Asia/Tehran"):
        return start_of_day(timezone.localdate())


def yesterday() -> date:
    """The day that ended then."""
    with timezone.override("Asia/Tehran"):
        return timezone.localdate() - timedelta(days=1)


def tell(organization: Organization, recharge_id: uuid.UUID, *story: str) -> None:
    """What becomes of a recharge, one after the other; "poor" and "rich" are what its seller becomes meanwhile."""
    for told in story:
        if told == "poor":
            assert organization.member.sell(organization.member.balance(), phone_number="09351234567").status == 201
        elif told == "rich":
            give_credit(organization.row, organization.member.id, 10 * AMOUNT)
        else:
            settle_recharge(
                organization=organization.row,
                recharge_id=recharge_id,
                status=Recharge.Status(told),
                failure="no" if told == "failed" else "",
            )


def shift(organization: Organization, moment: datetime) -> None:
    """Moves all that was sold, and what became of it: the first sale to this moment, the rest with it."""
    with organization.context:
        move_back(Recharge.objects.earliest("created_at").created_at - moment)


def charts_of(answer: Answer) -> list[str]:
    assert answer.status == 200
    return re.findall(r'(?s)<figure class="chart">.*?</figure>', answer.body.decode())


OPEN, DELIVERED, FAILED = ("0", "0", "0", "1"), ("1", "5000", "0", "0"), ("0", "0", "1", "0")


def with_commission(figures: tuple[str, ...]) -> tuple[str, ...]:
    """A commission counts where its amount does."""
    return (*figures, str(int(figures[1]) // 50))


# What became of a recharge on its day, how the day ended for it, what became of it after that, and what that adds.
STORIES = table(
    ("taken back", ("succeeded",), DELIVERED, ("failed",), ("-1", "-5000", "1", "0")),
    ("failed and refunded", (), OPEN, ("failed",), ("0", "0", "1", "-1")),
    ("unknown, then failed", ("unknown",), OPEN, ("failed",), ("0", "0", "1", "-1")),
    ("delivered", (), OPEN, ("succeeded",), ("1", "5000", "0", "-1")),
    ("unknown, then delivered", ("unknown",), OPEN, ("succeeded",), ("1", "5000", "0", "-1")),
    ("delivered and taken back", (), OPEN, ("succeeded", "failed"), ("0", "0", "1", "-1")),
    ("charged late", ("failed",), FAILED, ("succeeded",), ("1", "5000", "-1", "0")),
    ("delivered late and owed", ("failed", "poor"), FAILED, ("succeeded",), ("1", "5000", "-1", "0")),
    ("owed, then charged", ("failed", "poor", "succeeded"), DELIVERED, ("rich", "succeeded"), None),
    ("charged late, then taken back", ("failed", "succeeded"), DELIVERED, ("failed",), ("-1", "-5000", "1", "0")),
    ("owed, then failed again", ("failed", "poor", "succeeded"), DELIVERED, ("failed",), ("-1", "-5000", "1", "0")),
    ("delivered late, owed, failed again", ("failed", "poor"), FAILED, ("succeeded", "failed"), None),
    ("charged late and taken back", ("failed",), FAILED, ("succeeded", "failed"), None),
    ("nothing", ("succeeded",), DELIVERED, (), None),
)


@pytest.mark.parametrize(("on_the_day", "ended", "afterwards", "added"), STORIES)
def test_what_becomes_of_a_sale_after_its_day_leaves_the_days_figures_alone(
    earning: Organization,
    on_the_day: tuple[str, ...],
    ended: tuple[str, ...],
    afterwards: tuple[str, ...],
    added: tuple[str, ...] | None,
) -> None:
    sold = sell_pending(earning.row, earning.member.id, AMOUNT)
    tell(earning, sold, *on_the_day)
    shift(earning, midnight() - timedelta(seconds=2 * 60))
    with earning.context:
        sold = Recharge.objects.get(operator="telekish").pk
    visitor = Visitor.signed_in(earning.owner)
    day = yesterday()
    query = f"from_day={day}&to_day={day}"

    def seen() -> tuple[object, ...]:
        lines = list(csv.reader(io.StringIO(visitor.get(f"/reports.csv?by=operator&{query}").body.decode())))
        page = visitor.get(f"/reports?{query}")
        tables, charts = tables_of(page), charts_of(page)
        assert len(charts) == len(tables)
        del tables[3:], charts[3:]  # who loses by failures is there also by what came later
        of_sale = [line for line in lines if line[0].startswith("telekish")]
        rows = [[row for row in shown if "Changed" not in row[0]] for shown in tables]
        for shown in rows:
            if "Commission" in shown[0]:  # the column is there as soon as there is one
                place = shown[0].index("Commission")
                for row in shown:
                    del row[place]
        return of_sale[0], rows, charts, of_sale[1:]

    *before, nothing = seen()
    assert before[0] == ["telekish", *with_commission(ended)]
    assert nothing == []
    tell(earning, sold, *afterwards)
    *after, changed = seen()
    assert after == before
    assert changed == ([["telekish (changed after the day)", *with_commission(added)]] if added else [])
    with earning.context:
        now = Recharge.objects.get(pk=sold).status
    so_now = DELIVERED if now == "succeeded" else FAILED if now == "failed" else OPEN
    assert [int(one) + int(more) for one, more in zip(ended, added or "0000", strict=True)] == [int(n) for n in so_now]


def test_what_changed_is_a_line_of_its_own_below_each_row_and_the_total(earning: Organization) -> None:
    sold = sell_pending(earning.row, earning.member.id, AMOUNT)
    tell(earning, sold, "succeeded")
    shift(earning, midnight() - timedelta(minutes=2))
    with earning.context:
        tell(earning, Recharge.objects.get().pk, "failed")
    day = yesterday()
    for shown in tables_of(Visitor.signed_in(earning.owner).get(f"/reports?from_day={day}&to_day={day}")):
        heads = [row[0] for row in shown]
        assert len(heads) == 5
        for place in (2, 4):
            assert heads[place].startswith("Changed after the day")
            assert "Reversed: 1, 5,000 Tomans" in heads[place]
            cells = [cell.replace("\u200e", "") for cell in shown[place][1:]]
            if "Tomans failed" in shown[0]:
                assert cells == ["+1", "", "+5,000"]
            else:
                assert cells == ["−1", "−5,000", "−100", "+1", "", "0"]


def test_a_day_that_is_not_over_shows_what_is_so_now(earning: Organization) -> None:
    sold = sell_pending(earning.row, earning.member.id, AMOUNT)
    with timezone.override("UTC"):
        day = timezone.localdate()
        tomorrow = day + timedelta(days=1)
    visitor = Visitor.signed_in(earning.owner)
    for told, figures in (("", OPEN), ("succeeded", DELIVERED), ("failed", FAILED)):
        tell(earning, sold, *filter(None, [told]))
        written = visitor.get(f"/reports.csv?by=operator&from_day={day - timedelta(days=1)}&to_day={tomorrow}").body
        assert written.decode().splitlines()[1:] == [",".join(("telekish", *with_commission(figures)))]
