"""The product's settings, with passwords that are hashed in no time."""

from saas.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.support.hashing.QuickArgon2PasswordHasher"]
