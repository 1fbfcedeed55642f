"""On a cluster an organization is entered at the node that holds it; wherever that is by now, and whoever is away.

Here the nodes are sockets that all lead to the tests' database, and tables of the test's own say what is where. On a
real cluster: tests/faults/test_cluster.py.
"""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connections, transaction
from psycopg2.extensions import parse_dsn

from recharge.selling.queries import own_balance
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from shared.database import call_function, entered
from tenants import nodes, routing, wakeups
from tenants.direct import connection_to
from tenants.functions import MIGRATIONS
from tenants.memory import bound_memory
from tenants.placed.base import NodeWrapper
from tenants.placing import place_where_there_is_room
from tenants.routing import organization_at
from tenants.together import read_together
from tenants.working_role import as_owner
from tests.support import commands
from tests.support.cutting import Cutter, cutting
from tests.support.environment import database_at
from tests.support.schemas import changed, run_sql
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, database_url, give_credit

COORDINATOR, FIRST, SECOND = 0, 1, 2


class Cluster:
    """Three ways to the database. ``connection`` is this thread's, to the coordinator."""

    def __init__(self, directory: Path) -> None:
        self._address = database_url()
        given = parse_dsn(self._address)
        self._host, self._port = given["host"], int(given.get("port", 5432))
        self._ways: dict[int, ExitStack] = {}
        self.cutters: dict[int, Cutter] = {}
        self.directories = {number: directory / str(number) for number in (COORDINATOR, FIRST, SECOND)}
        for number, way in self.directories.items():
            way.mkdir()
            self.start(number)
        self.connection = connection_to(
            {"ENGINE": "tenants.placed", "HOST": str(self.directories[COORDINATOR]), "PORT": "5432"}
        )

    def start(self, number: int) -> None:
        self._ways[number] = ExitStack()
        way = cutting(self.directories[number], self._host, self._port)
        self.cutters[number] = self._ways[number].enter_context(way)

    def stop(self, number: int) -> None:
        """Nobody gets in there any more, and who was in is out."""
        self._ways.pop(number).close()
        host = str(self.directories[number])
        for one in (self.connection, *self.connection._nodes.values()):
            if one.connection is not None and one.settings_dict["HOST"] == host:
                with closing(psycopg2.connect(self._address)) as other, other.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [one.connection.info.backend_pid])

    @contextmanager
    def silent(self, number: int) -> Iterator[list[socket.socket]]:
        """That machine is gone. Who calls hears nothing, and gives up after two seconds (libpq: no less).
        Gives the calls that came.
        """
        self.stop(number)
        self.connection.close()
        calls: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    calls.append(listener.accept()[0])

        with socket.socket(socket.AF_UNIX) as listener:
            path = self.directories[number] / ".s.PGSQL.5432"
            listener.bind(str(path))
            listener.listen()
            accepting = threading.Thread(target=accept, daemon=True)
            accepting.start()
            self.connection.settings_dict["OPTIONS"]["connect_timeout"] = 2
            try:
                yield calls
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                accepting.join(10)
                for call in calls:
                    call.close()
                path.unlink()
                self.start(number)

    def stop_all(self) -> None:
        for way in self._ways.values():
            way.close()

    def place(self, organization: Organization, number: int) -> None:
        """From now on it lives there."""
        with closing(psycopg2.connect(self._address)) as other, other, other.cursor() as cursor:
            cursor.execute("DELETE FROM pg_dist_placement WHERE shardid = %s", [organization.row.pk])
            cursor.execute("INSERT INTO pg_dist_placement VALUES (%s, %s)", [organization.row.pk, number])

    def where(self, organization: Organization) -> int:
        """Where a call for this organization goes in."""
        host = entered(organization.row.schema_name).settings_dict["HOST"]
        return next(number for number, way in self.directories.items() if str(way) == host)


@pytest.fixture
def cluster(world: World, tmp_path: Path, settings: Any) -> Iterator[Cluster]:
    """acme lives at the first node, globex at the second."""
    for organization in (world.acme, world.globex):
        give_credit(organization.row, organization.member.id, 1_000_000)
    made = Cluster(tmp_path)
    run_sql("CREATE TABLE pg_dist_shard (logicalrelid regclass, shardid bigint)")
    run_sql("CREATE TABLE pg_dist_placement (shardid bigint, groupid integer)")
    run_sql(
        "CREATE TABLE pg_dist_node (groupid integer, nodename text, nodeport integer, noderole text, isactive boolean,"
        " shouldhaveshards boolean)"
    )
    for number, way in made.directories.items():
        run_sql(f"INSERT INTO pg_dist_node VALUES ({number}, '{way}', 5432, 'primary', true, {number > 0})")
    for organization in (world.acme, world.globex):
        table = f"'{organization.row.schema_name}.{MIGRATIONS}'::regclass"
        run_sql(f"INSERT INTO pg_dist_shard VALUES ({table}, {organization.row.pk})")
    made.place(world.acme, FIRST)
    made.place(world.globex, SECOND)
    settings.DATABASE_CLUSTER = "citus"
    nodes.forget_places()
    before, connections[DEFAULT_DB_ALIAS] = connections[DEFAULT_DB_ALIAS], made.connection
    try:
        yield made
    finally:
        connections[DEFAULT_DB_ALIAS] = before
        made.connection.close()
        made.stop_all()
        nodes.forget_places()
        wakeups._rests_until = float("-inf")
        for table in ("shard", "placement", "node"):
            run_sql(f"DROP TABLE pg_dist_{table}")


def sell(organization: Organization, key: str = "") -> bool:
    """Sells one recharge. False: that key had sold it before."""
    item = Item("+989121234567", "mci", 1_000, key or uuid4().hex)
    return not sell_recharge(organization=organization.row, seller_id=organization.member.id, item=item).is_replay


def balance(organization: Organization) -> Any:
    found = own_balance(organization.row.schema_name, organization.member.id)
    assert found is not None
    return found.balance


def test_a_sale_meets_its_organizations_node_and_nobody_else(world: World, cluster: Cluster) -> None:
    assert (cluster.where(world.acme), cluster.where(world.globex)) == (FIRST, SECOND)
    cluster.connection.close_own()
    assert sell(world.acme)
    assert balance(world.acme) == 999_000
    assert cluster.connection.connection is None, "a sale has asked the coordinator"


def test_within_a_transaction_everything_goes_in_at_the_coordinator(world: World, cluster: Cluster) -> None:
    with transaction.atomic():
        assert cluster.where(world.acme) == COORDINATOR
        assert sell(world.acme)
        transaction.set_rollback(True)
    assert cluster.where(world.acme) == FIRST
    assert balance(world.acme) == 1_000_000


def test_who_closes_the_connection_closes_those_to_the_nodes(world: World, cluster: Cluster) -> None:
    """They have gathered catalogues and plans, too: see bound_memory."""
    assert sell(world.acme)
    at_node = entered(world.acme.row.schema_name)
    assert at_node.connection is not None
    cluster.connection.close()
    assert at_node.connection is None


def test_they_are_closed_in_time_where_nobody_asks_the_coordinator(
    world: World, cluster: Cluster, settings: Any
) -> None:
    settings.ORGANIZATIONS_PER_CONNECTION = 1
    assert [sell(world.acme), sell(world.globex)] == [True, True]
    cluster.connection.close_own()
    for organization, is_open in ((world.acme, True), (world.globex, False), (world.acme, True)):
        assert sell(organization)
        bound_memory(organization.row.schema_name)
        assert (entered(organization.row.schema_name).connection is not None) == is_open


def test_what_is_no_organizations_goes_in_at_the_coordinator(cluster: Cluster) -> None:
    assert entered("public") is cluster.connection
    assert entered("pg_catalog") is cluster.connection


def test_an_organization_that_has_moved_is_entered_where_it_is_within_seconds(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster.where(world.acme) == FIRST
    cluster.place(world.acme, SECOND)
    assert cluster.where(world.acme) == FIRST, "it was looked up for each call"
    monkeypatch.setattr(nodes, "PLACE_SECONDS", 0.0)
    assert cluster.where(world.acme) == SECOND


def test_where_the_node_has_gone_a_sale_finds_the_one_that_has_it_now(world: World, cluster: Cluster) -> None:
    assert sell(world.acme)
    cluster.place(world.acme, SECOND)
    cluster.stop(FIRST)
    assert sell(world.acme)
    assert cluster.where(world.acme) == SECOND
    assert balance(world.acme) == 998_000


def test_a_server_that_does_not_have_it_is_not_asked_again(world: World, cluster: Cluster) -> None:
    assert sell(world.acme)
    cluster.place(world.acme, SECOND)
    with pytest.raises(DatabaseError, match="nothing_like_it"):
        call_function(world.acme.row.schema_name, "nothing_like_it", "1", [])
    assert cluster.where(world.acme) == SECOND


def test_a_sale_whose_answer_a_node_could_not_give_is_made_once(world: World, cluster: Cluster) -> None:
    cluster.cutters[FIRST].left = 1
    assert not sell(world.acme), "it was sold, found so, and the same recharge was answered"
    assert cluster.cutters[FIRST].cuts == 1
    assert balance(world.acme) == 999_000


def test_a_node_that_is_away_keeps_its_organizations_from_selling_and_no_others(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "REST_SECONDS", 3600.0)
    assert sell(world.acme, "before")
    cluster.stop(FIRST)
    with pytest.raises(OperationalError):
        sell(world.acme, "during")
    with pytest.raises(OperationalError, match="a moment ago"):  # nobody waits for it a second time
        sell(world.acme, "during")
    assert sell(world.globex)
    cluster.start(FIRST)
    nodes.forget_places()  # its rest is over
    assert not sell(world.acme, "before")
    assert sell(world.acme, "during")
    assert balance(world.acme) == 998_000


def test_a_node_that_says_nothing_keeps_one_thread_waiting(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "REST_SECONDS", 0.0)
    node = nodes.Node(str(cluster.directories[FIRST]), 5432)

    def connect() -> None:
        own = NodeWrapper(cluster.connection.settings_dict, DEFAULT_DB_ALIAS, node)
        with suppress(psycopg2.OperationalError):
            own.connect()

    with cluster.silent(FIRST) as calls:
        connect()
        trying = threading.Thread(target=connect)
        trying.start()
        wait_until(lambda: len(calls) == 2, "one thread tries it again")
        with pytest.raises(OperationalError, match="a moment ago"):
            sell(world.acme)
        assert len(calls) == 2
        trying.join(20)
    assert sell(world.acme), "it is there again, and its rest is over"
    assert nodes._rests_until == {}


# As the coordinator says that a node is away: in the middle of a statement that is about a schema there.
_IS_AWAY = """
    CREATE FUNCTION seen(p_schema text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        IF p_schema = 'org_acme' THEN
            RAISE 'connection to the remote node failed' USING ERRCODE = 'connection_failure';
        ELSIF p_schema = 'org_broken' THEN
            RAISE 'no such table' USING ERRCODE = 'undefined_table';
        END IF;
        RETURN p_schema;
    END $$
"""


def test_a_node_that_is_away_takes_nothing_from_what_is_read_of_the_others(world: World, cluster: Cluster) -> None:
    asked: list[Sequence[str]] = []

    def read(schemas: Sequence[str]) -> list[str]:
        asked.append(schemas)
        with cluster.connection.cursor() as cursor:
            cursor.execute("SELECT seen(name) FROM unnest(%s::text[]) AS name", [list(schemas)])
            return [found for (found,) in cursor.fetchall()]

    schemas = [one.row.schema_name for one in (world.acme, world.globex)]
    with changed("public", _IS_AWAY, "DROP FUNCTION seen(text)"):
        assert list(read_together([*schemas, "org_at_coordinator", "org_broken"], read, batch=10)) == [
            schemas[1],
            "org_at_coordinator",
        ]
        assert asked[:2] == [schemas[:1], schemas[1:]], "each node is asked for what it has, and one that is away once"
        with transaction.atomic(), pytest.raises(OperationalError, match="remote node"):
            list(read_together(schemas, read, batch=10))


def test_while_the_coordinator_is_away_who_is_known_sells(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    routing.forget_routes()
    assert organization_at(world.acme.host) is not None
    assert sell(world.acme)
    monkeypatch.setattr(nodes, "PLACE_SECONDS", 0.0)
    monkeypatch.setattr(routing, "CACHE_SECONDS", 0.0)
    cluster.stop(COORDINATOR)
    found = organization_at(world.acme.host)
    assert found is not None
    assert found.pk == world.acme.row.pk
    assert sell(world.acme)
    assert balance(world.acme) == 998_000
    # Who was suspended since has sold long enough.
    monkeypatch.setattr(routing, "OUTAGE_SECONDS", 0.0)
    with pytest.raises(OperationalError):
        organization_at(world.acme.host)
    cluster.start(COORDINATOR)
    assert organization_at(world.acme.host) is not None


def test_a_coordinator_that_says_nothing_is_not_asked_again_at_once(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known is good, and what rests does, for less long here than it takes to find out."""
    for of, name in ((routing, "CACHE_SECONDS"), (nodes, "PLACE_SECONDS"), (wakeups, "REST_SECONDS")):
        monkeypatch.setattr(of, name, 1.5)
    routing.forget_routes()
    assert organization_at(world.acme.host) is not None
    assert sell(world.acme)
    monkeypatch.setattr(routing._look, "moment", float("-inf"))
    nodes.look_again_soon()
    wakeups._given.clear()
    with cluster.silent(COORDINATOR) as calls:
        assert organization_at(world.acme.host) is not None
        assert routing.known_organization(world.acme.host) is not None
        assert len(calls) == 1
        schema = world.acme.row.schema_name
        assert entered(schema) is entered(schema)
        asked = len(calls)
        entered(schema)
        assert len(calls) == asked
        wakeups.wake_workers(world.acme.row.pk)
        wakeups.wake_workers(world.globex.row.pk)
        assert len(calls) == asked + 1


def test_a_look_that_hears_nothing_keeps_only_itself(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    routing.forget_routes()
    assert organization_at(world.acme.host) is not None
    monkeypatch.setattr(routing, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(routing, "LOOK_SECONDS", 0.0)
    found: list[Any] = []

    def look() -> None:
        try:
            found.append(organization_at(world.acme.host))
        finally:
            connections[DEFAULT_DB_ALIAS].close()

    first, second = threading.Thread(target=look), threading.Thread(target=look)
    with closing(psycopg2.connect(database_url())) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE tenants_domain")
        first.start()
        with as_owner():  # past a pooler, where the first one waits
            wait_until(lambda: bool(run_sql("SELECT 1 FROM pg_locks WHERE NOT granted")), "the first one waits")
        second.start()
        second.join(20)
        assert len(found) == 1, "the second one waited for the first"
    first.join(20)
    assert [one.pk for one in found] == [world.acme.row.pk] * 2


def test_who_could_not_ring_for_the_workers_does_not_wait_to_try_again_for_the_next_sale(
    world: World, cluster: Cluster
) -> None:
    cluster.stop(COORDINATOR)
    wakeups._given.clear()
    wakeups.wake_workers(world.acme.row.pk)
    cluster.start(COORDINATOR)
    wakeups.wake_workers(world.acme.row.pk)
    assert cluster.connection.connection is None, "it was tried again at once"
    wakeups._rests_until = float("-inf")
    with closing(psycopg2.connect(database_url())) as heard:
        heard.autocommit = True
        cursor = heard.cursor()
        cursor.execute(f"LISTEN {wakeups.CHANNEL}")
        for rings_for in ({world.acme.row.pk, world.globex.row.pk}, {world.globex.row.pk}):
            wakeups._given.clear()
            wakeups.wake_workers(world.globex.row.pk)
            cursor.execute("SELECT")
            assert {int(notice.payload) for notice in heard.notifies} == rings_for  # once for what could not be told
            heard.notifies.clear()


def test_a_database_that_is_away_is_no_reason_to_go_by_what_was_where_there_is_no_cluster(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATABASE_CLUSTER = ""
    routing.forget_routes()
    assert organization_at(world.acme.host) is not None
    monkeypatch.setattr(routing, "CACHE_SECONDS", 0.0)
    cluster.stop(COORDINATOR)
    with pytest.raises(OperationalError):
        organization_at(world.acme.host)


def test_a_call_that_the_database_ends_in_favour_of_others_is_repeated(acme: Organization) -> None:
    schema = acme.row.schema_name
    function = (
        "CREATE FUNCTION locks_both() RETURNS integer LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(2); PERFORM pg_advisory_xact_lock(1); RETURN 7; END $$"
    )
    answers: list[int] = []

    def call() -> None:
        try:
            answers.extend(call_function(schema, "locks_both", "answer", []))
        finally:
            connections[DEFAULT_DB_ALIAS].close()

    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted"
    with (
        changed(schema, function, "DROP FUNCTION locks_both()"),
        closing(psycopg2.connect(database_url())) as other,
        other.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
        calling = threading.Thread(target=call)
        calling.start()
        with as_owner():  # past a pooler, where the call waits
            wait_until(lambda: bool(run_sql(waiting)), "it waits for the first lock")
        # Granted when the call, which has waited longer, was ended: if this comes within a second.
        cursor.execute("SELECT pg_advisory_xact_lock(2)")
        other.commit()
        calling.join(20)
    assert answers == [7]


def test_it_says_where_an_organization_lives(world: World, cluster: Cluster) -> None:
    told = commands.run("organization", "place", "acme", environment={"DATABASE_CLUSTER": "citus"})
    assert (told.stdout.strip(), told.returncode) == (f"acme is at {cluster.directories[FIRST]}:5432.", 0)
    node = str(cluster.directories[FIRST])
    told = commands.run("organization", "place", "acme", node, environment={"DATABASE_CLUSTER": "citus"})
    assert (told.stdout.strip(), told.returncode) == (f"acme is at {node}:5432 already.", 0)


@pytest.mark.parametrize("node", ["nowhere", "127.0.0.1:99999999", "", "[::1", "\u0661:5432"])
def test_to_a_node_that_there_is_not_nothing_is_moved(node: str, world: World, cluster: Cluster) -> None:
    told = commands.run("organization", "place", "acme", node, environment={"DATABASE_CLUSTER": "citus"})
    assert told.returncode == 2
    assert f"The nodes are: {cluster.directories[FIRST]}:5432, {cluster.directories[SECOND]}:5432." in told.stderr


def test_nothing_is_moved_to_the_coordinator_where_it_may_have_shards_either(world: World, cluster: Cluster) -> None:
    run_sql("UPDATE pg_dist_node SET shouldhaveshards = true")
    node = str(cluster.directories[COORDINATOR])
    told = commands.run("organization", "place", "acme", node, environment={"DATABASE_CLUSTER": "citus"})
    assert told.returncode == 2
    assert f"The nodes are: {cluster.directories[FIRST]}:5432, {cluster.directories[SECOND]}:5432." in told.stderr


def test_what_the_cluster_can_not_do_is_told(world: World, cluster: Cluster) -> None:
    """Here, since this is none: nothing can be moved."""
    node = str(cluster.directories[SECOND])
    told = commands.run("organization", "place", "acme", node, environment={"DATABASE_CLUSTER": "citus"})
    assert told.returncode == 1
    assert told.stderr.startswith(f"CommandError: acme is at {cluster.directories[FIRST]}:5432, as before: ")
    assert "citus_schema_move" in told.stderr


# What Citus does: gives the answers of all nodes, of whom one may be away, and moves a schema.
_NODES_ANSWER = """
    CREATE TABLE answers (nodename text, nodeport integer, success boolean, result text);
    CREATE FUNCTION run_command_on_workers(text) RETURNS SETOF answers LANGUAGE sql AS 'SELECT * FROM answers';
    CREATE FUNCTION citus_schema_move(regnamespace, text, integer, text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF $4 <> 'block_writes' THEN
            RAISE 'an empty schema is moved at once';
        END IF;
        UPDATE pg_dist_placement AS placement SET groupid = node.groupid
        FROM pg_dist_shard AS shard
            INNER JOIN pg_class ON pg_class.oid = shard.logicalrelid AND pg_class.relnamespace = $1,
            pg_dist_node AS node
        WHERE shard.shardid = placement.shardid AND (node.nodename, node.nodeport) = ($2, $3);
    END $$
"""
_NOBODY_ANSWERS = """
    DROP FUNCTION citus_schema_move(regnamespace, text, integer, text);
    DROP FUNCTION run_command_on_workers(text);
    DROP TABLE answers
"""


def test_a_new_organization_is_sent_to_the_node_with_the_fewest_bytes(world: World, cluster: Cluster) -> None:
    def sent(first: str | None, second: str | None) -> int:
        """Where acme's schema is after it was sent. The sizes of both nodes; None: it is away."""
        run_sql("DELETE FROM answers")
        for number, size in ((COORDINATOR, "1"), (FIRST, first), (SECOND, second)):
            answer = (size is not None, f"'{size or 'could not connect'}'")
            run_sql("INSERT INTO answers VALUES ('{}', 5432, {}, {})".format(cluster.directories[number], *answer))
        with transaction.atomic():
            place_where_there_is_room(world.acme.row.schema_name)
        nodes.forget_places()
        return cluster.where(world.acme)

    with changed("public", _NODES_ANSWER, _NOBODY_ANSWERS):
        assert sent("1000", "999") == SECOND
        assert sent("9", "10") == FIRST, "bytes are numbers"
        assert sent("10", "10") == FIRST
        assert sent(None, "10") == SECOND
        assert sent(None, None) == SECOND
        run_sql(f"UPDATE pg_dist_node SET shouldhaveshards = false WHERE groupid = {FIRST}")
        assert sent("1", "10") == SECOND, "one that is being drained gets none"


def test_what_can_not_be_sent_stays_where_it_is(world: World, cluster: Cluster) -> None:
    """Here, since this is no cluster: no node can be asked."""
    with transaction.atomic():
        place_where_there_is_room(world.acme.row.schema_name)
        assert run_sql("SELECT 1") == [(1,)], "the transaction goes on"
    assert cluster.where(world.acme) == FIRST


def test_an_organization_that_there_is_not_is_nowhere(world: World, cluster: Cluster) -> None:
    told = commands.run("organization", "place", "nobody", environment={"DATABASE_CLUSTER": "citus"})
    assert told.returncode == 2
    assert "There is no organization 'nobody'." in told.stderr


def test_where_there_is_one_database_there_are_no_nodes(world: World) -> None:
    told = commands.run("organization", "place", "acme", "127.0.0.1", environment={"DATABASE_CLUSTER": ""})
    assert told.returncode == 1
    assert "DATABASE_CLUSTER is not set" in told.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DATABASE_CLUSTER": "galera"}, "it must be citus or empty"),
        (
            {
                "DATABASE_CLUSTER": "citus",
                "DATABASE_POOLER": "transaction",
                "DIRECT_DATABASE_URL": "postgres://nobody@localhost:1/nothing",
            },
            "With DATABASE_CLUSTER no pooler of transactions",
        ),
        (
            {"DATABASE_CLUSTER": "citus", "OWNER_DATABASE_URL": "postgres://other@localhost:1/nothing"},
            "one role does everything",
        ),
    ],
)
def test_what_can_not_be_is_refused_at_the_start(environment: dict[str, str], said: str) -> None:
    told = commands.run("serve", environment=database_at(database_url()) | environment)
    assert told.returncode == 1
    assert said in told.stderr
