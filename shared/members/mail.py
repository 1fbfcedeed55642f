"""Sends an invitation: a link by which somebody chooses the first password."""

import threading

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.urls import reverse

from shared.members.services import INVITATION_DAYS, Member, invitation_to
from shared.models import User
from shared.requests import request_id_of

_log = structlog.get_logger("recharge.members")


def send_invitation(request: HttpRequest, member: Member) -> threading.Thread:
    """In the language of whoever invites. The mail server is spoken to beside the answer, by the thread."""
    # Over TLS without a port, whatever port somebody has written into the request's Host.
    name, port = split_domain_port(request.get_host().lower())
    host = name.rstrip(".") + (f":{port}" if port and not settings.HTTPS else "")
    path = reverse("invitation", args=[invitation_to(User.objects.get(pk=member.user_id))])
    context = {
        "host": host,
        "link": f"{request.scheme}://{host}{path}",
        "username": member.username,
        "days": INVITATION_DAYS,
    }
    subject = render_to_string("shared/invitation_subject.txt", context).strip()
    message = render_to_string("shared/invitation_mail.txt", context)
    sending = threading.Thread(target=_send, args=(subject, message, member.email, request_id_of(request)))
    sending.start()
    return sending


def _send(subject: str, message: str, to: str, request_id: str) -> None:
    try:
        send_mail(subject, message, None, [to])
    except Exception:  # noqa: BLE001 - whatever a mail server may do
        _log.exception("mail_not_sent", request_id=request_id)
