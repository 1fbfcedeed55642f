"""What is let go of, after which time: one row a kind. Entries, documents of money and the audit are of no kind, and so
stay for good; idempotency keys are their recharges'."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from recharge.models import Settings

DAYS_OF_MONTH = 30
"""In which what has phone numbers is counted; recharges themselves are masked by calendar months, and so not sooner."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rows of an organization's schema."""

    name: str
    function: str
    """The SQL function that lets go of some (sql/retention.sql of credit or recharge)."""
    setting: str | None
    """Of ``settings.KEPT_DAYS``; None: only the organization says how long they are kept."""
    has_numbers: bool
    """Whether phone numbers of customers stand in it, so that it goes with them where the organization wants that."""

    def kept_days(self, settled: Settings) -> int:
        """How many days old they get, in an organization with these settings; 0: they are kept for good."""
        days = settings.KEPT_DAYS[self.setting] if self.setting else 0
        months = settled.numbers_kept_months if self.has_numbers else 0
        return min(filter(None, (days, months * DAYS_OF_MONTH)), default=0)

    def kept_for(self, settled: Settings) -> timedelta | None:
        """The same; None: for good."""
        days = self.kept_days(settled)
        return timedelta(days=days) if days else None


KINDS = (
    Kind("webhook_messages", "webhooks_let_go", "webhooks", has_numbers=True),
    Kind("alert_messages", "alert_messages_let_go", "alerts", has_numbers=True),
    Kind("alerts", "alerts_let_go", "alerts", has_numbers=True),
    Kind("attempts", "attempts_let_go", "attempts", has_numbers=True),
    # Before the numbers: what is to be sold again from a batch is found by keys that have them.
    Kind("bulk_sales", "bulk_batches_let_go", "bulk_sales", has_numbers=True),
    Kind("phone_numbers", "numbers_mask", None, has_numbers=True),
)
"""In the order in which a worker takes them."""
