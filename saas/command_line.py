"""Runs a command of manage.py: finds its settings and its database, and says in plain words what is wrong with them.

Errors of the installation (no environment, no database, no rights, no terminal) and Ctrl-C end in a line that says what
to do. Any other error is a defect, and keeps its traceback.
"""

import errno
import os
import secrets
import select
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from saas import embedded, env_file

ROOT = Path(__file__).resolve().parent.parent

_SERVERS = ("serve", "deliver")
"""They have ways of their own to stop."""

_OWNERS = ("migrate_schemas", "migrate", "create_organization", "organization", "grant_rights")
"""They change how tables are made: see tenants/working_role.py."""

_OF_FILES = ("verify",)
"""They read files alone, on machines that have no database either."""

_OURS = ("saas", "recharge", "credit", "tenants", "shared", "tests")


def run(argv: list[str]) -> NoReturn:
    """Runs one command of ``manage.py`` and ends the process with its status."""
    status: int | str | None = 1
    try:
        _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        status = 0
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        status = _say("\nStopped by Ctrl-C. The same command can be run again.", 128 + signal.SIGINT)
    except BrokenPipeError:
        # Whoever read the output (`… | head`) has seen enough. What is still unwritten has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except Exception as error:
        reason = None if "--traceback" in argv else explain(error)
        if reason is None:
            _end_quietly()
            raise
        status = _say(reason, 1)
    _end_quietly()
    sys.exit(status)


def _run(argv: list[str]) -> None:
    # A terminated command still runs its exit hooks, so that the embedded database stops with its last user.
    # So does one whose terminal was closed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
    _refuse_what_is_not_utf8(argv)
    if find_spec("django") is None:
        sys.exit(_without_environment("Django"))
    try:
        argv, file = env_file.take_option(argv)
        has_file = env_file.read_env_file(file)
    except env_file.EnvFileError as error:
        sys.exit(str(error))
    if "DATABASE_URL" not in os.environ:
        if _asks_for_help(argv) or (argv[1:2] and argv[1] in _OF_FILES):
            _stand_in_for_settings()
        else:
            _start_embedded(has_file)
    if argv[1:2] and argv[1] not in _SERVERS:
        if argv[1] != "check":  # which looks at each address
            _go_past_the_pooler(is_owner=argv[1] in _OWNERS)
        _hear_ctrl_c_in_the_database()
    import django
    from django.core.management import execute_from_command_line

    from saas import migrating

    if argv[1:2] and argv[1] in migrating.COMMANDS and not _asks_for_help(argv):
        django.setup()
        with migrating.alone():
            execute_from_command_line(argv)
    else:
        execute_from_command_line(argv)


def _go_past_the_pooler(*, is_owner: bool) -> None:
    """A command takes long, sets what it needs in its session, and is alone: it takes none from a pool that servers
    share. One of the owner's signs in as the owner."""
    addresses = (["OWNER_DATABASE_URL"] if is_owner else []) + ["DIRECT_DATABASE_URL"]
    address = next((os.environ[name] for name in addresses if os.environ.get(name)), None)
    if address is not None:
        os.environ["DATABASE_URL"] = address
        os.environ.pop("DATABASE_POOLER", None)


def _hear_ctrl_c_in_the_database() -> None:
    """Lets Ctrl-C and SIGTERM end a statement that takes long or waits for a lock; the driver hears them only after."""
    import psycopg2.extensions

    def wait(connection: Any) -> None:
        try:
            while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
                reads, writes = select.POLLIN, select.POLLOUT
                poll = select.poll()
                poll.register(connection.fileno(), reads if state == psycopg2.extensions.POLL_READ else writes)
                poll.poll()
        except (KeyboardInterrupt, SystemExit):
            with suppress(psycopg2.Error):
                connection.cancel()  # else the server would go on with it for nobody
            raise

    psycopg2.extensions.set_wait_callback(wait)


def _start_embedded(has_file: bool) -> None:
    found = embedded.production_settings(os.environ) + (["a file of settings"] if has_file else [])
    if found:
        verb = "is" if len(found) == 1 else "are"
        sys.exit(
            f"DATABASE_URL is not set, but {', '.join(found)} {verb}, as in production: the embedded database is not "
            "started beside that.\n"
            "Set DATABASE_URL. If the settings come from a file that a shell has read, where a & ends a command, let "
            f"this read it: manage.py {env_file.OPTION} /etc/recharge/recharge.env …\n"
            "For the embedded database, unset the others."
        )
    try:
        embedded.start()
    except embedded.EmbeddedDatabaseError as error:
        sys.exit(f"{error}\nSet DATABASE_URL to use a PostgreSQL of your own.")


def _asks_for_help(argv: list[str]) -> bool:
    """Whether this is answered without a database."""
    words = argv[1:]
    return not words or words[0] in ("help", "version", "--version") or bool({"-h", "--help"} & set(words))


def _stand_in_for_settings() -> None:
    """What the settings ask for, to import the commands and show their help; nothing connects."""
    os.environ["DATABASE_URL"] = "postgres://nobody@localhost:1/nothing"
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(64))


def _refuse_what_is_not_utf8(argv: list[str]) -> None:
    for word in [*argv, os.environ.get("RECHARGE_ADMIN_PASSWORD", "")]:
        try:
            word.encode()
        except UnicodeEncodeError:
            sys.exit("The command line, or RECHARGE_ADMIN_PASSWORD, isn't UTF-8.")


def _without_environment(what: str) -> str:
    python = ROOT / ".venv" / "bin" / "python"
    first = "" if python.exists() else f"First make it: {ROOT / 'deploy' / 'setup.sh'}. Then "
    return (
        f"{what} is not installed for {sys.executable}. The project has an environment of its own. "
        f"{first}{'use' if first else 'Use'} {python} {ROOT / 'manage.py'}"
    )


def _say(reason: str, status: int) -> int:
    print(reason, file=sys.stderr, flush=True)
    return status


def _end_quietly() -> None:
    """From here on Ctrl-C changes nothing: the exit hooks run, and one stops the embedded database."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def explain(error: Exception) -> str | None:
    """What to do about an error that says something about the installation; None for any other."""
    match error:
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] not in _OURS:
            if sys.prefix == sys.base_prefix:
                return _without_environment(name)
            return f"The package {name} is missing in {sys.prefix}. Run {ROOT / 'deploy' / 'setup.sh'}"
        case EOFError():
            return "This command asks something, and there is nobody to answer. Give it as an option; see --help."
        case OSError(filename=str(path), strerror=str(reason)):
            return f"{path}: {reason}."
        case OSError(errno=errno.ENOSPC):
            return "The disk is full."
    if find_spec("psycopg2") is None:
        return None
    return _explain_of_django(error)


def _explain_of_django(error: Exception) -> str | None:
    import psycopg2
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error, InterfaceError, OperationalError
    from django.db.migrations.exceptions import MigrationSchemaMissing
    from psycopg2 import errorcodes

    from shared.errors import Problem
    from shared.sick import sqlstate_of

    if isinstance(error, ImproperlyConfigured | Problem):
        return str(error)
    if not isinstance(error, Error | psycopg2.Error):
        return None
    text = str(error).strip()
    # Django says by this one that a first table can't be made; why, the database has said before.
    code = sqlstate_of((isinstance(error, MigrationSchemaMissing) and error.__context__) or error)
    match code:
        case None if isinstance(error, OperationalError | psycopg2.OperationalError):
            return f"The database can't be reached: {text}"
        case None if isinstance(error, InterfaceError | psycopg2.InterfaceError):
            return f"The connection to the database is gone: {text}"
        case errorcodes.CONNECTION_FAILURE:  # the coordinator of a cluster says so
            return f"A node of the cluster can't be reached: {text}"
        case errorcodes.UNDEFINED_TABLE:
            return "The database lacks tables. First run: manage.py migrate_schemas"
        case errorcodes.UNDEFINED_COLUMN | errorcodes.UNDEFINED_FUNCTION:
            return f"The database is not as this release wants it. First run: manage.py migrate_schemas ({text})"
        case errorcodes.READ_ONLY_SQL_TRANSACTION:
            return f"The database is read-only (a standby?): {text}"
        case errorcodes.INSUFFICIENT_PRIVILEGE:
            return f"The database's role may not do that: {text}"
        case str() if code[:2] in ("53", "57", "58") or code == errorcodes.LOCK_NOT_AVAILABLE:
            return f"The database could not do it: {text}"
    return None
