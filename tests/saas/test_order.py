"""The order in which tests begin (tests/support/order.py)."""

import pytest

from tests.support.order import deal


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize(("long", "short"), [(7, 20), (20, 7), (0, 5), (5, 0), (1, 1)])
def test_each_process_begins_with_its_share_of_what_takes_long(long: int, short: int, processes: int) -> None:
    order = deal([f"long {n}" for n in range(long)], [f"short {n}" for n in range(short)], processes=processes)
    assert len(set(order)) == len(order) == long + short
    left, shares = order, []
    for others in range(processes, 0, -1):  # as pytest-xdist does
        share, left = left[: len(left) // others], left[len(left) // others :]
        shares.append(sum(name.startswith("long") for name in share))
        assert [name.startswith("long") for name in share] == sorted(
            (name.startswith("long") for name in share), reverse=True
        )
    assert max(shares) - min(shares) <= 1
