"""What a statement says in words: its facts, its columns and its totals, in the reader's language."""

from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.pages.words import KINDS
from recharge.models import Statement
from recharge.statements.queries import taken_by
from shared.console.formats import format_day, format_moment, in_digits
from tenants.models import Organization

COLUMNS = (
    _("Number"),
    _("Time"),
    _("Kind"),
    _("Sold to"),
    _("Debit (−)"),
    _("Credit (+)"),
    _("Commission"),
    _("Balance"),
    _("Reference"),
)
"""The titles of the table's columns. Amounts are Tomans."""


@dataclass(frozen=True, slots=True)
class Total:
    """What all entries of a kind add up to, or (``kind`` is empty) all entries."""

    kind: str
    entries: int
    debit: int
    credit: int
    commission: int

    @property
    def label(self) -> str:
        """What it is the total of."""
        return kind_name(self.kind) if self.kind else gettext("Total")


def kind_name(kind: str) -> str:
    """What a kind of entry is called; one of a newer release keeps its own name."""
    return str(KINDS.get(kind, kind))


def title_of(statement: Statement) -> str:
    """The heading: whose statement it is, and of which days.

    The name comes last: it may run in the other direction, and would take days along that follow it.
    """
    return gettext("Statement %(period)s, %(name)s") % {
        "name": statement.seller_name,
        "period": period_of(statement),
    }


def period_of(statement: Statement) -> str:
    """Its days."""
    if statement.first_day == statement.last_day:
        return format_day(statement.first_day)
    days = {"first": format_day(statement.first_day), "last": format_day(statement.last_day)}
    return gettext("%(first)s to %(last)s") % days


def facts_of(statement: Statement, organization: Organization) -> list[tuple[str, str]]:
    """What stands above the table, but balances and digest."""
    made = format_moment(statement.created_at)[1]
    return [
        (gettext("Organization"), organization.name),
        (gettext("Period"), period_of(statement)),
        (gettext("Seller"), statement.seller_name),
        # Not beside the name: that may run in the other direction.
        (gettext("Seller's number"), in_digits(str(statement.seller_id))),
        (gettext("Time zone"), statement.time_zone),
        (gettext("Created"), gettext("%(when)s by %(username)s") % {"when": made, "username": statement.made_by}),
        (gettext("Number of entries"), in_digits(str(statement.entries))),
    ]


def totals_of(statement: Statement) -> list[Total]:
    """The totals of each kind, and of all: what the columns of debits and credits add up to."""
    of_kinds = []
    taken = taken_by(statement)
    for kind, sums in sorted(statement.totals.items()):
        debit = taken.get(kind, max(0, -sums["amount"]))
        credit = sums["amount"] + debit
        of_kinds.append(Total(kind, sums["entries"], debit, credit, sums["commission"]))
    of_all = Total(
        "",
        statement.entries,
        sum(one.debit for one in of_kinds),
        sum(one.credit for one in of_kinds),
        sum(one.commission for one in of_kinds),
    )
    return [*of_kinds, of_all]
