"""``manage.py`` around its commands: who starts it wrongly, or stops it, is told in a line what to do, and never in a
traceback; nothing is started or written that was not meant."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psycopg2
import pytest
from django.db import connection

from saas.embedded import production_settings
from saas.env_file import EnvFileError, parse, read_env_file, take_option
from shared.models import User
from tests.support import forking
from tests.support.commands import run, start
from tests.support.database import BARE
from tests.support.environment import database_at
from tests.support.server import ROOT, free_port
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, World, database_url


def manage(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it in this environment alone, to its end."""
    process = forking.start([*arguments], environment=BARE | (environment or {}), new_session=True)
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.wait(), output, errors)


def assert_told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode not in (0, None), done
    assert "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


# --- Which Python -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 8, 18), (3, 10, 13)])
def test_an_old_python_is_told_which_one_to_use(version: tuple[int, int, int]) -> None:
    pretend = f"import runpy, sys; sys.version_info = {version!r}; runpy.run_path('manage.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, check=False)
    assert_told(done, "Python 3.11 or newer", ".".join(map(str, version)), "deploy/setup.sh", ".venv/bin/python")


def test_every_python_can_read_the_file() -> None:
    source = (ROOT / "manage.py").read_text()
    assert source.isascii(), "without a declaration Python 2 reads nothing else"
    tree = ast.parse(source, feature_version=(3, 4))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.Match | ast.NamedExpr)
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None
    # Debian has no program named python.
    assert source.startswith("#!/usr/bin/env python3\n")


def test_a_python_without_the_packages_is_told_where_they_are() -> None:
    for arguments in (("check",), ("serve",), ("--help",), ()):
        command = [sys.executable, "-S", "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=BARE, capture_output=True, text=True, check=False)
        assert_told(done, "Django is not installed", sys.executable, "manage.py")
        assert (".venv/bin/python" in done.stderr) or ("deploy/setup.sh" in done.stderr)
        assert len(done.stderr.splitlines()) == 1


# --- The file of settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=postgres://a:b@c/d?x=1&y=2", "postgres://a:b@c/d?x=1&y=2"),
        ("A=$(touch x) `touch x` $HOME ; # & | > <", "$(touch x) `touch x` $HOME ; # & | > <"),
        ("A='one & two'", "one & two"),
        ('A="one & two"', "one & two"),
        ("  A =  one two  ", "one two"),
        ("A=", ""),
        ("A=''", ""),
        ('A="  kept  "', "  kept  "),
        ('A="a\\"b\\\\c\\$d\\e"', 'a"b\\c$d\\e'),
        ("A='a\\'", "a\\"),
        ("A=it's", "it's"),
        ("A=a\\ ", "a "),
        ("A=one \\\ntwo", "one two"),
        ('A="one\ntwo"', "one\ntwo"),
        ("A=one\r\nB=two", "one"),
        ("A=one\nA=two", "two"),
        ("\n# A=no\n;A=no\nwithout a sign\nA=yes\n", "yes"),
        ("A=a=b==", "a=b=="),
    ],
)
def test_a_file_of_settings_is_read_as_systemd_reads_it(text: str, value: str) -> None:
    assert dict(parse(text))["A"] == value


def test_a_line_that_sets_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("export A=1\nB=2\n1C=3\n", "here") == [("B", "2")]
    told = capsys.readouterr().err
    assert "here, line 1: 'export A'" in told
    assert "here, line 3: '1C'" in told
    with pytest.raises(EnvFileError, match="here, line 2"):
        parse("B=2\nA='one\n", "here")


def test_the_file_goes_before_the_environment_and_its_name_does_not_stay(tmp_path: Path) -> None:
    file = tmp_path / "recharge.env"
    file.write_text("\ufeffA=1\nB=\n")
    environment = {"A": "0", "B": "0", "C": "0", "RECHARGE_ENV_FILE": str(file)}
    assert read_env_file(None, environment)
    assert environment == {"A": "1", "B": "", "C": "0"}
    assert not read_env_file(None, environment)
    for words in (["m", "--env-file", "f", "check"], ["m", "check", "--env-file=f"], ["m", "--env-file=f", "check"]):
        assert take_option(words) == (["m", "check"], "f")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_command_reads_the_file_that_a_shell_breaks(how: str, world: World, tmp_path: Path) -> None:
    file = tmp_path / "recharge.env"
    file.write_text(
        f"# Production\nDATABASE_URL={database_url()}?connect_timeout=10&application_name=recharge\n"
        f"SECRET_KEY={'k' * 60}\nBASE_DOMAIN=recharge.example\nTRUSTED_PROXIES=1\nEMAIL_URL=\n"
    )
    option = ("--env-file", str(file)) if how == "option" else ()
    variable = {} if option else {"RECHARGE_ENV_FILE": str(file)}
    done = manage(*option, "reconcile", "--json", environment=variable)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["organizations"] == {"acme": [], "globex": []}


@pytest.mark.parametrize("content", [None, b"A='one\n", b"A=\xff\n", b"A=\0\n"])
def test_a_file_that_can_not_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "recharge.env"
    if content is not None:
        file.write_bytes(content)
    assert_told(manage("--env-file", str(file), "check"), str(file))
    assert_told(manage("check", environment={"RECHARGE_ENV_FILE": str(file)}), str(file))
    assert_told(manage("check", "--env-file"), "--env-file")


# --- The embedded database --------------------------------------------------------------------------------------------

PRODUCTION = {
    "SECRET_KEY": "k" * 60,
    "SECRET_KEY_FALLBACKS": "k" * 60,
    "BASE_DOMAIN": "recharge.example",
    "HTTPS": "on",
    "TRUSTED_PROXIES": "1",
    "EMAIL_URL": "smtp+tls://user:password@mail.example:587",
    "EMAIL_FROM": "noreply@recharge.example",
}


@pytest.mark.parametrize("name", PRODUCTION)
def test_the_embedded_database_is_not_started_beside_a_production_setting(name: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    environment = {"RECHARGE_DATA_DIR": str(data), name: PRODUCTION[name]}
    for command in (("reconcile",), ("create_platform_admin", "--username", "a"), ("serve",), ("demo",)):
        assert_told(manage(*command, environment=environment), "DATABASE_URL is not set", name, "--env-file")
    assert not data.exists()


def test_a_file_without_a_database_does_not_start_the_embedded_one(tmp_path: Path) -> None:
    file, data = tmp_path / "recharge.env", tmp_path / "data"
    file.write_text("LOG_LEVEL=INFO\n")
    done = manage("--env-file", str(file), "reconcile", environment={"RECHARGE_DATA_DIR": str(data)})
    assert_told(done, "DATABASE_URL is not set")
    assert not data.exists()


@pytest.mark.parametrize(
    "url", ["postgresql//role:s3cret@host/name", "postgresql://role:s3cret@host:54x2/n%zz", "s3cret", "port=s3cret x"]
)
def test_an_address_of_a_database_that_can_not_be_read_is_refused_without_its_value(url: str) -> None:
    done = manage("reconcile", environment={"DATABASE_URL": url, "SECRET_KEY": "x" * 60})
    assert_told(done, "DATABASE_URL must look like postgresql://role:password@host:5432/database.")
    assert "s3cret" not in done.stdout + done.stderr


def test_what_is_for_trying_things_out_is_no_production_setting() -> None:
    tried = {"ALLOW_PRIVATE_ADDRESSES": "on", "LOG_LEVEL": "DEBUG", "DEBUG": "on", "RECHARGE_DATA_DIR": "/x"}
    assert production_settings(tried) == []
    assert production_settings(dict.fromkeys(PRODUCTION, "")) == []
    assert production_settings({"HTTPS": "off", "TRUSTED_PROXIES": "0", "BASE_DOMAIN": "localhost"}) == []
    assert set(production_settings(PRODUCTION)) == set(PRODUCTION)


@pytest.mark.slow
def test_a_command_on_the_embedded_database_says_so_and_leaves_its_output_alone(tmp_path: Path) -> None:
    environment = {"RECHARGE_DATA_DIR": str(tmp_path)}
    first = manage("migrate_schemas", environment=environment)
    assert first.stdout.splitlines()[-1] == "There are no organizations yet."
    migrated = manage("migrate_schemas", "--verbosity", "0", environment=environment)
    assert (migrated.returncode, migrated.stdout) == (0, ""), migrated.stderr
    assert f"embedded database in {tmp_path}" in migrated.stderr
    proved = manage("reconcile", "--json", environment=environment)
    assert json.loads(proved.stdout) == {"clean": True, "organizations": {}, "since": {}}
    assert proved.stderr.splitlines() == [f"DATABASE_URL is not set: this is the embedded database in {tmp_path}"]


def test_help_starts_no_database(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for arguments in ((), ("--help",), ("help", "serve"), ("serve", "--help"), ("reconcile", "-h"), ("--version",)):
        done = manage(*arguments, environment={"RECHARGE_DATA_DIR": str(data)})
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert not data.exists()


def test_the_demo_touches_no_database_but_the_embedded_one(world: World) -> None:
    before = set(User.objects.values_list("username", flat=True))
    for environment in ({}, {"RECHARGE_EMBEDDED": "1"}, {"RECHARGE_EMBEDDED": ""}):
        done = run("demo", "--exit", "--port", str(free_port()), environment=environment)
        assert_told(done, "embedded database", "DATABASE_URL", "nothing was done")
    assert set(User.objects.values_list("username", flat=True)) == before


# --- What goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        *(("serve", "--port", port) for port in ("nonsense", "0", "-1", "65536", "8" * 30, "")),
        ("serve", "--host", "no such host"),
        ("serve", "--host", "x" * 300),
        *(("serve", name, value) for name in ("--workers", "--threads") for value in ("0", "-1", "many", "9" * 30)),
        *(("deliver", "--threads", value) for value in ("0", "-1", "many", "9" * 30)),
        *(("deliver", "--lease", value) for value in ("0", "nan", "inf", "-1", "long")),
        ("demo", "--port", "nonsense"),
        ("reconcile", "--organization", "\udcff"),
        ("create_platform_admin", "--username", "\udcff", "--password", PASSWORD),
        ("create_platform_admin",),
        ("create_organization",),
        ("workers", "--nonsense"),
        ("migrate_schemas", "--nonsense"),
        ("nonsense",),
    ],
    ids=lambda arguments: " ".join(arguments)[:40].encode(errors="replace").decode(),
)
def test_options_that_will_not_do_are_refused_in_words(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_listens_where_others_reach_it_only_behind_a_proxy(host: str) -> None:
    assert_told(run("serve", "--port", str(free_port()), "--host", host), "reverse proxy", "TRUSTED_PROXIES")


COMMANDS = [
    ("reconcile",),
    ("migrate_schemas",),
    ("workers",),
    ("create_platform_admin", "--username", "a", "--password", PASSWORD),
    ("create_organization", "new", "--name", "New", "--admin-username", "a", "--admin-password", PASSWORD),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_database_that_is_not_there_is_said_in_words(command: tuple[str, ...]) -> None:
    nowhere = {"DATABASE_URL": f"postgres://nobody@127.0.0.1:{free_port()}/nothing", "SECRET_KEY": "k" * 60}
    assert_told(manage(*command, environment=nowhere), "The database can't be reached")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_read_only_database_is_said_in_words(command: tuple[str, ...]) -> None:
    url = f"{database_url()}?options=-c%20default_transaction_read_only%3Don"
    done = run(*command, environment=database_at(url))
    assert "Traceback" not in done.stderr, done.stderr
    if command[0] not in ("workers", "migrate_schemas"):  # which write nothing here
        assert_told(done, "read-only")


@pytest.mark.parametrize("data", ["file/below", "unwritable"])
def test_a_data_directory_that_can_not_be_used_is_said_in_words(data: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "unwritable").symlink_to("/proc/1/nothing")  # where not even root may write
    environment = {"RECHARGE_DATA_DIR": str(tmp_path / data)}
    for command in (("reconcile",), ("serve",), ("demo", "--exit")):
        assert_told(manage(*command, environment=environment), "RECHARGE_DATA_DIR")


def test_a_question_that_nobody_can_answer_is_refused_in_words() -> None:
    done = run("create_platform_admin", "--username", "a", environment={"RECHARGE_ADMIN_PASSWORD": ""})
    assert_told(done, "RECHARGE_ADMIN_PASSWORD")
    assert "GetPassWarning" not in done.stderr
    assert_told(run("flush"))


def test_a_password_can_be_piped(world: World) -> None:
    for given, status in ((f"{PASSWORD}\n{PASSWORD}\n", 0), (f"{PASSWORD}\nanother\n", 1), (f"{PASSWORD}\n", 1)):
        with TemporaryFile("w+") as written:
            written.write(given)
            written.seek(0)
            process = ask_for_a_password("piped", stdin=written)
        output, errors = process.communicate()
        assert process.returncode == status, errors
        assert "Traceback" not in errors
        assert "Warning" not in errors
        assert PASSWORD not in errors + output


def ask_for_a_password(username: str, *, stdin: IO[str]) -> forking.Process:
    return forking.start(
        ["create_platform_admin", "--username", username],
        environment=os.environ | {"RECHARGE_ADMIN_PASSWORD": ""},
        stdin=stdin,
        new_session=True,
    )


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(world: World) -> None:
    process = start("reconcile")
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    assert process.wait(60) == 128 + signal.SIGPIPE
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS[:2], ids=lambda command: command[0])
def test_ctrl_c_ends_a_command_that_waits_for_the_database(command: tuple[str, ...], number: int, world: World) -> None:
    holder = psycopg2.connect(database_url())
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE public.tenants_organization, public.django_migrations")
            process = start(*command)

            def is_waiting() -> bool:
                with connection.cursor() as looking:
                    looking.execute(
                        "SELECT EXISTS (SELECT FROM pg_stat_activity "
                        "WHERE wait_event_type = 'Lock' AND datname = current_database())"
                    )
                    return looking.fetchone()[0]

            wait_until(is_waiting, "it waits for the table")
            os.killpg(process.pid, number)
            output, errors = process.communicate(timeout=30)
            assert "Traceback" not in errors + output
            assert process.returncode == 128 + number
            if number == signal.SIGINT:
                assert "Stopped by Ctrl-C" in errors
            wait_until(lambda: not is_waiting(), "its statement has ended, too")
    finally:
        holder.close()


def test_ctrl_c_at_a_question_ends_it_in_words() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as never, os.fdopen(writing, "w"):
        process = ask_for_a_password("a", stdin=never)
        assert process.stderr
        assert process.stderr.readline() == "Password: \n"
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert "Stopped by Ctrl-C" in errors
    assert "Traceback" not in errors
    assert process.returncode == 128 + signal.SIGINT
