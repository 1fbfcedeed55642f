"""Has a file written by a program of its own: rows go to it a page at a time, the file comes back whole.

So a large file (a PDF of 100,000 rows takes 10 s of CPU and 130 MB) neither holds Python's global lock of a web process
nor stays in its memory, and the program yields to those that sell. It ends with its work, with whoever started it, and
at its deadline.
"""

import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson
import structlog

from shared.errors import Unavailable
from shared.turn import in_turn, rest

DEADLINE_SECONDS = 120
"""After which a file that is not ready is given up."""

RESTING_SECONDS = 30
"""For how long a file's writing rests between pages while others sell; what takes longer must meet its deadline."""

NICE = 10
"""The program's: selling comes first."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a file system that has no room."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_log = structlog.get_logger("recharge.files")


def write_aside(program: Path, heading: dict[str, Any], pages: Iterable[list[Any]], *, too_long: str) -> IO[bytes]:
    """What the program writes, as a temporary file at its beginning. It reads lines of JSON: the heading, each page as
    a list, and ``null``, without which not all came. ``too_long`` is what is said where it takes too long.

    Raises:
        Unavailable: it took too long.
        OSError: there is no room for it.
    """
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever gets it closes it
    except FileNotFoundError as error:
        # The first time, a directory is looked for in which some bytes can be written. There is none.
        raise _no_room() from error
    try:
        _write(file, program, heading, pages, too_long)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def microseconds_of(moment: datetime) -> int:
    """Since 1970, as such a program is told of a moment."""
    return (moment - _EPOCH) // _MICROSECOND


def _write(file: IO[bytes], program: Path, heading: dict[str, Any], pages: Iterable[list[Any]], too_long: str) -> None:
    # What it leaves in its directory when it is killed goes with that. What it says is in memory: most of all it may
    # have to say that there is no room.
    with os.fdopen(os.memfd_create("said"), "w+b") as said, tempfile.TemporaryDirectory() as directory:
        # -I: neither its folder nor the environment (which has secrets) has a say in what it imports.
        child = subprocess.Popen(  # noqa: S603 - a program of our own, without arguments
            [sys.executable, "-I", "-X", "utf8", str(program)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=said,
            env={"PATH": os.environ.get("PATH", ""), "TMPDIR": directory},
            start_new_session=True,
        )
        assert child.stdin is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        deadline = threading.Timer(DEADLINE_SECONDS, give_up)
        try:
            deadline.start()
            try:
                for line in chain([heading], _in_turns(pages, child.pid), [None]):
                    # By orjson: while a page becomes text no other thread of the process goes on.
                    child.stdin.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
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
            raise Unavailable(too_long)
        if status != 0:
            said.seek(0)
            text = said.read()[-2000:].decode("utf-8", "replace")
            if any(f"[Errno {number}]" in text for number in NO_ROOM):
                raise _no_room()
            _log.error("file_not_written", program=program.name, status=status, said=text)
            raise RuntimeError(f"{program.name} ended with {status}")


def _gives_way(program: int) -> bool:
    """Has it give way to all that want a processor. Linux weighs a nice value within a session alone, where it weighs
    sessions as wholes (sched(7), "The autogroup feature"); so the program's own session is nice, too. False: that is to
    be tried again, since somebody has set another one's in the last tenth of a second."""
    os.setpriority(os.PRIO_PROCESS, program, NICE)
    try:
        Path(f"/proc/{program}/autogroup").write_text(str(NICE))
    except BlockingIOError:
        return False
    except OSError:  # sessions are not weighed
        pass
    return True


def _in_turns(pages: Iterable[list[Any]], program: int) -> Iterator[list[Any]]:
    """While the program is waited for, it is another one's turn. Between pages both rest, after as much as both have
    worked: the program works at a page while the next one is read, and still when its rest begins."""
    pages, began, made = iter(pages), time.monotonic(), 0.0
    is_first, gives_way = True, False
    while True:
        gives_way = gives_way or _gives_way(program)
        with in_turn():
            reading_since = time.monotonic()
            page = next(pages, None)
            read = time.monotonic() - reading_since
        if page is None:
            return
        if not is_first and time.monotonic() - began < RESTING_SECONDS:
            before, made = made, max(made, _worked(program))
            rest(read + made - before, at_work=made - before)
        yield page
        is_first = False


def _worked(program: int) -> float:
    """The seconds of a processor's time that it took so far."""
    try:
        return int(Path(f"/proc/{program}/schedstat").read_text().split()[0]) / 10**9
    except (OSError, IndexError):  # it has ended, or this kernel counts none
        return 0.0


def _no_room() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _close(pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        pipe.close()
