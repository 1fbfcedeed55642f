"""Selling many recharges with one request."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from credit.api.permissions import needs
from credit.errors import InsufficientCredit
from credit.services import Written
from recharge.api.recharges import OperatorField, RechargeSerializer
from recharge.selling.errors import NotSold
from recharge.selling.queries import Sold
from recharge.selling.rendering import rendered_recharge
from recharge.selling.sale import Item, read_item
from recharge.selling.services import sell_recharges
from shared.errors import InvalidRequest, Problem
from shared.idempotency import KEY_PATTERN, LONGEST_KEY
from shared.identity.permissions import Permission
from shared.identity.roles import own_seller_of
from shared.rest.authentication import require_principal
from shared.rest.fields import PhoneNumberField, StrictBooleanField, StrictSerializer, TomansField
from shared.rest.openapi import has_at_times
from shared.rest.parsers import body_of
from shared.rest.permissions import AskedInStatement
from shared.rest.views import APIView
from tenants.routing import organization_of

MOST_ITEMS = 1000


class ItemSerializer(StrictSerializer):
    """For the OpenAPI document; sale.read_item is what reads one."""

    idempotency_key = serializers.RegexField(KEY_PATTERN, max_length=LONGEST_KEY)
    phone_number = PhoneNumberField()
    amount = TomansField()
    operator = OperatorField(required=False)
    allow_duplicate = StrictBooleanField(default=False)


class BulkSerializer(StrictSerializer):
    items = serializers.ListField(child=ItemSerializer(), min_length=1, max_length=MOST_ITEMS)
    atomic = StrictBooleanField(default=False, help_text="Sell all or none.")


@extend_schema_field({"$ref": "#/components/schemas/Problem"})
class ProblemField(serializers.DictField):
    """For the OpenAPI document: a problem document inside another answer."""


@has_at_times("recharge", "problem")
class ItemResultSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    outcome = serializers.ChoiceField(["created", "replayed", "refused"])
    recharge = RechargeSerializer(required=False)
    problem = ProblemField(required=False)


class BulkResultSerializer(serializers.Serializer[Any]):
    results = ItemResultSerializer(many=True)
    created = serializers.IntegerField()
    replayed = serializers.IntegerField()
    refused = serializers.IntegerField()
    balance = serializers.IntegerField(help_text="Tomans, after the call.")


_PROBLEM = {"$ref": "#/components/schemas/Problem"}
# What a success has, beside the problem's own members.
_REFUSED = {"allOf": [_PROBLEM, {"$ref": "#/components/schemas/BulkResult"}]}


class BulkRefused(Problem):
    """400 or 402: an item of an atomic call was refused; nothing was written."""

    def __init__(self, problem: Problem, members: dict[str, Any]) -> None:
        """``problem`` is the one of an item that the call as a whole is answered with: 402, or 400 for any other."""
        self.status, self.code, self.title = problem.status, problem.code, problem.title
        detail = problem.detail
        if isinstance(problem, InsufficientCredit):
            # Not of this item alone: what it comes to with those before it that would have been sold.
            balance = members["balance"]
            required = balance - problem.members["balance"] + problem.members["required"]
            members = members | {"required": required}
            detail = f"the balance is {balance}; up to and with the first item beyond it, {required} Tomans are needed."
        else:
            self.status, self.code, self.title = 400, InvalidRequest.code, InvalidRequest.title
        super().__init__(f"Nothing was sold: {detail}", **problem.members | members)


class RechargesBulkView(APIView):
    permission_classes = (needs(AskedInStatement(Permission.SELL)),)
    answers_replays = True
    largest_body = 2 * 1024 * 1024

    @extend_schema(
        request=BulkSerializer,
        responses={
            200: BulkResultSerializer,
            (400, "application/problem+json"): {"anyOf": [_REFUSED, _PROBLEM]},  # or the call itself is malformed
            (402, "application/problem+json"): _REFUSED,
        },
    )
    def post(self, request: Request) -> Response:
        """Sell 1 to 1,000 recharges, decided in their order.

        A refused item does not keep the others from being sold, unless `atomic`: then all are sold or none is, and any
        refusal answers 402 or 400, with the results.
        """
        given, atomic = _read(body_of(request))
        read = [_item_or_problem(item) for item in given]
        items = [item for item in read if isinstance(item, Item)]
        principal = require_principal(request)
        sold = sell_recharges(
            organization=organization_of(request._request),
            seller_id=own_seller_of(principal),
            items=items,
            atomic=atomic,
            others_refused=len(items) < len(read),
            access=principal.access,
        )
        decided = iter(sold.results)
        results = [item if isinstance(item, Problem) else next(decided) for item in read]
        outcomes = Counter(_outcome(result) for result in results)
        answer = {
            "results": [_rendered(index, result) for index, result in enumerate(results)],
            **{outcome: outcomes[outcome] for outcome in ("created", "replayed", "refused")},
            "balance": sold.balance,
        }
        if atomic and outcomes["refused"]:
            problems = [result for result in results if isinstance(result, Problem)]
            raise BulkRefused(min(problems, key=lambda problem: (isinstance(problem, NotSold), problem.status)), answer)
        return Response(answer)


def _read(body: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """The items, unread, and whether all or none are to be sold.

    Raises:
        InvalidRequest: the call as a whole is malformed.
    """
    for name in body:
        if name not in ("items", "atomic"):
            raise InvalidRequest.of_field(name, "unknown_field", "There is no such field. Known: items, atomic.")
    atomic = body.get("atomic", False)
    if not isinstance(atomic, bool):
        raise InvalidRequest.of_field("atomic", "invalid", "Must be a valid boolean.")
    if "items" not in body:
        raise InvalidRequest.of_field("items", "required", "This field is required.")
    items = body["items"]
    if not isinstance(items, list):
        raise InvalidRequest.of_field("items", "not_a_list", "This must be a list of objects.")
    if not 1 <= len(items) <= MOST_ITEMS:
        code = "too_many" if items else "empty"
        raise InvalidRequest.of_field("items", code, f"A call has 1 to {MOST_ITEMS} items; this one has {len(items)}.")
    return items, atomic


def _item_or_problem(item: Any) -> Item | Problem:
    try:
        return read_item(item)
    except InvalidRequest as problem:
        return problem


def _outcome(result: Written[Sold] | Problem) -> str:
    if isinstance(result, Problem):
        return "refused"
    return "replayed" if result.is_replay else "created"


def _rendered(index: int, result: Written[Sold] | Problem) -> dict[str, Any]:
    if isinstance(result, Problem):
        return {"index": index, "outcome": _outcome(result), "problem": result.document()}
    return {"index": index, "outcome": _outcome(result), "recharge": rendered_recharge(result.row)}
