"""Path converters; importing this module registers them."""

from django.urls import register_converter

from shared.fields import LARGEST_ID


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


register_converter(BigIntConverter, "bigint")
