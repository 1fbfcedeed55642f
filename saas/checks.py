"""What `manage.py check --deploy` says of the environment."""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from saas import env_file

OF_OTHERS = re.compile(
    r"(?:OTEL_|PG|PYTHON|LC_)\w+|TMPDIR|TZ|LANG|PATH|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy"
)
"""Names of OpenTelemetry, libpq, Python and the system, which may well stand in the file."""


@register("recharge", deploy=True)
def unknown_names(**_: Any) -> list[CheckMessage]:
    """Which names in the file of settings (``--env-file``) are none of ours: what they were to set has its default."""
    known = _known_names()
    return [
        Warning(
            f"{file} sets {name}, which is not known here.",
            hint=f"Is {alike[0]} meant?"
            if (alike := get_close_matches(name.upper(), known, n=1))
            else "deploy/recharge.env.example has all names that are.",
            id="recharge.W004",
        )
        for name, file in env_file.names_read.items()
        if known and name not in known and not OF_OTHERS.fullmatch(name)
    ]


def _known_names() -> list[str]:
    """Those in deploy/recharge.env.example, which has all; none where it is not installed."""
    example = Path(settings.BASE_DIR) / "deploy" / "recharge.env.example"
    try:
        return re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return []


@register("recharge", deploy=True)
def chain_file(**_: Any) -> list[CheckMessage]:
    """Whether the file of the ledgers' roots has a directory to be made in."""
    directory = os.path.dirname(settings.CHAIN_FILE) or "."
    if not settings.CHAIN_FILE or os.path.isdir(directory):
        return []
    return [
        Warning(
            f"CHAIN_FILE is {settings.CHAIN_FILE}, and there is no directory {directory}.",
            hint="Make it, and let whom the workers run as write there. Until then no root leaves the database.",
            id="recharge.W005",
        )
    ]
