"""What a form of the admin site has changed, for what is written of it (saas/admin.py)."""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.models import Model


@dataclass(frozen=True, slots=True)
class Change:
    """What a form of the admin site has changed: the fields, as they were and as they are."""

    row: Model
    before: Mapping[str, Any]
    after: Mapping[str, Any]


last_change: ContextVar[Change | None] = ContextVar("last_change", default=None)
"""Of the form that is being saved."""


def remember_change(stored: Model | None, saved: Model, fields: Iterable[str]) -> None:
    """Says which of these fields were changed. ``stored``: as it was; None: it was added."""
    told = [name for name in fields if stored is None or getattr(stored, name) != getattr(saved, name)]
    before = {name: getattr(stored, name) for name in told} if stored else {}
    last_change.set(Change(saved, before, {name: getattr(saved, name) for name in told}))
