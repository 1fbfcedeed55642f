"""The embedded PostgreSQL: started by whoever needs it first, shared, stopped by the last, and hard to break.

Its users here are processes of their own, on directories of their own.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg2
import pytest

from saas import embedded
from tests.support import forking, installations
from tests.support.database import BARE
from tests.support.server import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NOBODY = 65534

# Everything is imported before the user is changed: the interpreter may be where the other user can't read.
_USER = """
import os, sys
from pathlib import Path
import psycopg2.sql
from saas import embedded

directory, uid = Path(sys.argv[1]), int(sys.argv[2])
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
try:
    embedded.start(directory)
except embedded.EmbeddedDatabaseError as error:
    sys.exit(f"refused: {error}")
print(os.environ["OWNER_DATABASE_URL"], os.environ["SECRET_KEY"], flush=True)
sys.stdin.read()
"""


_begun: list[subprocess.Popen[str]] = []


class User:
    """A process that uses the embedded database of a directory until it is told to end, or is killed."""

    def __init__(self, directory: Path, *, uid: int | None = None, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(directory), str(os.geteuid() if uid is None else uid)],
            cwd=ROOT,
            env=BARE | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answer: list[str] = []
        _begun.append(self.process)

    @property
    def pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin
        assert self.process.stdout
        return self.process.stdin, self.process.stdout

    def wait_until_ready(self) -> "User":
        if not self._answer:
            self._answer = self.pipes[1].readline().split()
        assert len(self._answer) == 2, self.process.wait(20)
        return self

    @property
    def url(self) -> str:
        return self.wait_until_ready()._answer[0]

    @property
    def secret_key(self) -> str:
        return self.wait_until_ready()._answer[1]

    def end(self) -> None:
        """Ends as a process does that has done its work."""
        self.wait_until_ready()
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        """Ends without a last word, and with it what it had started in its own session."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=60)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def answers(url: str) -> bool:
    try:
        return execute(url, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


def postmaster(directory: Path) -> int | None:
    """The process id of the server of this directory, if it says that it runs."""
    try:
        return int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None


def is_alive(pid: int) -> bool:
    try:
        # The third field; a zombie is dead, only that nobody has asked after it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory; whatever server a test leaves on it is stopped."""
    place = Path(tempfile.mkdtemp(prefix="recharge-embedded-"))
    yield place
    while _begun:
        process = _begun.pop()
        process.kill()
        with process:  # closes its pipes, and waits
            pass
    for pid_file in place.rglob("postmaster.pid"):
        pid = postmaster(pid_file.parent.parent)
        if pid and pid_file.parent.name == "postgres" and is_alive(pid):
            os.kill(pid, signal.SIGQUIT)
            wait_until(lambda pid=pid: not is_alive(pid))
    shutil.rmtree(place)


def test_it_is_shared_and_stops_with_its_last_user_and_keeps_what_it_was_told(directory: Path) -> None:
    first = User(directory)
    execute(first.url, "CREATE TABLE kept AS SELECT 7 AS number")
    second = User(directory)
    assert second.url == first.url
    assert second.secret_key == first.secret_key
    pid = postmaster(directory)
    assert pid
    # It is as durable as any, nobody reaches it over the network, and its role is no superuser.
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert execute(first.url, f"SHOW {setting}") == [("on",)]
    assert execute(first.url, "SHOW listen_addresses") == [("",)]
    role = "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user"
    assert execute(first.url, role) == [("recharge", False)]
    assert stat.S_IMODE((directory / "postgres").stat().st_mode) == 0o700

    first.end()
    assert answers(second.url)
    assert postmaster(directory) == pid
    second.end()
    assert not answers(second.url)
    assert postmaster(directory) is None
    wait_until(lambda: not is_alive(pid))

    third = User(directory, SECRET_KEY="given-" * 10)
    assert execute(third.url, "SELECT number FROM kept") == [(7,)]
    assert third.secret_key == "given-" * 10  # the environment's goes before
    assert (directory / "secret_key").read_text() == first.secret_key
    third.end()
    assert not answers(third.url)


def test_users_that_were_killed_do_not_keep_it_alive(directory: Path) -> None:
    killed, second = User(directory), User(directory)
    execute(killed.url, "CREATE TABLE kept AS SELECT 7 AS number")
    assert answers(second.url)
    killed.kill()
    assert answers(second.url)
    second.end()
    assert not answers(second.url)

    # Killed as the last one it can stop nothing; the next one finds the server, uses it, and stops it.
    last = User(directory)
    assert answers(last.url)
    last.kill()
    following = User(directory)
    assert execute(following.url, "SELECT number FROM kept") == [(7,)]
    following.end()
    assert not answers(following.url)


def test_two_that_start_at_once_from_nothing_get_one_server(directory: Path) -> None:
    users = [User(directory) for _ in range(3)]
    assert len({user.url for user in users}) == 1
    assert len({user.secret_key for user in users}) == 1
    url = users[0].url
    assert answers(url)
    for user in users:
        user.end()
    assert not answers(url)


def test_a_server_that_was_killed_recovers(directory: Path) -> None:
    user = User(directory)
    execute(user.url, "CREATE TABLE kept AS SELECT 7 AS number")
    pid = postmaster(directory)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not answers(user.url))
    following = User(directory)
    assert execute(following.url, "SELECT number FROM kept") == [(7,)]
    user.end()
    assert answers(following.url)
    following.end()
    assert not answers(following.url)


def test_a_process_that_has_a_dead_servers_id_is_not_taken_for_it(directory: Path) -> None:
    """After a power cut the id in postmaster.pid may be anybody's."""
    User(directory).end()
    # Of the same system user, or PostgreSQL could tell by itself.
    owner = (directory / "postgres").stat().st_uid
    as_owner = {"user": owner} if os.geteuid() == 0 else {}
    somebody = subprocess.Popen(["sleep", "600"], **as_owner)  # type: ignore[call-overload]
    try:
        pid_file = directory / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{somebody.pid}\n{directory / 'postgres'}\n0\n5432\n\n\n  0  0\nready\n")
        os.chown(pid_file, owner, -1)
        user = User(directory)
        assert answers(user.url)
        user.end()
        assert somebody.poll() is None
    finally:
        somebody.kill()
        somebody.wait()


def test_an_initialisation_that_was_killed_is_begun_anew(directory: Path) -> None:
    building = directory / "postgres.new"
    killed = User(directory)
    wait_until(lambda: (building / "base").exists())
    killed.kill()
    assert not (directory / "postgres").exists()
    assert building.exists()
    user = User(directory)
    assert answers(user.url)
    assert not building.exists()
    user.end()


@pytest.mark.parametrize(
    "name", ["n" * 60 + "/" + "o" * 60, "it's, a place/\u062f\u0627\u062f\u0647"], ids=["long", "odd"]
)
def test_it_works_wherever_it_lives(name: str, directory: Path) -> None:
    place = directory / name
    user = User(place)
    execute(user.url, "CREATE TABLE kept AS SELECT 7 AS number")
    assert execute(user.url, "SELECT number FROM kept") == [(7,)]
    user.end()
    assert postmaster(place) is None
    assert not answers(user.url)


def test_it_works_for_an_ordinary_user(directory: Path) -> None:
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    os.chown(directory, uid, -1)
    user = User(directory, uid=uid)
    assert answers(user.url)
    second = User(directory, uid=uid)
    assert second.url == user.url
    user.end()
    second.end()
    assert not answers(user.url)
    assert {path.stat().st_uid for path in directory.iterdir()} == {uid}


def test_the_secret_is_made_once_and_for_its_owner_alone(directory: Path) -> None:
    path = directory / "secret_key"
    first = embedded._secret_key(directory)
    assert len(first) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert embedded._secret_key(directory) == first
    path.unlink()
    assert embedded._secret_key(directory) != first


def test_a_secret_that_was_cut_off_while_it_was_written_is_made_anew(directory: Path) -> None:
    path = directory / "secret_key"
    path.touch(0o600)
    made = embedded._secret_key(directory)
    assert len(made) >= 50
    assert path.read_text() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in directory.iterdir()] == ["secret_key"]


def test_a_directory_that_can_not_be_used_is_refused_in_words(directory: Path) -> None:
    (directory / "file").touch()
    with pytest.raises(embedded.EmbeddedDatabaseError, match="file"):
        embedded.start(directory / "file" / "below")


# --- manage.py --------------------------------------------------------------------------------------------------------


def test_a_command_starts_it_and_stops_it_also_when_it_is_terminated() -> None:
    with installations.directory(installed=True) as place:
        environment = installations.environment_of(place) | {"RECHARGE_ADMIN_PASSWORD": ""}
        migrated = forking.start(["migrate_schemas", "-v", "0"], environment=environment)
        _, errors = migrated.communicate(timeout=120)
        assert migrated.returncode == 0, errors
        assert (place / "postgres.log").exists()
        assert postmaster(place) is None

        reading, writing = os.pipe()
        with os.fdopen(reading) as never, os.fdopen(writing, "w"):
            command = ["create_platform_admin", "--username", "root"]  # which asks for a password
            asking = forking.start(command, environment=environment, stdin=never, new_session=True)
            assert asking.stderr
            assert "embedded database" in asking.stderr.readline()
            assert asking.stderr.readline() == "Password: \n"
            assert postmaster(place)
            asking.terminate()
            asking.communicate(timeout=60)
        assert asking.returncode == 128 + signal.SIGTERM
        assert postmaster(place) is None
