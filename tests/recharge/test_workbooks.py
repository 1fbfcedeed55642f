"""The program that writes workbooks, by itself. (What is in those of lists: test_pages.py, test_ledger_pages.py.)"""

import errno
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pytest

from shared.aside import write_aside
from shared.console import xlsx
from tests.support.waiting import wait_until

HEADING: dict[str, Any] = {
    "title": "Recharges",
    "is_rtl": False,
    "zone": "Asia/Tehran",
    "columns": [["Time", 20], ["Number", 16]],
    "more": None,
}


def written(*lines: Any, directory: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    given = "".join(f"{json.dumps(line)}\n" for line in lines)
    return subprocess.run(
        [sys.executable, "-I", "-X", "utf8", xlsx.__file__],
        input=given.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | ({"TMPDIR": str(directory)} if directory else {}),
    )


def test_cells_of_each_kind() -> None:
    moment = 1_767_225_600_000_000  # 2026-01-01 in UTC
    child = written(HEADING, [[[moment], "=1+1"], [None, -5]], [["سلام", "+989121234567"]], None)
    sheet = openpyxl.load_workbook(io.BytesIO(child.stdout)).active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()][2:] == [[None, -5], ["سلام", "+989121234567"]]
    assert sheet["A2"].value.isoformat() == "2026-01-01T03:30:00"
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("=1+1", "s")


def test_a_workbook_without_rows_and_one_of_what_can_hardly_be_written() -> None:
    sheets = {"more": {"title": "Statement", "lines": [["Seller", "=1+1"], ["Balance", 9_007_199_254_740_991]]}}
    child = written(HEADING | {"is_rtl": True} | sheets, None)
    book = openpyxl.load_workbook(io.BytesIO(child.stdout))
    first, second = book.worksheets
    assert [[cell.value for cell in row] for row in first.iter_rows()] == [["Time", "Number"]]
    assert [[cell.value for cell in row] for row in second.iter_rows()] == sheets["more"]["lines"]
    assert [sheet.sheet_view.rightToLeft for sheet in book.worksheets] == [True, True]

    child = written(HEADING, [["a\x01\uffff\u200cb", "x" * 40_000]], [], [[None, "۱۲۳"]], None)
    sheet = openpyxl.load_workbook(io.BytesIO(child.stdout)).active
    assert (sheet["A2"].value, sheet["B2"].value) == ("a_x0001__xFFFF_\u200cb", "x" * 32_767)  # as Excel has them
    assert sheet["B3"].value == "۱۲۳"


@pytest.mark.parametrize("lines", [[], [HEADING], [HEADING, [["a", "b"]]], [HEADING | {"zone": "Mars/Base"}, None]])
def test_a_workbook_of_rows_that_did_not_all_come_is_none(lines: list[Any], tmp_path: Path) -> None:
    child = written(*lines, directory=tmp_path)
    assert (child.returncode, child.stdout) == (1, b"")
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_ended_in_the_middle_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def pages() -> Iterator[list[Any]]:
        yield [["a", "b"]] * 10_000
        wait_until(lambda: any(path.is_file() for path in tmp_path.rglob("*")), "it has a file of its own")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_aside(Path(xlsx.__file__), HEADING, pages(), too_long="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [1, 100_000])
def test_no_room_for_a_workbook_is_told_apart_from_a_defect(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w+b", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_aside(Path(xlsx.__file__), HEADING, iter([[["a", "b"]] * rows]), too_long="")


def test_where_no_directory_has_room_for_its_first_file_that_is_told_apart_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "full")])
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_aside(Path(xlsx.__file__), HEADING, iter([]), too_long="")


def test_it_writes_nowhere_but_where_it_is_told_to(tmp_path: Path) -> None:
    child = written(HEADING, [["a", "b"]], None, directory=tmp_path / "nothing")
    assert (child.returncode, child.stdout) == (1, b"")


def test_where_no_thread_is_to_be_had_no_program_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = psutil.Process().children()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        write_aside(Path(xlsx.__file__), HEADING, iter([]), too_long="")
    assert psutil.Process().children() == before
