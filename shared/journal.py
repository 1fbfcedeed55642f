"""Lines of a process for whoever reads what it says: a person, a file, systemd's journal. Needs nothing of Django."""

import os
from contextlib import suppress

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
    """As the journal reads it (sd-daemon(3)), so that ``journalctl -p err`` finds errors."""
    priority = _PRIORITIES.get(level)
    return f"<{priority}>{line}" if priority else line


def say(line: str, *, descriptor: int) -> None:
    """Writes a line at once, if there is room: nothing ends, or does not start, because its log is full. And past every
    buffer, which would be tried again at the end, and which has a lock that a fork could inherit."""
    with suppress(OSError):
        os.write(descriptor, f"{line}\n".encode())
