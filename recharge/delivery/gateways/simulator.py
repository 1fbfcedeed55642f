"""A sandbox for integrators: the last two digits of the phone number decide what happens; see :data:`SANDBOX`.

It keeps nothing: the reference's age is in the reference, a UUIDv7 of the moment of the sale, so that any process gives
the same answer at any time. What times out here does so after a fifth of a second.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from django.utils import timezone

from recharge.delivery.gateways import Answer, Delivery
from shared.texts import to_translate
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

    kind: ClassVar[str] = "simulator"

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


@dataclass(frozen=True, slots=True)
class Rule:
    """What numbers meet whose last two digits are one of ``endings``."""

    words: str
    """For people, in English; to be translated."""
    endings: Mapping[str, _Ending]


SANDBOX = (
    Rule(to_translate("fails: the number is barred"), {"10": _fails("number_barred")}),
    Rule(to_translate("fails: there is no such number"), {"11": _fails("number_not_found")}),
    Rule(to_translate("fails: the number is with another operator"), {"12": _fails("wrong_operator")}),
    Rule(to_translate("fails: the operator does not accept this amount"), {"13": _fails("amount_refused")}),
    Rule(
        to_translate("fails: the organization's credit with the operator is used up"),
        {"14": _fails("operator_credit_exhausted")},
    ),
    Rule(to_translate("fails: the operator can't be reached"), {"15": _fails("operator_unavailable")}),
    Rule(
        to_translate("is accepted, and succeeds after 3 seconds, after 30"),
        {"20": _slow(LATE, _succeeded), "22": _slow(VERY_LATE, _succeeded)},
    ),
    Rule(
        to_translate("is accepted, and fails after 3 seconds"), {"21": _slow(LATE, lambda _: _failed("number_barred"))}
    ),
    Rule(
        to_translate("no answer; asked again, it has succeeded, has failed, succeeds soon"),
        {
            "30": _Ending(_timed_out, _succeeded),
            "31": _Ending(_timed_out, lambda _: _failed("number_barred")),
            "32": _Ending(_timed_out, _until(LATE, _accepted, _succeeded)),
        },
    ),
    Rule(
        to_translate("does not arrive, and is sent again; succeeds"),
        # An inquiry says "missing" at any age: whoever asks was not told that it succeeded. Submitted again 3 seconds
        # after the sale or later, it does.
        {
            "33": _Ending(_until(LATE, _timed_out, _succeeded), _missing),
            "40": _Ending(_until(LATE, _unsent, _succeeded), _missing),
        },
    ),
    Rule(
        to_translate("never answers: unknown until an admin records the outcome"),
        {"34": _Ending(lambda _: _timed_out(ask_again_after=None), lambda _: _timed_out(ask_again_after=None))},
    ),
    Rule(
        to_translate("can't be sent: fails after 15 minutes"),
        {"41": _Ending(lambda _: _unsent(), _missing)},
    ),
    Rule(
        to_translate("fails and is refunded; 3 seconds later it turns out to be delivered, and is charged again"),
        {"50": _Ending(lambda _: _failed("operator_unavailable", ask_again_after=LATE), _succeeded)},
    ),
    Rule(
        to_translate("succeeds; 3 seconds later the operator reverses it, and its amount is returned"),
        {"51": _Ending(lambda _: _succeeded(ask_again_after=LATE), lambda _: _failed("reversed_by_operator"))},
    ),
    Rule(
        to_translate("succeeds, and the operator says so twice"),
        {
            "60": _Ending(lambda _: _succeeded(ask_again_after=_SOON), lambda _: _succeeded(ask_again_after=_SOON)),
            "61": _slow(_SOON, lambda _: _succeeded(ask_again_after=_SOON)),
        },
    ),
    Rule(to_translate("succeeds at once"), {}),
)
"""All that the sandbox does, in the order in which it is explained. The last is what all other numbers meet."""

ENDINGS: Mapping[str, _Ending] = {ending: met for rule in SANDBOX for ending, met in rule.endings.items()}
