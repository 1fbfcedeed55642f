"""Who writes a file rests between its pages while others sell."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from saas import gate, neighbours
from saas.neighbours import Neighbours
from shared import aside, turn
from shared.aside import write_aside
from shared.console import xlsx
from shared.turn import rest, resting
from tests.recharge.test_workbooks import HEADING


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
    assert rests == ([0.1 * neighbours.REST] * 2 if seller.startswith("globex") else [0.0] * 2)


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
        gated._call_resting(organization, {})
    assert rests == [0.0, 0.1 * neighbours.REST], "who alone waits waits for itself"
    may_end.set()
    assert waiting.result(60) == 0
    gated._call_resting("acme", {})
    assert rests[2:] == [0.1 * neighbours.REST]
