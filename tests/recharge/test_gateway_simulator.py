"""The simulator's table: what each ending of a number meets, at once and later."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from recharge.delivery.gateways import Answer, simulator
from recharge.delivery.gateways.simulator import ENDINGS, LATE, TIME_OUT, VERY_LATE, SimulatorGateway
from recharge.delivery.work import DeliveryWork
from recharge.models import GatewaySettings, OperatorSettings, Recharge
from shared.uuid7 import moment_of
from tenants.worker import Worker
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit

GATEWAY = SimulatorGateway()


def reference_aged(seconds: float) -> uuid.UUID:
    """A UUIDv7 of so long ago."""
    milliseconds = int((timezone.now().timestamp() - seconds) * 1000)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | uuid.uuid4().int & (1 << 62) - 1)


def submit(ending: str, age: float = 0) -> Answer:
    return GATEWAY.submit(reference_aged(age), f"+9891212345{ending}", "mci", 5000)


def inquire(ending: str, age: float = 0) -> Answer:
    return GATEWAY.inquire(reference_aged(age), f"+9891212345{ending}", "mci", 5000)


SOON, LATER, MUCH_LATER = 0.5, LATE + 0.5, VERY_LATE + 0.5

# ending: (what a submission gets at once and when the sale is older, what an inquiry gets soon, later and much later)
TABLE = {
    "00": (("succeeded", "succeeded"), ("succeeded", "succeeded", "succeeded")),
    "67": (("succeeded", "succeeded"), ("succeeded", "succeeded", "succeeded")),
    "10": (("failed", "failed"), ("failed", "failed", "failed")),
    "11": (("failed", "failed"), ("failed", "failed", "failed")),
    "12": (("failed", "failed"), ("failed", "failed", "failed")),
    "13": (("failed", "failed"), ("failed", "failed", "failed")),
    "14": (("failed", "failed"), ("failed", "failed", "failed")),
    "15": (("failed", "failed"), ("failed", "failed", "failed")),
    "20": (("accepted", "accepted"), ("accepted", "succeeded", "succeeded")),
    "21": (("accepted", "accepted"), ("accepted", "failed", "failed")),
    "22": (("accepted", "accepted"), ("accepted", "accepted", "succeeded")),
    "30": (("unknown", "unknown"), ("succeeded", "succeeded", "succeeded")),
    "31": (("unknown", "unknown"), ("failed", "failed", "failed")),
    "32": (("unknown", "unknown"), ("accepted", "succeeded", "succeeded")),
    "33": (("unknown", "succeeded"), ("missing", "missing", "missing")),
    "34": (("unknown", "unknown"), ("unknown", "unknown", "unknown")),
    "40": (("unsent", "succeeded"), ("missing", "missing", "missing")),
    "41": (("unsent", "unsent"), ("missing", "missing", "missing")),
    "50": (("failed", "failed"), ("succeeded", "succeeded", "succeeded")),
    "51": (("succeeded", "succeeded"), ("failed", "failed", "failed")),
    "60": (("succeeded", "succeeded"), ("succeeded", "succeeded", "succeeded")),
    "61": (("accepted", "accepted"), ("accepted", "succeeded", "succeeded")),
}


@pytest.mark.parametrize(("ending", "submissions", "inquiries"), [(e, *row) for e, row in TABLE.items()], ids=TABLE)
def test_the_table(ending: str, submissions: tuple[str, ...], inquiries: tuple[str, ...]) -> None:
    assert tuple(submit(ending, age).delivery for age in (0, LATER)) == submissions
    assert tuple(inquire(ending, age).delivery for age in (SOON, LATER, MUCH_LATER)) == inquiries


def test_every_ending_is_in_the_table_and_once_in_what_integrators_read() -> None:
    explained = [ending for rule in simulator.SANDBOX for ending in rule.endings]
    assert sorted(explained) == sorted(set(TABLE) - {"00", "67"})
    assert sorted(ENDINGS) == sorted(explained)


def test_all_others_succeed() -> None:
    others = [ending for ending in map("{:02}".format, range(100)) if ending not in ENDINGS]
    assert {submit(ending).delivery for ending in others} == {"succeeded"}


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("10", "number_barred"),
        ("11", "number_not_found"),
        ("12", "wrong_operator"),
        ("13", "amount_refused"),
        ("14", "operator_credit_exhausted"),
        ("15", "operator_unavailable"),
        ("50", "operator_unavailable"),
    ],
)
def test_a_failure_says_why(ending: str, reason: str) -> None:
    assert submit(ending).reason == reason


def test_a_reversal_says_why() -> None:
    assert inquire("51").reason == "reversed_by_operator"


@pytest.mark.parametrize(("ending", "seconds"), [("50", LATE), ("51", LATE), ("60", 1.0)])
def test_those_that_change_their_mind_ask_to_be_asked_again(ending: str, seconds: float) -> None:
    assert submit(ending).ask_again_after == seconds


@pytest.mark.parametrize("ending", ["10", "30", "31", "50", "51"])
def test_what_an_inquiry_settles_is_settled(ending: str) -> None:
    assert inquire(ending, LATER).ask_again_after is None


@pytest.mark.parametrize("ending", ["20", "21", "22", "32", "61"])
def test_whoever_asks_when_it_says_is_told_the_end(ending: str) -> None:
    """However late the first question was: workers may have been away."""
    for age in (0.0, 0.9, 2.9, 29.9, 31.0):
        answer = inquire(ending, age) if ending == "32" else submit(ending, age)
        if answer.delivery == "accepted":
            assert answer.ask_again_after is not None
            assert inquire(ending, age + answer.ask_again_after).delivery in ("succeeded", "failed")


@pytest.mark.parametrize("ending", ["33", "40"])
@pytest.mark.parametrize("age", [0.0, 2.95, 5.0])
def test_what_never_got_there_is_delivered_when_it_is_submitted_again(ending: str, age: float) -> None:
    answer = inquire(ending, age)
    assert answer.ask_again_after is not None
    assert submit(ending, age + answer.ask_again_after).delivery == "succeeded"


def test_a_time_out_takes_a_fraction_of_a_second() -> None:
    began = time.monotonic()
    assert submit("30").delivery == "unknown"
    assert TIME_OUT <= time.monotonic() - began < 1


def test_a_reference_from_the_future_is_new() -> None:
    """Clocks of two machines differ."""
    assert submit("33", -5.0).delivery == "unknown"
    assert inquire("20", -5.0).delivery == "accepted"


def test_the_age_is_in_the_reference() -> None:
    moment = datetime(2026, 3, 21, 12, 30, 0, 123000, tzinfo=UTC)
    assert moment_of(uuid.UUID(int=int(moment.timestamp() * 1000) << 80)) == moment
    assert abs(moment_of(reference_aged(60)) + timedelta(seconds=60) - timezone.now()) < timedelta(seconds=5)


# ending: (the recharge's status in the end, its late, whether its amount is back)
ENDS = {
    "00": ("succeeded", "", False),
    "12": ("failed", "", True),
    "20": ("succeeded", "", False),
    "21": ("failed", "", True),
    "30": ("succeeded", "", False),
    "31": ("failed", "", True),
    "32": ("succeeded", "", False),
    "33": ("succeeded", "", False),
    "34": ("unknown", "", False),
    "40": ("succeeded", "", False),
    "41": ("pending", "", False),
    "50": ("succeeded", "charged", False),
    "51": ("failed", "reversed", True),
    "60": ("succeeded", "", False),
    "61": ("succeeded", "", False),
}


def test_what_comes_of_them_in_the_books(acme: Organization) -> None:
    """Each ending sold once and delivered by workers, all at the real pace of the sandbox: some four seconds."""
    give_credit(acme.row, acme.member.id, 100_000)
    with acme.context:
        sandbox = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="mci", gateway=sandbox)
    for ending in ENDS:
        answer = acme.member.sell(1000, phone_number=f"091212345{ending}")
        assert (answer.status, answer.json["status"]) == (201, "pending")

    def delivered() -> bool:
        Worker([DeliveryWork()]).run_once()
        with acme.context:
            rows = {row.phone_number[-2:]: (row.status, row.late) for row in Recharge.objects.all()}
            once_more = Recharge.objects.filter(due_at__isnull=False).exclude(status__in=["unknown", "pending"])
            return rows == {ending: (status, late) for ending, (status, late, _) in ENDS.items()} and not once_more

    wait_until(delivered, seconds=60)
    kept = sum(not back for *_, back in ENDS.values())
    assert acme.member.balance() == 100_000 - 1000 * kept
