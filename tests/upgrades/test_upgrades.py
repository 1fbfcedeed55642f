"""Installations of releases before are upgraded by ``migrate_schemas``, books and all, and sell on.

Each ``<commit>.sql.xz`` is a dump (pg_dump) of a small installation that this commit made: organizations acme and
globex with admin ``sara``, sellers ``seller1`` … of 1,000,000 Tomans each, sales ``sale-0`` … and ``bulk-1`` …,
requests for credit and webhooks. ``<commit>.tar.xz`` is its code.
"""

import lzma
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support import commands
from tests.support.database import BARE
from tests.support.environment import database_at
from tests.support.schemas import postgres
from tests.support.server import Server, serving

HERE = Path(__file__).parent
RELEASES = sorted(path.name.partition(".")[0] for path in HERE.glob("*.sql.xz"))
NEWEST = "47bfa7a"

SECRET_KEY = "only-for-this-dump-" * 4
"""With which the secrets in the dumps are encrypted."""

PASSWORD = "correct horse battery"

_pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(connect=5, read=60))


def environment_for(address: str) -> dict[str, str]:
    return database_at(address) | {"SECRET_KEY": SECRET_KEY, "BASE_DOMAIN": "localhost", "RECHARGE_EMBEDDED": "1"}


def restore(release: str, address: str) -> None:
    dump = lzma.decompress((HERE / f"{release}.sql.xz").read_bytes())
    dump = dump.replace(b"\nSET transaction_timeout = 0;\n", b"\n")  # as it is anyway; servers before 17 don't know it
    postgres("psql", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", address, given=dump)


def columns_of(address: str) -> dict[str, bool]:
    """Those of the public schema and of acme's, and of each whether who writes a row may leave it out."""
    answer = postgres(
        "psql",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--command",
        "SELECT table_schema || '.' || table_name || '.' || column_name,"
        " column_default IS NOT NULL OR is_identity = 'YES' OR is_nullable = 'YES'"
        " FROM information_schema.columns WHERE table_schema IN ('public', 'org_acme')",
        address,
    )
    return {name: may == "t" for name, may in (line.split("|") for line in answer.decode().split())}


def ask(server: Server, method: str, path: str, body: Any = None, token: str = "", key: str = "") -> tuple[int, Any]:
    """Unlike tests.support.client, for a server of any release."""
    headers = {"Host": "acme.localhost"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Idempotency-Key": key} if key else {}
    answer = _pool.request(method, f"http://{server.address}/api/v1{path}", json=body, headers=headers)
    return answer.status, answer.json()


def sign_in(server: Server, username: str) -> str:
    status, answer = ask(server, "POST", "/auth/token", {"username": username, "password": PASSWORD})
    assert status == 200, answer
    return str(answer["access"])


def test_code_of_the_release_before_can_write_every_row(empty_database: str) -> None:
    """It leaves out the columns that it does not know, and names all others."""
    restore(NEWEST, empty_database)
    before = columns_of(empty_database)
    assert commands.run("migrate_schemas", environment=environment_for(empty_database)).returncode == 0
    now = columns_of(empty_database)
    tables = {name.rpartition(".")[0] for name in before}
    assert not [
        name
        for name, may_be_left_out in now.items()
        if name not in before and name.rpartition(".")[0] in tables and not may_be_left_out
    ]
    assert not before.keys() - now.keys()
    assert not [name for name, may_be_left_out in before.items() if may_be_left_out and not now[name]]


@pytest.mark.parametrize("release", RELEASES)
def test_an_installation_is_upgraded_and_sells_on(release: str, empty_database: str, tmp_path: Path) -> None:
    restore(release, empty_database)
    environment = environment_for(empty_database)
    migrated = commands.run("migrate_schemas", environment=environment)
    assert migrated.returncode == 0, migrated.stderr
    again = commands.run("migrate_schemas", environment=environment)
    assert (again.returncode, "is up to date now" in again.stdout) == (0, False)
    assert commands.run("reconcile", environment=environment).returncode == 0
    with serving(tmp_path / "log", workers=1, environment=BARE | environment) as server:
        token = sign_in(server, "seller1")
        sale = {"phone_number": "09121234501", "amount": 5000}
        before = ask(server, "GET", "/balance", token=token)[1]["balance"]
        assert ask(server, "POST", "/recharges", sale, token, "sale-0")[0] == 200  # sold by the release before
        assert ask(server, "POST", "/recharges", sale, token, "new")[0] == 201
        items = [
            {"idempotency_key": key, "phone_number": number, "amount": 1000}
            for key, number in (("bulk-1", "09190000001"), ("bulk-new", "09190000009"))
        ]
        status, answer = ask(server, "POST", "/recharges/bulk", {"items": items}, token)
        assert (status, [one["outcome"] for one in answer["results"]]) == (200, ["replayed", "created"])
        assert ask(server, "GET", "/balance", token=token)[1]["balance"] == before - 6000
        admin = sign_in(server, "sara")
        _, requests = ask(server, "GET", "/credit-requests?status=pending", token=admin)
        assert ask(server, "POST", f"/credit-requests/{requests['results'][0]['id']}/approve", {}, admin)[0] == 200
        assert ask(server, "GET", "/webhooks", token=admin)[0] == 200
    assert commands.run("reconcile", environment=environment).returncode == 0


def test_processes_of_the_release_before_sell_on_while_schemas_are_upgraded_and_when_started_again(
    empty_database: str, tmp_path: Path
) -> None:
    with tarfile.open(HERE / f"{NEWEST}.tar.xz") as code:
        # Python 3.11.2 knows no filter, and 3.14 has this one without being asked.
        known: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        code.extractall(tmp_path / "code", **known)
    restore(NEWEST, empty_database)
    environment = environment_for(empty_database)
    sold: dict[str, int] = {}
    is_over = threading.Event()
    of_before = BARE | environment | {"DJANGO_SETTINGS_MODULE": "saas.settings"}  # it knows no settings of these tests
    with serving(tmp_path / "log", environment=of_before, root=tmp_path / "code") as before:
        token = sign_in(before, "seller1")
        balance = ask(before, "GET", "/balance", token=token)[1]["balance"]

        def insist(path: str, body: Any, key: str = "") -> tuple[int, Any]:
            """As clients do: one that met the upgrade is told to come again."""
            for _ in range(10):
                status, answer = ask(before, "POST", path, body, token, key)
                if status != 503:
                    break
            return status, answer

        def sell() -> None:
            number = 0
            while not is_over.is_set() or number < 20:
                number += 1
                sale = {"phone_number": f"0912{number:07}", "amount": 100}
                sold[f"while-{number}"] = insist("/recharges", sale, f"while-{number}")[0]
                items = [{"idempotency_key": f"whole-{number}", **sale}]
                status, answer = insist("/recharges/bulk", {"items": items})
                is_sold = status == 200 and answer["results"][0]["outcome"] == "created"
                sold[f"whole-{number}"] = 201 if is_sold else status

        selling = threading.Thread(target=sell)
        selling.start()
        try:
            migrated = commands.run("migrate_schemas", environment=environment)
        finally:
            is_over.set()
            selling.join()
        assert migrated.returncode == 0, migrated.stderr
        assert set(sold.values()) == {201}, {key: status for key, status in sold.items() if status != 201}
        sale = {"phone_number": "09129999999", "amount": 100}
        assert ask(before, "POST", "/recharges", sale, token, "after")[0] == 201
        assert ask(before, "GET", "/balance", token=token)[1]["balance"] == balance - 100 * (len(sold) + 1)
    # Who goes back to the release before starts it on the database as it is now.
    with serving(tmp_path / "log", environment=of_before, root=tmp_path / "code") as gone_back:
        assert _pool.request("GET", f"http://{gone_back.address}/readyz").status == 200
        token = sign_in(gone_back, "seller1")
        assert ask(gone_back, "POST", "/recharges", sale, token, "after")[0] == 200
        sale = {"phone_number": "09128888888", "amount": 100}
        assert ask(gone_back, "POST", "/recharges", sale, token, "gone-back")[0] == 201
    assert commands.run("reconcile", environment=environment).returncode == 0
