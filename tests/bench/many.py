"""Thousands of organizations: the bench's table "many". What their number costs each connection, each process and each
command, though hardly anybody works in them."""

import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import median

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.cpu import cpu_of
from tests.bench.stage import ROOT, Organization, Stage, another_server, lines_for, memory_of_connections, provision

SERVED = (1, 64, 256, 512)
"""Organizations that one connection has served when its memory is looked at."""

_AT_ONCE = 2
_PROVISIONED_ALONE = 10


def measure(here: Stage, counts: list[int], console: Console) -> None:
    """For each of these numbers of organizations, from the lowest up, one column."""
    made: list[Organization] = []
    columns: list[dict[str, str]] = []
    for count in sorted(counts):
        console.print(f"  provisioning {count - len(made):,} organizations …")
        made += _provisioned(range(len(made), count - _PROVISIONED_ALONE))
        column = _provisioning(here, made, count)
        column |= _memory(here, made)
        column |= _commands(here, made)
        columns.append(column)
        console.print(_table(sorted(counts)[: len(columns)], columns))


def _table(counts: list[int], columns: list[dict[str, str]]) -> Table:
    table = Table(title="Many organizations", box=SIMPLE_HEAD)
    for heading in ("", *(f"{count:,}" for count in counts)):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _provisioned(numbers: range) -> list[Organization]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_provision, numbers))


def _provision(number: int) -> Organization:
    from tenants.memory import bound_memory

    made = provision(f"many{number}", 1)
    bound_memory(f"org_{made.slug}")
    return made


def _provisioning(here: Stage, made: list[Organization], count: int) -> dict[str, str]:
    """Of the last few, one after the other; with a seller and its credit, which the bench gives each."""
    database = cpu_of(here.server, here.directory).database
    own, walls = time.process_time(), []
    begun = len(made)
    while len(made) < count:
        begins = time.monotonic()
        made.append(provision(f"many{len(made)}", 1))
        walls.append(time.monotonic() - begins)
    times = count - begun
    own = (time.process_time() - own) / times
    database = (cpu_of(here.server, here.directory).database - database) / times
    return {"provisioning, s of CPU": f"{own:.2f} + {database:.2f}", "provisioning, s": f"{median(walls):.2f}"}


def _memory(here: Stage, made: list[Organization]) -> dict[str, str]:
    """Of the one connection of a server's one thread, which each organization asks for a sale, its balance and two
    lists."""
    found: dict[str, str] = {}
    with another_server(
        here, f"many-{len(made)}", "--workers", "1", "--threads", "1", ORGANIZATIONS_PER_CONNECTION="100000"
    ) as server:
        others = memory_of_connections(here)  # with its own for /readyz
        served, cpu = 0, server.cpu()
        for count in SERVED:
            for organization in made[served:count]:
                _use(server, organization)
            now = server.cpu()
            each = [1000 * (after - before) / (count - served) for after, before in zip(now, cpu, strict=True)]
            served, cpu = count, server.cpu()
            held = [size for process, size in memory_of_connections(here).items() if process not in others]
            found[f"a connection that has served {count}, MiB"] = f"{max(held):,}"
            found[f"an organization's first requests (to {count}), ms of CPU"] = f"{each[0]:.1f} + {each[1]:.1f}"
        found["the web process, MiB"] = f"{_web_memory(server.server):,}"
    return found


def _use(server: Stage, organization: Organization) -> None:
    host, token = lines_for(organization)[0].split(" ", 1)
    sale = {"phone_number": "09121234567", "amount": 5000}
    _ask(server, "POST", "/api/v1/recharges", host, token, sale)
    for path in ("/balance", "/recharges?limit=25", "/entries?limit=25"):
        _ask(server, "GET", f"/api/v1{path}", host, token)


def _ask(server: Stage, method: str, path: str, host: str, token: str = "", body: object = None) -> None:
    headers = {"Host": host, "Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with closing(http.client.HTTPConnection(server.address, timeout=600)) as connection:
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:500]!r}")


def _web_memory(server: int) -> int:
    """MiB of the largest process of a server."""
    processes = psutil.Process(server).children(recursive=True)
    return int(max(one.memory_info().rss for one in processes) >> 20)


def _commands(here: Stage, made: list[Organization]) -> dict[str, str]:
    """Over all organizations, in which there is nothing to do."""
    found: dict[str, str] = {}
    for command in (("migrate_schemas", "--check"), ("migrate_schemas",), ("reconcile",), ("deliver", "--once")):
        database, own, begins = cpu_of(here.server, here.directory).database, os.times(), time.monotonic()
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.monotonic() - begins, os.times()
        spent = after.children_user + after.children_system - own.children_user - own.children_system
        database = cpu_of(here.server, here.directory).database - database
        found[f"{' '.join(command)}, s of CPU"] = f"{spent:.0f} + {database:.0f}"
        found[f"{' '.join(command)}, s"] = f"{seconds:.0f}"
    return found
