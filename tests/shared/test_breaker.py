"""The circuit breaker of a gateway: when it is left alone, for how long, and who finds out that it is back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.outbound import breaker
from shared.outbound.breaker import Breaker


class Clock:
    """The monotonic clock, which goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(breaker.time, "monotonic", clock)
    return clock


def fail(breaker: Breaker, times: int = Breaker.IN_A_ROW) -> None:
    for _ in range(times):
        breaker.note(answered=False)


def pause_of(breaker: Breaker, clock: Clock) -> float:
    """Seconds until a call is let through, to the tenth; the clock is then there."""
    began = clock.now
    while not breaker.lets_through():
        clock.now += 0.1
    return round(clock.now - began, 1)


def test_it_lets_calls_through_while_they_are_answered(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(100):
        assert breaker.lets_through()
        breaker.note(answered=True)


def test_a_few_that_were_not_answered_do_not_close_it(clock: Clock) -> None:
    breaker = Breaker()
    fail(breaker, Breaker.IN_A_ROW - 1)
    assert breaker.lets_through()
    breaker.note(answered=True)
    fail(breaker, Breaker.IN_A_ROW - 1)
    assert breaker.lets_through(), "they count in a row alone"


def test_after_some_in_a_row_the_gateway_is_left_alone_for_a_while(clock: Clock) -> None:
    breaker = Breaker()
    fail(breaker)
    assert not breaker.lets_through()
    assert pause_of(breaker, clock) == pytest.approx(Breaker.SHORTEST, abs=0.2)


def test_then_one_call_is_let_through_and_the_others_wait_for_it(clock: Clock) -> None:
    breaker = Breaker()
    fail(breaker)
    clock.now += Breaker.SHORTEST
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: breaker.lets_through(), range(100))) == 1


def test_if_that_is_answered_all_are_let_through_again(clock: Clock) -> None:
    breaker = Breaker()
    fail(breaker)
    clock.now += Breaker.SHORTEST
    assert breaker.lets_through()
    breaker.note(answered=True)
    assert all(breaker.lets_through() for _ in range(100))
    fail(breaker)
    assert pause_of(breaker, clock) == pytest.approx(Breaker.SHORTEST, abs=0.2), "it begins anew"


def test_if_it_is_not_the_while_doubles_up_to_a_bound(clock: Clock) -> None:
    breaker = Breaker()
    fail(breaker)
    pauses = []
    for _ in range(10):
        pauses.append(pause_of(breaker, clock))
        breaker.note(answered=False)
    expected = [min(Breaker.LONGEST, Breaker.SHORTEST * 2**n) for n in range(10)]
    assert pauses == pytest.approx(expected, abs=0.2)


def test_one_whose_answer_is_never_noted_does_not_close_it_for_ever(clock: Clock) -> None:
    breaker = Breaker()
    fail(breaker)
    clock.now += Breaker.SHORTEST
    assert breaker.lets_through()
    assert pause_of(breaker, clock) == pytest.approx(Breaker.SHORTEST, abs=0.2)


def test_those_under_way_when_it_closed_do_not_lengthen_the_while(clock: Clock) -> None:
    """A worker has many calls under way, and they fail together: as one failure of the gateway, not as thirty."""
    breaker = Breaker()
    fail(breaker, 32)
    assert pause_of(breaker, clock) == pytest.approx(Breaker.SHORTEST, abs=0.2)
