"""Has a PDF written by a process of its own (pdf.py): rows go to it a page at a time, the file comes back whole.

So a hundred thousand rows (10 s of CPU, 130 MB) neither hold Python's global lock of a web process nor stay in its
memory, and the process yields to those that sell. It ends with its work, with whoever started it, and at its deadline.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import structlog

from recharge.statements.queries import Row
from shared.admission import Admission
from shared.errors import Unavailable

DEADLINE_SECONDS = 120
"""After which a PDF that is not ready is given up."""

LARGE = 10_000
"""Entries from which on a statement is large: of these a process has one written at a time, so that small ones are not
kept waiting."""

_large = Admission(of_group=1, of_one=1)
_PROGRAM = Path(__file__).with_name("pdf.py")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = structlog.get_logger("recharge.statements")


def print_pdf(heading: dict[str, Any], pages: Iterable[list[Row]]) -> IO[bytes]:
    """The PDF of these rows, as a temporary file at its beginning. ``heading`` is what pdf.py reads first.

    Raises:
        Unavailable: another large one is being written, or this took too long.
    """
    is_large = heading["entries"] > LARGE
    if is_large:
        _large.enter(None, None)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever gets it closes it
    try:
        _write(file, heading, pages)
    except BaseException:
        file.close()
        raise
    finally:
        if is_large:
            _large.leave(None, None)
    file.seek(0)
    return file


def _write(file: IO[bytes], heading: dict[str, Any], pages: Iterable[list[Row]]) -> None:
    with tempfile.TemporaryFile() as said:
        # -I: neither its folder nor the environment (which has secrets) has a say in what it imports.
        child = subprocess.Popen(  # noqa: S603 - a program of our own, without arguments
            [sys.executable, "-I", "-X", "utf8", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=said,
            env={"PATH": os.environ.get("PATH", "")},
            text=True,
            encoding="utf-8",
        )
        assert child.stdin is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        deadline = threading.Timer(DEADLINE_SECONDS, give_up)
        deadline.start()
        try:
            try:
                child.stdin.write(json.dumps(heading) + "\n")
                for page in pages:
                    child.stdin.write(json.dumps([_row(row) for row in page]) + "\n")
                child.stdin.write("null\n")
                child.stdin.close()
            except BrokenPipeError:
                pass  # it has ended: its status says how
            status = child.wait()
        finally:
            deadline.cancel()
            child.kill()  # which does nothing to one that has ended
            child.wait()
            if not child.stdin.closed:
                _close(child.stdin)
        if late.is_set():
            raise Unavailable("The PDF took too long. Take a shorter period, or another format.")
        if status != 0:
            said.seek(0)
            _log.error("pdf_failed", status=status, said=said.read()[-2000:].decode("utf-8", "replace"))
            raise RuntimeError(f"pdf.py ended with {status}")


def _close(pipe: IO[str]) -> None:
    with suppress(BrokenPipeError):
        pipe.close()


def _row(row: Row) -> list[Any]:
    return [
        row.number,
        (row.created_at - _EPOCH) // timedelta(microseconds=1),
        row.kind,
        row.phone_number,
        row.amount,
        row.commission,
        row.balance_after,
        str(row.reference),
    ]
