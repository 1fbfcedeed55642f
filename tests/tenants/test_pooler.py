"""Behind PgBouncer's transaction mode: whoever had a session before, a statement reaches its own organization's rows,
or it raises."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connection, connections, transaction
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from credit.models import Entry, Seller
from saas.seats import STATEMENT_SECONDS, _limit_statements
from shared.database import call_function, within
from tenants.direct import connection_to
from tests.support import forking
from tests.support.client import Client
from tests.support.environment import database_at
from tests.support.pooler import SESSION, behind, pooling
from tests.support.schemas import changed
from tests.support.server import free_port, serving, working_environment, working_url
from tests.support.world import World, give_credit

pytestmark = pytest.mark.slow

REQUESTS = 2000


def _direct(environment: dict[str, str]) -> dict[str, str]:
    """The same without a pooler: these tests have their own."""
    return environment | database_at(working_url())


@contextmanager
def _pool_of_one(**options: Any) -> Iterator[str]:
    """The address of a pool that has a single session of the database."""
    address, port = working_url(), free_port()
    with pooling(address, port=port, roles=(str(parse_dsn(address)["user"]),), size=1, **options):
        yield behind(address, port)


@pytest.fixture
def pool() -> Iterator[str]:
    with _pool_of_one() as address:
        yield address


@contextmanager
def _working_through(pool: str) -> Iterator[Any]:
    given = parse_dsn(pool)
    parameters = {
        "ENGINE": "tenants.pooled",
        "USER": given["user"],
        "HOST": given["host"],
        "PORT": given["port"],
        "OPTIONS": settings.DATABASES["default"]["OPTIONS"],
    }
    before, ours = connections[DEFAULT_DB_ALIAS], connection_to(parameters)
    connections[DEFAULT_DB_ALIAS] = ours
    try:
        yield ours
    finally:
        connections[DEFAULT_DB_ALIAS] = before
        ours.close()


@pytest.fixture
def pooled(world: World, pool: str) -> Iterator[Any]:
    """This thread works through it."""
    with _working_through(pool) as ours:
        yield ours


def _rename(world: World) -> None:
    """Sellers of the two organizations have the same ids; from now on they have names that say whose they are."""
    for one in (world.acme, world.globex):
        with one.context:
            for seller in Seller.objects.all():
                Seller.objects.filter(pk=seller.pk).update(name=f"{one.row.slug} {seller.pk}")


def test_two_organizations_in_turn_through_a_single_session_meet_no_row_of_the_other(
    world: World, pool: str, tmp_path: Path
) -> None:
    both = {"acme": world.acme, "globex": world.globex}
    _rename(world)
    for one in both.values():
        give_credit(one.row, one.member.id, 10_000_000)
    environment = working_environment()
    environment |= {"DATABASE_URL": pool, "DATABASE_POOLER": "transaction", "DIRECT_DATABASE_URL": working_url()}

    def ask(address: str, number: int) -> tuple[str, str, Any]:
        slug = ("acme", "globex")[number % 2]
        one = both[slug]
        owner = Client(address, one.host, one.owner.client.token)
        member = Client(address, one.host, one.member.client.token)
        kind = ("list", "rename", "sell", "seller", "entries")[number // 2 % 5]
        if kind == "list":
            answer = owner.get("/sellers")
            found = {row["name"].split()[0] for row in answer.json["results"]}
        elif kind == "rename":
            answer = owner.patch(f"/sellers/{one.member.id}", {"name": f"{slug} {number}"})
            found = {answer.json["name"].split()[0]}
        elif kind == "sell":
            phone_number = {"acme": "09121111111", "globex": "09122222222"}[slug]
            answer = member.post("/recharges", {"phone_number": phone_number, "amount": 1000}, key=f"{slug}{number}")
            found = {{"1": "acme", "2": "globex"}[answer.json["phone_number"][-1]]}
        elif kind == "seller":
            answer = owner.get(f"/sellers/{one.neighbour.id}")
            found = {answer.json["name"].split()[0]}
        else:
            answer = member.get("/recharges")
            found = {{"1": "acme", "2": "globex"}[row["phone_number"][-1]] for row in answer.json["results"]}
        return slug, f"{kind} {answer.status}", found

    with serving(tmp_path / "log", environment=environment) as server, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(partial(ask, server.address), range(REQUESTS)))

    assert {said.split()[1] for _, said, _ in answers} == {"200", "201"}
    assert [one for one in answers if not one[2] <= {one[0]}] == []
    for slug, one in both.items():
        with one.context:
            assert {name.split()[0] for name in Seller.objects.values_list("name", flat=True)} == {slug}
            assert Entry.objects.filter(kind=Entry.Kind.RECHARGE).count() == REQUESTS // 10


def test_each_statement_of_autocommit_brings_its_schema(world: World, pooled: Any) -> None:
    _rename(world)
    for one in (world.acme, world.globex) * 2:
        with one.context:
            assert {name.split()[0] for name in Seller.objects.values_list("name", flat=True)} == {one.row.slug}
            assert connection.connection.get_transaction_status() == 0


def test_in_a_transaction_too_after_a_savepoint_is_rolled_back_and_where_the_organization_changes(
    world: World, pooled: Any
) -> None:
    _rename(world)

    def slugs() -> set[str]:
        return {name.split()[0] for name in Seller.objects.values_list("name", flat=True)}

    with transaction.atomic():
        with world.acme.context:
            assert slugs() == {"acme"}
            with transaction.atomic(), world.globex.context:
                assert slugs() == {"globex"}
                transaction.set_rollback(True)
            assert slugs() == {"acme"}
        with world.globex.context, transaction.atomic():
            assert slugs() == {"globex"}
        with world.acme.context:
            assert slugs() == {"acme"}


def test_a_statement_that_failed_before_it_was_sent_has_not_set_the_path_of_its_transaction(
    world: World, pooled: Any
) -> None:
    _rename(world)
    with transaction.atomic(), connection.cursor() as cursor:
        with world.acme.context:
            cursor.execute("SELECT 1")
        with world.globex.context:
            with pytest.raises(IndexError):
                cursor.execute("SELECT %s, %s", [1])
            assert Seller.objects.first().name.startswith("globex")  # type: ignore[union-attr]


def test_what_can_not_bring_its_schema_raises_outside_of_a_transaction(world: World, pooled: Any) -> None:
    with world.acme.context:
        with pytest.raises(NotSupportedError):
            list(Seller.objects.iterator())
        with connection.cursor() as cursor:
            for call in (
                lambda: cursor.executemany("SELECT %s FROM credit_seller", [(1,), (2,)]),
                lambda: cursor.callproc("seller_lock", [1, 2]),
                lambda: cursor.copy_expert("COPY credit_seller TO STDOUT", None),
                lambda: cursor.copy_to(None, "credit_seller"),
                lambda: cursor.copy_from(None, "credit_seller"),
            ):
                with pytest.raises((NotSupportedError, psycopg2.NotSupportedError)):
                    call()


@pytest.mark.parametrize(
    "statement",
    ["SET search_path = org_acme", " set statement_timeout = 0", "RESET ALL", "LISTEN work", "PREPARE one AS SELECT 1",
     "CREATE TEMP TABLE one ()", "DISCARD ALL"],
)  # fmt: skip
def test_what_would_stay_in_the_session_raises_in_a_transaction_too(pooled: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(NotSupportedError):
            cursor.execute(statement)
        with transaction.atomic():
            with pytest.raises(NotSupportedError):
                cursor.execute(statement)
            cursor.execute("SET LOCAL lock_timeout = '1s'")


def test_within_one_it_reads_the_right_rows(world: World, pooled: Any, tmp_path: Path) -> None:
    _rename(world)
    for one in (world.acme, world.globex):
        with one.context, transaction.atomic():
            assert {seller.name.split()[0] for seller in Seller.objects.iterator()} == {one.row.slug}
            with connection.cursor() as cursor, (tmp_path / one.row.slug).open("w+") as file:
                cursor.copy_expert("COPY credit_seller (name) TO STDOUT", file)
                file.seek(0)
                assert {line.split()[0] for line in file} == {one.row.slug}


def test_nothing_stays_in_the_session_for_whoever_is_next(world: World, pooled: Any, pool: str) -> None:
    """Who reads without the backend finds no organization's table."""
    pooled.transaction_parameters["statement_timeout"] = "7s"
    with world.acme.context:
        assert Seller.objects.exists()
        with transaction.atomic():
            assert Seller.objects.exists()
        call_function(world.acme.row.schema_name, "seller_lock", "true", [world.acme.row.pk, world.acme.member.id])
    with closing(psycopg2.connect(pool)) as stranger, stranger.cursor() as cursor:
        for name, value in {
            "search_path": '"$user", public',
            "statement_timeout": "0",
            "default_transaction_isolation": "read committed",
        }.items():
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (value,)
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0,)
        with pytest.raises(psycopg2.errors.UndefinedTable):
            cursor.execute("SELECT * FROM credit_seller")


def test_a_transaction_has_its_limits_and_its_isolation(world: World, pooled: Any) -> None:
    def ask(name: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            answer: str = cursor.fetchone()[0]
            return answer

    pooled.ensure_connection()
    _limit_statements(pooled)
    assert ask("statement_timeout") == ask("idle_in_transaction_session_timeout") == f"{STATEMENT_SECONDS // 60}min"
    assert ask("transaction_isolation") == "read committed"
    with within(5000), world.acme.context:
        assert (ask("statement_timeout"), ask("search_path")) == ("5s", "org_acme, public")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert ask("transaction_isolation") == "repeatable read"
    with world.acme.context:
        assert ask("transaction_isolation") == "read committed"


def test_moments_are_the_same_where_the_database_has_a_time_zone_of_its_own(world: World) -> None:
    """Django sets the zone in the session; this one is a parameter that every pooler keeps for each client."""

    def zone(cursor: Any) -> str:
        cursor.execute("SHOW TimeZone")
        answer: str = cursor.fetchone()[0]
        return answer

    name = sql.Identifier(connection.settings_dict["NAME"]).as_string(connection.connection)
    with (
        changed(
            "public", f"ALTER DATABASE {name} SET TimeZone = 'Asia/Tehran'", f"ALTER DATABASE {name} RESET TimeZone"
        ),
        _pool_of_one() as pool,
        closing(psycopg2.connect(pool)) as stranger,
        _working_through(pool),
    ):
        stranger.autocommit = True
        for _ in range(3):
            with stranger.cursor() as cursor:
                assert zone(cursor) == "Asia/Tehran"
            with connection.cursor() as cursor:
                assert zone(cursor) == "UTC"


def test_the_other_way_of_the_shipped_file_is_taken_too() -> None:
    """Sessions: the next client finds nothing of the one before."""
    with _pool_of_one(changes=SESSION) as address:
        for _ in range(2):
            with closing(psycopg2.connect(address)) as client, client.cursor() as cursor:
                client.autocommit = True
                cursor.execute("SHOW search_path")
                assert cursor.fetchone() == ('"$user", public',)
                cursor.execute("SET search_path = org_acme")


def test_commands_go_past_it(world: World) -> None:
    """Where nobody listens at the pooler's address, they do not notice."""
    environment = _direct(working_environment())
    environment |= {
        "DIRECT_DATABASE_URL": environment["DATABASE_URL"],
        "DATABASE_URL": behind(environment["DATABASE_URL"], free_port()),
        "DATABASE_POOLER": "transaction",
    }
    for command in (["reconcile"], ["migrate_schemas", "--check"]):
        process = forking.start(command, environment=environment)
        said = process.communicate()
        assert process.returncode == 0, said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"DATABASE_POOLER": "statement"}, "it must be session, transaction or empty"),
        ({"DATABASE_POOLER": "transaction"}, "set DIRECT_DATABASE_URL, which leads past the pooler"),
    ],
)
def test_settings_that_can_not_be_are_refused(values: dict[str, str], said: str) -> None:
    process = forking.start(["deliver", "--once"], environment=_direct(working_environment()) | values)
    errors = process.communicate()[1]
    assert process.returncode == 1
    assert said in errors
