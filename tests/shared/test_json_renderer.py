"""JSON by orjson, and as REST framework writes it: the same bytes."""

import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from rest_framework import renderers
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList

from credit.models import CreditRequest
from shared.rest.renderers import JSONRenderer

VALUES: list[Any] = [
    None,
    {},
    [],
    "",
    {"text": 'مریم 😀 \u200e \u2028 \u2029 \x00 \x1f \x7f " \\ / <&> \b\f\n\r\t'},
    [0, -1, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, True, False],
    [2**64, -(2**63) - 1, 10**30],
    datetime(2026, 11, 27, 12, tzinfo=UTC),
    datetime(2026, 11, 27, 12, 0, 0, 120000, tzinfo=UTC),
    datetime(999, 1, 2, 3, 4, 5, 1, tzinfo=timezone(timedelta(hours=3, minutes=30))),
    datetime(2026, 11, 27, 12, tzinfo=ZoneInfo("Asia/Tehran")),
    datetime(2026, 11, 27, 12),  # noqa: DTZ001 - whatever it is
    date(2026, 11, 27),
    timedelta(days=1, seconds=1),
    uuid.UUID(int=7),
    Decimal("1.50"),
    (1, (2, 3)),
    {1: "one", None: "nothing", False: "no"},
    {"lazy": gettext_lazy("Yes"), "safe": mark_safe("<b>")},
    OrderedDict(b=1, a=CreditRequest.Status.PENDING),
    ReturnDict({"a": 1}, serializer=None),
    ReturnList([{"a": 1}], serializer=None),
    {"generated": range(3)},
    "\ud800",
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("media_type", [None, "application/json", "application/json; indent=2"])
def test_it_is_what_rest_framework_writes(value: Any, media_type: str | None) -> None:
    assert outcome(JSONRenderer(), value, media_type) == outcome(renderers.JSONRenderer(), value, media_type)


def outcome(renderer: Any, value: Any, media_type: str | None) -> Any:
    try:
        return renderer.render({"value": value} if value is not None else None, media_type)
    except Exception as error:  # noqa: BLE001 - it is compared
        return type(error)
