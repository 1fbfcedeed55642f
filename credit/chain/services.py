"""Makes roots of the ledger, and hands them out: a file keeps them where the database's owner can't change them."""

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg2 import sql

from credit.models import ChainRoot
from tenants.models import Organization


@dataclass(frozen=True, slots=True)
class Root:
    """A root as it is handed out."""

    organization: str
    """The slug."""
    day: date
    root: str
    """In hexadecimal digits."""
    accounts: int
    entries: int

    def line(self) -> str:
        """As it stands in the file: JSON, with its line's end."""
        return f"{json.dumps(_fields(self), ensure_ascii=False)}\n"


def _fields(root: Root) -> dict[str, Any]:
    return {
        "organization": root.organization,
        "day": root.day.isoformat(),
        "root": root.root,
        "accounts": root.accounts,
        "entries": root.entries,
    }


def make_root(*, organization: Organization) -> Root | None:
    """Makes the root of the last day (UTC) that is over for five minutes, in the current organization's schema, and
    tells its webhooks. None: it is there already, or nothing was ever posted that has a hash. Any number may do so at
    once."""
    statement = sql.SQL("SELECT day, root, accounts, entries FROM {}()").format(
        sql.Identifier(organization.schema_name, "chain_root_make")
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        day, root, accounts, entries = cursor.fetchone()
    return None if day is None else Root(organization.slug, day, bytes(root).hex(), accounts, entries)


def roots_of(organization: Organization) -> Iterator[Root]:
    """All roots of the current organization, the oldest first."""
    for row in ChainRoot.objects.order_by("day").defer("sellers", "numbers"):  # one a day
        yield Root(organization.slug, row.day, bytes(row.root).hex(), row.accounts, row.entries)


def chain_file() -> Path | None:
    """The file that roots are appended to (``CHAIN_FILE``); None: there is none."""
    return Path(settings.CHAIN_FILE) if settings.CHAIN_FILE else None


def append_roots(file: Path, roots: Iterable[Root]) -> None:
    """Appends roots to a file, and returns when they are on the disk. A file that the system's root makes is its
    directory's owner's: it may be made by a command, and the workers go on with it.

    Raises:
        OSError: the file can't be written. Those for which there was room are in it, each whole.
    """
    is_there = file.exists()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not is_there and os.geteuid() == 0:
            directory = file.parent.stat()
            os.fchown(descriptor, directory.st_uid, directory.st_gid)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed: workers append at once
        for root in roots:
            _append(descriptor, root.line().encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(descriptor: int, line: bytes) -> None:
    """All of it or nothing: a disk that gets full takes a part and calls that no error. With half a line in it nobody
    could prove a ledger by the file again."""
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, line) < len(line):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
