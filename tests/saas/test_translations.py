"""Every text of the pages is there in Persian."""

import re

import pytest
from babel.messages.catalog import Catalog, Message

from tests.support.messages import Text, catalog, compiled, texts

TEXTS = texts()


def _strings(message: Message) -> list[str]:
    return list(message.string) if isinstance(message.string, tuple | list) else [message.string]


def test_texts_are_found_in_code_and_templates() -> None:
    found = {text.singular for text in TEXTS}
    assert "Sign in" in found
    assert "Username" in found
    assert len(found) > 100


@pytest.mark.parametrize("text", {text.singular: text for text in TEXTS}.values(), ids=lambda text: text.singular[:40])
def test_it_is_translated(text: Text) -> None:
    message = catalog().get(text.singular)
    assert message, f"{text.place}: run deploy/messages.sh"
    assert all(_strings(message)), f"{text.place}: {text.singular!r} has no Persian in saas/locale"
    assert not message.fuzzy
    for string in _strings(message):
        # The same placeholders, however they are ordered.
        pattern = r"%\(\w+\)[sd]"
        assert set(re.findall(pattern, string)) == set(re.findall(pattern, text.singular + (text.plural or ""))), text
        letters = re.sub(r"%\(\w+\)[sd]|<[^>]+>", "", string)
        assert re.search("[\u0600-\u06ff]", letters), f"{text.singular!r} is not Persian: {string!r}"


def test_what_is_used_is_what_is_written() -> None:
    def strings(of: Catalog) -> dict[str, list[str]]:
        return {str(list(message.id)): _strings(message) for message in of if message.id}

    assert strings(compiled()) == strings(catalog())
