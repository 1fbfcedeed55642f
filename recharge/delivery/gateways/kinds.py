"""The kinds of gateways, a row each, and the gateways of an organization, as its settings say.

A new kind is its class in a file beside this one, and its row below. The API's choices and checks, the pages'
forms and words, and the delivery read the row.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from recharge.delivery.gateways import Gateway, GatewayMisconfigured, GatewayOptions
from recharge.delivery.gateways.http import HttpGateway
from recharge.delivery.gateways.instant import InstantGateway
from recharge.delivery.gateways.simulator import SimulatorGateway
from recharge.models import GatewaySettings
from shared.outbound.secrets import SecretUnreadable, decrypt
from shared.texts import to_translate
from tenants.models import Organization

_log = structlog.get_logger("recharge.gateways")

TIME_LIMITS = ("connect_timeout_ms", "read_timeout_ms")
"""The settings that have a default."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of gateway. Its settings are columns of GatewaySettings."""

    name: str
    """What the API calls it and the settings store."""
    label: str
    explanation: str
    """What people call it and what it does, in English; the pages translate both."""
    make: Callable[[GatewayOptions], Gateway]
    """Makes one as it was set up; raises GatewayMisconfigured where it can't be used so."""
    needs: tuple[str, ...] = ()
    """The settings that it must have."""
    may_have: tuple[str, ...] = ()
    """Those that may be left empty."""
    delivers: bool = True
    """Whether a recharge that is sent through it reaches an operator."""

    def has(self, setting: str) -> bool:
        return setting in self.needs or setting in self.may_have


_KINDS = (
    Kind(
        InstantGateway.kind,
        to_translate("Instant"),
        to_translate("Succeeds at once and calls nobody. For trying things out, and for training."),
        lambda _: InstantGateway(),
        delivers=False,
    ),
    Kind(
        SimulatorGateway.kind,
        to_translate("Simulator"),
        to_translate(
            "A sandbox: the last two digits of the number decide whether a recharge succeeds, fails, "
            "is slow or times out. Nothing is sent to an operator."
        ),
        lambda _: SimulatorGateway(),
        delivers=False,
    ),
    Kind(
        HttpGateway.kind,
        to_translate("HTTP"),
        to_translate(
            "Calls an operator's server over https. Each request is signed with the secret that you share with it."
        ),
        HttpGateway.of,
        needs=("url", "secret", *TIME_LIMITS),
        may_have=("key_id",),
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
"""All kinds by their names, in the order in which they are offered."""


def kind_of(row: GatewaySettings) -> Kind | None:
    """The kind of a gateway that is set up; None: there is none of this name (any longer)."""
    return KINDS.get(row.kind)


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
    kind = kind_of(row)
    if kind is None:
        raise GatewayMisconfigured(f"There is no kind of gateway called {row.kind!r}.")
    try:
        secret = decrypt(row.secret) if row.secret else ""
    except SecretUnreadable as error:
        raise GatewayMisconfigured(f"The secret can't be read. {error}") from None
    return kind.make(
        GatewayOptions(
            organization_id=organization.pk,
            url=row.url,
            key_id=row.key_id,
            secret=secret,
            connect_timeout=row.connect_timeout_ms / 1000,
            read_timeout=row.read_timeout_ms / 1000,
        )
    )
