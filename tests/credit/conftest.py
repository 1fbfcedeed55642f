"""What the tests of webhooks begin with."""

from collections.abc import Iterator
from typing import Any

import pytest

from tenants.models import Organization as Row
from tests.support.receiver import Receiver, receiving
from tests.support.world import make_seller


@pytest.fixture
def row(settings: Any) -> Row:
    """An organization, for tests that call a receiver of their own."""
    settings.ALLOW_PRIVATE_ADDRESSES = True
    return Row.objects.get(slug="acme")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def seller_id(row: Row) -> int:
    return make_seller(row, "seller", 100_000).pk
