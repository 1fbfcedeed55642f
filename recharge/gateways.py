"""Operator gateways: how a recharge reaches the operator.

A gateway answers :meth:`Gateway.submit` and, for what it left open, :meth:`Gateway.inquire`. A time-out is not a
failure: what is not certain is ``UNKNOWN``, and only an inquiry settles it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from uuid import UUID


class Delivery(Enum):
    """What a gateway knows of a recharge."""

    ACCEPTED = "accepted"
    """Taken over; it will be delivered, or not, later."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Certainly not delivered, now or ever."""
    UNKNOWN = "unknown"
    """No answer, or none that says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A gateway's answer; ``reason`` says why a delivery failed."""

    delivery: Delivery
    reason: str = ""


class Gateway(Protocol):
    """One way to an operator. ``reference`` is the recharge's id: a gateway does the same thing once per reference."""

    name: str

    settles_in_sale: bool
    """Whether it succeeds by itself and touches nothing outside, so that a sale is recorded as delivered in the very
    transaction that debits it. Every other gateway is called by a delivery worker, after that transaction."""

    def submit(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        """Asks the operator to add ``amount`` Tomans to ``phone_number`` (E.164)."""
        ...

    def inquire(self, reference: UUID) -> Answer:
        """Asks what became of a reference."""
        ...


class InstantGateway:
    """Succeeds at once, and calls nobody."""

    name = "instant"
    settles_in_sale = True

    def submit(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return Answer(Delivery.SUCCEEDED)

    def inquire(self, reference: UUID) -> Answer:
        return Answer(Delivery.SUCCEEDED)


_INSTANT = InstantGateway()


def gateway_for(operator: str) -> Gateway:
    """The gateway that recharges of this operator go through."""
    return _INSTANT
