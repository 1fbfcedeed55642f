"""The daily jobs of tests/browser/jobs.py, done to their end and at their price: no more keys, clicks and loads than is
wanted."""

from collections.abc import Callable

from tests.browser.jobs import JOBS, Hands, do, furnish
from tests.browser.people import Guest
from tests.support.server import Server


def test_each_job_comes_to_its_end_and_takes_no_more_than_is_wanted(
    delivering: Server, open_window: Callable[..., Guest]
) -> None:
    stage = furnish(delivering.address)
    above = {}
    for job in JOBS:
        guest = open_window(delivering).become(stage.people[job.who])
        hands = Hands(guest.page, lambda path, guest=guest: guest.url("acme", path))
        do(job, hands, stage)
        assert guest.complaints == []
        if over := job.wanted.exceeded(hands):
            above[job.name] = over
    assert above == {}
