"""systemd's own look at units.

``python -m tests.support.systemd`` (deploy/test.sh) says whether its program is there, with status 1 if not.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = "systemd-analyze"


def verify(units: Sequence[Path]) -> str:
    """What is wrong with them; nothing if nothing is."""
    command = [PROGRAM, "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr or done.returncode == 0
    return done.stderr


if __name__ == "__main__":
    if shutil.which(PROGRAM) is None:
        sys.exit(f"Not found: {PROGRAM}. On Debian and Ubuntu: apt-get install systemd")
