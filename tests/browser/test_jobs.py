"""The daily jobs, at their price: no more keys, clicks and loads than tests/browser/jobs.py wants."""

from collections.abc import Callable

from tests.browser.jobs import JOBS, Hands, do, furnish
from tests.browser.people import Guest
from tests.support.server import Server


def test_no_job_takes_more_than_is_wanted(delivering: Server, open_window: Callable[..., Guest]) -> None:
    people = furnish(delivering.address)
    above = {}
    for job in JOBS:
        guest = open_window(delivering).become(people[job.who])
        hands = Hands(guest.page, lambda path, guest=guest: guest.url("acme", path))
        do(job, hands)
        assert guest.complaints == []
        if over := job.wanted.exceeded(hands):
            above[job.name] = over
    assert above == {}
