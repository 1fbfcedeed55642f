"""What a command does in one schema after the other: one that is broken is named, and stops none of the others."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper
from django.db import DatabaseError, connection

from tenants.memory import bound_memory


class OneByOne:
    """Keeps whether all could be done. Errors of the database that concern one alone end at ``of``."""

    def __init__(self, stderr: OutputWrapper) -> None:
        self._stderr = stderr
        self._is_left = False

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Around what is done for one of them.

        Raises:
            DatabaseError: the database does not answer, so that the others can't be done either.
        """
        try:
            yield
        except DatabaseError as error:
            if not connection.is_usable():
                raise
            self._is_left = True
            self._stderr.write(f"{name} is left out: {str(error).strip().splitlines()[0]}")
        bound_memory(name)

    def end(self) -> None:
        """Ends the command with status 1 if any was left out."""
        if self._is_left:
            sys.exit(1)
