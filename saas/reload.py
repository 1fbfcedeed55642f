"""Has a server take the code that is there now, and waits for how that goes: ``python -m saas.reload PID``.

What systemd runs at ``systemctl reload recharge``, which so fails if those before go on. The server
(saas/supervisor.py) says it to a socket in ``RUNTIME_DIRECTORY``, a directory that systemd makes for both.
"""

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

HANDED_OVER = "handed_over"
NOT_HANDED_OVER = "not_handed_over"

WAIT_SECONDS = 150.0
"""For the answer: more than new processes have to get ready."""

_NAME = "reload"


def ask(server: int, directory: Path) -> bool:
    """Whether new processes serve. ``server`` is the id of its main process."""
    place = directory / _NAME
    place.unlink(missing_ok=True)  # of one that was killed
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answers:
        answers.bind(str(place))
        answers.settimeout(WAIT_SECONDS)
        try:
            os.kill(server, signal.SIGHUP)
            return answers.recv(100).decode() == HANDED_OVER
        except TimeoutError:
            return False
        finally:
            place.unlink()


def answer(event: str) -> None:
    """Tells who waits, if anybody does."""
    if directory := os.environ.get("RUNTIME_DIRECTORY"):
        # Nobody waits after a SIGHUP of somebody's own.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(event.encode(), str(Path(directory) / _NAME))


if __name__ == "__main__":
    sys.exit(0 if ask(int(sys.argv[1]), Path(os.environ["RUNTIME_DIRECTORY"])) else 1)
