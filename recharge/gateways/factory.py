"""The gateways of an organization, as its settings say."""

from recharge.gateways import Gateway
from recharge.gateways.instant import InstantGateway
from recharge.gateways.simulator import SimulatorGateway
from recharge.models import GatewaySettings
from tenants.models import Organization


def gateways_of(organization: Organization) -> dict[str, Gateway]:
    """By name. Runs on the organization's schema; what cannot be made is left out, and logged."""
    return {"instant": InstantGateway()} | {row.name: make_gateway(row) for row in GatewaySettings.objects.all()}


def make_gateway(row: GatewaySettings) -> Gateway:
    """The gateway that a row of the settings describes."""
    match row.kind:
        case GatewaySettings.Kind.INSTANT:
            return InstantGateway()
        case GatewaySettings.Kind.SIMULATOR:
            return SimulatorGateway()
    raise AssertionError(row.kind)
