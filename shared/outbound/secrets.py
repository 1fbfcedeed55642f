"""Encrypts secrets that must be had in the clear again: keys that sign what is sent to others.

The key is derived from ``SECRET_KEY``, so a copy of the database alone gives no secret away. A new ``SECRET_KEY`` makes
them unreadable, unless the old one stays in ``SECRET_KEY_FALLBACKS`` until each has been encrypted anew.
"""

from base64 import urlsafe_b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SecretUnreadable(Exception):
    """What is stored was encrypted under another ``SECRET_KEY``, or was damaged."""


def encrypt(plain: str) -> str:
    """What to store of a secret: a Fernet token (AES-128-CBC and HMAC-SHA256), about 4/3 as long plus 100 characters.
    The same secret looks different each time."""
    return _cipher().encrypt(plain.encode()).decode()


def decrypt(stored: str) -> str:
    """The secret again.

    Raises:
        SecretUnreadable: it can't be had.
    """
    try:
        return _cipher().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable("It was encrypted under another SECRET_KEY, or was damaged.") from None


def _cipher() -> MultiFernet:
    return _cipher_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _cipher_of(secret_keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in secret_keys])  # encrypts with the first, reads with any


def _derived(secret_key: str) -> bytes:
    # HKDF (RFC 5869). Its "info" makes this key another one than all else that is made of SECRET_KEY.
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"recharge: secrets at rest")
    return urlsafe_b64encode(derived.derive(secret_key.encode()))
