"""Fixtures of several tests of recharges."""

import pytest

from recharge.models import GatewaySettings, OperatorSettings
from tests.support.world import Organization


@pytest.fixture
def slow(acme: Organization) -> None:
    """Recharges of MCI stay pending: nobody delivers here, and its gateway wants a worker."""
    with acme.context:
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="mci", gateway=gateway)
