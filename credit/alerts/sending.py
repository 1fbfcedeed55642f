"""Sends what alerts have to say: the outbox of all channels. (A kind of work of the worker, tenants/worker.py; what is
claimed and recorded, and how, is in sql/alerts.sql.)

A message is sent once, as far as a channel can tell. What has certainly not arrived is tried again for six hours; what
most likely has not, twice; what may well have arrived is not. A worker that dies between sending and recording leaves
one that another sends again, under the same id.
"""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import uniform
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from credit.alerts.channels import DOUBTFUL, FAILED, RETRY, SENT, Channel, Letter, Mail, Outcome, Sms
from credit.alerts.services import alert_settings
from credit.alerts.words import letter_text
from credit.models import AlertMessage, AlertSettings
from shared.database import call_function, call_set_function
from shared.identity.queries import owner_of_seller
from shared.outbound.breaker import Breaker
from shared.outbound.secrets import SecretUnreadable, decrypt
from tenants.models import Organization

LEASE = timedelta(seconds=180)
"""How long a worker has for what it claimed; many times the longest call."""

SENT_WITHIN = LEASE / 2
"""What has waited for a thread for longer is not sent: when it is answered, another worker may have taken it."""

MOST_AT_ONCE = 6
MOST_OF_CHANNEL = 3
"""Calls of a worker at once: of all organizations, and of one channel of one of them."""

PAUSES = (10, 60, 300, 900, 1800, 3600)
"""Seconds before the second attempt, the third, and so on; the last one again and again, until it is given up."""

MOST_IN_DOUBT = 3
"""Attempts of a message of which a gateway says that it failed inside. More might be more messages of the same text."""

_COLUMNS = "id, seller_id, channel, recipient, attempts, give_up_at, claimed_until, kind, subject, data, text"


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed message, what it says, and by what it goes. Without a channel, ``refusal`` says why."""

    id: UUID
    lane: str
    letter: Letter
    channel: Channel | None
    refusal: str
    attempts: int
    give_up_at: datetime
    claimed_until: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a message (see alert_record), and when it is due again (seconds; None: never)."""

    outcome: str
    due_in: float | None
    error: str


class AlertWork:
    """The messages of alerts that are due."""

    def __init__(self) -> None:
        self._breakers: dict[tuple[int, str], Breaker] = {}
        self._due_in: dict[int, float | None] = {}
        """By organization: what the last look has found, in seconds."""

    def claim(self, organization: Organization, limit: int) -> list[Task]:
        # There is hardly ever one, and an organization that sells is looked at ten times a second.
        due_in = self._due_in[organization.pk] = _seconds_until_due()
        if due_in is None or due_in > 0:
            return []
        arguments = [min(limit, 4 * MOST_AT_ONCE), LEASE, True]
        rows = call_set_function(organization.schema_name, "alert_claim", _COLUMNS, arguments)
        if not rows:
            return []
        row = alert_settings()
        return [_task(organization, row, *values) for values in rows]

    def most_at_once(self, threads: int) -> int:
        return min(threads, MOST_AT_ONCE)

    def lane_of(self, task: Task) -> str:
        return task.lane

    def most_of(self, lane: Hashable, at_once: int) -> int:
        return MOST_OF_CHANNEL

    def carry_out(self, organization: Organization, task: Task) -> Result:
        if task.channel is None:
            return Result(FAILED, None, task.refusal)
        if timezone.now() > task.claimed_until - SENT_WITHIN:
            return Result("postponed", 0.0, "Not tried: it waited too long.")
        # The mail server is everybody's, a gateway its organization's.
        breaker = self._breakers.setdefault((organization.pk if task.lane != "mail" else 0, task.lane), Breaker())
        if not breaker.lets_through():
            outcome = Outcome("postponed", "Not tried: nothing was answered there lately.")
        else:
            outcome = task.channel.send(task.letter)
            breaker.note(answered=outcome.answered)
        if outcome.what == DOUBTFUL:
            outcome = replace(outcome, what=RETRY if task.attempts + 1 < MOST_IN_DOUBT else FAILED)
        if outcome.what in (SENT, FAILED):
            return Result(outcome.what, None, outcome.error)
        left = (task.give_up_at - timezone.now()).total_seconds()
        if left <= 0:
            return Result(FAILED, None, outcome.error)
        pause = PAUSES[min(task.attempts, len(PAUSES) - 1)] * uniform(0.8, 1.2)  # noqa: S311
        return Result(outcome.what, min(pause, left), outcome.error)

    def record(self, organization: Organization, done: Sequence[tuple[Task, Result]]) -> None:
        rows = [
            (
                task.id,
                task.claimed_until,
                result.outcome,
                None if result.due_in is None else timedelta(seconds=result.due_in),
                result.error.replace("\0", "")[:300],
            )
            for task, result in done
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        call_function(organization.schema_name, "alert_record", "answer", columns)

    def seconds_until_due(self, organization: Organization) -> float | None:
        return self._due_in.get(organization.pk)


def _seconds_until_due() -> float | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM alert_next_due(true) - clock_timestamp())::float")
        seconds: float | None = cursor.fetchone()[0]
    return seconds


def _task(
    organization: Organization,
    row: AlertSettings,
    message_id: UUID,
    seller_id: int | None,
    channel: str,
    recipient: str,
    attempts: int,
    give_up_at: datetime,
    claimed_until: datetime,
    kind: str,
    subject: str,
    data: str,
    written: str,
) -> Task:
    to, language = recipient, row.language
    if seller_id is not None:
        owner = owner_of_seller(organization_id=organization.pk, seller_id=seller_id)
        language = (owner.language if owner else "") or row.language
        if channel == AlertMessage.Channel.MAIL:
            to = owner.email if owner else ""
    host = f"{organization.slug}.{settings.BASE_DOMAIN}"
    if written:
        title = text = written
    else:
        title, text = letter_text(kind, json.loads(data), name=organization.name, host=host, language=language)
    is_short = channel == AlertMessage.Channel.SMS
    letter = Letter(message_id, to, title, title if is_short else text)
    by, refusal = _channel(row, channel, to)
    return Task(message_id, channel, letter, by, refusal, attempts, give_up_at, claimed_until)


def _channel(row: AlertSettings, channel: str, to: str) -> tuple[Channel | None, str]:
    if not to:
        return None, "The seller's account has no address."
    if channel == AlertMessage.Channel.MAIL:
        return Mail(), ""
    if not row.sms_url:
        return None, "There is no SMS gateway any more."
    try:
        secret = decrypt(row.sms_secret) if row.sms_secret else ""
    except SecretUnreadable:
        return None, "The gateway's secret can't be read here; write it anew."
    return Sms(row.sms_url, row.sms_method, row.sms_body, row.sms_content_type, row.sms_header, secret), ""
