"""Sending webhooks: signed as https://www.standardwebhooks.com specifies, to public addresses alone, tried for a day.
(A kind of work of the worker, tenants/worker.py; what is claimed and recorded, and how, is in sql/webhooks.sql.)

A message may arrive twice, always under the same id: whoever sent it may die before saying so.
"""

import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from credit.webhooks.addresses import Url, UrlRefused, parse_url
from credit.webhooks.services import TRIED_FOR
from shared import tracing
from shared.database import array_literal, call_set_function
from shared.metrics import count_webhook
from shared.outbound.addresses import AddressNotPublic, connect_to
from shared.outbound.breaker import Breaker
from shared.outbound.secrets import SecretUnreadable, decrypt
from shared.texts import to_translate
from tenants.leases import Leases
from tenants.models import Organization

LEASE = timedelta(seconds=20)
"""How long a worker has for what it claimed, unless it says that it still has it (tenants/leases.py)."""

MOST_AT_ONCE = 16
"""Messages that one worker sends at once."""

SLOW, QUICK = (2, 4), (4, 16)
"""How many messages of one endpoint are sent at once, and how many a worker may have claimed. An endpoint is quick if
the last message arrived there within a second; one that takes ten keeps only two calls and two that wait."""

QUICK_MS = 1000

MOST_HELD = 32
"""Messages of one organization that a worker has claimed and not recorded."""

MOST_HELD_OF_ANY = 24
"""How many of these may be of endpoints of which something is claimed already. The rest is for the others, one message
each: so many slow endpoints leave room for a quick one."""

CONNECT_SECONDS, READ_SECONDS, CALL_SECONDS = 3.0, 10.0, 15.0
"""How long a call waits for a connection, then for each piece of the answer; and how long it takes in all, unless
looking up the host's name alone takes longer."""

LONGEST_ANSWER = 4096
"""Bytes of an answer that are read; its first 500 characters are kept."""

PAUSES = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
"""Seconds before the second attempt, the third, and so on; the last one again and again, until the day is over."""

_log = structlog.get_logger("recharge.webhooks")


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed message, and where it goes. ``data`` is JSON; the secrets are encrypted; of previous ones there
    may be none or several (a blank between them)."""

    id: UUID
    endpoint_id: UUID
    url: str
    secret: str
    previous_secret: str
    event: str
    data: str
    attempts: int
    created_at: datetime
    give_up_at: datetime
    claimed_until: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered; without a status code, ``error`` says why there is none."""

    status_code: int | None = None
    body: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a message (see webhook_record), and when it is due again (seconds; None: never)."""

    outcome: str
    due_in: float | None
    attempted_at: datetime
    latency_ms: int
    answer: Answer


class WebhookWork:
    """The messages that are due."""

    def __init__(self, lease: timedelta = LEASE) -> None:
        self.leases = Leases(lease)
        self._held: dict[int, Counter[UUID]] = defaultdict(Counter)
        """By organization and endpoint, the messages that are claimed and not recorded."""
        self._quick: dict[UUID, int] = {}
        """The endpoints that are quick, and of each the id of its organization."""
        self._breakers: dict[UUID, Breaker] = {}

    def claim(self, organization: Organization, limit: int) -> list[Task]:
        columns = "id, endpoint_id, url, secret, previous_secret, event, data, attempts, created_at, give_up_at"
        held = self._held[organization.pk].total()
        limit = min(limit, (MOST_HELD_OF_ANY if held < MOST_HELD_OF_ANY else MOST_HELD) - held)
        if limit <= 0:
            return []
        rooms = self._rooms(organization)
        room = SLOW[1] if held < MOST_HELD_OF_ANY else 1
        arguments = [limit, self.leases.length, array_literal([str(id_) for id_ in rooms]), list(rooms.values()), room]
        rows = call_set_function(organization.schema_name, "webhook_claim", f"{columns}, claimed_until", arguments)
        tasks = [Task(*row) for row in rows]
        self._held[organization.pk].update(task.endpoint_id for task in tasks)
        for task in tasks:
            self.leases.begin(organization.pk, task.id, task.claimed_until)
        return tasks

    def lock_of(self, task: Task) -> UUID:
        return task.endpoint_id

    def most_at_once(self, threads: int) -> int:
        return min(threads, MOST_AT_ONCE)

    def lane_of(self, task: Task) -> UUID:
        return task.endpoint_id

    def most_of(self, lane: Hashable, at_once: int) -> int:
        return (QUICK if lane in self._quick else SLOW)[0]

    def _rooms(self, organization: Organization) -> dict[UUID, int]:
        """How many more messages may be claimed for the endpoints of which something is known."""
        held = self._held[organization.pk]
        # A copy: meanwhile those of other organizations come and go.
        quick = {id_ for id_, owner in list(self._quick.items()) if owner == organization.pk}
        if held.total() >= MOST_HELD_OF_ANY:
            return {id_: 0 if held[id_] else 1 for id_ in held.keys() | quick}
        return {id_: (QUICK if id_ in quick else SLOW)[1] - held[id_] for id_ in held.keys() | quick}

    def carry_out(self, organization: Organization, task: Task) -> Result:
        recharge_id = _recharge_of(task) if tracing.is_on() else None
        with tracing.task(
            "send_webhook",
            "client",
            organization=organization.slug,
            recharge_id=recharge_id,
            event=task.event,
            attempt=task.attempts + 1,
        ):
            result = self._carry_out(organization, task)
            tracing.note(outcome=result.outcome, is_failure=result.outcome not in ("delivered", "postponed"))
            if result.answer.status_code is not None:
                tracing.note(status=result.answer.status_code)
            return result

    def _carry_out(self, organization: Organization, task: Task) -> Result:
        breaker = self._breakers.setdefault(task.endpoint_id, Breaker())
        attempted_at, started = timezone.now(), time.perf_counter()
        if not self.leases.is_good(organization.pk, task.id):
            # When it is answered, another worker may have taken it.
            return Result("postponed", 0.0, attempted_at, 0, Answer(error="Not tried: it waited too long."))
        if breaker.lets_through():
            answer = send(task)
            breaker.note(answered=_has_arrived(answer))
            outcome = "retry"
        else:
            answer = Answer(error="Not tried: nothing has arrived there lately.")
            outcome = "postponed"
        latency_ms = round((time.perf_counter() - started) * 1000)
        due_in: float | None = None
        if _has_arrived(answer):
            outcome = "delivered"
        elif answer.status_code == http.client.GONE:
            outcome = "gone"
        elif (left := (task.give_up_at - timezone.now()).total_seconds()) <= 0:
            outcome = "failed"
        else:
            due_in = min(_pause(task, outcome, left), left)  # and so once more at the very end
        count_webhook(outcome=outcome, seconds=latency_ms / 1000)
        return Result(outcome, due_in, attempted_at, latency_ms, answer)

    def record(self, organization: Organization, done: Sequence[tuple[Task, Result]]) -> None:
        rows = [
            (
                task.id,
                self.leases.mark(organization.pk, task.id),
                result.outcome,
                None if result.due_in is None else timedelta(seconds=result.due_in),
                result.attempted_at,
                result.latency_ms,
                result.answer.status_code,
                result.answer.error[:300],
                result.answer.body,
            )
            for task, result in done
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        disabled = call_set_function(organization.schema_name, "webhook_record", "endpoint_id, reason", columns)
        for task, _ in done:
            self.leases.end(organization.pk, task.id)
        held = self._held[organization.pk]
        held.subtract(task.endpoint_id for task, _ in done)
        self._held[organization.pk] = +held  # without those that have nothing left
        for task, result in done:
            if result.outcome == "delivered" and result.latency_ms < QUICK_MS:
                self._quick[task.endpoint_id] = organization.pk
            else:
                self._quick.pop(task.endpoint_id, None)
            if result.outcome == "delivered":
                self._breakers.pop(task.endpoint_id, None)  # as good as a new one
        for endpoint_id, reason in disabled:
            _log.warning("webhook_disabled", organization=organization.slug, webhook=str(endpoint_id), reason=reason)

    def renew(self, organization: Organization) -> None:
        held = self.leases.to_be_renewed(organization.pk)
        arguments = [array_literal([str(row) for row in held]), list(held.values()), self.leases.length]
        columns = "message_id, claimed_until"
        renewed = call_set_function(organization.schema_name, "webhook_renew", columns, arguments)
        self.leases.renewed(organization.pk, dict(renewed))

    def seconds_until_due(self, organization: Organization) -> float | None:
        if self._held[organization.pk].total() >= MOST_HELD:
            return None
        # What waits for an endpoint that has all it may have is looked for when something of it is recorded.
        full = [str(id_) for id_, room in self._rooms(organization).items() if room <= 0]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM webhook_next_due(%s::uuid[]) - clock_timestamp())::float",
                [array_literal(full)],
            )
            seconds: float | None = cursor.fetchone()[0]
        return seconds


def send(task: Task) -> Answer:
    """Hands one message over, once. Never raises: whatever goes wrong is an answer."""
    try:
        url, body = parse_url(task.url), body_of(task)
        return _call(url, body, headers_of(task, body))
    except SecretUnreadable:
        return Answer(error=to_translate("The secret can't be read here; create a new one."))
    except UrlRefused as error:
        return Answer(error=str(error))
    except AddressNotPublic:
        return Answer(error=to_translate("The host's address is not public."))
    except socket.gaierror:
        return Answer(error=to_translate("Host not found (DNS)."))
    except ssl.SSLCertVerificationError as error:
        return Answer(error=f"The certificate is not good: {error.verify_message}.")
    except TimeoutError:
        return Answer(error=to_translate("No answer in time."))
    except ConnectionRefusedError:
        return Answer(error=to_translate("The connection was refused."))
    except (OSError, http.client.HTTPException) as error:
        return Answer(error=f"No answer that can be read ({type(error).__name__}).")
    except Exception as error:  # noqa: BLE001 - one message must not end the worker
        _log.error("webhook_error", message=str(task.id), exc_info=error)
        return Answer(error=to_translate("Something went wrong on our side."))


def body_of(task: Task) -> str:
    """The payload: the same at each attempt. ``timestamp`` is when it happened, not when it is sent."""
    happened_at = task.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    payload = {"type": task.event, "timestamp": happened_at, "data": json.loads(task.data)}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def headers_of(task: Task, body: str) -> dict[str, str]:
    """The headers that prove who sent this body, with a signature for each of the secrets that are valid now.

    Raises:
        SecretUnreadable: it was encrypted under another key.
    """
    message_id, now = f"msg_{task.id}", datetime.now(UTC)
    keys = [Webhook(decrypt(stored)) for stored in (task.secret, *task.previous_secret.split())]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(key.sign(message_id, now, body) for key in keys),
        **tracing.outgoing(),
    }


def _recharge_of(task: Task) -> str | None:
    """The id of the recharge that it tells of."""
    is_of_one = task.event.startswith("recharge.")
    return str(json.loads(task.data)["id"]) if is_of_one else None


def _pause(task: Task, outcome: str, left: float) -> float:
    """Seconds until the next attempt, with jitter, so that what failed together is not tried again together."""
    pause = float(PAUSES[min(task.attempts, len(PAUSES) - 1)])
    if outcome == "postponed":
        # The older the longer, or thousands of them would be claimed every few seconds for as long as nobody answers.
        pause = max(pause, (TRIED_FOR.total_seconds() - left) / 4)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311


def _has_arrived(answer: Answer) -> bool:
    return answer.status_code is not None and 200 <= answer.status_code < 300


# --- The call ---------------------------------------------------------------------------------------------------------
# By the standard library rather than by a client that looks names up, follows redirects, asks proxies or keeps
# connections by itself: each of these would lead somewhere else than to the address that was checked.


def _call(url: Url, body: str, headers: dict[str, str]) -> Answer:
    sent = {"Content-Type": "application/json", "User-Agent": "recharge-webhooks/1", **headers}
    return answer_of(connection_to(url), url, method="POST", body=body, headers=sent)


def answer_of(
    connected: socket.socket, url: Url, *, method: str, body: str | None, headers: Mapping[str, str]
) -> Answer:
    """What is answered to a request over a connection that :func:`connection_to` made; it is closed then.

    Raises:
        OSError, http.client.HTTPException: nothing that can be read; TimeoutError, where it took too long.
    """
    deadline = time.monotonic() + CALL_SECONDS
    with connected, _ended_at(deadline, connected):
        if isinstance(connected, ssl.SSLSocket):
            connected.do_handshake()
        connected.settimeout(READ_SECONDS)
        client = http.client.HTTPConnection(url.host, url.port)
        client.sock = connected
        if url.is_tls:
            client.default_port = http.client.HTTPS_PORT  # the header Host names any other
        sent = {"Connection": "close", **headers}
        try:
            client.request(method, url.target, None if body is None else body.encode(), sent)
            response = client.getresponse()
        except (OSError, http.client.HTTPException):
            if time.monotonic() < deadline:
                raise
            raise TimeoutError from None
        if time.monotonic() >= deadline:
            raise TimeoutError  # what has come was cut short on our side
        with response:
            return Answer(response.status, _beginning(response))


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def connection_to(url: Url) -> socket.socket:
    """A connection to one of the host's addresses; for TLS, the handshake is to follow."""
    connected = connect_to(
        url.host,
        url.port,
        deadline=time.monotonic() + CONNECT_SECONDS,
        private_too=settings.ALLOW_PRIVATE_ADDRESSES,
    )
    connected.settimeout(CONNECT_SECONDS)
    if not url.is_tls:
        return connected
    # The certificate must be the host's, whichever address it is at.
    return _tls().wrap_socket(connected, server_hostname=url.host, do_handshake_on_connect=False)


@contextmanager
def _ended_at(deadline: float, connected: socket.socket) -> Iterator[None]:
    """Ends a connection when its time is over: a time limit for each piece lets in one byte every ten seconds."""

    def end() -> None:
        with suppress(OSError):  # it has ended by itself
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _beginning(response: http.client.HTTPResponse) -> str:
    """The first 500 characters of what was answered; the status counts, also if the rest does not come."""
    try:
        content = response.read(LONGEST_ANSWER)
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    return content.decode("utf-8", "replace").replace("\x00", "")[:500]
