"""A workbook that was exported, read back."""

import io
import zipfile
from xml.etree import ElementTree

from tests.support.client import Answer

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


class Sheet:
    """A workbook's one sheet, read from its XML: texts as str, numbers as float, and whatever else as it is not."""

    def __init__(self, content: bytes) -> None:
        archive = zipfile.ZipFile(io.BytesIO(content))
        assert archive.testzip() is None
        self.xml = archive.read("xl/worksheets/sheet1.xml").decode()
        self.workbook = archive.read("xl/workbook.xml").decode()
        self.styles = archive.read("xl/styles.xml").decode()
        tree = ElementTree.fromstring(self.xml)
        self.rows = [[self._value(cell) for cell in row] for row in tree.iter(f"{_MAIN}row")]

    @staticmethod
    def _value(cell: ElementTree.Element) -> str | float:
        assert cell.find(f"{_MAIN}f") is None, "a formula"
        if cell.get("t") == "inlineStr":
            return "".join(cell.itertext())
        return float(cell.findtext(f"{_MAIN}v"))


def sheet_of(answer: Answer) -> Sheet:
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return Sheet(answer.body)
