"""Who sells for whom: a tree of at most five levels, which nobody's circle, guess or second move at once breaks."""

from collections import Counter
from functools import partial
from itertools import pairwise

import psycopg2
import pytest
from django.db import connection
from psycopg2 import errors

from credit.models import DEEPEST_TREE, AuditRecord, Seller
from credit.services import update_seller
from credit.tree import branch_of
from shared.errors import SellerBusy
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.server import working_url
from tests.support.tables import nothing_written
from tests.support.world import PASSWORD, Organization, make_seller


def put(acme: Organization, seller_id: int, parent_id: object) -> Answer:
    return acme.owner.client.patch(f"/sellers/{seller_id}", {"parent_id": parent_id})


def line_of(acme: Organization, levels: int, name: str = "Level") -> list[int]:
    """Sellers, each the parent of the next."""
    sellers = [make_seller(acme.row, f"{name} {level}").pk for level in range(levels)]
    for parent, child in pairwise(sellers):
        assert put(acme, child, parent).status == 200
    return sellers


def ancestors(acme: Organization) -> dict[int, list[int] | None]:
    with acme.context:
        return dict(Seller.objects.values_list("pk", "ancestors"))


def test_a_seller_is_placed_with_all_who_are_below_him(acme: Organization) -> None:
    one, two, three = line_of(acme, 3)
    other = make_seller(acme.row, "Other").pk
    assert (ancestors(acme)[three], ancestors(acme)[two], ancestors(acme)[one]) == ([two, one], [one], None)
    answer = put(acme, two, other)
    assert (answer.status, answer.json["parent_id"]) == (200, other)
    assert (ancestors(acme)[three], ancestors(acme)[two]) == ([two, other], [other])
    assert put(acme, two, other).status == 200  # again: nothing is done
    assert put(acme, two, None).json["parent_id"] is None
    assert (ancestors(acme)[three], ancestors(acme)[two]) == ([two], None)
    with acme.context:
        moves = AuditRecord.objects.filter(action="seller.moved", object=str(two)).order_by("pk")
        assert [(move.actor, move.before["parent_id"], move.after["parent_id"]) for move in moves] == [
            ("owner", None, one),
            ("owner", one, other),
            ("owner", other, None),
        ]
        assert set(branch_of(two).values_list("pk", flat=True)) == {three}


def test_a_new_seller_has_his_place_from_the_beginning(acme: Organization) -> None:
    body = {"name": "Sara", "username": "sara", "password": PASSWORD, "parent_id": acme.member.id}
    made = acme.owner.client.post("/sellers", body)
    assert (made.status, made.json["parent_id"]) == (201, acme.member.id)
    assert ancestors(acme)[made.json["id"]] == [acme.member.id]
    with nothing_written():
        unknown = acme.owner.client.post("/sellers", body | {"username": "omid", "parent_id": 10**9})
    assert unknown.faults == {("parent_id", "no_such_seller")}


def test_it_stays_a_tree_of_five_levels(acme: Organization, globex: Organization) -> None:
    levels = line_of(acme, 5)
    branch = line_of(acme, 2, "Branch")
    off = make_seller(acme.row, "Off").pk
    acme.owner.client.patch(f"/sellers/{off}", {"is_active": False})
    with nothing_written():
        for seller, parent in (
            (levels[0], levels[0]),  # oneself
            (levels[0], levels[1]),  # a child
            (levels[0], levels[4]),  # far below
            (branch[0], levels[3]),  # his child would be the sixth
            (branch[1], levels[4]),  # the sixth
        ):
            answer = put(acme, seller, parent)
            assert (answer.status, answer.code) == (409, "not_a_tree"), (seller, parent)
        answer = put(acme, branch[0], off)
        assert (answer.status, answer.code) == (403, "seller_inactive")
        for bad, code in (
            (10**9, "no_such_seller"),
            (0, "too_small"),
            (-1, "too_small"),
            (2**63, "too_large"),
            ("1", "not_an_integer"),
            (1.0, "not_an_integer"),
            (True, "not_an_integer"),
            ([1], "not_an_integer"),
        ):
            answer = put(acme, branch[0], bad)
            assert (answer.status, answer.faults) == (400, {("parent_id", code)}), bad
        assert put(acme, 10**9, branch[0]).status == 404
    assert put(acme, branch[0], levels[2]).status == 200
    assert ancestors(acme)[branch[1]] == [branch[0], levels[2], levels[1], levels[0]]
    # An id of another organization's is just a number here.
    assert globex.owner.client.patch(f"/sellers/{globex.member.id}", {"parent_id": levels[4]}).status == 400


def test_moves_at_once_never_make_a_circle(acme: Organization) -> None:
    """Each of the two is right as long as the other is not made."""
    one, two, three, four = (make_seller(acme.row, f"Seller {n}").pk for n in range(4))
    put(acme, two, one)
    put(acme, four, three)
    for _ in range(8):
        answers = together([partial(put, acme, one, four), partial(put, acme, three, two)])
        assert Counter(answer.status for answer in answers) == {200: 1, 409: 1}
        placed = ancestors(acme)
        assert all(seller not in (above or []) for seller, above in placed.items())
        for seller in (one, three):
            assert put(acme, seller, None).status == 200


def test_names_and_moves_of_one_seller_at_once_wait_for_each_other(acme: Organization) -> None:
    one, two = line_of(acme, 2)

    def change(parent_id: int | None, name: str) -> object:
        with acme.context:
            return update_seller(organization=acme.row, seller_id=two, parent_id=parent_id, name=name)

    def rename(name: str) -> object:
        with acme.context:
            return update_seller(organization=acme.row, seller_id=two, name=name)

    done = together([partial(change, None, "A"), partial(change, one, "B"), partial(rename, "C")] * 4)
    assert not [one for one in done if isinstance(one, Exception) and not isinstance(one, SellerBusy)]
    with acme.context:
        row = Seller.objects.get(pk=two)
    assert row.ancestors == ([one] if row.parent_id else None)


def test_the_working_role_places_nobody_by_itself(acme: Organization) -> None:
    one, two = line_of(acme, 2)
    with psycopg2.connect(working_url()) as opened, opened.cursor() as cursor:
        for statement in (
            f"UPDATE org_acme.credit_seller SET parent_id = NULL, ancestors = NULL WHERE id = {two}",
            f"UPDATE org_acme.credit_seller SET ancestors = ARRAY[{two}::bigint] WHERE id = {one}",
            "INSERT INTO org_acme.credit_seller (name, is_active, created_at, parent_id, ancestors)"
            f" VALUES ('x', true, now(), {one}, ARRAY[{one}::bigint])",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(statement)
            opened.rollback()
        cursor.execute(f"UPDATE org_acme.credit_seller SET name = 'Other' WHERE id = {two}")
        cursor.execute(f"SELECT outcome FROM org_acme.seller_place({acme.row.pk}, {two}, NULL)")
        assert cursor.fetchone() == ("placed",)
    opened.close()


def test_the_deepest_level_is_said_once(acme: Organization) -> None:
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE oid = 'seller_place'::regproc")
        (source,) = cursor.fetchone()
    assert f"v_levels constant integer := {DEEPEST_TREE};" in source
