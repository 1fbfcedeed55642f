"""Path converters of URLs. Importing this module registers them."""

from django.urls import register_converter
from django.urls.converters import UUIDConverter

from shared.database import LARGEST_ID


class BigIntConverter:
    """A positive ``bigint``. What is beyond is no address at all: 404."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if not 1 <= number <= LARGEST_ID:
            raise ValueError(value)
        return number

    def to_url(self, value: int) -> str:
        return str(value)


class AnyCaseUUIDConverter(UUIDConverter):
    """A UUID, in capitals too: RFC 9562 section 4 has both read."""

    regex = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


register_converter(AnyCaseUUIDConverter, "any_uuid")
register_converter(BigIntConverter, "bigint")
