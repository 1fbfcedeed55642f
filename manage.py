#!/usr/bin/env python
"""Django's command line. Without DATABASE_URL it starts the embedded database first (see saas/embedded.py)."""

import os
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
    # A terminated command still runs its exit hooks, so that the embedded database stops with its last user.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if "DATABASE_URL" not in os.environ:
        from saas import embedded

        try:
            embedded.start()
        except embedded.EmbeddedDatabaseError as error:
            sys.exit(f"{error}\nSet DATABASE_URL to use a PostgreSQL of your own.")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
