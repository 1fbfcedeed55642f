"""Serializer bases and fields take JSON as it is: they drop nothing unknown, and convert nothing in silence."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from rest_framework import serializers

from shared.database import LARGEST_ID
from shared.money import LARGEST_AMOUNT
from shared.phones import InvalidPhoneNumber, normalize_phone_number
from shared.strict_json import MOST_UNKNOWN_FIELDS
from shared.texts import unfit_character

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer for a request's body: a field that it does not know is an error, not a misspelling dropped."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = list(islice((str(name) for name in data if name not in self.fields), MOST_UNKNOWN_FIELDS))
            if unknown:
                detail = "There is no such field. Known: " + (", ".join(self.fields) or "none") + "."
                error = serializers.ErrorDetail(detail, code="unknown_field")
                raise serializers.ValidationError({name: [error] for name in unknown})
        return super().to_internal_value(data)


class StringField(serializers.CharField):
    """Text that must be a JSON string; surrounding white space is removed."""

    default_error_messages = {"invalid": "This must be a string."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ReadableField(StringField):
    """A name, a note or a reason: text for people, without characters that nobody sees or that no document may hold.
    ``lines`` allows line feeds."""

    default_error_messages = {"unfit_character": "This has a character that can't be seen or kept: {mark}."}

    def __init__(self, *, lines: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.lines = lines

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if unfit := unfit_character(text, lines=self.lines):
            self.fail("unfit_character", mark=unfit)
        return text


class PasswordField(serializers.CharField):
    """A password, taken to the letter (no white space is removed), write-only."""

    default_error_messages = {"invalid": "This must be a string."}

    def __init__(self, **options: Any) -> None:
        super().__init__(write_only=True, trim_whitespace=False, max_length=1024, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumberField(serializers.IntegerField):
    """A JSON integer of a range; not ``5.0``, not ``"5"``, not ``true``."""

    default_error_messages = {
        "not_an_integer": "This must be a whole number, written as a JSON integer.",
        "too_small": "This must be at least {least}.",
        "too_large": "This must be at most {most}.",
    }

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        super().__init__(min_value=least, max_value=most, **options)
        self.least, self.most = least, most

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:  # bool is an int, and 5.0 == 5
            self.fail("not_an_integer")
        if data < self.least:
            self.fail("too_small", least=self.least)
        if data > self.most:
            self.fail("too_large", most=self.most)
        number: int = data
        return number


class StrictBooleanField(serializers.BooleanField):
    """``true`` or ``false``; not ``"yes"``, not ``1``."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class IdParameter(serializers.Field[int, str, int, Any]):
    """A query parameter that is a seller's id: ASCII digits, 1 to 2^63 - 1."""

    default_error_messages = {"invalid": "This must be an id: a whole number from 1 to 9223372036854775807."}

    def to_internal_value(self, data: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", data) or not 1 <= int(data) <= LARGEST_ID:
            self.fail("invalid")
        return int(data)

    def to_representation(self, value: int) -> int:
        return value


class TimeParameter(serializers.Field[datetime, str, str, Any]):
    """A query parameter that is an RFC 3339 time with its zone."""

    default_error_messages = {
        "invalid": "This must be an RFC 3339 time with a zone, as 2026-11-24T08:30:00Z (write a + as %2B)."
    }

    def to_internal_value(self, data: str) -> datetime:
        if not _RFC3339.fullmatch(data) or not data.isascii():
            self.fail("invalid")
        try:
            return datetime.fromisoformat(data.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class TimeField(TimeParameter):
    """The same in a body."""

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class DayField(serializers.Field[date, Any, str, Any]):
    """A day as ``YYYY-MM-DD``, Gregorian."""

    default_error_messages = {"invalid": "This must be a day: YYYY-MM-DD."}

    def to_internal_value(self, data: Any) -> date:
        # fromisoformat() reads days of a week (2026-W48-5), too.
        if not isinstance(data, str) or not _DAY.fullmatch(data):
            self.fail("invalid")
        try:
            return date.fromisoformat(data)
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: date) -> str:
        return value.isoformat()


class TomansField(serializers.Field[int, Any, int, Any]):
    """An amount of 1 to 1,000,000,000,000 Tomans; only a JSON integer will do (``5000.0`` and ``"5000"`` will not)."""

    default_error_messages = {
        "not_an_integer": "This must be a whole number of Tomans, written as a JSON integer.",
        "too_small": "This must be at least 1 Toman.",
        "too_large": f"This must be at most {LARGEST_AMOUNT} Tomans.",
    }

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:  # bool is an int, and 5000.0 == 5000
            self.fail("not_an_integer")
        if data < 1:
            self.fail("too_small")
        if data > LARGEST_AMOUNT:
            self.fail("too_large")
        amount: int = data
        return amount

    def to_representation(self, value: int) -> int:
        return value


class SignedTomansField(serializers.Field[int, Any, int, Any]):
    """An amount of -1,000,000,000,000 to 1,000,000,000,000 Tomans, but 0; only a JSON integer will do."""

    default_error_messages = {
        "not_an_integer": "This must be a whole number of Tomans, written as a JSON integer.",
        "zero": "This must not be 0.",
        "too_small": f"This must be at least -{LARGEST_AMOUNT} Tomans.",
        "too_large": f"This must be at most {LARGEST_AMOUNT} Tomans.",
    }

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:  # bool is an int, and 5000.0 == 5000
            self.fail("not_an_integer")
        if data == 0:
            self.fail("zero")
        if data < -LARGEST_AMOUNT:
            self.fail("too_small")
        if data > LARGEST_AMOUNT:
            self.fail("too_large")
        amount: int = data
        return amount

    def to_representation(self, value: int) -> int:
        return value


class PhoneNumberField(serializers.Field[str, Any, str, Any]):
    """A phone number in a body or a query: any usual way of writing in, E.164 out."""

    default_error_messages = {"not_a_string": "This must be a string."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_a_string")
        try:
            return normalize_phone_number(data)
        except InvalidPhoneNumber as error:
            raise serializers.ValidationError(str(error), code=error.code) from None

    def to_representation(self, value: str) -> str:
        return value
