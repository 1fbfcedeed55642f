"""Writes structured logs: one JSON object a line on standard error, without tokens, passwords, whole phone numbers."""

import json
import logging.config
import re
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from shared.journal import is_journal, with_priority

# The middle digits go; what is left tells two numbers apart and names nobody. The first alternative is an id, which
# stays as it is: one request id in 800 has digits that look like a number, and would not be found in the log.
_PHONE_NUMBER = re.compile(
    r"(?P<id>\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b)|((?:\+|00)?98|0)(9\d{2})\d{4}(\d{3})"
)
# From the beginning of a word on: else who writes many beginnings of tokens has each looked through to the end.
_DOTTED = re.compile(r"(?<![\w-])[\w-]+(?:\.[\w-]*){2,}")


def masked(text: str) -> str:
    """Without the middle digits of phone numbers, and without tokens."""
    return _DOTTED.sub(_mask_token, _PHONE_NUMBER.sub(_mask_digits, text))


def _mask_token(found: re.Match[str]) -> str:
    before, begins, _token = found[0].partition("eyJ")
    return f"{before}(token)" if begins else before


def _mask(value: Any) -> Any:
    return masked(value) if isinstance(value, str) else value


def _mask_digits(found: re.Match[str]) -> str:
    return found["id"] or f"{found[2]}{found[3]}****{found[4]}"


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides phone numbers and JWTs, also where a traceback quotes a row or a parameter."""
    return {key: _mask(value) for key, value in event.items()}


_requests = logging.getLogger("recharge.request")
_standard_error = logging.StreamHandler()
"""Every line goes through its lock."""
# What is written as it is: nothing to quote in it, and too few digits in a row for a number.
_ORDINARY = re.compile(r"(?!.*(?:\d{7}|eyJ))[ !#-\[\]-~]*")


def log_request(
    *,
    method: str,
    path: str,
    organization: str | None,
    status: int,
    duration_ms: float,
    request_id: str,
    trace_id: str | None,
) -> None:
    """Writes the line of a request: one like all others, made by hand, which takes a tenth of what the chain of
    processors does. What a client has written is masked: method, path and id. ``trace_id`` is there if traces are on.
    """
    if not _requests.isEnabledFor(logging.INFO):
        return
    if not _ORDINARY.fullmatch(f"{method} {path} {request_id}"):
        method, path, request_id = (
            json.dumps(_mask(text), ensure_ascii=False)[1:-1] for text in (method, path, request_id)
        )
    slug = "null" if organization is None else f'"{organization}"'
    traced = "" if trace_id is None else f'"trace_id": "{trace_id}", '
    moment = datetime.now(UTC).isoformat(timespec="microseconds")[:-6]  # without +00:00
    line = (
        f'{{"method": "{method}", "path": "{path}", "organization": {slug}, "status": {status}, '
        f'"duration_ms": {duration_ms:.2f}, "event": "request", "request_id": "{request_id}", {traced}'
        f'"level": "info", "logger": "recharge.request", "timestamp": "{moment}Z"}}\n'
    )
    _standard_error.acquire()
    try:
        _standard_error.stream.write(line)
        _standard_error.stream.flush()
    except (OSError, ValueError):
        pass  # as logging itself does: nobody is refused an answer because the log is full, or closed
    finally:
        _standard_error.release()


class _PriorityRenderer(structlog.processors.JSONRenderer):
    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str | bytes:
        return with_priority(str(super().__call__(logger, name, event)), event.get("level", ""))


def configure_logging(*, level: str) -> None:
    """Sends structlog's and the standard library's records through one chain of processors to standard error."""
    renderer = _PriorityRenderer if is_journal(2) else structlog.processors.JSONRenderer
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [structlog.stdlib.ExtraAdder(allow=[]), *processors],
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        renderer(ensure_ascii=False, default=str),
                    ],
                }
            },
            "handlers": {"stderr": {"()": lambda: _standard_error, "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # The request line below says the same with more; what it can't say, errors.py logs itself.
                "django.request": {"level": "CRITICAL"},
                "django.security.DisallowedHost": {"level": "CRITICAL"},
            },
        }
    )
