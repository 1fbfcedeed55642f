"""Operator gateways: how a recharge reaches the operator.

A gateway answers :meth:`Gateway.submit` and, for what that left open, :meth:`Gateway.inquire`. A time-out is not a
failure: what is not certain is ``UNKNOWN``, and only an inquiry settles it. A gateway never raises: whatever goes wrong
is one of its answers. What a failure of its own code would mean is not known, and so is ``UNKNOWN`` too.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol
from uuid import UUID


class Delivery(StrEnum):
    """What a gateway knows of a recharge."""

    ACCEPTED = "accepted"
    """Taken over; it will be delivered, or not, later."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Certainly not delivered, now or ever."""
    UNKNOWN = "unknown"
    """No answer, or none that says."""
    UNSENT = "unsent"
    """To submit only: certainly nothing has reached the gateway, so it may be submitted again."""
    MISSING = "missing"
    """To inquire only: the gateway says that it never got this reference, so it may be submitted again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A gateway's answer."""

    delivery: Delivery
    reason: str = ""
    """Of a failure: a word or two in snake_case, which the seller is shown; at most 200 characters."""
    operator_reference: str = ""
    """The operator's own number for it; at most 100 characters."""
    raw: str = ""
    """The beginning of what was answered, free of secrets; at most 1,000 characters."""
    is_answer: bool = True
    """Whether the gateway answered at all, be it that it does not know. One that does not is left alone for a while."""
    ask_again_after: float | None = None
    """Seconds. After ACCEPTED and UNKNOWN: when to inquire, instead of the worker's own choice. After SUCCEEDED and
    FAILED: the gateway may yet change its mind, so inquire once more then."""


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What an organization has settled for one gateway. What its kind does not have is empty."""

    organization_id: int
    url: str
    key_id: str
    secret: str = field(repr=False)
    """In the clear."""
    connect_timeout: float
    read_timeout: float
    """Seconds."""


class GatewayMisconfigured(Exception):
    """The settings of a gateway are not such that it could be used; the message says why, to an admin."""


class Gateway(Protocol):
    """One way to an operator. ``reference`` is the recharge's id: a gateway does the same thing once per reference.

    Its methods are called from several threads at once.
    """

    kind: ClassVar[str]
    """The name of its row in kinds.py."""

    def submit(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        """Asks the operator to add ``amount`` Tomans to ``phone_number`` (E.164)."""
        ...

    def inquire(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        """Asks what became of a reference; the rest is as it was submitted, for whoever needs it."""
        ...
