"""The channels of alerts: each takes a letter to one address and says what became of it. Webhooks are none of them:
what they tell is data for programs, and is signed, tried and kept otherwise (credit/webhooks)."""

import http.client
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from credit.alerts.templates import with_places
from credit.webhooks.addresses import UrlRefused, parse_url
from credit.webhooks.sending import answer_of, connection_to
from shared.mails import send_letter
from shared.outbound.addresses import AddressNotPublic
from shared.phones import national

SENT, RETRY, DOUBTFUL, FAILED = "sent", "retry", "doubtful", "failed"

_LATER = frozenset({401, 403, 408, 425, 429, 503})
"""Answers of a gateway that has taken nothing, and may do so later: once it is asked with the right secret, say."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes to one address. ``id`` is the same at each attempt: by it a receiver knows a repetition."""

    id: UUID
    to: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """``SENT``; ``RETRY``: it has certainly not arrived; ``DOUBTFUL``: it most likely has not, and is tried a few times
    more; ``FAILED``: it never will, or has most likely arrived: it is not sent again. ``error`` says why."""

    what: str
    error: str = ""
    answered: bool = True
    """Whether there was somebody who answered; else the channel is left alone for a while (a breaker)."""


class Channel(Protocol):
    """A way to tell somebody something. ``send`` is called from several threads at once, uses no database, and never
    raises."""

    def send(self, letter: Letter) -> Outcome: ...


class Mail:
    """Mails, through the server that EMAIL_URL names."""

    def send(self, letter: Letter) -> Outcome:
        try:
            # Under the same Message-ID each time: of a repetition most mailboxes show one.
            send_letter(letter.subject, letter.text, letter.to, message_id=letter.id)
        except smtplib.SMTPRecipientsRefused:
            return Outcome(FAILED, "The mail server refuses this address.")
        except (smtplib.SMTPException, OSError) as error:
            return Outcome(RETRY, f"The mail server did not take it ({type(error).__name__}).", answered=False)
        except Exception as error:  # noqa: BLE001 - whatever a mail server may do
            return Outcome(FAILED, f"It could not be written ({type(error).__name__}).")
        return Outcome(SENT)


@dataclass(frozen=True, slots=True)
class Sms:
    """An HTTP gateway of the organization's own. ``secret`` is in the clear."""

    url: str
    method: str
    body: str
    content_type: str
    header: str
    secret: str

    def send(self, letter: Letter) -> Outcome:
        values = {"to": national(letter.to), "text": letter.text, "secret": self.secret}
        try:
            # Its host is checked and looked up at each call, and the very address that was checked is connected to.
            url = parse_url(with_places(self.url, "", values))
            connected = connection_to(url)
        except UrlRefused as error:
            return Outcome(FAILED, str(error))
        except AddressNotPublic:
            return Outcome(FAILED, "The gateway's address is not a public one.")
        except OSError as error:
            return Outcome(RETRY, f"The gateway can't be reached ({type(error).__name__}).", answered=False)
        headers = {"User-Agent": "recharge-alerts/1", "Idempotency-Key": str(letter.id), **self._secret_header()}
        if self.method == "POST":
            headers["Content-Type"] = self.content_type
        body = with_places(self.body, self.content_type, values) if self.method == "POST" else None
        try:
            answer = answer_of(connected, url, method=self.method, body=body, headers=headers)
        except ssl.SSLCertVerificationError as error:
            return Outcome(RETRY, f"The gateway's certificate is not good: {error.verify_message}.", answered=False)
        except (OSError, http.client.HTTPException) as error:
            # It was sent, and a slow gateway has taken it by now.
            return Outcome(FAILED, f"No answer: it may have arrived ({type(error).__name__}).", answered=False)
        except Exception as error:  # noqa: BLE001 - one message must not end the worker
            return Outcome(FAILED, f"Something went wrong on our side ({type(error).__name__}).")
        if answer.status_code is not None and 200 <= answer.status_code < 300:
            return Outcome(SENT)
        what = FAILED
        if answer.status_code in _LATER:
            what = RETRY
        elif answer.status_code is not None and answer.status_code >= 500:
            what = DOUBTFUL  # it failed inside, and may have passed it on before
        return Outcome(what, f"The gateway answered {answer.status_code}: {self._without_secret(answer.body)}"[:300])

    def _secret_header(self) -> Mapping[str, str]:
        return {self.header: self.secret} if self.header else {}

    def _without_secret(self, text: str) -> str:
        """A gateway may repeat what it was sent."""
        return text.replace(self.secret, "…") if self.secret else text
