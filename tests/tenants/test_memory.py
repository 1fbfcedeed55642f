"""What looks at many schemas does not let its connection gather all of them. (Of requests: test_routing.py.)"""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management.base import OutputWrapper
from django.db import connection, transaction
from django.utils import timezone

from recharge.reports.books import prove_books
from recharge.reports.sums import figures_of
from tenants.models import Organization
from tenants.one_by_one import OneByOne
from tenants.schemas import states_of
from tests.support.world import World


def look_at_states(rows: list[Organization]) -> None:
    states_of([row.schema_name for row in rows])


def look_thoroughly(rows: list[Organization]) -> None:
    states_of([row.schema_name for row in rows], thorough=True)


def look_at_figures(rows: list[Organization]) -> None:
    figures_of(rows, since=timezone.now())


def prove(rows: list[Organization]) -> None:
    list(prove_books(rows))


def go_through_them(rows: list[Organization]) -> None:
    one_by_one = OneByOne(OutputWrapper(sys.stderr))
    for row in rows:
        with one_by_one.of(row.slug), connection.cursor() as cursor:
            cursor.execute("SELECT")


@pytest.mark.parametrize("look", [look_at_states, look_thoroughly, look_at_figures, prove, go_through_them])
def test_it_is_closed_in_time(look: Callable[[list[Organization]], None], world: World, settings: Any) -> None:
    rows = [world.acme.row, world.globex.row]
    connection.ensure_connection()
    before = connection.connection
    look(rows)
    assert not before.closed  # two are few
    settings.ORGANIZATIONS_PER_CONNECTION = 1
    look(rows)
    assert before.closed
    with transaction.atomic():  # whose work would be lost
        before = connection.connection
        look(rows)
        assert connection.connection is before
