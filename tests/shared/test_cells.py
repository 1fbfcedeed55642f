"""Cells of workbooks, as the database writes them and as Python does."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F, JSONField, UUIDField, Value
from django_tenants.utils import tenant_context

from credit.models import Seller
from shared.console.workbooks import _cell
from tenants import exports
from tenants.cells import read_cells
from tenants.exports import cells_of, pages_of
from tests.support.odd_sellers import open_odd_sellers
from tests.support.world import Organization

NAMES = [
    "plain",
    "",
    'said "so"',
    "a\\b",
    "two\nlines\ttabs",
    "مریم، فروشنده",
    "=SUM(A1)",
    "%s {}",
    "\u2028 \u200e 😀",
    "\x01",
]
COLUMNS = (
    "name",
    "id",
    "is_active",
    "parent_id",
    "created_at",
    "number",
    "nothing",
    "never",
    "unclear",
    "largest",
    "uuid",
    "no_uuid",
)
TIMES = [
    datetime(2026, 11, 27, 12, tzinfo=UTC),
    datetime(2026, 11, 27, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(999, 1, 2, 3, 4, 5, 1, tzinfo=UTC),
]


@pytest.fixture
def odd(acme: Organization) -> Organization:
    """An organization with a seller for each of the names."""
    open_odd_sellers(acme, NAMES, TIMES)
    return acme


def rows(**conditions: Any) -> Any:
    return Seller.objects.filter(id__gte=1000, **conditions).annotate(
        number=F("id") * -1,
        nothing=F("parent__name"),
        never=F("parent__created_at"),
        unclear=F("parent__is_active"),
        largest=Value(2**53 - 1),
        uuid=Value(UUID(int=7), UUIDField()),
        no_uuid=Value(None, UUIDField()),
    )


@pytest.mark.parametrize("at_a_time", [1, 7, len(NAMES), 2000])
@pytest.mark.parametrize("descending", [True, False])
def test_the_database_writes_what_python_does(
    odd: Organization, descending: bool, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", at_a_time)
    of_database = [row for page in cells_of(odd.row, rows, COLUMNS, descending=descending) for row in page]
    of_python = [
        [_cell(row[name]) for name in COLUMNS]
        for page in pages_of(odd.row, rows, descending=descending)
        for row in page
    ]
    assert of_database == of_python
    assert len(of_database) == len(NAMES)


def test_of_no_rows_there_are_no_cells(odd: Organization) -> None:
    with tenant_context(odd.row):
        for none in (Seller.objects.none(), Seller.objects.filter(id=-1)):
            assert read_cells(none, ["id"], "pk") == ([], 0, None)


def test_a_column_that_it_does_not_write_is_an_error(odd: Organization) -> None:
    with tenant_context(odd.row), pytest.raises(TypeError, match="JSONField"):
        read_cells(Seller.objects.annotate(odd=Value({}, JSONField())), ["odd"], "pk")
