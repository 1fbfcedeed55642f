"""What a client sends to sell a recharge, checked by hand.

This is the one place where REST framework's serializers are left out, because here they are what costs: a serializer
takes 51 µs for a sale, this 3, and a bulk call has a thousand of them. The codes are those that the serializers of the
other endpoints give; NewRechargeSerializer and ItemSerializer describe the same fields to the OpenAPI document.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from recharge.operators import OPERATOR_CODE, Operator, operator_of
from shared.errors import InvalidRequest
from shared.idempotency import KEY_RULE, is_idempotency_key
from shared.money import LARGEST_AMOUNT
from shared.phones import InvalidPhoneNumber, normalize_phone_number
from shared.strict_json import MOST_UNKNOWN_FIELDS

_SALE = frozenset(("phone_number", "amount", "operator", "allow_duplicate"))
_ITEM = frozenset((*_SALE, "idempotency_key"))
_OPERATORS = {operator.value for operator in Operator}
_OPERATOR = re.compile(OPERATOR_CODE)
UNKNOWN_OPERATOR = "There is no such operator; GET /operators has those that there are."
_REQUIRED = ("required", "This field is required.")
_NULL = ("null", "This field may not be null.")


@dataclass(frozen=True, slots=True)
class Item:
    """One recharge to sell, alone or with others: an E.164 number, an operator, an amount in Tomans."""

    phone_number: str
    operator: str
    amount: int
    idempotency_key: str = ""
    """Empty where nothing is to be sold yet: no recharge has such a key."""
    allow_duplicate: bool = field(default=False, kw_only=True)
    """Whether it is meant, even if the same was sold a moment ago."""


def read_sale(body: Mapping[str, Any], idempotency_key: str = "") -> Item:
    """The sale of a request that sells one recharge, whose key is in a header.

    Raises :class:`InvalidRequest` with an error for each field at fault.
    """
    faults, values = _read(body, _SALE)
    if faults:
        raise _invalid(faults)
    return Item(idempotency_key=idempotency_key, **values)


def read_item(item: Any) -> Item:
    """One of the recharges of a bulk call, which has its key.

    Raises :class:`InvalidRequest` with an error for each field at fault.
    """
    if not isinstance(item, Mapping):
        raise InvalidRequest.of_field("item", "not_an_object", "This must be a JSON object.")
    faults, values = _read(item, _ITEM)
    key = item.get("idempotency_key", "")
    if "idempotency_key" not in item:
        faults.append(("idempotency_key", *_REQUIRED))
    elif not isinstance(key, str) or not is_idempotency_key(key):
        faults.append(("idempotency_key", "invalid", KEY_RULE))
    if faults:
        raise _invalid(faults)
    return Item(idempotency_key=key, **values)


def _read(body: Mapping[str, Any], known: frozenset[str]) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    if not body.keys() <= known:
        unknown = islice((name for name in body if name not in known), MOST_UNKNOWN_FIELDS)
        detail = f"There is no such field. Known: {', '.join(sorted(known))}."
        return [(name or "body", "unknown_field", detail) for name in unknown], {}
    faults: list[tuple[str, str, str]] = []
    values: dict[str, Any] = {}

    phone_number = body.get("phone_number")
    if phone_number is None:
        faults.append(("phone_number", *(_NULL if "phone_number" in body else _REQUIRED)))
    elif not isinstance(phone_number, str):
        faults.append(("phone_number", "not_a_string", "This must be a string."))
    else:
        try:
            values["phone_number"] = normalize_phone_number(phone_number)
        except InvalidPhoneNumber as error:
            faults.append(("phone_number", error.code, str(error)))

    amount = body.get("amount")
    if type(amount) is int:  # bool is an int, and 5000.0 == 5000
        if amount < 1:
            faults.append(("amount", "too_small", "This must be at least 1 Toman."))
        elif amount > LARGEST_AMOUNT:
            faults.append(("amount", "too_large", f"This must be at most {LARGEST_AMOUNT} Tomans."))
        else:
            values["amount"] = amount
    elif amount is None:
        faults.append(("amount", *(_NULL if "amount" in body else _REQUIRED)))
    else:
        detail = "This must be a whole number of Tomans, written as a JSON integer."
        faults.append(("amount", "not_an_integer", detail))

    if "operator" in body:
        operator = body["operator"]
        # Whether the organization has added one of this name is decided with the sale (recharge_terms_of).
        if isinstance(operator, str) and (operator in _OPERATORS or _OPERATOR.match(operator)):
            values["operator"] = operator
        elif operator is None:
            faults.append(("operator", *_NULL))
        else:
            faults.append(("operator", "invalid_choice", UNKNOWN_OPERATOR))
    elif "phone_number" in values:
        found = operator_of(values["phone_number"])
        if found is None:
            faults.append(("operator", "unknown_operator", "The operator of this number is not known; name it."))
        else:
            values["operator"] = found.value

    if "allow_duplicate" in body:
        values["allow_duplicate"] = body["allow_duplicate"]
        if not isinstance(body["allow_duplicate"], bool):
            faults.append(("allow_duplicate", "invalid", "Must be a valid boolean."))
    return faults, values


def _invalid(faults: list[tuple[str, str, str]]) -> InvalidRequest:
    errors = [{"field": field, "code": code, "detail": detail} for field, code, detail in faults]
    return InvalidRequest(f"{errors[0]['field']}: {errors[0]['detail']}", errors=errors)
