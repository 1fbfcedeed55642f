"""Files that have their names only when all of them is there."""

import errno
from pathlib import Path

import pytest

from shared.files import written_whole


def test_two_that_write_one_file_at_once_write_a_whole_one_each(tmp_path: Path) -> None:
    file = tmp_path / "acme.export"
    with written_whole(file) as first:
        first.write(b"begun by the first, ")
        first.flush()
        with written_whole(file) as second:
            second.write(b"the second's")
        assert file.read_bytes() == b"the second's"
        first.write(b"ended by the first")
    assert file.read_bytes() == b"begun by the first, ended by the first"
    assert [path.name for path in tmp_path.iterdir()] == ["acme.export"]


def test_nobody_else_may_read_it_and_what_was_there_stays_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "acme.export"
    file.write_bytes(b"of yesterday")
    with pytest.raises(OSError, match="No space"), written_whole(file) as writing:
        raise OSError(errno.ENOSPC, f"No space for what comes after {writing.write(b'half')} bytes")
    assert file.read_bytes() == b"of yesterday"
    with written_whole(file) as writing:
        writing.write(b"whole")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"whole", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["acme.export"]
