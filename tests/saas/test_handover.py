"""A server that is restarted: what it has accepted is answered, and SIGHUP puts the code of now in the place of what
serves, if that gets ready. (Under load, and behind nginx: tests/faults/test_restarts.py.)"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import waiting
from tests.support.client import Client
from tests.support.server import ROOT, Server, children_of, free_port, serving, working_environment

pytestmark = pytest.mark.slow

wait_until = partial(waiting.wait_until, seconds=90)
"""Whole servers are started here, on machines that may be busy."""

# The socket is the fourth descriptor, and the environment says whose it is.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "manage.py", "serve", "--workers", "1", "--no-delivery"])
"""

PACKAGES = ("shared", "tenants", "credit", "recharge", "saas")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the product's code."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path / "code")
    return tmp_path / "code"


@pytest.fixture
def runtime_directory() -> Iterator[str]:
    """As systemd makes one. The address of a socket in it must be short."""
    with TemporaryDirectory(prefix="recharge-") as directory:
        (Path(directory) / "reload").touch()  # of a reload that was killed
        yield directory


def environment_of_code() -> dict[str, str]:
    """It knows no settings of these tests."""
    return working_environment() | {"DJANGO_SETTINGS_MODULE": "saas.settings"}


def version_at(server: Server) -> str:
    return str(Client(server.address, "10.0.0.1").get("/livez").json["version"])


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_reload_takes_the_code_that_is_there_now_and_goes_on_if_that_fails(
    django_db_setup: None, code: Path, tmp_path: Path, runtime_directory: str
) -> None:
    environment = environment_of_code() | {
        "HTTPS": "on",
        "TRUSTED_PROXIES": "1",
        "RUNTIME_DIRECTORY": runtime_directory,
    }

    def reload(server: Server) -> int:
        command = [sys.executable, "-m", "saas.reload", str(server.process.pid)]
        return subprocess.run(command, cwd=code, env=environment, timeout=120).returncode

    with serving(tmp_path / "log", workers=1, root=code, environment=environment) as server:
        assert version_at(server) == "1.0.0"
        (first,) = server.generations()
        rewrite(code / "saas" / "__init__.py", '"1.0.0"', '"1.0.1"')
        assert reload(server) == 0
        wait_until(lambda: first not in server.generations(), "those before have ended")
        assert version_at(server) == "1.0.1"
        (second,) = server.generations()
        before, _, after = server.log.read_text().partition('"handed_over"')
        # Nobody's first page takes the time that one takes in each language.
        a_page = '"path": "/sign-in", "organization": null, "status": 200'
        assert (before.count(a_page), after.count(a_page)) == (2, 0)

        rewrite(code / "saas" / "gate.py", '"""The gate', 'THIS IS NO PYTHON"""The gate')
        assert reload(server) == 1
        assert '"not_handed_over"' in server.log.read_text()
        assert server.generations() == [second]
        assert version_at(server) == "1.0.1"


def test_code_that_waits_for_its_migrations_takes_nothing(django_db_setup: None, code: Path, tmp_path: Path) -> None:
    """And the next SIGHUP, of code that does not, gives it up."""
    with serving(tmp_path / "log", workers=1, root=code, environment=environment_of_code()) as server:
        (first,) = server.generations()
        (code / "shared" / "migrations" / "9999_never_applied.py").write_text(
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = [('shared', '{newest_migration(code)}')]\n"
        )
        rewrite(code / "saas" / "__init__.py", '"1.0.0"', '"1.0.1"')
        server.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: '"path": "/readyz", "organization": null, "status": 503' in server.log.read_text(), "it looks"
        )
        (second,) = set(server.generations()) - {first}
        assert {version_at(server) for _ in range(20)} == {"1.0.0"}

        (code / "shared" / "migrations" / "9999_never_applied.py").unlink()
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not {first, second} & set(server.generations()), "a third has taken over")
        assert version_at(server) == "1.0.1"


def newest_migration(code: Path) -> str:
    return sorted(path.stem for path in (code / "shared" / "migrations").glob("0*.py"))[-1]


def test_a_connection_that_is_kept_open_has_its_last_request_answered(django_db_setup: None, tmp_path: Path) -> None:
    """As the proxy's: it may have sent a request when the server is told to stop."""
    environment = working_environment() | {"TRUSTED_PROXIES": "1"}
    with serving(tmp_path / "log", workers=1, environment=environment) as server, closing(connect(server)) as kept:
        kept.request("GET", "/livez")
        answer = kept.getresponse()
        assert (answer.read() != b"", answer.getheader("Connection")) == (True, None)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(server.address), "it takes no more connections")
        kept.request("GET", "/livez")
        answer = kept.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (200, "close")
        answer.read()
        assert server.process.wait(60) == 0


def test_the_delivery_worker_does_not_wait_for_the_web_processes(django_db_setup: None, tmp_path: Path) -> None:
    """Nor they for it: what comes meanwhile waits in a socket of systemd's for the slower of them, not for both."""
    environment = working_environment() | {"TRUSTED_PROXIES": "1"}
    with serving(tmp_path / "log", workers=1, environment=environment, delivery=True) as server:
        wait_until(lambda: bool(server.delivery_pids()), "the delivery worker runs")
        with closing(connect(server)) as kept:
            kept.request("GET", "/livez")
            kept.getresponse().read()
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not server.delivery_pids(), "the delivery worker has ended")
            kept.request("GET", "/livez")
            assert kept.getresponse().status == 200


def connect(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.address, timeout=20)


def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def test_what_comes_while_a_socket_of_systemd_has_no_server_waits_for_the_next(
    django_db_setup: None, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        (tmp_path / "log").open("wb") as log,
    ):
        host, port = listener.getsockname()
        address = f"{host}:{port}"
        manager.bind(f"\0{tmp_path}")
        manager.settimeout(60)

        def start() -> Server:
            process = subprocess.Popen(
                [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno())],
                cwd=ROOT,
                env=working_environment() | {"NOTIFY_SOCKET": f"@{tmp_path}"},
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )
            return Server(address, process, tmp_path / "log")

        first = start()
        assert manager.recv(100) == b"READY=1"
        assert first.worker_pids()
        first.wait_until_ready()
        assert f"Listening on {address}" in first.log.read_text()
        first.process.terminate()
        assert first.process.wait(60) == 0
        with closing(http.client.HTTPConnection(address, timeout=60)) as early:
            early.request("GET", "/livez")
            second = start()
            with early.getresponse() as answer:
                assert answer.status == 200
        assert manager.recv(100) == b"READY=1"
        second.process.terminate()
        assert second.process.wait(60) == 0


def test_a_service_manager_that_is_gone_keeps_nobody_from_serving(django_db_setup: None, tmp_path: Path) -> None:
    environment = working_environment() | {"NOTIFY_SOCKET": str(tmp_path / "gone")}
    with serving(tmp_path / "log", workers=1, environment=environment) as server:
        wait_until(lambda: '"readiness_not_said"' in server.log.read_text(), "it says so")


def test_a_second_server_is_refused_the_port_of_the_first(server: Server) -> None:
    port = server.address.split(":")[1]
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--port", port],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"Can't listen on 127.0.0.1:{port}" in done.stderr
    assert children_of(server.process.pid), "the first one goes on"


def test_several_sockets_are_refused(django_db_setup: None) -> None:
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"export LISTEN_PID=$$ LISTEN_FDS=2; exec {sys.executable} manage.py serve --port {free_port()}",
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "One socket is served" in done.stderr) == (1, True)
