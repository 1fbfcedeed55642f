"""A pytest plugin: in which order the files of tests begin. It is random but for two things.

Those that need a browser are beside each other, so that a process starts one browser, and not one for each file. And
what takes long begins first: a process that has nothing left takes tests from the end of another's, where then short
ones are, and none works alone at last.
"""

import pytest

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

    items.sort(key=place)
