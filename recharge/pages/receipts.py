"""Receipts, as pages: what a customer is given, how wide its paper is, and what the shop is called on it."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from credit.models import AlertMessage
from recharge.pages import words
from recharge.papers.receipts import receipt_text
from recharge.receipts import services
from recharge.selling.queries import recharge_by_id
from recharge.selling.short_numbers import short_number
from shared.console.forms import EditForm, TextField
from shared.console.views import (
    FORM,
    add_problem,
    done,
    not_done,
    own_seller,
    page,
    show,
    signed_in,
    status_of_form,
)
from shared.errors import NotFound, Problem
from shared.identity.permissions import Permission
from shared.identity.roles import seller_in_view
from tenants.routing import organization_of

PAPERS = (("80", _("Receipt paper, 80 mm")), ("58", _("Receipt paper, 58 mm")), ("sheet", _("Full page")))
"""What a receipt is printed on: the name of its style sheet, and what it is called."""
USUAL_PAPER = "80"
COOKIE = "receipt_paper"
"""Keeps what this machine's printer has."""
_A_YEAR = 365 * 24 * 60 * 60


@page(Permission.VIEW_RECHARGES)
def receipt(request: HttpRequest, recharge_id: UUID) -> HttpResponse:
    """What a customer is given: to be shown, printed, shared or sent. A choice of paper is kept."""
    row = recharge_by_id(recharge_id, seller_id=seller_in_view(signed_in(request)))
    chosen = request.GET.get("paper", request.COOKIES.get(COOKIE, ""))
    paper = chosen if chosen in dict(PAPERS) else USUAL_PAPER
    shop, number = services.shop_name_of(row.seller_id), short_number(row.pk, seller_id=row.seller_id)
    organization, state = organization_of(request), words.state_words(words.state_of(row))
    sent = services.sent_receipt(row.pk)
    context = {
        "recharge": row,
        "shop": shop,
        "number": number,
        "paper": paper,
        "papers": PAPERS,
        "style": f"recharge/receipt-{paper}.css",
        "text": receipt_text(row, shop=shop, organization=organization.name, number=number, state=state),
        "may_send": sent is None and services.may_send(row),
        "sent": sent and sent[0],
        "sent_words": sent and _SENT[AlertMessage.Status(sent[1].status) if sent[1] else AlertMessage.Status.SENT],
    }
    response = show(request, "recharge/receipt.html", context)
    if "paper" in request.GET:
        response.set_cookie(
            COOKIE, paper, max_age=_A_YEAR, path="/recharges", secure=request.is_secure(), httponly=True, samesite="Lax"
        )
    return response


_SENT = {
    AlertMessage.Status.PENDING: _("The receipt is being sent to the number by SMS."),
    AlertMessage.Status.SENT: _("The receipt was sent to the number by SMS."),
    AlertMessage.Status.FAILED: _("The receipt could not be sent by SMS, or may not have arrived."),
}


@page(Permission.SELL, methods=("POST",))
def send_receipt(request: HttpRequest, recharge_id: UUID) -> HttpResponse:
    """Sends it to the number that was recharged, once."""
    account = signed_in(request)
    try:
        written = services.send_receipt(
            organization=organization_of(request),
            recharge_id=recharge_id,
            seller_id=own_seller(request),
            by=account.username,
            access=account.access,
        )
    except NotFound:
        raise
    except Problem as problem:
        return not_done(request, problem, "recharge_receipt", recharge_id)
    again = _("Already sent. A receipt is sent only once.")
    return done(request, again if written.is_replay else _("The receipt is sent."), "recharge_receipt", recharge_id)


class ShopForm(EditForm):
    shop_name = TextField(
        label=_("Shop's name"),
        required=False,
        max_length=services.LONGEST_SHOP_NAME,
        help_text=_("Shown to customers at the top of a receipt. Empty: your name."),
    )


@page(Permission.NAME_OWN_SHOP, methods=FORM)
def shop(request: HttpRequest) -> HttpResponse:
    """What the own shop is called on receipts."""
    seller_id = own_seller(request)
    now = services.named_shop(seller_id)
    form = ShopForm(request.POST or None, initial={"shop_name": now})
    if request.method == "POST" and form.is_valid():
        try:
            if edits := form.edits():
                services.name_shop(organization=organization_of(request), seller_id=seller_id, **edits)
        except Problem as problem:
            add_problem(form, problem)
        else:
            return done(request, _("Saved."), "shop")
    return show(
        request,
        "recharge/shop.html",
        {"form": form, "shop": services.shop_name_of(seller_id)},
        status=status_of_form(form),
    )
