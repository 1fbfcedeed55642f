"""Mails to the owners of accounts: that something was done with their account, in case it was not they."""

import threading
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, send_mail
from django.db.models import Q
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.identity.lockout import client_address
from shared.identity.roles import SELLER
from shared.models import ApiKey, Membership, User
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


def send_letter(subject: str, text: str, to: str, *, message_id: UUID) -> None:
    """Sends a mail now, and waits for the server to take it. ``message_id`` is the same when it is sent again.

    Raises:
        smtplib.SMTPException, OSError: the server can't be reached, or did not take it.
    """
    headers = {"Message-ID": f"<{message_id}@{settings.BASE_DOMAIN}>", "Auto-Submitted": "auto-generated"}
    EmailMessage(subject, text, None, [to], headers=headers).send()


def tell_of_new_key(request: HttpRequest, key: ApiKey, *, user_id: int, is_rotated: bool = False) -> None:
    """A mail to whoever has made an API key, or (``is_rotated``) a new secret of one (``user_id``), and to the owner of
    the seller's account that it is for."""
    theirs = Membership.objects.filter(organization_id=key.organization_id, seller_id=key.seller_id, role=SELLER)
    to = Q(pk=user_id) if key.seller_id is None else Q(pk=user_id) | Q(pk__in=theirs.values("user_id"))
    users = list(User.objects.filter(to))
    context = {
        "key": key,
        "is_rotated": is_rotated,
        "scopes": ", ".join(key.scopes),
        "by": next(user.username.rpartition("/")[2] for user in users if user.pk == user_id),
        "address": client_address(request),
    }
    subject = _("New secret of an API key") if is_rotated else _("New API key")
    for user in users:
        mail_owner(request, user, subject=subject, template="shared/new_api_key_mail.txt", context=context)


def tell_of_second_factor(request: HttpRequest, user: User, *, is_added: bool) -> None:
    """That a second factor was added or removed."""
    mail_owner(
        request,
        user,
        subject=_("A second factor was added") if is_added else _("A second factor was removed"),
        template="shared/second_factor_mail.txt",
        context={"name": user.username.rpartition("/")[2], "is_added": is_added},
    )


def host_of(request: HttpRequest) -> str:
    """What a link to this host has: over TLS no port, whatever port somebody has written into the request's Host."""
    name, port = split_domain_port(request.get_host().lower())
    return name.rstrip(".") + (f":{port}" if port and not settings.HTTPS else "")


def _send(subject: str, message: str, to: str, request_id: str) -> None:
    try:
        send_mail(subject, message, None, [to])
    except Exception:  # noqa: BLE001 - whatever a mail server may do
        _log.exception("mail_not_sent", request_id=request_id)
