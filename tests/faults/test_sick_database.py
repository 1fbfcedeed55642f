"""A database that answers and can't do its work: it is read only (a standby, a primary that was failed over), or has no
room on its disk. Clients are told to come again, and a load balancer to send them elsewhere."""

import uuid
from pathlib import Path

import pytest
from django.db import DatabaseError, connection
from django.test import RequestFactory

from saas import embedded
from saas.health import HealthMiddleware
from shared import sick
from shared.handlers import problem_of
from tests.support.installations import directory, environment_of, manage, superuser_of
from tests.support.pair import run_sql
from tests.support.read_only import set_read_only
from tests.support.selling import Selling
from tests.support.server import serving
from tests.support.visitor import Visitor
from tests.support.world import PASSWORD, World, give_credit

pytestmark = pytest.mark.usefixtures("writable_again")


@pytest.fixture
def read_only(world: World) -> World:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    set_read_only(True)
    return world


def test_what_would_write_is_503_and_may_come_again(read_only: World) -> None:
    acme = read_only.acme
    key = uuid.uuid4().hex
    answers = [
        acme.member.sell(key=key),
        acme.member.client.post("/credit-requests", {"amount": 5000}, key=uuid.uuid4().hex),
        acme.owner.client.post("/sellers", {"name": "New", "username": "new", "password": PASSWORD}),
        acme.owner.client.patch(f"/sellers/{acme.member.id}", {"name": "New"}),
        acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}),
        read_only.platform_admin.client.post("/organizations/globex/suspend"),
    ]
    for answer in answers:
        assert (answer.status, answer.code) == (503, "unavailable"), answer
        assert answer.headers["Retry-After"]


def test_reads_go_on(read_only: World) -> None:
    assert read_only.acme.member.client.get("/recharges").status == 200


def test_ready_means_that_it_can_write(read_only: World) -> None:
    for _ in range(4):
        answer = read_only.platform.get("/readyz")
        assert (answer.status, answer.json["detail"]) == (503, "The database is read only.")
    assert read_only.platform.get("/livez").status == 200


def test_the_connection_is_given_up_so_that_the_next_request_finds_the_new_primary(world: World) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    key = uuid.uuid4().hex
    set_read_only(True)
    # Each of the server's threads may get a turn.
    for _ in range(40):
        assert world.acme.member.sell(key=key).status == 503
    set_read_only(False)
    for _ in range(40):
        assert world.acme.member.sell(key=key).status in (200, 201)
    assert world.acme.member.balance() == 95_000
    assert world.platform.get("/readyz").status == 200


def test_a_page_says_that_it_may_be_tried_again(read_only: World) -> None:
    answer = Visitor(read_only.acme.anyone).submit("/sign-in", {"username": "member", "password": PASSWORD})
    assert answer.status == 503
    assert "temporarily unavailable" in answer.body.decode()


def error_of(code: str) -> DatabaseError:
    """As PostgreSQL raises it."""
    with pytest.raises(DatabaseError) as raised, connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
    return raised.value


@pytest.mark.parametrize(
    "code", ["25006", "53100", "53200", "53300", "53400", "57014", "57P01", "57P02", "57P03", "58030"]
)
def test_what_a_sick_database_says_is_unavailable(code: str) -> None:
    try:
        problem = problem_of(error_of(code))
        assert problem is not None
        assert problem.status == 503
    finally:
        sick.has_recovered()


@pytest.mark.parametrize("code", ["22012", "23505", "42601", "P0001"])
def test_a_defect_is_not(code: str) -> None:
    assert problem_of(error_of(code)) is None


def readiness() -> tuple[int, bytes]:
    answer = HealthMiddleware(lambda _request: pytest.fail("it answers itself"))(RequestFactory().get("/readyz"))
    return answer.status_code, answer.content


def test_a_process_that_found_the_disk_full_is_not_ready_and_says_why() -> None:
    before = readiness()
    assert before[0] == 200, before
    try:
        problem_of(error_of("53100"))
        status, body = readiness()
        assert (status, b"disk is full" in body) == (503, True)
    finally:
        sick.has_recovered()
    assert readiness()[0] == 200


def test_the_log_says_why(world: World, log) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    set_read_only(True)
    assert world.acme.member.sell().status == 503
    assert '"sqlstate": "25006"' in log.read_text()


def test_a_primary_that_is_read_only_for_a_while_under_load(tmp_path: Path) -> None:
    """Nobody ends the connections that were made meanwhile: they are given up by who finds that they can't write."""
    name = embedded.DATABASE
    with directory(installed=True) as data, serving(tmp_path / "log", environment=environment_of(data)) as server:
        cluster, selling = embedded._Cluster(data), Selling.at(server)
        with selling.running():
            selling.wait_for_more(50)
            run_sql(cluster, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            run_sql(cluster, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE '{name}%'")
            selling.wait_for_refusals(50)
            assert server.readiness() == (503, "The database is read only.")
            # The superuser's session would be read only, too.
            run_sql(
                cluster, f"SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only"
            )
            selling.wait_for_more(50)
        assert server.readiness() == (200, None)
        selling.check("a database that was read only", superuser_of(data))
        manage(data, "reconcile")
