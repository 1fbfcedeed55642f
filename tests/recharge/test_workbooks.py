"""The program that writes workbooks, by itself. (What is in those of lists: test_pages.py, test_ledger_pages.py.)"""

import io
import json
import subprocess
import sys
from typing import Any

import openpyxl
import pytest

from shared.console import xlsx

HEADING: dict[str, Any] = {
    "title": "Recharges",
    "is_rtl": False,
    "zone": "Asia/Tehran",
    "columns": [["Time", 20], ["Number", 16]],
    "more": None,
}


def written(*lines: Any) -> subprocess.CompletedProcess[bytes]:
    given = "".join(f"{json.dumps(line)}\n" for line in lines)
    return subprocess.run(
        [sys.executable, "-I", "-X", "utf8", xlsx.__file__],
        input=given.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_cells_of_each_kind() -> None:
    moment = 1_767_225_600_000_000  # 2026-01-01 in UTC
    child = written(HEADING, [[[moment], "=1+1"], [None, -5]], [["سلام", "+989121234567"]], None)
    sheet = openpyxl.load_workbook(io.BytesIO(child.stdout)).active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()][2:] == [[None, -5], ["سلام", "+989121234567"]]
    assert sheet["A2"].value.isoformat() == "2026-01-01T03:30:00"
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("=1+1", "s")


@pytest.mark.parametrize("lines", [[], [HEADING], [HEADING, [["a", "b"]]]])
def test_a_workbook_of_rows_that_did_not_all_come_is_none(lines: list[Any]) -> None:
    child = written(*lines)
    assert (child.returncode, child.stdout) == (1, b"")
