"""Where a benchmark plays: a PostgreSQL of its own at default durability, the product's server, its organizations."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2

from tests.bench.cpu import Cpu, cpu_of, wait_until_ready
from tests.support.chain import FORGET
from tests.support.server import free_port

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = {
    "shared_buffers": "4GB",
    "checkpoint_timeout": "30min",
    "max_wal_size": "8GB",
    "min_wal_size": "4GB",
}
"""A production server's, at PostgreSQL's default durability: each answered sale is on the disk. With the small defaults
a checkpoint falls into most tables, and its writing (18,000 files for 500 organizations) stalls every commit for
seconds, so that two contenders of one table are not in one world. take_turns has one made before it measures.

No wal_compression: this build knows only pglz, with which sales after a checkpoint are slower on long books, where each
key has its page of the index written whole (1,435 a second instead of 1,568 at 10 million entries)."""
CREDIT = 10**12
"""Tomans of every seller: more than any run spends."""


@dataclass(frozen=True)
class Stage:
    """The server's address and the database's, and the sellers that play."""

    address: str
    database_url: str
    directory: Path
    server: int
    """The id of its process."""
    environment: dict[str, str]
    """The server's."""

    def cpu(self) -> Cpu:
        return cpu_of(self.server, self.directory)

    def sellers_file(self, name: str, lines: list[str]) -> Path:
        path = self.directory / f"{name}.sellers"
        path.write_text("\n".join(lines) + "\n")
        return path


@contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """Starts the embedded database (in this process) and Django on it, and a server."""
    from saas import embedded

    for name in ("DATABASE_URL", "SECRET_KEY", "BASE_DOMAIN", "LOG_LEVEL"):
        os.environ.pop(name, None)
    embedded.start(directory, PARAMETERS)
    working = dict(os.environ)
    os.environ["DATABASE_URL"] = os.environ.pop("OWNER_DATABASE_URL")  # it writes what an application may not
    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.bench.settings", "BASE_DOMAIN": "bench.test"}

    import django

    django.setup()
    logging.getLogger().setLevel(logging.WARNING)  # of this process; the server logs as in production
    from django.core.management import call_command

    call_command("migrate_schemas", interactive=False, verbosity=0)
    _fill_wal(os.environ["DATABASE_URL"])
    environment = os.environ | {name: working[name] for name in ("DATABASE_URL", "OWNER_DATABASE_URL")}
    with _serving(directory / "server.log", environment) as (address, server):
        yield Stage(address, os.environ["DATABASE_URL"], directory, server, environment)


@contextmanager
def another_server(here: Stage, name: str, *options: str, **environment: str) -> Iterator[Stage]:
    """One more server on the same database, with these options, whose environment has this besides."""
    whole = here.environment | environment
    with _serving(here.directory / f"{name}.log", whole, *options) as (address, server):
        yield replace(here, address=address, server=server, environment=whole)


@contextmanager
def _serving(log: Path, environment: dict[str, str], *options: str) -> Iterator[tuple[str, int]]:
    """A server without a worker, until the block ends: its address, and the id of its process."""
    port = free_port()
    with log.open("wb") as written:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port), "--no-delivery", *options],
            cwd=ROOT,
            env=environment,
            stdout=written,
            stderr=written,
        )
    try:
        wait_until_ready(server, f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}", server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


@dataclass(frozen=True)
class Organization:
    """One that was made for the bench, and its sellers."""

    id: int
    slug: str
    user_ids: dict[int, int]
    """By seller's id."""

    @property
    def seller_ids(self) -> list[int]:
        return list(self.user_ids)


def provision(slug: str, sellers: int, credit: int = CREDIT) -> Organization:
    """An organization with so many sellers, each with so many Tomans."""
    from django_tenants.utils import tenant_context

    from credit.models import Account, Seller
    from shared.models import Membership, User
    from tenants.services import provision_organization

    organization = provision_organization(
        slug=slug, name=slug, admin_username="bench", admin_password="correct horse battery"
    )
    # The admin has chosen a password; else each page leads to where one does.
    User.objects.filter(username=f"{slug}/bench").update(must_change_password=False)
    with tenant_context(organization):
        made = Seller.objects.bulk_create([Seller(name=f"seller {number}") for number in range(sellers)])
        Account.objects.bulk_create([Account(seller=seller) for seller in made])
    if credit:
        adjust_everybody(organization.schema_name, organization.pk, credit)
    users = User.objects.bulk_create([User(username=f"{slug}/{seller.pk}", password="!") for seller in made])
    Membership.objects.bulk_create(
        [
            Membership(
                user=user, organization_id=organization.pk, username=str(seller.pk), role="seller", seller_id=seller.pk
            )
            for user, seller in zip(users, made, strict=True)
        ]
    )
    user_ids = {seller.pk: user.pk for user, seller in zip(users, made, strict=True)}
    return Organization(organization.pk, slug, user_ids)


def adjust_everybody(schema: str, organization_id: int, amount: int) -> None:
    """By the door and with a document, so that the books can be proved afterwards."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count({schema}.adjustment_create(%s, id, id || 'for' || %s, %s, 'for the bench', '', 'bench', 1))"
            f" FROM {schema}.credit_seller",
            [organization_id, amount, amount],
        )


def leave_to_the_textbook(organization: Organization) -> None:
    """Web processes move money through functions alone, which hash each entry over the one before it. textbook.py
    writes the tables and hashes nothing: in organizations of its own, whose books are proved without the chain."""
    from django.db import connection
    from django_tenants.utils import schema_context

    from saas.embedded import WORKING_GROUP

    with schema_context(f"org_{organization.slug}"), connection.cursor() as cursor:
        tables = "credit_account, credit_entry, recharge_recharge"
        cursor.execute(f"GRANT INSERT, UPDATE ON {tables} TO {WORKING_GROUP}")
        cursor.execute(FORGET)


def lines_for(organization: Organization) -> list[str]:
    """Lines of a sellers' file, the host, and a token that outlives the run."""
    return [_line(organization, user_id, "seller", seller_id) for seller_id, user_id in organization.user_ids.items()]


def admin_line_for(organization: Organization) -> str:
    """The same for its admin."""
    return _line(organization, _admin_of(organization), "admin", None)


def _line(organization: Organization, user_id: int, role: str, seller_id: int | None) -> str:
    from datetime import timedelta

    from shared.identity.realm import Realm
    from shared.identity.tokens import AccessToken, name_realm

    token = AccessToken()
    token.set_exp(lifetime=timedelta(hours=6))
    token["sub"] = str(user_id)
    name_realm(token, Realm(organization.id, organization.slug))
    token["role"], token["seller_id"] = role, seller_id
    return f"{organization.slug}.bench.test {token}"


def session_lines_for(organization: Organization) -> list[str]:
    """The same for pages: sessions, as a sign-in makes them."""
    return [_session_line(organization, user_id) for user_id in organization.user_ids.values()]


def admin_session_line_for(organization: Organization) -> str:
    """The same for its admin."""
    return _session_line(organization, _admin_of(organization))


def _admin_of(organization: Organization) -> int:
    from shared.models import Membership

    return Membership.objects.get(organization_id=organization.id, role="admin").user_id


def _session_line(organization: Organization, user_id: int) -> str:
    from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY

    from shared.identity.realm import Realm
    from shared.identity.session_store import SessionStore
    from shared.identity.sessions import session_content
    from shared.models import User

    session = SessionStore()
    session.update(session_content(Realm(organization.id, organization.slug), withdrawn_at=None))
    session[SESSION_KEY] = str(user_id)
    session[HASH_SESSION_KEY] = User.objects.get(pk=user_id).get_session_auth_hash()
    session.create()
    return f"{organization.slug}.bench.test cookie:{session.session_key}"


def ask_for_credit(organization: Organization, each: int) -> None:
    """So many credit requests of each seller, of which nothing is decided."""
    from django.db import connection
    from django_tenants.utils import schema_context

    with schema_context(f"org_{organization.slug}"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO credit_creditrequest"
            " (id, seller_id, idempotency_key, amount, note, status, reason, created_at, decided_by)"
            " SELECT gen_random_uuid(), id, 'bench-' || n, 1000 * n, 'as every week', 'pending', '', now(), ''"
            " FROM credit_seller CROSS JOIN generate_series(1, %s) AS n",
            [each],
        )


def any_recharge(organization: Organization) -> UUID:
    """The id of one of its recharges."""
    from django_tenants.utils import schema_context

    from recharge.models import Recharge

    with schema_context(f"org_{organization.slug}"):
        return Recharge.objects.order_by("pk").values_list("pk", flat=True)[0]


# One entry a second for years, dealt to the sellers in turn: as recharge_sell would have written them.
_HISTORY = """
    CREATE TEMPORARY TABLE sale AS
    SELECT
        seller.id AS seller_id,
        n,
        uuid7_at(moment) AS id,
        moment,
        account.balance - n AS balance_after,
        account.last_number + n AS number
    FROM credit_seller AS seller
    INNER JOIN credit_account AS account ON account.seller_id = seller.id
    CROSS JOIN generate_series(1, %(each)s) AS n
    CROSS JOIN LATERAL (
        SELECT
            timestamptz '2015-01-01' + ((account.last_number + n) * %(sellers)s + seller.id) * interval '1 second'
                AS moment
    ) AS moments;
    INSERT INTO credit_entry (id, seller_id, number, kind, amount, balance_after, reference, created_at)
    SELECT uuid7_at(moment), seller_id, number, 'recharge', -1, balance_after, id, moment FROM sale;
    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at, gateway, late, attempts
    )
    SELECT
        id, seller_id, md5(id::text),  -- key and number anywhere in their indexes, as in life
        '+98912' || lpad(floor(random() * 10000000)::text, 7, '0'), 'mci', 1, 'succeeded', '',
        balance_after, moment, moment, 'instant', '', 0
    FROM sale;
    UPDATE credit_account SET balance = balance - %(each)s, last_number = last_number + %(each)s;
    DROP TABLE sale;
"""


def fill_history(organization: Organization, entries: int) -> None:
    """So many sales on the books of an organization, and the tables as autovacuum would have left them."""
    from django.db import connection
    from django_tenants.utils import schema_context

    sellers = len(organization.user_ids)
    with schema_context(f"org_{organization.slug}"), connection.cursor() as cursor:
        for _ in range(max(1, entries // 10**6)):
            cursor.execute(_HISTORY, {"each": min(entries, 10**6) // sellers, "sellers": sellers})
        cursor.execute(FORGET)
        cursor.execute("VACUUM (ANALYZE) credit_entry, recharge_recharge, credit_account")


def want_numbers_masked(organization: Organization) -> None:
    """From now on it wants no phone numbers that are a year old."""
    from django_tenants.utils import schema_context

    from recharge.terms.services import change_settings
    from tenants.models import Organization as Row

    with schema_context(f"org_{organization.slug}"):
        row = Row.objects.get(pk=organization.id)
        change_settings(organization=row, by="bench", numbers_kept_months=12)


def numbers_masked(organization: Organization) -> int:
    from django.db.models import Sum
    from django_tenants.utils import schema_context

    from recharge.models import LettingGo

    with schema_context(f"org_{organization.slug}"):
        return LettingGo.objects.filter(kind="phone_numbers").aggregate(Sum("gone"))["gone__sum"] or 0


def checkpoint(stage: Stage) -> None:
    """Has written out now what else would be written out while something is measured."""
    with _superuser(stage.database_url) as cursor:
        cursor.execute("CHECKPOINT")


_SEGMENTS = 256
"""Of the WAL, of 16 MiB: as many as ``min_wal_size`` keeps."""


def _fill_wal(database_url: str) -> None:
    """Has the server write its WAL into files that it had before, as one does that has run for a while. A new file is
    filled with zeros first, 16 MiB of them, and every commit waits meanwhile: 40 ms, twice a second beside bulk sales.
    """
    with _superuser(database_url) as cursor:
        for _ in range(_SEGMENTS):
            cursor.execute("SELECT pg_logical_emit_message(false, 'bench', '')")
            cursor.execute("SELECT pg_switch_wal()")
        cursor.execute("CHECKPOINT")


@contextmanager
def _superuser(database_url: str) -> Iterator[Any]:
    with contextlib.closing(psycopg2.connect(database_url.replace("//recharge@", "//postgres@", 1))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def memory_of_connections(stage: Stage) -> dict[int, int]:
    """MiB that each connection to the database holds for itself, of servers and of the bench, by its process."""
    postmaster = (stage.directory / "postgres" / "postmaster.pid").read_text().split()[0]
    held = {}
    for pid in map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()):
        with contextlib.suppress(OSError):
            if b"recharge" in Path(f"/proc/{pid}/cmdline").read_bytes():
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                # Not Private_…, which has pages of shared_buffers that no other process has looked at.
                held[pid] = sum(int(size) for size in re.findall(r"^Pss_Anon:\s+(\d+) kB", rollup, re.M)) // 1024
    return held


def deliver_through_simulator(organization: Organization) -> None:
    """From now on its sales are delivered by a worker."""
    from django_tenants.utils import schema_context

    from recharge.models import GatewaySettings, OperatorSettings

    with schema_context(f"org_{organization.slug}"):
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="mci", gateway=gateway)


def sell_pending(organizations: list[Organization], count: int) -> None:
    """So many recharges that wait for delivery, dealt to all the sellers."""
    from django.db import connection

    sellers = sum(len(one.user_ids) for one in organizations)
    with connection.cursor() as cursor:
        for organization in organizations:
            cursor.execute(
                f"SELECT count(org_{organization.slug}.recharge_sell(%s, seller, gen_random_uuid()::text, "
                "'+989121234567', 'mci', 5000, true)) FROM unnest(%s::bigint[]) AS seller, generate_series(1, %s)",
                [organization.id, organization.seller_ids, count // sellers],
            )


def deliver(organizations: list[Organization]) -> float:
    """Has a worker process deliver all that waits; recharges a second, from the first that it delivered to the last."""
    from django.db import connection

    pending = "SELECT count(*) FROM org_{0}.recharge_recharge WHERE status <> 'succeeded'"
    ended = (
        "SELECT count(*), min(completed_at), max(completed_at) FROM org_{0}.recharge_recharge WHERE completed_at > %s"
    )

    def rows(query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(
                " UNION ALL ".join(query.format(one.slug) for one in organizations), arguments * len(organizations)
            )
            return list(cursor.fetchall())

    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (started,) = cursor.fetchone()
    subprocess.run([sys.executable, "manage.py", "deliver", "--once"], cwd=ROOT, check=True)
    waiting = sum(count for (count,) in rows(pending))
    if waiting:
        raise SystemExit(f"{waiting} recharges were not delivered.")
    found = [row for row in rows(ended, started) if row[0]]
    if not found:
        return 0.0
    seconds = (max(last for _, _, last in found) - min(first for _, first, _ in found)).total_seconds()
    return float(round(sum(count for count, _, _ in found) / max(seconds, 0.001)))


def set_rates(organization: Organization) -> None:
    """Rates as an organization has them: of all sellers, of an operator, and of some sellers."""
    from django.db import connection

    rates = [(None, "", 200), (None, "mci", 250), *((one, "", 300) for one in organization.seller_ids[::10])]
    with connection.cursor() as cursor:
        for seller_id, operator, basis_points in rates:
            cursor.execute(
                f"SELECT org_{organization.slug}.commission_set(%s, %s, %s, NULL, 'bench')",
                [seller_id, operator, basis_points],
            )


def sell_for_one_dealer(organization: Organization) -> None:
    """All sellers but one are the children of that one, who earns more than they do."""
    from django.db import connection

    dealer, *_ = organization.seller_ids
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE org_{organization.slug}.credit_seller SET parent_id = %s, ancestors = %s WHERE id <> %s",
            [dealer, [dealer], dealer],
        )
        cursor.execute(f"SELECT org_{organization.slug}.commission_set(%s, '', 900, NULL, 'bench')", [dealer])


def post_all_margins(organization: Organization) -> tuple[int, float]:
    """How many recharges gave margins, and the seconds that it took to post them."""
    from recharge.margins.services import BATCH, post_margins
    from tenants.models import Organization as Row

    row, recharges, started = Row.objects.get(pk=organization.id), 0, time.perf_counter()
    while True:
        posted = post_margins(organization=row)
        recharges += posted.done
        if posted.looked < BATCH:
            return recharges, time.perf_counter() - started


@contextmanager
def worker(**environment: str) -> Iterator[None]:
    """A delivery worker as a process, from when it is ready until the block ends."""
    from django.db import connection

    process = subprocess.Popen([sys.executable, "manage.py", "deliver"], cwd=ROOT, env=os.environ | environment)
    try:
        with connection.cursor() as cursor:
            ready = False
            while not ready:
                time.sleep(0.1)
                cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN %')")
                (ready,) = cursor.fetchone()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def sales_posted() -> int:
    """How many entries there are in all organizations together; in a bench each is a sale."""
    from django.db import connection

    from tenants.queries import working_organizations

    time.sleep(0.3)  # what was asked for when a burst ended is answered by then
    accounts = " UNION ALL ".join(
        f"SELECT sum(last_number) FROM {organization.schema_name}.credit_account"
        for organization in working_organizations()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sum(sum)::bigint FROM ({accounts}) AS sums")
        posted: int = cursor.fetchone()[0]
        return posted


def prove_the_books() -> None:
    """Raises unless every organization's books are right."""
    from django_tenants.utils import tenant_context

    from recharge.reports.books import find_faults
    from tenants.queries import working_organizations

    for organization in working_organizations():
        with tenant_context(organization):
            faults = find_faults()
            if faults:
                raise SystemExit(f"{organization}: THE BOOKS ARE WRONG: {faults[:5]}")
