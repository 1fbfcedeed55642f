#!/usr/bin/env python
"""Django's command line. Without DATABASE_URL it starts the embedded database first (see saas/embedded.py)."""

import os
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
    # A terminated command still runs its exit hooks, so that the embedded database stops with its last user.
    # So does one whose terminal was closed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if "DATABASE_URL" not in os.environ:
        from saas import embedded

        try:
            embedded.start()
        except embedded.EmbeddedDatabaseError as error:
            sys.exit(f"{error}\nSet DATABASE_URL to use a PostgreSQL of your own.")

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, OperationalError, ProgrammingError) as error:
        # What is wrong with the installation, in a line and not in a traceback; anything else is a defect.
        reason = explain(error)
        if reason is None or "--traceback" in sys.argv:
            raise
        sys.exit(reason)


def explain(error: Exception) -> str | None:
    """What to do about an error that says something about the installation; None for any other."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import OperationalError
    from psycopg2 import errorcodes

    if isinstance(error, ImproperlyConfigured):
        return str(error)
    code = getattr(error.__cause__, "pgcode", None)
    if isinstance(error, OperationalError) and code is None:
        return f"The database can't be reached: {str(error).strip()}"
    if code == errorcodes.UNDEFINED_TABLE:
        return "The database lacks tables. First run: manage.py migrate_schemas"
    return None


if __name__ == "__main__":
    main()
