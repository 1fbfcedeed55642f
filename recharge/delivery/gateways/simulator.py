"""A sandbox for integrators: the last two digits of the phone number decide what happens.

======  ================================  ==========================================================================
ending  what is submitted                 what an inquiry says, and what comes of it
======  ================================  ==========================================================================
others  succeeds at once
10      fails: number_barred
11      fails: number_not_found
12      fails: wrong_operator
13      fails: amount_refused
14      fails: operator_credit_exhausted
15      fails: operator_unavailable
20      is accepted                       3 s after the sale: succeeded
21      is accepted                       3 s after the sale: failed, number_barred
22      is accepted                       30 s after the sale: succeeded
30      times out                         succeeded
31      times out                         failed, number_barred
32      times out                         accepted; 3 s after the sale: succeeded
33      times out, and never got there    missing; submitted again, 3 s after the sale or later, it succeeds
34      times out                         times out, for ever: it stays unknown until an admin resolves it
40      can't be sent                     missing; submitted again, 3 s after the sale or later, it succeeds
41      can't be sent, ever               missing; it fails after a quarter of an hour: not_sent
50      fails: operator_unavailable       3 s later: succeeded after all; the refunded amount is charged again
51      succeeds                          3 s later: reversed_by_operator; the amount is given back
60      succeeds                          1 s later: succeeded, the same answer a second time
61      is accepted                       1 s after the sale: succeeded, and 1 s later the same a second time
======  ================================  ==========================================================================

It keeps nothing: the reference's age is in the reference, a UUIDv7 of the moment of the sale, so that any process gives
the same answer at any time. What times out here does so after a fifth of a second.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from recharge.delivery.gateways import Answer, Delivery
from shared.uuid7 import moment_of

LATE = 3.0
VERY_LATE = 30.0
"""Seconds after the sale."""

TIME_OUT = 0.2
"""Seconds that a call takes which times out."""

_SOON = 1.0
_A_MOMENT = 0.1
"""Seconds: an inquiry that is asked for at a certain age comes so much later, since clocks of two machines differ."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """What numbers with one ending meet. Both are told the age of the reference, in seconds."""

    submit: Callable[[float], Answer]
    inquire: Callable[[float], Answer]


class SimulatorGateway:
    """See the module."""

    def submit(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return _play(_ending_of(phone_number).submit, reference)

    def inquire(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return _play(_ending_of(phone_number).inquire, reference)


def _ending_of(phone_number: str) -> _Ending:
    return ENDINGS.get(phone_number[-2:], _SUCCEEDS)


def _play(answer_at: Callable[[float], Answer], reference: UUID) -> Answer:
    age = max(0.0, (timezone.now() - moment_of(reference)) / timedelta(seconds=1))
    answer = answer_at(age)
    if answer.delivery == Delivery.UNKNOWN:
        time.sleep(TIME_OUT)
    return answer


def _succeeded(_age: float = 0, *, ask_again_after: float | None = None) -> Answer:
    return Answer(
        Delivery.SUCCEEDED, operator_reference="simulated", raw="simulated: succeeded", ask_again_after=ask_again_after
    )


def _failed(reason: str, *, ask_again_after: float | None = None) -> Answer:
    return Answer(Delivery.FAILED, reason=reason, raw=f"simulated: {reason}", ask_again_after=ask_again_after)


def _accepted(ask_again_after: float) -> Answer:
    return Answer(
        Delivery.ACCEPTED, operator_reference="simulated", raw="simulated: accepted", ask_again_after=ask_again_after
    )


def _timed_out(_age: float = 0, *, ask_again_after: float | None = _SOON) -> Answer:
    return Answer(Delivery.UNKNOWN, raw="simulated: time-out", ask_again_after=ask_again_after)


def _unsent(ask_again_after: float | None = None) -> Answer:
    return Answer(Delivery.UNSENT, raw="simulated: no connection", ask_again_after=ask_again_after)


def _missing(age: float) -> Answer:
    # At any age: whoever asks was not told that it succeeded, and submits it again.
    again = max(0.0, LATE - age) + _A_MOMENT
    return Answer(Delivery.MISSING, raw="simulated: no such reference", ask_again_after=again)


def _until(
    moment: float, before: Callable[[float], Answer], after: Callable[[float], Answer]
) -> Callable[[float], Answer]:
    """One answer until the reference has this age, then another. ``before`` is told how many seconds are left."""
    return lambda age: before(moment - age + _A_MOMENT) if age < moment else after(age)


def _fails(reason: str) -> _Ending:
    return _Ending(lambda _: _failed(reason), lambda _: _failed(reason))


def _slow(moment: float, end: Callable[[float], Answer]) -> _Ending:
    """Accepted, and inquiries say so until it has this age."""
    return _Ending(lambda age: _accepted(max(_SOON, moment - age + _A_MOMENT)), _until(moment, _accepted, end))


_SUCCEEDS = _Ending(_succeeded, _succeeded)

ENDINGS: Mapping[str, _Ending] = {
    "10": _fails("number_barred"),
    "11": _fails("number_not_found"),
    "12": _fails("wrong_operator"),
    "13": _fails("amount_refused"),
    "14": _fails("operator_credit_exhausted"),
    "15": _fails("operator_unavailable"),
    "20": _slow(LATE, _succeeded),
    "21": _slow(LATE, lambda _: _failed("number_barred")),
    "22": _slow(VERY_LATE, _succeeded),
    "30": _Ending(_timed_out, _succeeded),
    "31": _Ending(_timed_out, lambda _: _failed("number_barred")),
    "32": _Ending(_timed_out, _until(LATE, _accepted, _succeeded)),
    # An inquiry says "missing" at any age: whoever asks was not told that it succeeded.
    "33": _Ending(_until(LATE, _timed_out, _succeeded), _missing),
    "34": _Ending(lambda _: _timed_out(ask_again_after=None), lambda _: _timed_out(ask_again_after=None)),
    "40": _Ending(_until(LATE, _unsent, _succeeded), _missing),
    "41": _Ending(lambda _: _unsent(), _missing),
    "50": _Ending(lambda _: _failed("operator_unavailable", ask_again_after=LATE), _succeeded),
    "51": _Ending(lambda _: _succeeded(ask_again_after=LATE), lambda _: _failed("reversed_by_operator")),
    "60": _Ending(lambda _: _succeeded(ask_again_after=_SOON), lambda _: _succeeded(ask_again_after=_SOON)),
    "61": _slow(_SOON, lambda _: _succeeded(ask_again_after=_SOON)),
}
