"""Reads of what is sold of an operator and through which gateway. They run on the organization's schema."""

from dataclasses import dataclass

from django.core.cache import cache
from django.db import connection
from django.db.models import QuerySet
from django_tenants.cache import make_key

from recharge.commissions.queries import Rate
from recharge.delivery.gateways.kinds import KINDS
from recharge.models import BUILT_IN_GATEWAY, GatewaySettings, OperatorSettings, Settings
from recharge.operators import Operator
from shared.errors import NotFound

# Each operator there is, with its name (of an added one), and why nothing of it is sold.
_OPERATORS_ON_OFFER = """
    SELECT
        listed.operator, listed.name,
        (
            recharge_terms_made(
                listed.operator, operator.operator IS NOT NULL, operator.amounts, operator.least_amount,
                operator.most_amount, gateway.name, gateway.kind, settings.duplicate_window, settings.training,
                settings.refuses_owing, settings.has_commissions, settings.has_limits
            )
        ).refusal
    FROM (
        SELECT built_in.operator, '' AS name, built_in.place
        FROM unnest(%(built_in)s) WITH ORDINALITY AS built_in (operator, place)
        UNION ALL
        SELECT added.operator, added.name, NULL
        FROM recharge_operatorsettings AS added
        WHERE added.operator <> ALL (%(built_in)s)
    ) AS listed
    LEFT JOIN recharge_settings AS settings ON true
    LEFT JOIN recharge_operatorsettings AS operator ON operator.operator = listed.operator
    LEFT JOIN recharge_gatewaysettings AS gateway ON gateway.id = operator.gateway_id
    ORDER BY listed.place, listed.name, listed.operator
"""

_NAMED = """
    SELECT named.operator, (recharge_terms_of(named.operator)).refusal, rate.basis_points, rate.fixed
    FROM unnest(%s) AS named (operator)
    LEFT JOIN LATERAL commission_rate_of(%s, named.operator) AS rate ON true
"""

_NAMES_SECONDS = 5


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """What an organization has settled for an operator: the name of the gateway that delivers (None: it is not sold),
    and the amounts that are sold, in Tomans: those of a list, or (``amounts`` is None) those from the least to the
    most."""

    operator: str
    name: str
    gateway: str | None
    amounts: list[int] | None
    least_amount: int
    most_amount: int
    refusal: str | None
    """Why nothing of it is sold at all: an outcome of recharge_decide."""
    commission: Rate | None
    """What a seller earns by it; None: nothing."""

    @property
    def has_gateway(self) -> bool:
        return self.gateway not in (None, BUILT_IN_GATEWAY)

    @property
    def is_sold(self) -> bool:
        return self.refusal is None

    def sells(self, amount: int) -> bool:
        """As recharge_is_amount_sold (sql/recharges.sql) has it, for what is shown before a sale."""
        return amount in self.amounts if self.amounts else self.least_amount <= amount <= self.most_amount


def settings() -> Settings:
    """What is settled for the whole organization, or the defaults."""
    return Settings.objects.first() or Settings()


def gateways() -> QuerySet[GatewaySettings]:
    """All gateways that were set up; the built-in one is not among them."""
    return GatewaySettings.objects.filter(retired_at__isnull=True)


def gateway_names(*, most: int) -> list[str]:
    """Names of gateways that were set up, the newest ones if there are more than ``most``."""
    return list(gateways().order_by("-pk").values_list("name", flat=True)[:most])


def gateways_that_deliver_nothing() -> list[str]:
    """The names of operators' gateways that call nobody."""
    kinds = [kind.name for kind in KINDS.values() if not kind.delivers]
    used = gateways().filter(kind__in=kinds, operatorsettings__isnull=False)
    return list(used.order_by("name").values_list("name", flat=True).distinct())


def gateway_by_name(name: str) -> GatewaySettings:
    """Raises :class:`NotFound` where there is none."""
    gateway = gateways().filter(name=name).first()
    if gateway is None:
        raise NotFound("There is no such gateway.")
    return gateway


def terms_of_operators(*, seller_id: int | None = None) -> list[OperatorTerms]:
    """What is settled for each operator there is, or the defaults. The commissions are a seller's, or (None) those of
    sellers who have none of their own."""
    rows = {row.operator: row for row in _operators().order_by("name", "operator")}
    added = [row for operator, row in rows.items() if operator not in Operator]
    built_in = [rows.get(operator.value) or OperatorSettings(operator=operator.value) for operator in Operator]
    return _terms([*built_in, *added], seller_id)


def terms_of_operator(operator: str, *, seller_id: int | None = None) -> OperatorTerms:
    """What is settled for one operator, or the defaults; ``seller_id`` is as for :func:`terms_of_operators`.

    Raises:
        NotFound: it is neither a built-in operator nor one that the organization has added.
    """
    row = _operators().filter(operator=operator).first()
    if row is None and operator not in Operator:
        raise NotFound("There is no such operator.")
    (terms,) = _terms([row or OperatorSettings(operator=operator)], seller_id)
    return terms


def added_operators() -> dict[str, str]:
    """The names of the operators that the organization has added, by their codes."""
    rows = OperatorSettings.objects.exclude(operator__in=Operator.values).order_by("name", "operator")
    return dict(rows.values_list("operator", "name"))


def operators_on_offer() -> list[tuple[str, str, bool]]:
    """Each operator's code, its name (of one that the organization has added; else "") and whether it is sold now: what
    ``terms_of_operators`` takes two queries for, in one."""
    with connection.cursor() as cursor:
        cursor.execute(_OPERATORS_ON_OFFER, {"built_in": Operator.values})
        return [(operator, name, refusal is None) for operator, name, refusal in cursor.fetchall()]


def name_of_added_operator(operator: str) -> str:
    """The name of an operator that the organization has added, of the last seconds (a list shows it in every row); the
    code itself, where there is none."""
    names = cache.get_or_set(_key_of_names(), added_operators, _NAMES_SECONDS) or {}
    return str(names.get(operator, operator))


def forget_operator_names() -> None:
    """So that this process shows a changed name at once."""
    cache.delete(_key_of_names())


def _key_of_names() -> str:
    return str(make_key("operator-names", "", 1))  # with the schema in it


def _operators() -> QuerySet[OperatorSettings]:
    return OperatorSettings.objects.select_related("gateway")


def _terms(rows: list[OperatorSettings], seller_id: int | None) -> list[OperatorTerms]:
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, [[row.operator for row in rows], seller_id])
        found = cursor.fetchall()
    refusals = {operator: refusal for operator, refusal, *_ in found}
    commissions = {operator: Rate(*rate) for operator, _refusal, *rate in found if rate != [None, None]}
    return [
        OperatorTerms(
            operator=row.operator,
            name=str(Operator(row.operator).label) if row.operator in Operator else row.name,
            gateway=row.gateway.name if row.gateway else None if refusals[row.operator] else BUILT_IN_GATEWAY,
            amounts=row.amounts or None,
            least_amount=min(row.amounts, default=row.least_amount),
            most_amount=max(row.amounts, default=row.most_amount),
            refusal=refusals[row.operator],
            commission=commissions.get(row.operator),
        )
        for row in rows
    ]
