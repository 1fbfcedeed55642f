"""Who writes a file rests between its pages while others sell."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from threading import Event, get_native_id
from typing import Any, ClassVar

import pytest

from saas import gate, neighbours
from saas.neighbours import Neighbours
from shared import aside, turn
from shared.aside import write_aside
from shared.console import xlsx
from shared.turn import rest, resting
from tenants.exports import texts_of
from tests.recharge.test_workbooks import HEADING
from tests.support.waiting import wait_until


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds were slept, which nobody does."""
    slept: list[float] = []
    monkeypatch.setattr(turn.time, "sleep", slept.append)
    return slept


def pages() -> Iterator[list[list[Any]]]:
    for number in range(3):
        yield [[f"page {number}"]]


def write() -> None:
    write_aside(Path(xlsx.__file__), HEADING, pages(), too_long="").close()


def test_a_file_is_written_without_a_rest_where_nobody_asks_for_one(rests: list[float]) -> None:
    rest(60)
    write()
    assert rests == []


def test_who_writes_a_file_rests_between_its_pages(rests: list[float]) -> None:
    with resting(lambda worked: 2 * worked + 7):
        write()
    assert len(rests) == 2
    assert all(7 < seconds < 67 for seconds in rests)
    rest(60)
    assert len(rests) == 2, "when it is over it is over"


def programs() -> list[int]:
    """Those that this process has write a file at this moment."""
    ours = (Path("/proc/self/task") / str(get_native_id()) / "children").read_text().split()
    return [int(one) for one in ours if b"xlsx.py" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_what_the_program_worked_counts(rests: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([50.0, 70.0])
    monkeypatch.setattr(aside, "_worked", lambda program: next(seconds))
    with resting(lambda worked: 2 * worked):
        write()
    assert [round(one / 10) for one in rests] == [15, 6], "and what it still works at is no rest"


def test_what_the_program_worked_is_known() -> None:
    def pages_that_wait() -> Iterator[list[list[Any]]]:
        [program] = programs()
        wait_until(lambda: aside._worked(program) > 0.02)
        yield [["page 0"]]

    write_aside(Path(xlsx.__file__), HEADING, pages_that_wait(), too_long="").close()


def test_the_program_gives_way_to_other_sessions_too() -> None:
    def pages_that_look() -> Iterator[list[list[Any]]]:
        [program] = programs()
        assert os.getpriority(os.PRIO_PROCESS, program) == aside.NICE
        assert os.getsid(program) == program
        session = Path(f"/proc/{program}/autogroup")
        if session.exists():  # sessions are weighed as wholes; unless root sets it, one may be set every 0.1 s
            assert f"nice {aside.NICE}" in session.read_text()
        yield [["page 0"]]

    write_aside(Path(xlsx.__file__), HEADING, pages_that_look(), too_long="").close()


def test_what_takes_long_rests_no_more(rests: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "RESTING_SECONDS", 0)
    with resting(lambda worked: 7):
        write()
    assert rests == []


@pytest.mark.parametrize("seller", ["globex.recharge.test", "acme.recharge.test"])
def test_workbooks_rest_while_another_organization_sells(
    seller: str, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LATELY_SECONDS", 60)
    helpers: list[int] = []
    monkeypatch.setattr(neighbours, "processors_are_busy", lambda but=0: helpers.append(but) or True)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        rest(0.1)
        start_response("200 OK", [])
        return [b"whole"]

    known = Neighbours()
    known.sells(seller)
    gated = gate.Gate(application, application, known, seats=1)
    for path in ("/recharges.xlsx", "/statement.pdf"):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "HTTP_HOST": "acme.recharge.test",
            "wsgi.input": BytesIO(),
        }
        assert gated(environ, lambda status, headers: None) == [b"whole"]
    assert helpers == ([1, 1] if seller.startswith("globex") else []), "the program that writes is none of the others"
    assert rests == ([0.1 * neighbours.REST] * 2 if seller.startswith("globex") else [])


def test_who_writes_a_csv_file_rests_between_its_pages(rests: list[float]) -> None:
    with resting(lambda worked: 2 * worked + 7):
        texts = list(texts_of(iter([[{"row": number}] for number in range(3)]), ["row"]))
    assert texts == ["0\r\n", "1\r\n", "2\r\n"]
    assert len(rests) == 3
    assert all(7 < seconds < 67 for seconds in rests)


def test_csv_files_rest_while_another_organization_sells(rests: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "LATELY_SECONDS", 60)
    helpers: list[int] = []
    monkeypatch.setattr(neighbours, "processors_are_busy", lambda but=0: helpers.append(but) or True)

    class Streamed:
        headers: ClassVar[dict[str, str]] = {}

        def __iter__(self) -> Iterator[bytes]:
            yield b"a page"
            rest(0.1)
            yield b"another"

        def close(self) -> None:
            pass

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return Streamed()

    known = Neighbours()
    known.sells("globex.recharge.test")
    gated = gate.Gate(application, application, known, seats=1)
    for host in ("globex.recharge.test", "acme.recharge.test"):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/recharges.csv",
            "HTTP_HOST": host,
            "wsgi.input": BytesIO(),
        }
        assert list(gated(environ, lambda status, headers: None)) == [b"a page", b"another"]
    assert set(helpers) == {0}, "the thread that reads its pages is itself the one that works"
    assert rests == [0.1 * neighbours.REST]


def test_a_workbook_does_not_rest_while_another_organization_waits_for_its_own(
    rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LATELY_SECONDS", 60)
    monkeypatch.setattr(neighbours, "processors_are_busy", lambda but=0: True)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        rest(0.1)
        start_response("200 OK", [])
        return []

    known = Neighbours()
    known.sells("globex")
    gated = gate.Gate(application, application, known, seats=1)
    may_end = Event()
    for number in range(gate.PAPER_THREADS):
        gated._papers.submit(f"organization {number}", may_end.wait, 60)
    waiting = gated._papers.submit("initech", len, "")
    for organization in ("acme", "initech"):
        gated._resting(gated._papers, organization, gated._call, {})
    assert rests == [0.1 * neighbours.REST], "who alone waits waits for itself"
    may_end.set()
    assert waiting.result(60) == 0
    gated._resting(gated._papers, "acme", gated._call, {})
    assert rests[1:] == [0.1 * neighbours.REST]
