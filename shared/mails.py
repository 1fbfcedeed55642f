"""Mails to the owners of accounts: that something was done with their account, in case it was not they."""

import threading
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.functional import Promise

from shared.models import User
from shared.requests import request_id_of

_log = structlog.get_logger("recharge.mails")


def mail_owner(
    request: HttpRequest, user: User, *, subject: str | Promise, template: str, context: dict[str, Any] | None = None
) -> None:
    """Sends a mail to the address of an account, if it has one, in its language. After the act, and beside the answer:
    how long the mail server takes, or whether it takes it at all, must neither tell whether there is such an account
    nor undo what was done.

    The template has ``host`` (the console's, as the owner knows it) and ``account`` beside ``context``.
    """
    if not user.email:
        return
    with translation.override(user.language or translation.get_language()):
        message = render_to_string(template, {"host": host_of(request), "account": user} | (context or {}))
        arguments = (str(subject), message, user.email, request_id_of(request))
    threading.Thread(target=_send, args=arguments).start()


def host_of(request: HttpRequest) -> str:
    """What a link to this host has: over TLS no port, whatever port somebody has written into the request's Host."""
    name, port = split_domain_port(request.get_host().lower())
    return name.rstrip(".") + (f":{port}" if port and not settings.HTTPS else "")


def _send(subject: str, message: str, to: str, request_id: str) -> None:
    try:
        send_mail(subject, message, None, [to])
    except Exception:  # noqa: BLE001 - whatever a mail server may do
        _log.exception("mail_not_sent", request_id=request_id)
