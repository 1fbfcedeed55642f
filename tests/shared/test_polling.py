"""Polling a list for what is new: whatever is still being written while somebody looks is not missed for ever."""

import csv
import io
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import psycopg2
import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from psycopg2 import sql

from credit.models import Seller
from credit.services import create_seller
from credit.webhooks.services import create_webhook
from recharge.models import GatewaySettings
from recharge.terms.services import create_gateway
from shared.database import entered
from shared.horizon import horizon_of
from shared.pagination import NEWEST, polled_page
from tenants import models
from tenants.audit import record
from tenants.working_role import as_owner
from tests.support.bad_input import table
from tests.support.client import Client
from tests.support.locks import advisory_locks, sell_pending
from tests.support.queries import counted
from tests.support.waiting import wait_until
from tests.support.world import Organization, Person, World, database_url, give_credit, make_person, place


@contextmanager
def open_transaction(organization: Organization, statement: str, *arguments: Any) -> Iterator[None]:
    """What this statement writes is committed at the end of the block, and not before."""
    writer = psycopg2.connect(database_url())
    try:
        with writer.cursor() as cursor:
            cursor.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(organization.row.schema_name)))
            cursor.execute(statement, arguments)
        yield
        writer.commit()
    finally:
        writer.close()


Writing = Callable[[Organization, Person], Any]


def selling(acme: Organization, seller: Person) -> Any:
    key = uuid.uuid4().hex
    return open_transaction(
        acme,
        "SELECT recharge_sell(%s, %s, %s, '+989121234567', 'mci', 1000, false)",
        *(acme.row.pk, seller.id, key),
    )


def selling_in_bulk(acme: Organization, seller: Person) -> Any:
    keys = [uuid.uuid4().hex for _ in range(20)]
    return open_transaction(
        acme,
        "SELECT count(*) FROM recharge_sell_bulk(%s, %s, %s, %s, %s, %s, %s, false, false)",
        *(acme.row.pk, seller.id, keys, ["+989121234567"] * 20, ["mci"] * 20, [100] * 20, [False] * 20),
    )


def asking(acme: Organization, seller: Person) -> Any:
    return open_transaction(
        acme,
        "SELECT credit_request_create(%s, %s, %s, 1000, '')",
        *(acme.row.pk, seller.id, uuid.uuid4().hex),
    )


def settling(acme: Organization, seller: Person) -> Any:
    """The worker records that a recharge was delivered: a message is written, and no seller's lock is held."""
    recharge_id = sell_pending(acme.row, seller.id, 500)
    return open_transaction(acme, "SELECT recharge_settle(%s, %s, 'succeeded', '')", acme.row.pk, str(recharge_id))


def adding_a_webhook(acme: Organization, seller: Person) -> Any:
    return open_transaction(
        acme,
        """
        SELECT seller_lock(%s, %s);
        INSERT INTO credit_webhookendpoint (id, seller_id, url, events, secret, previous_secret, disabled, created_at)
        SELECT uuid7_at(now), %s, 'https://hooks.example.com', '{recharge.failed}', '', '', '', now
        FROM clock_timestamp() AS now
        """,
        *(acme.row.pk, seller.id, seller.id),
    )


LISTS = table(
    ("recharges, a sale", "/recharges", selling),
    ("recharges, a bulk call", "/recharges", selling_in_bulk),
    ("entries, a sale", "/entries", selling),
    ("entries, a bulk call", "/entries?kind=recharge", selling_in_bulk),
    ("credit requests", "/credit-requests", asking),
    ("webhooks", "/webhooks", adding_a_webhook),
    ("deliveries of the organization, a sale", "deliveries", selling),
    ("deliveries of the organization, a settlement", "deliveries", settling),
)


BESIDE = {selling_in_bulk: selling}
"""What another seller does meanwhile, where the same would wait."""


@pytest.fixture
def owner(acme: Organization) -> Client:
    """An admin of acme, whose two sellers have credit."""
    for seller in (acme.member, acme.neighbour):
        give_credit(acme.row, seller.id, 100_000)
    return acme.owner.client


def path_of(acme: Organization, path: str) -> str:
    """A list's path; of deliveries, those of an endpoint that is told of all that succeeds."""
    if path != "deliveries":
        return path
    with acme.context:
        endpoint, _ = create_webhook(
            organization=acme.row, seller_id=None, url="https://all.example.com", events=["recharge.succeeded"]
        )
    sell_pending(acme.row, acme.member.id)  # so that what sells through the sandbox is set up
    return f"/webhooks/{endpoint.pk}/deliveries"


def with_query(path: str, **query: Any) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def identity(row: dict[str, Any]) -> Any:
    return row.get("id") or row.get("name") or (row["seller_id"], row["number"])


def follow(client: Client, link: str) -> dict[str, Any]:
    target = urlsplit(link)
    page: dict[str, Any] = client.get(f"{target.path}?{target.query}").json
    return page


def poll(client: Client, link: str) -> tuple[list[Any], str]:
    """All that a link leads to now, the oldest first, and the link to go on from."""
    seen: list[Any] = []
    while (page := follow(client, link))["results"]:
        seen += [identity(row) for row in reversed(page["results"])]
        link = page["previous"]
    assert page["previous"] == link, "an empty page has its place to come back to"
    return seen, link


def poll_until(client: Client, link: str, row: Any) -> tuple[list[Any], str]:
    """The same, as often as it takes to see this one: on a cluster it is shown a second after it was written."""
    seen: list[Any] = []

    def is_seen() -> bool:
        nonlocal link
        more, link = poll(client, link)
        seen.extend(more)
        return row in seen

    wait_until(is_seen, "it is shown")
    return seen, link


def all_of(client: Client, path: str) -> list[Any]:
    """What a list holds, the oldest first."""
    rows = []
    page = client.get(with_query(path, limit=7)).json
    while True:
        rows += [identity(row) for row in page["results"]]
        if not page["next"]:
            return rows[::-1]
        page = follow(client, page["next"])


@pytest.mark.parametrize(("path", "writing"), LISTS)
def test_who_polls_from_the_newest_row_misses_nothing(
    acme: Organization, owner: Client, path: str, writing: Writing
) -> None:
    misses_nothing(acme, owner, path_of(acme, path), writing)


def test_a_dealer_who_polls_what_is_asked_of_him_misses_nothing(acme: Organization, owner: Client) -> None:
    dealer = make_person(acme.row, "dealer", owner.address, is_seller=True)
    for seller in (acme.member, acme.neighbour):
        place(acme.row, seller.id, dealer.id)
    assert owner.patch("/settings", {"requests_go_to_parent": True}).status == 200
    misses_nothing(acme, dealer.client, "/branch/credit-requests", asking)


def misses_nothing(acme: Organization, owner: Client, path: str, writing: Writing) -> None:
    before = all_of(owner, path)
    page = owner.get(with_query(path, cursor="newest", limit=3)).json
    assert page["results"] == []
    seen, link = poll(owner, page["previous"])
    assert set(seen) <= set(before)  # which were written a moment before
    with writing(acme, acme.member):  # its moments are taken, its rows are not there yet
        with BESIDE.get(writing, writing)(acme, acme.neighbour):
            pass  # later, and there
        assert len(all_of(owner, path)) > len(before), "who looks at the first page sees what is there"
        early, link = poll(owner, link)
        seen += early
    there = all_of(owner, path)
    late, link = poll_until(owner, link, there[-1])
    seen = [row for row in seen + late if row not in before]
    assert before + seen == there
    assert len(seen) == len(set(seen)) >= 2


@pytest.mark.parametrize(("path", "writing"), [one for one in LISTS if one.values[0][:5] in ("/rech", "/entr")])
def test_who_polls_from_the_newest_moment_misses_nothing(
    acme: Organization, owner: Client, path: str, writing: Writing
) -> None:
    since = timezone.now().isoformat()

    def asked(since: str) -> list[dict[str, Any]]:
        rows = []
        page = owner.get(with_query(path, created_from=since, limit=7)).json
        while True:
            rows += page["results"]
            if not page["next"]:
                return rows[::-1]
            page = follow(owner, page["next"])

    assert asked(since) == []
    seen = []
    with writing(acme, acme.member):
        with BESIDE.get(writing, writing)(acme, acme.neighbour):
            pass
        seen += asked(since)
        since = seen[-1]["created_at"] if seen else since
    newest = all_of(owner, path)[-1]
    wait_until(lambda: newest in map(identity, asked(since)), "the newest is shown")
    seen += [row for row in asked(since) if row not in seen]
    assert [identity(row) for row in seen] == [identity(row) for row in asked("2020-01-01T00:00:00Z")][-len(seen) :]
    assert {row["seller_id"] for row in seen} == {acme.member.id, acme.neighbour.id}


@pytest.mark.parametrize("path", ["/recharges", "/entries"])
def test_who_polls_an_export_from_the_newest_moment_misses_nothing(
    acme: Organization, owner: Client, path: str
) -> None:
    since = timezone.now().isoformat()

    def asked(since: str) -> list[dict[str, str]]:
        written = owner.get(f"{path}.csv?created_from={quote(since)}").body.decode()
        return list(csv.DictReader(io.StringIO(written)))[::-1]

    seen = []
    with selling_in_bulk(acme, acme.member):
        with selling(acme, acme.neighbour):
            pass
        assert len(list(csv.reader(io.StringIO(owner.get(f"{path}.csv").body.decode())))) > 1, "all that is there"
        seen += asked(since)
        since = seen[-1]["created_at"] if seen else since
    wait_until(lambda: len([row for row in asked(since) if row not in seen]) + len(seen) >= 21, "all are shown")
    seen += [row for row in asked(since) if row not in seen]
    assert {row["seller_id"] for row in seen} == {str(acme.member.id), str(acme.neighbour.id)}
    assert len(seen) == 21


def test_a_list_from_a_moment_on_has_a_place_to_go_on_from_on_every_page(acme: Organization, owner: Client) -> None:
    page = owner.get(with_query("/recharges", created_from=timezone.now().isoformat(), limit=2)).json
    assert (page["results"], page["next"]) == ([], None)
    seen, link = poll(owner, page["previous"])
    sold = [acme.member.sell(amount).json["id"] for amount in range(1, 6)]
    more, link = poll_until(owner, link, sold[-1])
    assert seen + more == sold
    assert poll(owner, link) == ([], link)


@pytest.mark.parametrize(
    ("path", "body"),
    table(
        ("sellers", "/sellers", {"name": "{0}", "username": "{0}", "password": "correct horse battery"}),
        ("gateways", "/gateways", {"name": "{0}", "kind": "simulator"}),
        ("webhooks", "/webhooks", {"url": "https://hooks.example.com/{0}", "events": ["recharge.failed"]}),
    ),
)
def test_every_list_can_be_polled(acme: Organization, owner: Client, path: str, body: dict[str, Any]) -> None:
    page = owner.get(with_query(path, cursor="newest", limit=2)).json
    assert page["results"] == []
    added = []
    for number in range(5):
        new = {name: value.format(f"new-{number}") if isinstance(value, str) else value for name, value in body.items()}
        answer = owner.post(path, new)
        assert answer.status == 201, answer
        added.append(answer.json.get("id") or answer.json["name"])
    seen, link = poll_until(owner, page["previous"], added[-1])
    assert seen == added
    page = follow(owner, link)
    assert follow(owner, page["previous"]) == page


def test_the_platforms_list_can_be_polled(world: World) -> None:
    client = world.platform_admin.client
    page = client.get("/organizations?cursor=newest").json
    models.Organization.objects.create(slug="later", name="later", schema_name="org_later")
    page = follow(client, page["previous"])
    assert [row["slug"] for row in page["results"]] == ["later"]
    assert follow(client, page["previous"])["results"] == []


def test_a_cursor_from_an_older_page_does_not_pass_an_open_transaction(acme: Organization, owner: Client) -> None:
    """The first page shows what is there; who walks from it, and back, finds what came between."""
    with selling(acme, acme.member):
        sold = [acme.neighbour.sell(amount).json["id"] for amount in range(1, 5)]
        first = owner.get("/recharges?limit=2").json
        assert [row["id"] for row in first["results"]] == sold[:1:-1]
        second = follow(owner, first["next"])
        assert [row["id"] for row in second["results"]] == sold[1::-1]
        assert follow(owner, second["previous"])["results"] == []

    def walked_back() -> list[str]:
        back, link = [], second["previous"]
        while link:
            page = follow(owner, link)
            back += [row["id"] for row in reversed(page["results"])]
            link = page["previous"]
        return back

    wait_until(lambda: len(walked_back()) == 5, "all are shown")
    assert set(walked_back()) > set(sold)


def test_who_polls_does_not_pass_what_is_prepared_and_not_committed(acme: Organization, owner: Client) -> None:
    """As a node of a cluster has it for a moment of each transaction that came in at the coordinator, and for longer if
    that dies then. It has no session any more."""
    link = owner.get("/recharges?cursor=newest").json["previous"]
    with at_its_node(acme) as writer:
        writer.execute("BEGIN")
        writer.execute("SELECT pg_advisory_xact_lock(%s, %s)", [acme.row.pk, acme.member.id])  # as a sale does
        writer.execute("PREPARE TRANSACTION 'a sale'")
        try:
            later = acme.neighbour.sell(1000).json["id"]
            seen, link = poll(owner, link)
        finally:
            writer.execute("COMMIT PREPARED 'a sale'")
    assert seen == []
    assert poll_until(owner, link, later)[0] == [later]


@contextmanager
def at_its_node(organization: Organization) -> Iterator[Any]:
    """A session of the driver's, in autocommit, at the server that has the organization's rows."""
    server = entered(organization.row.schema_name).settings_dict
    place = {"host": server["HOST"], "port": server["PORT"] or 5432}
    with closing(psycopg2.connect(database_url(), **place)) as session, session.cursor() as cursor:
        session.autocommit = True
        yield cursor


def test_an_open_transaction_of_another_organization_holds_nobody_up(
    acme: Organization, globex: Organization, owner: Client
) -> None:
    give_credit(globex.row, globex.member.id, 1000)
    link = owner.get("/recharges?cursor=newest").json["previous"]
    with selling(globex, globex.member):
        sold = acme.member.sell(1000).json["id"]
        assert poll_until(owner, link, sold)[0] == [sold]


def test_a_sellers_own_lists_cost_no_further_query(acme: Organization, owner: Client) -> None:
    """They are in order already."""
    assert horizon_of(organization_id=acme.row.pk, seller_id=acme.member.id) is None
    link = acme.member.client.get(with_query("/recharges", created_from=timezone.now().isoformat())).json["previous"]
    with selling(acme, acme.neighbour):
        sold = acme.member.sell(1000).json["id"]
        assert poll(acme.member.client, link)[0] == [sold]


def test_a_horizon_is_one_query(acme: Organization) -> None:
    ask = horizon_of(organization_id=acme.row.pk)
    assert ask is not None
    with acme.context, CaptureQueriesContext(entered(acme.row.schema_name)) as captured:
        ask()
    assert len(counted(captured)) == 1


# --- Lists whose keys are of a sequence -------------------------------------------------------------------------------


def add_seller(world: World) -> None:
    acme = world.acme
    with acme.context:
        create_seller(organization=acme.row, name="later", username="later", password="correct horse battery")


def add_gateway(world: World) -> None:
    with world.acme.context:
        create_gateway(
            organization=world.acme.row,
            by="owner",
            name="later",
            kind="simulator",
        )


def add_organization(world: World) -> None:
    models.Organization.objects.create(slug="later", name="later", schema_name="org_later")


def add_record(world: World) -> None:
    with transaction.atomic():
        record(action=models.AuditRecord.Action.SUSPENDED, organization="later")


NUMBERED = table(
    (
        "sellers",
        Seller,
        add_seller,
        "WITH seller AS ("
        "INSERT INTO credit_seller (name, is_active, created_at) VALUES ('earlier', true, now()) RETURNING id)"
        " INSERT INTO credit_account (seller_id, balance, last_number) SELECT id, 0, 0 FROM seller",
    ),
    (
        "gateways",
        GatewaySettings,
        add_gateway,
        "INSERT INTO recharge_gatewaysettings (name, kind, url, key_id, secret, connect_timeout_ms, read_timeout_ms)"
        " VALUES ('earlier', 'simulator', '', '', '', 100, 100)",
    ),
    (
        "organizations",
        models.Organization,
        add_organization,
        "INSERT INTO public.tenants_organization (slug, name, schema_name, status, created_at)"
        " VALUES ('earlier', 'earlier', 'org_earlier', 'provisioning', now())",
    ),
    (
        "the audit log",
        models.AuditRecord,
        add_record,
        "INSERT INTO public.tenants_auditrecord"
        " (action, organization, username, detail, address, request_id, created_at)"
        " VALUES ('suspended', 'earlier', '', '', '', '', now())",
    ),
)


@pytest.mark.parametrize(("model", "add", "insert"), NUMBERED)
def test_rows_with_a_number_appear_in_the_order_of_their_numbers(
    world: World, model: type[Model], add: Callable[[World], None], insert: str
) -> None:
    """The one that is added later waits for the earlier one."""

    def shown(cursor: str) -> list[str]:
        with world.acme.context:
            page = polled_page(model._default_manager.all(), cursor=cursor)
        return [getattr(row, "name", "") or row.organization for row in reversed(page.rows)]

    with world.acme.context:
        start = polled_page(model._default_manager.all(), cursor=NEWEST).newer
    assert start is not None
    with ThreadPoolExecutor(1) as pool:
        with open_transaction(world.acme, insert):
            adding = pool.submit(in_its_own_connection, partial(add, world))
            while not (adding.done() or any(not granted for *_, granted in advisory_locks())):
                assert not adding.done()
            with as_owner():  # past a pooler, where the later one waits
                assert shown(start) == []
        adding.result(30)
    wait_until(lambda: len(shown(start)) == 2, "both are shown")
    assert shown(start) == ["earlier", "later"]


def in_its_own_connection(call: Callable[[], None]) -> None:
    try:
        call()
    finally:
        connection.close()
