"""What can be refused about closing a period."""

from datetime import date

from django.utils.translation import gettext_lazy as _

from shared.errors import Problem


class PeriodNotOver(Problem):
    """409: the day that the period is to end with is not over in the organization's time zone."""

    status, code, title = 409, "period_not_over", "Period not over"
    message = _("This period is not over yet. Close it when its last day has ended.")

    def __init__(self) -> None:
        super().__init__("The last day of the period is not over.")


class PeriodClosed(Problem):
    """409: the day is within a period that is closed already."""

    status, code, title = 409, "period_closed", "Period closed"
    message = _("These days are already closed, with all days until %(last_day)s.")

    def __init__(self, last_day: date) -> None:
        super().__init__(
            f"These days are within the period that is closed until {last_day}.", last_day=last_day.isoformat()
        )
