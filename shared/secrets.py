"""Secrets that must be read again (those that requests are signed with), encrypted for the database.

The key is derived from ``SECRET_KEY``: whoever has the database alone, or a dump of it, has no secret.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SecretUnreadable(Exception):
    """It was encrypted with another ``SECRET_KEY``, or is damaged."""


def encrypt(plain: str) -> str:
    """What may be stored of a secret; different each time."""
    return _fernet(settings.SECRET_KEY).encrypt(plain.encode()).decode("ascii")


def decrypt(stored: str) -> str:
    """The secret.

    Raises:
        SecretUnreadable: it can't be read with this ``SECRET_KEY``.
    """
    try:
        return _fernet(settings.SECRET_KEY).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable("this secret was encrypted with another SECRET_KEY, or is damaged") from None


@lru_cache(maxsize=2)
def _fernet(secret_key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"secrets at rest").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
