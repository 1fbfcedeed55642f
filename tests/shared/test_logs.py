"""What a process writes for whoever reads its standard error."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT

SPEAKING = """
import logging, structlog
from saas.companions import log_line
from shared.logs import configure_logging, log_request
configure_logging(level="INFO")
log = structlog.get_logger("recharge.test")
log.info("fine")
log.warning("odd", text="<1>")
log.error("broken")
logging.getLogger("another.package").critical("lost\\n<0>everything")
log_request(method="GET", path="/", organization=None, status=500, duration_ms=1, request_id="given", trace_id=None)
log_line("ended", "A process ended.")
log_line("handed_over", "New ones serve.", level="info")
"""
LINES = ["fine", "odd", "broken", "lost\n<0>everything", "request", "ended", "handed_over"]


@pytest.mark.parametrize("is_journal", [True, False])
def test_the_journal_is_told_how_bad_it_is(is_journal: bool) -> None:
    """systemd.exec(5) says of JOURNAL_STREAM what it is compared with, sd-daemon(3) what begins a line."""
    reading, writing = os.pipe()
    pipe = os.fstat(writing)
    journal = f"{pipe.st_dev}:{pipe.st_ino if is_journal else pipe.st_ino + 1}"
    with open(reading, encoding="utf-8") as said:
        run = [sys.executable, "-c", SPEAKING]
        subprocess.run(run, cwd=ROOT, env=os.environ | {"JOURNAL_STREAM": journal}, stderr=writing, check=True)
        os.close(writing)
        lines = said.read().splitlines()
    begun = ["", "<4>", "<3>", "<2>", "", "<3>", ""] if is_journal else [""] * 7
    assert [line[: line.index("{")] for line in lines] == begun
    assert [json.loads(line[line.index("{") :])["event"] for line in lines] == LINES
