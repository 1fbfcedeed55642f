"""Writes files that hold what is nobody else's business."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner may read, and that has its name only when the block has ended well and all of it
    is on the disk. What was there under that name is replaced then, and stays when the block raises.

    Raises:
        OSError: it can't be written, or there is something of that name that is no file. (A device would be replaced,
            too: root's ``/dev/null`` is then a file, for every process on the machine.)
    """
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "It is no regular file", str(file))
    # A name that nobody else has: two that write the same file at once would write into each other's.
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".unfinished", dir=file.parent)
    unfinished = Path(name)
    try:
        with open(descriptor, "wb") as writing:
            yield writing
            writing.flush()
            os.fsync(descriptor)
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
