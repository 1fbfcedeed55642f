"""The lists of these pages: entries, credit requests and sellers; and the columns of the entries' workbook."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.models import ENTRY_KINDS, Adjustment, CreditRequest, Entry, EntryKind, Seller
from credit.pages.words import kind_name
from credit.templatetags.credit import request_state
from credit.transfers import Shown
from shared.console.links import address_of
from shared.console.lists import Listing
from shared.console.tables import AMOUNT, WIDE, WIDER, Selecting, Table, TableColumn, selecting
from shared.console.workbooks import Column
from shared.pagination import value_of
from shared.templatetags.console import moment, number, pill, signed, tomans

# --- Entries ----------------------------------------------------------------------------------------------------------


def _own_kind(entry: Entry) -> str:
    """The same for the seller, who sees the adjustment here and not the document."""
    return kind_name(entry.kind) if entry.kind == EntryKind.ADJUSTMENT else _kind(entry)


def entries_table_of_child(entries: Sequence[Entry]) -> Table:
    """Entries of one seller as his dealer reads them: what caused them is the seller's own."""

    def kind(entry: Entry) -> SafeString:
        time = format_html('<div class="d-md-none small text-secondary">{}</div>', _created(entry))
        return format_html("{}{}", kind_name(entry.kind), time)

    columns = (*_OF_SELLER[:2], TableColumn(_("Kind"), kind), *_OF_SELLER[3:])
    return Table(_("Entries"), _with_commissions(columns, entries), entries)


def _kind(entry: Entry) -> str:
    """An entry's kind, as a link to what caused it."""
    document = ENTRY_KINDS[EntryKind(entry.kind)].document
    if not document:
        return kind_name(entry.kind)
    return format_html('<a href="{}">{}</a>', address_of(document, entry.reference), kind_name(entry.kind))


def _own_kind_on_phones(entry: Entry) -> SafeString:
    return format_html('{}<div class="d-md-none small text-secondary">{}</div>', _own_kind(entry), _created(entry))


def _seller_and_kind_on_phones(entry: Entry) -> SafeString:
    """With two columns of amounts a phone has room for one other."""
    return format_html(
        '{}<div class="d-md-none small">{}</div><div class="d-md-none small text-secondary">{}</div>',
        seller_link(entry.seller.seller),
        _kind(entry),
        _created(entry),
    )


def _kind_and_time(entry: Entry) -> SafeString:
    return format_html('{}<div class="small text-secondary">{}</div>', _kind(entry), _created(entry))


def _created(row: Entry | CreditRequest | Adjustment | Seller) -> str:
    return moment(row.created_at)


def _signed(amount: int) -> SafeString:
    """With its sign, and in the colour of debits or of credits."""
    looks = "debit" if amount < 0 else "credit"
    return mark_safe(f'<span class="{looks}">{signed(amount)}</span>')  # noqa: S308 - a number


def seller_link(seller: Seller) -> SafeString:
    """A seller's name, as a link to the seller's page."""
    return format_html('<a href="{}"><bdi>{}</bdi></a>', address_of("seller", seller.pk), seller.name)


_AMOUNT = TableColumn(
    _("Tomans"), lambda row: _signed(row.amount), AMOUNT, adds="amount", written=_signed, sort="amount"
)
_BALANCE = TableColumn(_("Balance"), lambda entry: number(entry.balance_after), AMOUNT, name="balance", yields=True)
_OF_SELLER = (
    TableColumn(_("Time"), _created, WIDE, name="time", sort="time"),
    TableColumn(_("Number"), lambda entry: number(entry.number), f"{WIDE} {AMOUNT}", name="number"),
    TableColumn(_("Kind"), _own_kind_on_phones),
    _AMOUNT,
    _BALANCE,
)
_OF_ALL_SELLERS = (
    _OF_SELLER[0],
    TableColumn(_("Seller"), _seller_and_kind_on_phones),
    _OF_SELLER[1],
    TableColumn(_("Kind"), _kind, WIDE),
    *_OF_SELLER[3:],
)


_COMMISSION = TableColumn(
    _("Commission"),
    lambda entry: signed(entry.commission) if entry.commission else "",
    f"{WIDE} {AMOUNT}",
    adds="commission",
    written=signed,
    name="commission",
    folds=True,
)


def entries_table(entries: Sequence[Entry], *, sees_all: bool, listing: Listing | None = None) -> Table:
    """Entries of one seller, or of all; with their commissions, where one of them has any."""
    columns = _OF_ALL_SELLERS if sees_all else _OF_SELLER
    return Table(_("Entries"), _with_commissions(columns, entries), entries, listing=listing)


def _with_commissions(columns: tuple[TableColumn, ...], entries: Sequence[Entry]) -> tuple[TableColumn, ...]:
    """The columns; before the balance that of the commissions, where one of the entries has any."""
    return (*columns[:-1], _COMMISSION, columns[-1]) if any(entry.commission for entry in entries) else columns


def last_entries_table(entries: Sequence[Entry]) -> Table:
    """The last few of one seller, beside something else."""
    columns = _with_commissions((TableColumn(_("Kind"), _kind_and_time), _AMOUNT, _BALANCE), entries)
    return Table(_("Last entries"), columns, entries, "table-sm")


def entries_of_recharge_table(entries: Sequence[Entry]) -> Table:
    """All that were posted for one recharge."""

    def entry(row: Entry) -> SafeString:
        number_of_it = gettext("no. %(number)s") % {"number": number(row.number)}
        return format_html(
            '{} <span class="text-secondary small">{}</span><div class="text-secondary small">{}</div>',
            kind_name(row.kind),
            number_of_it,
            _created(row),
        )

    amount = replace(_AMOUNT, adds="", sort="")
    return Table(_("Entries"), _with_commissions((TableColumn(_("Entry"), entry), amount, _BALANCE), entries), entries)


ENTRIES_SHEET = (
    Column("number", _("Number"), 10),
    Column("created_at", _("Time"), 20),
    Column("kind", _("Kind"), 16, kind_name),
    Column("amount", _("Amount (Tomans)"), 20),
    Column("commission", _("Commission (Tomans)"), 20),
    Column("balance_after", _("Balance after (Tomans)"), 22),
    Column("reference", _("Reference"), 38),
)
"""The columns of the workbook."""


# --- Credit requests --------------------------------------------------------------------------------------------------


def _asked(row: CreditRequest) -> SafeString:
    return format_html('<a href="{}">{}</a>', address_of("credit_request", row.pk), _created(row))


def _by_whom(row: CreditRequest) -> SafeString:
    return format_html('{}<div class="d-md-none small">{}</div>', seller_link(row.seller), _asked(row))


def _outcome(row: CreditRequest) -> SafeString:
    reason = row.reason and format_html(
        '<div class="d-md-none small text-secondary text-break"><bdi>{}</bdi></div>', row.reason
    )
    first = (
        row.approvals
        and row.status == CreditRequest.Status.PENDING
        and format_html('<div class="small">{}</div>', gettext("Approved once; a second person is needed"))
    )
    return format_html("{}{}{}", request_state(row.status), first or "", reason)


def _outcome_or_decision(row: CreditRequest) -> SafeString:
    if row.status != CreditRequest.Status.PENDING:
        return _outcome(row)
    whose = {"amount": tomans(row.amount), "name": row.seller.name}
    return format_html(
        '{}<div class="d-flex flex-wrap gap-1 mt-1">'
        '<a class="btn btn-sm btn-primary" href="{approve}" hx-get="{decide}?decision=approve&amp;ids={key}"'
        ' hx-target="#decide" hx-sync="#decide:replace" aria-label="{}">{}</a>'
        '<a class="btn btn-sm btn-outline-secondary" href="{reject}" hx-get="{decide}?decision=reject&amp;ids={key}"'
        ' hx-target="#decide" hx-sync="#decide:replace" aria-label="{}">{}</a></div>',
        _outcome(row),
        gettext("Approve %(amount)s for %(name)s") % whose,
        gettext("Approve"),
        gettext("Reject %(amount)s for %(name)s") % whose,
        gettext("Reject"),
        approve=address_of("approve_credit_request", row.pk),
        reject=address_of("reject_credit_request", row.pk),
        decide=address_of("decide_credit_requests"),
        key=row.pk,
    )


def _note_and_reason(row: CreditRequest) -> SafeString:
    note = row.note and format_html("<bdi>{}</bdi>", row.note)
    if row.bank_reference:
        note = format_html('<div><bdi dir="ltr">{}</bdi></div>{}', row.bank_reference, note)
    reason = row.reason and format_html(
        '<div class="text-secondary">{}: <bdi>{}</bdi></div>', gettext("Reason"), row.reason
    )
    return format_html("{}{}", note, reason)


_ASKED_AMOUNT = TableColumn(_("Tomans"), lambda row: number(row.amount), AMOUNT, adds="amount", sort="amount")
_NOTE = TableColumn(_("Note and reason"), _note_and_reason, f"{WIDE} text-break", name="note")
_REQUESTS_OF_SELLER = (
    TableColumn(_("Time"), _asked, sort="time"),
    _ASKED_AMOUNT,
    TableColumn(_("State"), _outcome),
    _NOTE,
)
_REQUESTS_OF_ALL_SELLERS = (
    TableColumn(_("Seller"), _by_whom),
    TableColumn(_("Time"), _asked, WIDE, name="time", sort="time"),
    _ASKED_AMOUNT,
    TableColumn(_("State"), _outcome),
    _NOTE,
)
_REQUESTS_TO_DECIDE = (
    *_REQUESTS_OF_ALL_SELLERS[:3],
    TableColumn(_("State"), _outcome_or_decision),
    *_REQUESTS_OF_ALL_SELLERS[4:],
)


def credit_requests_table(
    rows: Sequence[CreditRequest], *, sees_all: bool, may_decide: bool, listing: Listing | None = None
) -> Table:
    """A seller's own credit requests, or those of all sellers, to be decided or merely looked at."""
    of_all_sellers = _REQUESTS_TO_DECIDE if may_decide else _REQUESTS_OF_ALL_SELLERS
    columns = of_all_sellers if sees_all else _REQUESTS_OF_SELLER
    chosen = _decidable(lambda row: True) if may_decide else None
    return Table(_("Credit requests"), columns, rows, listing=listing, selecting=chosen)


def _decidable(may_be: Callable[[Any], bool]) -> Selecting:
    return selecting(
        amount=lambda row: int(row.amount),
        label=lambda row: f"{tomans(row.amount)}, {row.seller.name}",
        can_be=lambda row: row.status == CreditRequest.Status.PENDING and may_be(row),
    )


# --- Adjustments ------------------------------------------------------------------------------------------------------


def _asked_for(row: Adjustment) -> SafeString:
    return format_html('<a href="{}">{}</a>', address_of("adjustment", row.pk), _created(row))


def _whose(row: Adjustment) -> SafeString:
    return format_html('{}<div class="d-md-none small">{}</div>', seller_link(row.seller), _asked_for(row))


def _why(row: Adjustment) -> SafeString:
    return format_html(
        '<bdi>{}</bdi><div class="small text-secondary">{}: <bdi>{}</bdi></div>',
        row.reason,
        gettext("Requested by"),
        row.asked_by,
    )


def adjustments_table(
    rows: Sequence[Adjustment], *, listing: Listing | None = None, decider: int | None = None
) -> Table:
    """Adjustments of all sellers' balances. ``decider``: the id of the user who may decide them; None: nobody may."""
    return Table(
        _("Adjustments"),
        (
            TableColumn(_("Seller"), _whose),
            TableColumn(_("Time"), _asked_for, WIDE, name="time", sort="time"),
            _AMOUNT,
            TableColumn(_("State"), lambda row: request_state(row.status)),
            TableColumn(_("Reason"), _why, f"{WIDE} text-break", name="reason"),
        ),
        rows,
        listing=listing,
        selecting=_decidable(lambda row: True) if decider else None,
    )


# --- Transfers --------------------------------------------------------------------------------------------------------


def transfers_table(rows: Sequence[Shown], *, own: int | None, listing: Listing | None = None) -> Table:
    """Transfers of one seller (``own``) with the change of his balance, or of all."""

    def time(shown: Shown) -> SafeString:
        address = address_of("transfer", shown.row.pk)
        return format_html('<a href="{}">{}</a>', address, moment(shown.row.created_at))

    def other(shown: Shown) -> SafeString:
        is_given = shown.row.giver_id == own
        way, seller = (gettext("Receiver"), shown.row.receiver) if is_given else (gettext("Sender"), shown.row.giver)
        return format_html('{}: <bdi>{}</bdi><div class="d-md-none small">{}</div>', way, seller.name, time(shown))

    def giver(shown: Shown) -> SafeString:
        return format_html('{}<div class="d-md-none small">{}</div>', seller_link(shown.row.giver), time(shown))

    note = TableColumn(
        _("Note"), lambda shown: format_html("<bdi>{}</bdi>", shown.row.note), f"{WIDE} text-break", name="note"
    )
    of_all = (
        TableColumn(_("Sender"), giver),
        TableColumn(_("Receiver"), lambda shown: seller_link(shown.row.receiver)),
        TableColumn(_("Time"), time, WIDE, name="time", sort="time"),
        TableColumn(_("Tomans"), lambda shown: number(shown.row.amount), AMOUNT, adds="amount", sort="amount"),
        note,
    )
    of_seller = (
        TableColumn(_("Seller"), other),
        TableColumn(_("Time"), time, WIDE, name="time", sort="time"),
        TableColumn(
            _("Tomans"),
            lambda shown: _signed(value_of(shown.row, "change")),
            AMOUNT,
            adds="change",
            written=_signed,
            sort="amount",
        ),
        TableColumn(_("Balance"), lambda shown: number(shown.balance_after), AMOUNT, name="balance", yields=True),
        note,
    )
    return Table(_("Transfers"), of_all if own is None else of_seller, rows, listing=listing)


# --- Sellers ----------------------------------------------------------------------------------------------------------

_ACTIVE, _SWITCHED_OFF = _("Active"), _("Inactive")


_DEALER = TableColumn(
    _("Dealer"), lambda seller: seller_link(seller.parent) if seller.parent else "", WIDER, name="dealer", folds=True
)


def sellers_table(
    sellers: Sequence[Seller], usernames: dict[int, str], owed: dict[int, int], *, listing: Listing | None = None
) -> Table:
    """Sellers with their balances; ``usernames``, and the Tomans that are ``owed``, by seller's id."""

    def balance(seller: Seller) -> str | SafeString:
        shown = tomans(seller.account.balance)
        if seller.pk not in owed:
            return shown
        owes = gettext("owes %(amount)s") % {"amount": tomans(owed[seller.pk])}
        return format_html('{}<div class="small debit">{}</div>', shown, owes)

    def name(seller: Seller) -> SafeString:
        off = "" if seller.is_active else format_html('<div class="d-md-none">{}</div>', pill("plain", _SWITCHED_OFF))
        return format_html("{}{}", seller_link(seller), off)

    return Table(
        _("Sellers"),
        (
            TableColumn(_("Name"), name, sort="name"),
            TableColumn(_("Balance"), balance, AMOUNT, adds="account__balance", written=tomans, sort="balance"),
            TableColumn(_("State"), seller_state, WIDE, name="state"),
            *((_DEALER,) if any(seller.parent_id for seller in sellers) else ()),
            TableColumn(
                _("Username"),
                lambda seller: format_html("<bdi>{}</bdi>", usernames.get(seller.pk, "")),
                WIDE,
                name="username",
            ),
            TableColumn(_("Added"), _created, WIDE, name="added", sort="time"),
        ),
        sellers,
        listing=listing,
    )


def seller_state(seller: Seller) -> SafeString:
    return pill("good", _ACTIVE) if seller.is_active else pill("plain", _SWITCHED_OFF)
