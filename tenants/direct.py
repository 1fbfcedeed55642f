"""Connections past the pooler, for what needs a session of its own: LISTEN, the lock of whoever migrates, migrations
and provisioning. ``DIRECT_DATABASE_URL`` says where to; without a pooler it is ``DATABASE_URL``.

Commands go past it as a whole (saas/command_line.py): behind it are web processes and workers alone.
"""

from typing import Any

import psycopg2
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import load_backend


def connection_to(database: dict[str, Any]) -> Any:
    """A connection of Django's, not yet open, that differs from this thread's in what is given (of ``DATABASES``)."""
    same_database = connections[DEFAULT_DB_ALIAS].settings_dict["NAME"]  # the tests' is another than the settings'
    return connection_elsewhere({**database, "NAME": same_database})


def connection_elsewhere(database: dict[str, Any]) -> Any:
    """The same, perhaps to another database."""
    parameters = {**connections[DEFAULT_DB_ALIAS].settings_dict, **database}
    return load_backend(parameters["ENGINE"]).DatabaseWrapper(parameters, DEFAULT_DB_ALIAS)


def connect() -> Any:
    """A connection of the driver's beside Django's, past the pooler and in autocommit.

    Raises:
        psycopg2.Error: the database can't be reached.
    """
    direct: Any = connections[DEFAULT_DB_ALIAS]
    if settings.DIRECT_DATABASE is not None:
        direct = connection_to(settings.DIRECT_DATABASE)
    parameters = direct.get_connection_params()
    parameters.pop("cursor_factory", None)
    opened = psycopg2.connect(**parameters)
    opened.autocommit = True
    return opened
