"""What `manage.py check --deploy` says of the environment."""

import os
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

ALIKE = 0.85
"""How like one of ours a name is that was probably meant to be it (difflib's ratio)."""

OTHERS = ("OTEL_", "PG")
"""Names that begin so are OpenTelemetry's and libpq's own, of which there are many that are alike."""


@register("recharge", deploy=True)
def misspelt_names(**_: Any) -> list[CheckMessage]:
    """Which variables nobody reads, though they look like one of ours: what they were to set has its default."""
    return [
        Warning(
            f"{name} is in the environment, and nothing reads it.",
            hint=f"If {meant} is meant, name it so.",
            id="recharge.W004",
        )
        for name, meant in misspelt(os.environ, settings.VARIABLES).items()
    ]


def misspelt(names: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Those of the names that look like a known one and are none, each with what was probably meant."""
    found: dict[str, str] = {}
    for name in sorted(names):
        if name in known or name.upper().startswith(OTHERS):
            continue
        alike = get_close_matches(name.upper(), sorted(known), n=1, cutoff=ALIKE)
        if alike:
            found[name] = alike[0]
    return found


@register("recharge", deploy=True)
def chain_file(**_: Any) -> list[CheckMessage]:
    """Whether the file of the ledgers' roots has a directory to be made in."""
    if not settings.CHAIN_FILE or Path(settings.CHAIN_FILE).parent.is_dir():
        return []
    return [
        Warning(
            f"CHAIN_FILE is {settings.CHAIN_FILE}, and there is no such directory.",
            hint="Make it, and let whom the workers run as write there. Until then no root leaves the database.",
            id="recharge.W005",
        )
    ]
