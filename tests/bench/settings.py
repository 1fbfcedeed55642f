"""The product's settings, with the textbook implementation's address beside the product's own."""

from saas.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
