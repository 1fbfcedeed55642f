#!/usr/bin/env python3
"""Django's command line. What it does besides is in saas/command_line.py.

Every Python must be able to read this file, however old it is, so that the wrong one can say which is the right one.
"""

import sys


def main():
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs an older one is told so
        version = ".".join(str(number) for number in sys.version_info[:3])
        sys.exit(
            "This needs Python 3.11 or newer, and " + sys.executable + " is Python " + version + ". "
            "deploy/setup.sh makes an environment; then use .venv/bin/python manage.py"
        )
    try:
        from saas.command_line import run
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped by Ctrl-C.\n")
        sys.exit(130)
    run(sys.argv)


if __name__ == "__main__":
    main()
