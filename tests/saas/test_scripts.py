"""The scripts of deploy/: what they say of themselves, and what they install on a system that lacks it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "deploy").glob("*.sh") if os.access(path, os.X_OK))


def run(script: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a script in a bare environment; with ``path``, programs in that directory come before the system's."""
    search = "/usr/bin:/bin" if path is None else f"{path}:/usr/bin:/bin"
    return subprocess.run(
        [script, *arguments], env={"PATH": search, "HOME": "/nonexistent"}, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A copy of the project with nothing installed: the scripts, and what setup.sh reads."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for name in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def program(directory: Path, name: str, body: str) -> None:
    """A program of this name that does what the shell script says."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{body}\n")
    (directory / name).chmod(0o755)


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_asked_for_help_gives_it_and_installs_nothing(bare: Path, name: str, option: str) -> None:
    done = run(bare / "deploy" / name, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"deploy/{name}" in done.stdout
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("demo.sh", ["--ports", "80"]),
        ("demo.sh", ["--port"]),
        ("demo.sh", ["--port", "eighty"]),
        ("demo.sh", ["--port=65536"]),
        ("demo.sh", ["--exit", "now"]),
        ("setup.sh", ["--production"]),
        ("setup.sh", ["--dev", "--dev"]),
        ("check.sh", ["--fix"]),
        ("messages.sh", ["fa"]),
        ("initdb.sh", ["--drop"]),
        ("upgrade.sh", ["app"]),
        ("nightly.sh", ["now"]),
        ("nightly.sh", ["25:00"]),
        ("nightly.sh", ["03:30", "04:30"]),
        ("base-backup.sh", ["/backup/base"]),
    ],
)
def test_what_a_script_does_not_take_is_said_before_anything_is_installed(
    bare: Path, name: str, arguments: list[str]
) -> None:
    done = run(bare / "deploy" / name, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"deploy/{name}" in done.stderr, "what it does take"
    assert not (bare / ".venv").exists()


PYTHON_WITHOUT_VENV = """
case "$*" in
    *"import venv, ensurepip"*) [ -f installed ] ;;
    *"%d.%d"*) echo 3.12 ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-VV") echo Python 3.12.3 ;;
esac
"""


def test_as_root_the_package_that_makes_virtual_environments_is_installed(bare: Path) -> None:
    programs = bare / "programs"
    program(programs, "python3", PYTHON_WITHOUT_VENV)
    program(programs, "id", "echo 0")
    program(programs, "apt-get", 'case "$*" in *python3.12-venv*) touch installed;; esac')
    done = run(bare / "deploy" / "setup.sh", path=programs)
    assert done.returncode == 0, done.stderr
    assert (bare / "installed").exists()
    assert (bare / ".venv" / ".installed").exists()


def test_a_user_without_rights_is_told_the_package_and_nothing_is_tried(bare: Path) -> None:
    programs = bare / "programs"
    program(programs, "python3", PYTHON_WITHOUT_VENV)
    program(programs, "id", "echo 1000")
    program(programs, "apt-get", "touch tried")
    done = run(bare / "deploy" / "setup.sh", path=programs)
    assert done.returncode == 1
    assert "sudo apt-get install -y python3.12-venv" in done.stderr
    assert not (bare / "tried").exists()
    assert not (bare / ".venv").exists()


# What test.sh asks of the environment: to probe the browser and nginx, and to run the tests.
PYTHON_THAT_PROBES = """
case "$*" in
    "-m tests.browser.chromium --find") [ -f browser ] ;;
    "-m tests.browser.chromium")
        [ -f library ] || { echo "it needs libatomic.so.1" >&2; exit 1; }
        [ -f browser ] || { echo "there is no browser" >&2; exit 1; } ;;
    "-m tests.support.nginx") [ -f nginx ] || { echo "nginx is needed" >&2; exit 1; } ;;
    "-m pytest"*) echo "pytest ran: $*" ;;
    "-VV") echo Python 3.12.3 ;;
esac
"""


@pytest.fixture
def ready(bare: Path) -> Path:
    """The same with an environment that is installed; the browser tests lack a library and a browser, those of
    faults nginx."""
    program(bare / ".venv", "unused", "")
    program(bare / ".venv" / "bin", "python", PYTHON_THAT_PROBES)
    program(bare / "deploy", "setup.sh", "exit 0")
    program(bare / "programs", "id", "echo 0")
    program(bare / "programs", "apt-cache", "echo '  Candidate: 156.0-1'")
    program(
        bare / "programs",
        "apt-get",
        'echo "$*" >>asked\n'
        'case "$*" in *libatomic1*) touch library;; esac; case "$*" in *chromium*) touch browser;; esac; '
        'case "$*" in *nginx*) touch nginx;; esac',
    )
    return bare


def test_as_root_what_the_browser_tests_lack_is_installed_before_any_test(ready: Path) -> None:
    done = run(ready / "deploy" / "test.sh", "-q", path=ready / "programs")
    assert done.returncode == 0, done.stderr
    assert "pytest ran: -m pytest -q" in done.stdout
    assert (ready / "nginx").exists()


@pytest.mark.parametrize(
    ("argument", "is_asked"),
    [("tests/faults", True), ("tests/faults/test_restarts.py", True)]
    + [(argument, False) for argument in ("fast", "tests/saas", "--ignore=tests/faults")],
)
def test_nginx_is_asked_for_where_tests_of_faults_run(ready: Path, argument: str, is_asked: bool) -> None:
    (ready / "browser").touch()
    (ready / "library").touch()
    program(ready / "programs", "id", "echo 1000")
    done = run(ready / "deploy" / "test.sh", argument, path=ready / "programs")
    assert done.returncode == int(is_asked), done.stderr
    assert ("nginx is needed" in done.stderr) == ("--ignore tests/faults" in done.stderr) == is_asked
    assert ("pytest ran" in done.stdout) != is_asked


def test_a_browser_that_is_there_is_left_as_it_is(ready: Path) -> None:
    (ready / "browser").touch()
    done = run(ready / "deploy" / "test.sh", path=ready / "programs")
    assert done.returncode == 0, done.stderr
    assert "chromium" not in (ready / "asked").read_text()


def test_without_rights_what_is_missing_is_named_and_no_test_runs(ready: Path) -> None:
    program(ready / "programs", "id", "echo 1000")
    done = run(ready / "deploy" / "test.sh", path=ready / "programs")
    assert done.returncode == 1
    assert "libatomic.so.1" in done.stderr
    assert "--ignore tests/browser" in done.stderr
    assert "pytest ran" not in done.stdout
    assert not (ready / "asked").exists()


def test_a_package_that_is_but_a_pointer_to_a_snap_is_not_installed(ready: Path) -> None:
    program(ready / "programs", "apt-cache", "echo '  Candidate: 2:1snap1-0ubuntu2'")
    done = run(ready / "deploy" / "test.sh", path=ready / "programs")
    assert done.returncode == 1
    assert "there is no browser" in done.stderr
    assert "chromium" not in (ready / "asked").read_text()


@pytest.mark.parametrize(
    "arguments", [["--ignore", "tests/browser"], ["--ignore=tests/browser", "-x"], ["tests/saas/test_docs.py"]]
)
def test_no_browser_is_asked_for_where_no_browser_test_runs(ready: Path, arguments: list[str]) -> None:
    (ready / "nginx").touch()
    program(ready / "programs", "id", "echo 1000")
    done = run(ready / "deploy" / "test.sh", *arguments, path=ready / "programs")
    assert done.returncode == 0, done.stderr
    assert "pytest ran" in done.stdout


@pytest.mark.parametrize("arguments", [["tests"], ["tests/browser/test_selling.py"], ["tests/saas", "tests/browser"]])
def test_a_browser_is_asked_for_where_browser_tests_run(ready: Path, arguments: list[str]) -> None:
    program(ready / "programs", "id", "echo 1000")
    done = run(ready / "deploy" / "test.sh", *arguments, path=ready / "programs")
    assert done.returncode == 1
