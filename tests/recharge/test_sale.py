"""A sale over HTTP: what it answers, what it leaves behind."""

import pytest

from tests.world import Organization, give_credit


@pytest.fixture
def funded(acme: Organization) -> Organization:
    """acme, whose member has 1,000,000 Tomans."""
    give_credit(acme.row, acme.member.id, 1_000_000)
    return acme


def test_it_debits_exactly_the_amount(funded: Organization) -> None:
    answer = funded.member.sell(5000)
    assert answer.status == 201
    assert answer.json["balance_after"] == 995_000
    assert funded.member.balance() == 995_000


def test_a_replay_sells_nothing(funded: Organization) -> None:
    first = funded.member.sell(5000, key="k")
    again = funded.member.sell(5000, key="k")
    assert (first.status, again.status) == (201, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.json == first.json
    assert funded.member.balance() == 995_000
