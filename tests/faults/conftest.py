"""What tests of faults leave behind is mended."""

from collections.abc import Iterator

import pytest

from tests.support.read_only import set_read_only
from tests.support.sessions import end_sessions


@pytest.fixture
def writable_again() -> Iterator[None]:
    """Afterwards the database can be written, and nobody is left who has connected while it could not: a thread of the
    server that has only read meanwhile would refuse the next test's write."""
    yield
    set_read_only(False)
    end_sessions()
