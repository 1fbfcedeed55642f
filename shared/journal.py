"""Tells systemd's journal how bad a line of the log is, so that ``journalctl -p err`` finds errors. Needs nothing of
Django."""

import os

_PRIORITIES = {"warning": 4, "error": 3, "critical": 2}
"""Of syslog, by level. Other lines have systemd's own, 6 ("info")."""


def is_journal(descriptor: int) -> bool:
    """Whether what is written to this file goes to systemd's journal, which says so in the environment."""
    try:
        file = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def with_priority(line: str, level: str) -> str:
    """As the journal reads it (sd-daemon(3))."""
    priority = _PRIORITIES.get(level)
    return f"<{priority}>{line}" if priority else line
