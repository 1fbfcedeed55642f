"""What can be refused about a batch."""

from django.utils.translation import gettext_lazy as _

from shared.errors import Problem


class BatchSoldBefore(Problem):
    """409: the same rows were sold lately in another batch, and nobody said that they are meant."""

    status, code, title = 409, "batch_sold_before", "Batch sold before"
    message = _("The same rows were sold before. To sell them again, tick the box.")

    def __init__(self) -> None:
        super().__init__("The same rows were sold before, in another batch; nothing was sold now.")


class EqualRows(Problem):
    """409: rows of a batch have the same number and amount, and nobody said that each is meant."""

    status, code, title = 409, "equal_rows", "Equal rows"
    message = _("Some rows have the same number and amount. To sell each of them, tick the box.")

    def __init__(self) -> None:
        super().__init__("Rows of this batch have the same number and amount; nothing was sold now.")
