"""Lines of CSV files, as the database writes them and as Python does."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db.models import F, JSONField, Value
from django_tenants.utils import tenant_context

from credit.models import Seller
from tenants import exports
from tenants.csv_lines import FORMULA, read_lines
from tenants.exports import lines_of, pages_of, texts_of
from tests.support.odd_sellers import open_odd_sellers
from tests.support.world import Organization

NAMES = [
    "plain",
    "",
    " ",
    "'",
    '"',
    '""',
    'said "so"',
    "a,b",
    ",",
    "two\nlines",
    "two\r\nlines",
    "\r",
    "\n",
    "\n5",
    "5\n",
    "+5\n",
    "+989121234567",
    "-5",
    "+5-3",
    "+",
    "-",
    "+5 ",
    "۵",
    "+۵",
    "%s {} %(name)s \\ \\n",
    "مریم، فروشنده",
    "= cmd | '/c calc'!A0",
    *FORMULA,
    *(f"{character}SUM(A1)" for character in FORMULA),
    *(f'{character}A1, "x"' for character in FORMULA),
]
TIMES = [
    datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC),
    datetime(2026, 11, 27, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 11, 27, 12, 0, 0, 120000, tzinfo=UTC),
    datetime(2026, 11, 27, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=3, minutes=30))),
    datetime(999, 1, 2, 3, 4, 5, tzinfo=UTC),
]
COLUMNS = ("id", "name", "is_active", "parent_id", "created_at", "number", "nothing", "half", "id_as_text")


@pytest.fixture
def odd(acme: Organization) -> Organization:
    """An organization with a seller for each of the names."""
    open_odd_sellers(acme, NAMES, TIMES)
    return acme


def rows(**conditions: Any) -> Any:
    return Seller.objects.filter(id__gte=1000, **conditions).annotate(
        number=F("id") * -1, nothing=F("parent__name"), half=Value("a%,"), id_as_text=F("name")
    )


@pytest.mark.parametrize("at_a_time", [1, 7, len(NAMES), 2000])
@pytest.mark.parametrize("descending", [True, False])
def test_the_database_writes_what_python_does(
    odd: Organization, descending: bool, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", at_a_time)
    of_python = texts_of(pages_of(odd.row, rows, descending=descending), COLUMNS)
    of_database = texts_of(lines_of(odd.row, rows, COLUMNS, descending=descending), COLUMNS)
    expected = "".join(of_python)
    assert expected.count("2026-11-27T12:00:00Z") > 1
    assert "".join(of_database) == expected


def test_no_rows_are_no_lines(acme: Organization) -> None:
    with tenant_context(acme.row):
        for none in (Seller.objects.none(), Seller.objects.filter(pk=-1), Seller.objects.filter(pk__in=[])):
            assert read_lines(none, ["id"], "pk") == ("", 0, None)


def test_what_it_cannot_write_is_refused(acme: Organization) -> None:
    with tenant_context(acme.row), pytest.raises(TypeError, match="JSONField"):
        read_lines(Seller.objects.annotate(odd=Value({}, JSONField())), ["odd"], "pk")
