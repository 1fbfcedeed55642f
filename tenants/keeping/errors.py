"""Why an organization can't be written to a file, read from one, or deleted. Commands alone meet these."""

from collections.abc import Sequence
from typing import Any


class NotAnExport(Exception):
    """The file is none that this release can import; the message says why."""


class CanNotExport(Exception):
    """The organization can't be exported as it is; the message says why."""


class CanNotImport(Exception):
    """Something that is here already is in the way; the message says what."""


class BooksAreWrong(Exception):
    """What was imported does not reconcile: ``faults`` says why. Nothing of it stayed."""

    def __init__(self, faults: Sequence[Any]) -> None:
        super().__init__(f"The books in the file are wrong: {len(faults)} faults.")
        self.faults = faults


class CanNotDelete(Exception):
    """The organization can't be deleted now; the message says why."""
