"""The gateways of an organization, as its settings say."""

import structlog

from recharge.delivery.gateways import Gateway, GatewayMisconfigured
from recharge.delivery.gateways.http import HttpGateway
from recharge.delivery.gateways.instant import InstantGateway
from recharge.delivery.gateways.simulator import SimulatorGateway
from recharge.models import GatewaySettings
from shared.outbound.secrets import SecretUnreadable, decrypt
from tenants.models import Organization

_log = structlog.get_logger("recharge.gateways")


def gateways_of(organization: Organization) -> dict[int, Gateway]:
    """By the id of the row, the retired ones too. Runs on the organization's schema; what cannot be made is left out,
    and logged. (The built-in one is not among them: what is sold through it is never claimed.)"""
    gateways: dict[int, Gateway] = {}
    for row in GatewaySettings.objects.all():
        try:
            gateways[row.pk] = make_gateway(organization, row)
        except GatewayMisconfigured as error:
            _log.error("gateway_misconfigured", organization=organization.slug, gateway=row.name, error=str(error))
    return gateways


def make_gateway(organization: Organization, row: GatewaySettings) -> Gateway:
    """The gateway that a row of the settings describes.

    Raises:
        GatewayMisconfigured: it describes none that could be used.
    """
    match row.kind:
        case GatewaySettings.Kind.INSTANT:
            return InstantGateway()
        case GatewaySettings.Kind.SIMULATOR:
            return SimulatorGateway()
        case GatewaySettings.Kind.HTTP:
            return _http_gateway(organization, row)
    raise GatewayMisconfigured(f"There is no kind of gateway called {row.kind!r}.")


def _http_gateway(organization: Organization, row: GatewaySettings) -> HttpGateway:
    try:
        secret = decrypt(row.secret)
    except SecretUnreadable as error:
        raise GatewayMisconfigured(f"The secret can't be read. {error}") from None
    return HttpGateway(
        organization_id=organization.pk,
        url=row.url,
        key_id=row.key_id,
        secret=secret,
        connect_timeout=row.connect_timeout_ms / 1000,
        read_timeout=row.read_timeout_ms / 1000,
    )
