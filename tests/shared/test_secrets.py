"""Secrets at rest: what is stored gives nothing away, and only the key that it was stored under reads it."""

import pytest
from pytest_django import Settings

from shared.outbound.secrets import SecretUnreadable, decrypt, encrypt

OLD, NEW = "old-" * 20, "new-" * 20


@pytest.mark.parametrize("secret", ["", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "رمز", "x" * 5000])
def test_a_secret_comes_back(secret: str) -> None:
    assert decrypt(encrypt(secret)) == secret


def test_what_is_stored_does_not_show_it() -> None:
    stored = [encrypt("a plain secret") for _ in range(2)]
    assert stored[0] != stored[1]
    assert all("secret" not in text for text in stored)


def test_it_is_readable_under_its_own_key_alone(settings: Settings) -> None:
    settings.SECRET_KEY = OLD
    stored = encrypt("a plain secret")
    settings.SECRET_KEY = NEW
    with pytest.raises(SecretUnreadable):
        decrypt(stored)


def test_the_key_may_be_changed_while_the_old_one_is_kept(settings: Settings) -> None:
    settings.SECRET_KEY = OLD
    stored = encrypt("a plain secret")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert decrypt(stored) == "a plain secret"
    again = encrypt(decrypt(stored))
    settings.SECRET_KEY_FALLBACKS = []
    assert decrypt(again) == "a plain secret"


@pytest.mark.parametrize(
    "change", [lambda text: text[:-8], lambda text: "x" + text[1:], lambda text: "", lambda _: "é"]
)
def test_what_was_damaged_is_refused(change) -> None:
    with pytest.raises(SecretUnreadable):
        decrypt(change(encrypt("a plain secret")))
