"""Small disks of a test's own, which can be filled. Only root may mount one."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(*, megabytes: int) -> Iterator[Path]:
    """The directory where an empty file system of this size is mounted until the block ends."""
    place = Path(tempfile.mkdtemp(prefix="recharge-disk-"))
    disk = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(place)]
    mounted = subprocess.run(disk, capture_output=True, text=True, check=False)
    assert mounted.returncode == 0, f"A small disk is needed, which only root may mount: {mounted.stderr}"
    try:
        yield place
    finally:
        # What was just stopped may hold it for a moment; it goes when that is gone.
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def fill(place: Path) -> Path:
    """Writes until there is no room on the disk of this directory; the file that takes it all."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler
