"""A kind of work of the worker (tenants/worker.py): looks in each organization whether its admins are to be told of
something (recharge/sql/alerts.sql); once a minute, while there is something that it could come to."""

import json
import time

from recharge.operators import Operator
from shared.database import call_function
from tenants.models import Organization
from tenants.work import DoneInClaim

LOOK_SECONDS = 60.0
"""Between two looks at an organization of which something is open. Any number of workers may look: an alert is raised
once."""

_NAMES = json.dumps({operator.value: {"en": str(operator.label), "fa": operator.persian} for operator in Operator})


class WatchWork(DoneInClaim):
    """What concerns an organization's admins."""

    def __init__(self) -> None:
        self._look_at: dict[int, float] = {}
        """By organization: the moment, of the monotonic clock."""
        self._waits: dict[int, bool] = {}
        """Whether anything is open of which its admins may have to be told later, or told that it is over."""

    def claim(self, organization: Organization, limit: int) -> list[None]:
        now = time.monotonic()
        if now < self._look_at.get(organization.pk, now):
            self._waits[organization.pk] = True  # somebody rang, or something was recorded: there may be more by then
            return []
        (self._waits[organization.pk],) = call_function(
            organization.schema_name, "recharge_alerts_look", "waits", [_NAMES]
        )
        self._look_at[organization.pk] = now + LOOK_SECONDS * 0.9  # a worker looks at it every minute, or just before
        return []

    def seconds_until_due(self, organization: Organization) -> float | None:
        if not self._waits.get(organization.pk):
            return None
        return max(0.0, self._look_at[organization.pk] - time.monotonic())
