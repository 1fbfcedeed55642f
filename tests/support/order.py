"""A pytest plugin: in which order the files of tests begin. It is random but for two things.

Those that need a browser are beside each other, so that a process starts one browser, and not one for each file. And
what takes long begins first, in each process: one that has nothing left takes tests from the end of another's, where
then short ones are, and none works alone at last.
"""

from typing import TypeVar

import pytest

_Test = TypeVar("_Test")

_LONG = ("browser", "faults", "upgrades")
"""The directories whose tests take long, in the order in which they begin. Then come the files with a test that is
marked slow, as they do first in each of these."""


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the order within a file as it is."""
    directories = [config.rootpath / "tests" / name for name in _LONG]
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        number = next((number for number, path in enumerate(directories) if path in item.path.parents), len(_LONG))
        return number, item.path not in slow

    last = (len(_LONG), True)
    long = sorted((item for item in items if place(item) != last), key=place)
    short = [item for item in items if place(item) == last]
    items[:] = deal(long, short, processes=getattr(config, "workerinput", {}).get("workercount", 1))


def deal(long: list[_Test], short: list[_Test], *, processes: int) -> list[_Test]:
    """An order of all of them in which each process begins with its share of the long ones. pytest-xdist cuts it into
    pieces of one length, one for each process."""
    dealt = []
    for left in range(processes, 0, -1):
        of_long, of_all = len(long) // left, (len(long) + len(short)) // left
        of_short = of_all - of_long
        dealt += long[:of_long] + short[:of_short]
        long, short = long[of_long:], short[of_short:]
    return dealt
