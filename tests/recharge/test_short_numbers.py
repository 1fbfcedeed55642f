"""The short number on a receipt: one of each recharge, found again however it is written, by whom it concerns alone."""

import uuid

import pytest

from recharge.selling.short_numbers import recharge_of_short_number, short_number
from shared.errors import NotFound
from tests.support.world import Organization, give_credit


def test_a_recharge_has_one_and_is_found_by_it(acme: Organization) -> None:
    numbers, member, neighbour = {}, acme.member.id, acme.neighbour.id
    for person in (acme.member, acme.neighbour):
        give_credit(acme.row, person.id, 50_000)
        for _ in range(2):
            numbers[uuid.UUID(person.sell().json["id"])] = person.id
    with acme.context:
        written = {short_number(pk, seller_id=seller): pk for pk, seller in numbers.items()}
        assert sorted(written) == sorted(f"{seller}-{number}" for seller in (member, neighbour) for number in (2, 3))
        for number, pk in written.items():
            found = recharge_of_short_number(number, seller_id=None)
            assert found is not None
            assert found.pk == pk
        (own, *_) = (pk for pk, seller in numbers.items() if seller == member)
        for way in (f" {member} – 2 ", f"{member}/2", "۰۱۲۳۴۵۶۷۸۹"[member] + "-۲", f"\u200e{member}\u2212{2}"):
            found = recharge_of_short_number(way, seller_id=member)
            assert found is not None, way
            assert found.pk == own
        # Another's, none at all, a credit's entry, no number, beyond a bigint.
        assert recharge_of_short_number(f"{neighbour}-2", seller_id=member) is None
        for none in (f"{member}-9", f"{member}-1", "", "2", "-2", "1-2-3", "9" * 19 + "-1", "1-" + "9" * 30, "\0-1"):
            assert recharge_of_short_number(none, seller_id=None) is None, none
        with pytest.raises(NotFound):
            short_number(uuid.uuid4(), seller_id=member)
