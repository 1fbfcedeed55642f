"""Recharges as people read them: the list, and the columns of the workbook."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.pages.tables import seller_link
from recharge.batches.queries import Counts, Sums
from recharge.limits.queries import LIMITS
from recharge.models import BulkBatch, Claim, CommissionRate, Limit, Margin, Recharge, Statement
from recharge.pages.words import failure_words, late_words, operator_name, rate_words, status_words
from recharge.papers.words import kind_name as statement_kind
from recharge.papers.words import period_of
from recharge.statements.queries import Row
from recharge.templatetags.recharge import claim_state, late_state, state
from shared.console.acts import FIELDS
from shared.console.formats import in_digits
from shared.console.links import address_of
from shared.console.lists import Listing
from shared.console.tables import AMOUNT, WIDE, WIDER, Table, TableColumn, selecting
from shared.console.workbooks import Column
from shared.templatetags.console import moment, number, phone, pill, signed, tomans, whole_days


def _time(recharge: Recharge) -> SafeString:
    return format_html('<a href="{}">{}</a>', address_of("recharge", recharge.pk), moment(recharge.created_at))


def _time_and_number(recharge: Recharge) -> SafeString:
    return format_html('{}<span class="d-block d-md-none">{}</span>', _time(recharge), phone(recharge.phone_number))


def _time_number_and_seller(recharge: Recharge) -> SafeString:
    return format_html(
        '{}<span class="d-block d-md-none">{}<br><bdi class="text-wrap">{}</bdi></span>',
        _time(recharge),
        phone(recharge.phone_number),
        recharge.seller.name,
    )


def _number_and_operator(recharge: Recharge) -> SafeString:
    return format_html(
        '{}<div class="d-xl-none small text-secondary">{}</div>',
        phone(recharge.phone_number),
        operator_name(recharge.operator),
    )


_NUMBER_TO_OPERATOR = (
    TableColumn(_("Number"), _number_and_operator, WIDE),
    TableColumn(_("Tomans"), lambda recharge: number(recharge.amount), AMOUNT, adds="amount", sort="amount"),
    TableColumn(_("State"), lambda recharge: format_html("{} {}", state(recharge), late_state(recharge)), name="state"),
    TableColumn(_("Operator"), lambda recharge: operator_name(recharge.operator), WIDER, name="operator"),
)
_OF_SELLER = (TableColumn(_("Time"), _time_and_number, "text-nowrap", sort="time"), *_NUMBER_TO_OPERATOR)
_OF_ALL_SELLERS = (
    TableColumn(_("Time"), _time_number_and_seller, "text-nowrap", sort="time"),
    *_NUMBER_TO_OPERATOR,
    TableColumn(_("Seller"), lambda recharge: format_html("<bdi>{}</bdi>", recharge.seller.name), WIDE, name="seller"),
)


_COMMISSION = TableColumn(
    _("Commission"),
    lambda recharge: number(recharge.commission),
    f"{WIDER} {AMOUNT}",
    adds="commission",
    name="commission",
    folds=True,
)
_CHOSEN = selecting(
    amount=lambda recharge: int(recharge.amount),
    label=lambda recharge: f"{tomans(recharge.amount)}, {in_digits(recharge.phone_number)}",
    can_be=lambda recharge: True,
)


def recharges_table(recharges: Sequence[Recharge], *, sees_all: bool, listing: Listing | None = None) -> Table:
    """Recharges of one seller, or of all; with their commissions, where one of them has any. With a ``listing`` they
    can be sorted and chosen."""
    columns = _OF_ALL_SELLERS if sees_all else _OF_SELLER
    if any(recharge.commission for recharge in recharges):
        columns = (*columns[:3], _COMMISSION, *columns[3:])
    chosen = _CHOSEN if listing else None
    return Table(_("Recharges"), columns, recharges, "table-hover", listing=listing, selecting=chosen)


# --- Commissions ------------------------------------------------------------------------------------------------------


def _rate(row: CommissionRate) -> SafeString:
    ended = "" if row.valid_until is None else pill("plain", _("Ended"))
    return format_html('<bdi class="text-nowrap">{}</bdi> {}', rate_words(row), ended)


def _whose(row: CommissionRate) -> SafeString:
    seller = seller_link(row.seller) if row.seller else format_html("{}", _("All sellers"))
    return format_html(
        '{}<div class="d-md-none small text-secondary">{}</div>', seller, _operator_of(row) if row.operator else ""
    )


def _operator_of(row: CommissionRate) -> str:
    return operator_name(row.operator) if row.operator else str(_("All operators"))


def _by_whom(at: datetime | None, by: str) -> SafeString:
    return format_html('{}<div class="small text-secondary"><bdi>{}</bdi></div>', moment(at), by)


_UNTIL = TableColumn(_("Until"), lambda row: _by_whom(row.valid_until, row.ended_by), WIDE)


def commissions_table(rows: Sequence[CommissionRate], *, has_ended: bool, may_change: bool) -> Table:
    """Rates, with who has set them; where some ``has_ended``, with who has ended them. Who ``may_change`` one finds the
    way to it beside it."""

    def rate(row: CommissionRate) -> SafeString:
        if not may_change or row.valid_until is not None:
            return _rate(row)
        of = urlencode({"seller": row.seller_id or "", "operator": row.operator or ""})
        link = f"{address_of('set_commission')}?{of}"
        return format_html('{}<div class="small"><a href="{}">{}</a></div>', _rate(row), link, _("Change or end"))

    columns = (
        TableColumn(_("Seller"), _whose),
        TableColumn(_("Operator"), _operator_of, WIDE),
        TableColumn(_("Commission"), rate),
        TableColumn(_("Since"), lambda row: _by_whom(row.valid_from, row.set_by)),
    )
    return Table(_("Commissions"), (*columns, _UNTIL) if has_ended else columns, rows)


# --- Not received -----------------------------------------------------------------------------------------------------


def _claim_number(row: Claim) -> SafeString:
    return format_html('<a href="{}">{}</a>', address_of("claim", row.pk), phone(row.recharge.phone_number))


def _claim_number_and_seller(row: Claim) -> SafeString:
    return format_html(
        '{}<span class="d-block d-md-none"><bdi class="text-wrap">{}</bdi></span>', _claim_number(row), row.seller.name
    )


def _own_claim_state(row: Claim) -> SafeString:
    is_new = row.answered_at is not None and row.seen_at is None
    return format_html("{} {}", claim_state(row), pill("wait", gettext("New answer")) if is_new else "")


_CLAIM_AMOUNT = TableColumn(_("Tomans"), lambda row: number(row.recharge.amount), AMOUNT)
_CLAIM_OPERATOR = TableColumn(_("Operator"), lambda row: operator_name(row.recharge.operator), WIDER, folds=True)
_CLAIMS_OF_SELLER = (
    TableColumn(_("Number"), _claim_number),
    _CLAIM_AMOUNT,
    TableColumn(_("State"), _own_claim_state),
    _CLAIM_OPERATOR,
    TableColumn(_("Asked at"), lambda row: moment(row.created_at), WIDE),
    TableColumn(_("Answer by"), lambda row: moment(row.deadline) if row.state == "open" else "–", WIDE),
)
_CLAIMS_OF_ALL = (
    TableColumn(_("Number"), _claim_number_and_seller),
    _CLAIM_AMOUNT,
    TableColumn(_("State"), claim_state),
    TableColumn(_("Answer by"), lambda row: moment(row.deadline), WIDE, folds=True),
    _CLAIM_OPERATOR,
    TableColumn(_("Seller"), lambda row: format_html("<bdi>{}</bdi>", row.seller.name), WIDE),
    TableColumn(_("Asked at"), lambda row: moment(row.created_at), WIDE),
)


def claims_table(rows: Sequence[Claim], *, sees_all: bool) -> Table:
    """Questions about recharges that customers did not get: a seller's own, or those of all."""
    return Table(_("Not received by customers"), _CLAIMS_OF_ALL if sees_all else _CLAIMS_OF_SELLER, rows, "table-hover")


# --- The workbook -----------------------------------------------------------------------------------------------------


def recharges_table_of_child(recharges: Sequence[Recharge]) -> Table:
    """Recharges of one seller as his dealer reads them: each is the seller's own to open."""

    def time(recharge: Recharge) -> SafeString:
        of_number = format_html('<span class="d-block d-md-none">{}</span>', phone(recharge.phone_number))
        return format_html("{}{}", moment(recharge.created_at), of_number)

    return Table(_("Recharges"), (TableColumn(_("Time"), time, "text-nowrap"), *_NUMBER_TO_OPERATOR), recharges)


RECHARGES_SHEET = (
    Column("created_at", _("Time"), 20),
    Column("phone_number", _("Number"), 16),
    Column("operator", _("Operator"), 20, operator_name),
    Column("amount", _("Amount (Tomans)"), 18),
    Column("status", _("State"), 18, status_words),
    Column("failure", _("Reason of the failure"), 40, failure_words),
    Column("late", _("Late result"), 14, late_words),
    Column("completed_at", _("Completed at"), 20),
    Column("balance_after", _("Balance after the sale"), 22),
    Column("commission", _("Commission (Tomans)"), 20),
    Column("id", _("Id"), 38),
)
"""The columns of the workbook."""


# --- Margins ----------------------------------------------------------------------------------------------------------


def margins_table(margins: Sequence[Margin], *, is_linked: bool, is_whole: bool) -> Table:
    """The recharges of a batch of margins; with links to them, for who may see them; summed up, if these are all."""

    def sold(margin: Margin) -> SafeString:
        time = _time(margin.recharge) if is_linked else moment(margin.recharge.created_at)
        return format_html(
            '{}<span class="d-block d-md-none"><bdi class="text-wrap">{}</bdi></span>',
            time,
            margin.recharge.seller.name,
        )

    table = Table(
        _("Recharges"),
        (
            TableColumn(_("Time"), sold, "text-nowrap"),
            TableColumn(_("Seller"), lambda margin: format_html("<bdi>{}</bdi>", margin.recharge.seller.name), WIDE),
            TableColumn(_("Operator"), lambda margin: operator_name(margin.recharge.operator), WIDE),
            TableColumn(_("Tomans"), lambda margin: number(margin.recharge.amount), AMOUNT, adds="recharge__amount"),
            TableColumn(_("Margin"), lambda margin: number(margin.amount), AMOUNT, adds="amount"),
        ),
        margins,
    )
    return table.added_up_here() if is_whole else table


# --- Statements -------------------------------------------------------------------------------------------------------


def _statement_link(row: Statement) -> SafeString:
    return format_html('<a href="{}">{}</a>', address_of("statement", row.pk), whole_days(period_of(row)))


def _statement_of(row: Statement) -> SafeString:
    return format_html("<bdi>{}</bdi>", row.seller_name)


def _made(row: Statement) -> SafeString:
    return format_html("{} · <bdi>{}</bdi>", moment(row.created_at), row.made_by)


_OWN_STATEMENTS = (
    TableColumn(_("Period"), _statement_link),
    TableColumn(_("Number of entries"), lambda row: number(row.entries), f"{WIDE} {AMOUNT}"),
    TableColumn(_("Opening balance"), lambda row: number(row.opening_balance), f"{WIDE} {AMOUNT}"),
    TableColumn(_("Closing balance"), lambda row: number(row.closing_balance), AMOUNT),
    TableColumn(_("Created"), _made, WIDE),
)


def statements_table(rows: Sequence[Statement], *, sees_all: bool) -> Table:
    """Statements of one seller, or of all."""
    of_all = (TableColumn(_("Seller"), _statement_of), *_OWN_STATEMENTS)
    return Table(_("Period statements"), of_all if sees_all else _OWN_STATEMENTS, rows)


def _kind_and_moment(row: Row) -> SafeString:
    return format_html(
        '{}<div class="d-md-none small text-secondary">{}</div>', statement_kind(row.kind), moment(row.created_at)
    )


def _or_nothing(value: int) -> str:
    return number(value) if value else ""


def _commission(row: Row) -> str:
    return str(signed(row.commission)) if row.commission else ""


def _row_amount(row: Row) -> str:
    """On phones, which have no room for three columns of amounts."""
    commission = format_html('<div class="small">{}</div>', signed(row.commission)) if row.commission else ""
    return format_html("{}{}", signed(row.amount), commission)


_STATEMENT_ROWS = (
    TableColumn(_("Number"), lambda row: number(row.number), f"{WIDER} {AMOUNT}", folds=True),
    TableColumn(_("Time"), lambda row: moment(row.created_at), WIDE),
    TableColumn(_("Kind"), _kind_and_moment),
    TableColumn(_("Sold to"), lambda row: phone(row.phone_number) if row.phone_number else "", WIDE),
    TableColumn(_("Tomans"), _row_amount, f"d-md-none {AMOUNT}", adds="amount", written=signed),
    TableColumn(_("Debit (−)"), lambda row: _or_nothing(row.debit), f"{WIDE} {AMOUNT}", adds="debit"),
    TableColumn(_("Credit (+)"), lambda row: _or_nothing(row.credit), f"{WIDE} {AMOUNT}", adds="credit"),
    TableColumn(_("Commission"), _commission, f"{WIDE} {AMOUNT}", adds="commission", written=signed),
    TableColumn(
        _("Balance"),
        lambda row: number(row.balance_after),
        AMOUNT,
        foot=lambda rows: number(rows[-1].balance_after),
        yields=True,
    ),
)


def statement_rows_table(rows: Sequence[Row], *, is_whole: bool) -> Table:
    """The rows of a statement, summed up if these are all. Amounts are Tomans."""
    table = Table(_("Entries"), _STATEMENT_ROWS, rows, "table-sm")
    return table.added_up_here() if is_whole else table


# --- Bulk sales -------------------------------------------------------------------------------------------------------


def bulk_sales_table(rows: Sequence[BulkBatch], counts: Mapping[UUID, Counts]) -> Table:
    """Batches, with what became of their rows. Amounts are Tomans."""

    def sold_as(batch: BulkBatch) -> SafeString:
        return format_html('<a href="{}">{}</a>', address_of("bulk_sale", batch.key), moment(batch.created_at))

    def name(batch: BulkBatch) -> SafeString:
        one = counts[batch.key]
        on_phones = [
            format_html("{} {}", pill(look, label), number(sums.count))
            for sums, look, label in (
                (one.delivered, "good", _("Delivered")),
                (one.failed, "bad", _("Failed")),
                (one.waiting, "wait", _("Waiting")),
                (one.not_sold, "plain", _("Not sold")),
            )
            if sums.count
        ]
        return format_html(
            '<bdi class="text-break">{}</bdi><div class="small text-secondary"><bdi>{}</bdi></div>{}',
            batch.file_name or _("Pasted rows"),
            batch.made_by,
            format_html_join("", '<div class="d-md-none">{}</div>', ((shown,) for shown in on_phones)),
        )

    def count(sums: Sums, look: str) -> SafeString | str:
        return pill(look, number(sums.count)) if sums.count else ""

    def delivered_amount(batch: BulkBatch) -> str:
        return number(counts[batch.key].delivered.amount)

    return Table(
        _("Bulk sales"),
        (
            TableColumn(_("Time"), sold_as),
            TableColumn(_("File"), name, "breaks"),
            TableColumn(_("Rows"), lambda row: number(row.count), f"{WIDE} {AMOUNT}"),
            TableColumn(_("Delivered"), lambda row: count(counts[row.key].delivered, "good"), f"{WIDE} {AMOUNT}"),
            TableColumn(_("Failed"), lambda row: count(counts[row.key].failed, "bad"), f"{WIDE} {AMOUNT}"),
            TableColumn(_("Waiting"), lambda row: count(counts[row.key].waiting, "wait"), f"{WIDE} {AMOUNT}"),
            TableColumn(_("Not sold"), lambda row: count(counts[row.key].not_sold, "plain"), f"{WIDE} {AMOUNT}"),
            TableColumn(_("Delivered (Tomans)"), delivered_amount, f"{WIDE} {AMOUNT}"),
        ),
        rows,
    )


# --- Limits -----------------------------------------------------------------------------------------------------------


def _limited(row: Limit) -> SafeString:
    return format_html(
        '<a href="{}"><bdi>{}</bdi></a>', address_of("seller_limits", row.seller_id), row.seller and row.seller.name
    )


def _hours(row: Limit) -> str:
    if row.from_hour is None and row.to_hour is None:
        return ""
    return f"{number(row.from_hour or 0)}–{number(24 if row.to_hour is None else row.to_hour)}"


def _limit_column(name: str, classes: str) -> TableColumn:
    return TableColumn(FIELDS[name], lambda row: number(getattr(row, name)), classes)


def own_limits_table(rows: Sequence[Limit]) -> Table:
    """Sellers who have limits of their own."""
    return Table(
        _("Sellers with limits of their own"),
        (
            TableColumn(_("Seller"), _limited),
            _limit_column("per_day", AMOUNT),
            *(
                _limit_column(name, f"{WIDE} {AMOUNT}")
                for name in LIMITS
                if name not in ("per_day", "from_hour", "to_hour")
            ),
            TableColumn(_("Hours of sale"), _hours),
        ),
        rows,
    )
