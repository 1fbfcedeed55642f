"""Reads settings from a file, as systemd reads an ``EnvironmentFile`` and not as a shell does.

A shell that sources such a file takes the ``&`` of an address for the end of a command, and the rest of the line goes.
Here a value ends with its line. Quotes around it, a backslash before a character and one at the end of a line mean what
they mean to systemd (systemd.exec(5), src/basic/env-file.c).
"""

import os
import re
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

OPTION = "--env-file"
VARIABLE = "RECHARGE_ENV_FILE"

names_read: dict[str, str] = {}
"""What this process has in its environment from a file, and from which (saas/checks.py)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS, _ENDS = " \t\r\n", "\r\n"


class EnvFileError(Exception):
    """The file can't be read or understood; the message says why, and where."""


def take_option(argv: Sequence[str]) -> tuple[list[str], str | None]:
    """The command line without ``--env-file FILE``, wherever it stands in it, and the file.

    Raises:
        EnvFileError: the option is there and names none.
    """
    kept: list[str] = []
    file: str | None = None
    words = iter(argv)
    for word in words:
        if word == "--":
            kept += [word, *words]
        elif word == OPTION or word.startswith(f"{OPTION}="):
            file = next(words, "") if word == OPTION else word.partition("=")[2]
            if not file:
                raise EnvFileError(f"{OPTION} wants a file: {OPTION} /etc/recharge/recharge.env")
        else:
            kept.append(word)
    return kept, file


def read_env_file(file: str | None, environ: MutableMapping[str, str] = os.environ) -> bool:
    """Puts into the environment what this file says, or the one that ``RECHARGE_ENV_FILE`` names; whether there is one.

    The file goes before what is there, as with systemd. Processes that this one starts have it all from their parent,
    so the file's name does not stay.

    Raises:
        EnvFileError: it can't be read, or not understood.
    """
    named = environ.pop(VARIABLE, "")
    file = file or named
    if not file:
        return False
    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise EnvFileError(f"{path} can't be read: it isn't UTF-8.") from None
    except OSError as error:
        raise EnvFileError(f"{path} can't be read: {error.strerror}.") from None
    if "\0" in text:
        raise EnvFileError(f"{path} can't be read: there is a NUL character in it.")
    for name, value in parse(text, str(path)):
        environ[name] = value
        names_read[name] = str(path)
    return True


def parse(text: str, path: str = "the file") -> list[tuple[str, str]]:
    """The assignments of such a file, in their order.

    A line without ``=`` says nothing. What has no name of a variable before its ``=`` (``export NAME=…``) is named on
    standard error and left out, as systemd does.

    Raises:
        EnvFileError: a quotation mark has no second one.
    """
    assignments: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at] in _BLANKS:
            at += 1
        elif text[at] in "#;":
            at = _end_of_line(text, at)
        else:
            end = _end_of_line(text, at)
            equals = text.find("=", at, end)
            if equals < 0:
                at = end
                continue
            name, line = text[at:equals].rstrip(_BLANKS), text.count("\n", 0, at) + 1
            value, at = _value(text, equals + 1, f"{path}, line {line}")
            if _NAME.fullmatch(name):
                assignments.append((name, value))
            else:
                print(f"{path}, line {line}: {name!r} is no name of a variable; the line is left out.", file=sys.stderr)
    return assignments


def _end_of_line(text: str, at: int) -> int:
    while at < len(text) and text[at] not in _ENDS:
        at += 1
    return at


def _value(text: str, at: int, place: str) -> tuple[str, int]:
    """The value that begins here, and where its line ends."""
    value: list[str] = []
    length = 0  # without the blanks at the end, unless they are quoted or escaped
    is_bare = False  # within a bare word a quotation mark is a character like any other
    while at < len(text) and text[at] not in _ENDS:
        character = text[at]
        at += 1
        if character == "\\":
            is_bare = True
            if at < len(text):
                if text[at] not in _ENDS:
                    value.append(text[at])
                elif text.startswith("\r\n", at):
                    at += 1
                at += 1
            length = len(value)
        elif character in "'\"" and not is_bare:
            inner, at = _quoted(text, at, character, place)
            value += inner
            length = len(value)
        elif character not in _BLANKS:
            is_bare = True
            value.append(character)
            length = len(value)
        elif is_bare:
            value.append(character)
    return "".join(value[:length]), at


def _quoted(text: str, at: int, mark: str, place: str) -> tuple[list[str], int]:
    """What stands between two quotation marks, and where the second one ends."""
    inner: list[str] = []
    while at < len(text):
        character = text[at]
        at += 1
        if character == mark:
            return inner, at
        if character != "\\" or mark == "'" or at == len(text):
            inner.append(character)
            continue
        escaped = text[at]
        at += 1
        if escaped != "\n":  # that one joins two lines
            inner += [escaped] if escaped in '"\\`$' else ["\\", escaped]
    raise EnvFileError(f"{place}: a quotation mark {mark} has no second one.")
