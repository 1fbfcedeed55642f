"""A worker's claims: held until they are recorded, also where it has claimed the same row twice."""

from datetime import timedelta
from uuid import uuid4

from tenants.leases import Leases

LONG = timedelta(hours=1)


def test_a_row_that_was_claimed_again_is_held_until_both_claims_are_recorded() -> None:
    """The first one's lease ran out, and the row was due again, for the same worker too."""
    leases, row = Leases(LONG), uuid4()
    leases.begin(1, row, "first")
    leases.begin(1, row, "second")
    leases.end(1, row)
    assert leases.mark(1, row) == "second"
    assert leases.is_good(1, row)
    leases.end(1, row)
    assert not leases.is_good(1, row)
    assert leases.seconds_until_renewal(1) == float("inf")


def test_what_was_renewed_keeps_its_claims_and_has_the_new_mark() -> None:
    leases, row, other = Leases(timedelta(0)), uuid4(), uuid4()
    for one in (row, row, other):
        leases.begin(1, one, "old")
    leases._held[1][row].renew_at = 0.0
    assert leases.to_be_renewed(1) == {row: "old"}
    leases.renewed(1, {row: "new"})
    leases.end(1, row)
    assert leases.mark(1, row) == "new"
    assert leases.mark(1, other) == "old"
