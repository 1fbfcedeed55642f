"""Balances, statements and lists cost the same however much history there is.

What PostgreSQL reads for a page is looked at in its plan (a count of pages of storage, not of milliseconds), with
100,000 sales on the books of one seller.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django_tenants.utils import tenant_context

from credit.queries import entries, order_of_entries
from credit.webhooks.services import create_webhook
from recharge.selling.queries import recharges
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge, sell_recharges
from shared.database import entered
from tenants.services import provision_organization
from tenants.working_role import as_owner
from tests.support.history import sell_many
from tests.support.sessions import everywhere
from tests.support.world import PASSWORD, World, make_seller

pytestmark = pytest.mark.slow

SALES = 100_000
LARGEST_COST = 120
"""Pages of 8 KiB that a page of 50 rows may touch: its rows may lie on 50 of them, and the way through the indexes."""

OF_A_FUNCTION = 40
"""The same of a call of a function, in whose statements Citus looks up where each table is."""


@pytest.fixture
def history(world: World) -> Iterator[World]:
    """acme's member, after 100,000 sales; the neighbour has sold nothing."""
    sell_many(world.acme.row, world.acme.member.id, SALES)
    with (
        as_owner(),
        world.acme.context,
        connection.cursor() as cursor,
    ):  # past a pooler: pages are counted in one session
        # What other tests deleted is no history of this one.
        cursor.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) credit_entry, recharge_recharge, credit_account")
        yield world


MIDDLE = datetime.fromisoformat("2025-01-01T14:00:00Z")  # about half of the history is before this
LATER = MIDDLE + timedelta(minutes=5)


def pages_read(sql: str, parameters: Any) -> int:
    """At the server that has the organization, whose own plan Citus tells within its own."""
    with entered("org_acme").cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        plan = cursor.fetchone()[0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    buffers: dict[str, Any] = plan[0]["Plan"]
    if "Distributed Query" in buffers:
        (task,) = buffers["Distributed Query"]["Job"]["Tasks"]
        buffers = task["Remote Plan"][0][0]["Plan"]
    read: int = buffers["Shared Hit Blocks"] + buffers["Shared Read Blocks"]
    return read


def rows_of(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with entered("org_acme").cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        cursor.execute("SELECT pg_stat_force_next_flush()")
    return rows


def waiting_read(indexes: str = "recharge_due") -> int:
    """How many rows of the index of what waits were read until now."""
    counted = everywhere(
        "SELECT idx_tup_read FROM pg_stat_user_indexes"
        rf" WHERE schemaname = 'org_acme' AND indexrelname ~ '^({indexes})(_\d+)?$'"
    )
    return sum(count for (count,) in counted)


def first_page(rows: QuerySet[Any], by: str = "pk") -> int:
    return pages_read(*rows.order_by(f"-{by}")[:51].query.sql_with_params())


def page_of_statement(seller_id: int, before: int | None = None, **filters: Any) -> int:
    """As the API and the pages ask for it."""
    rows = entries(seller_id=seller_id, **filters)
    return first_page(rows if before is None else rows.filter(number__lt=before), order_of_entries(seller_id))


def test_every_page_of_every_list_reads_a_bounded_part_of_the_tables(history: World) -> None:
    member, neighbour = history.acme.member.id, history.acme.neighbour.id
    deep = recharges().order_by("pk")[SALES // 2].pk
    deep_entry = entries().order_by("pk")[SALES // 2].pk
    pages_read("SELECT * FROM recharge_balance(%s)", [member])  # plans it
    costs = {
        "statement": first_page(entries(seller_id=member)),
        "statement, deep": first_page(entries(seller_id=member).filter(pk__lt=deep_entry)),
        "statement of a seller with none": first_page(entries(seller_id=neighbour)),
        "statement by number": page_of_statement(member),
        "statement by number, deep": page_of_statement(member, SALES // 2),
        "statement by number, of a seller with none": page_of_statement(neighbour),
        "statement by number, its end": page_of_statement(member, 30),
        "refunds of a seller by number": page_of_statement(member, kind="refund"),
        "refunds of a seller up to the middle": page_of_statement(member, kind="refund", created_to=MIDDLE),
        "sales of a seller by number": page_of_statement(member, kind="recharge"),
        "statement by number, up to the middle": page_of_statement(member, created_to=MIDDLE),
        "statement by number, from the middle": page_of_statement(member, created_from=MIDDLE),
        "statement by number, the end of what is from the middle": page_of_statement(
            member, SALES // 2 + 500, created_from=MIDDLE
        ),
        "statement by number, five minutes in the middle": page_of_statement(
            member, created_from=MIDDLE, created_to=LATER
        ),
        "statement by number, before anything": page_of_statement(member, created_to=MIDDLE - timedelta(days=9)),
        "all entries": first_page(entries()),
        "refunds": first_page(entries(kind="refund")),
        "refunds of a seller": first_page(entries(seller_id=member, kind="refund")),
        "adjustments, of which there are none": first_page(entries(kind="adjustment")),
        "entries of five minutes in the middle": first_page(entries(created_from=MIDDLE, created_to=LATER)),
        "entries up to the middle": first_page(entries(seller_id=member, created_to=MIDDLE)),
        "recharges": first_page(recharges()),
        "recharges, deep": first_page(recharges().filter(pk__lt=deep)),
        "recharges of a seller": first_page(recharges(seller_id=member)),
        "recharges of a seller with none": first_page(recharges(seller_id=neighbour)),
        "failed": first_page(recharges(status="failed")),
        "failed, of a seller": first_page(recharges(seller_id=member, status="failed")),
        "unknown, of which there are none": first_page(recharges(status="unknown")),
        "of a number": first_page(recharges(phone_number="+989120000005")),
        "of a key": first_page(recharges(idempotency_key="key-77")),
        "of a key and a seller": first_page(recharges(idempotency_key="key-77", seller_id=member)),
        "of five minutes in the middle": first_page(recharges(created_from=MIDDLE, created_to=LATER)),
        "up to the middle": first_page(recharges(created_to=MIDDLE)),
        "the balance": pages_read("SELECT * FROM recharge_balance(%s)", [member]),
    }
    assert {name: cost for name, cost in costs.items() if cost > LARGEST_COST} == {}
    assert costs["the balance"] <= OF_A_FUNCTION


def test_a_worker_does_not_read_what_is_not_due_yet(history: World) -> None:
    """Also where ten thousand recharges wait, as after an outage."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE recharge_recharge SET due_at = now() + interval '1 hour' "
            "WHERE id IN (SELECT id FROM recharge_recharge ORDER BY id LIMIT 10000)"
        )
        cursor.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) recharge_recharge")
    for statement in ("SELECT * FROM recharge_claim(10, interval '1 minute')", "SELECT recharge_next_due()"):
        pages_read(statement, [])  # plans it
        assert pages_read(statement, []) <= OF_A_FUNCTION


def test_a_worker_reads_of_what_waits_only_what_it_takes(history: World) -> None:
    """Also where a thousand recharges fall due at once, which the statistics of the tables know nothing of yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE recharge_recharge SET due_at = now() - interval '1 hour' "
            "WHERE id IN (SELECT id FROM recharge_recharge ORDER BY id LIMIT 1000)"
        )
    taken = [row[0] for row in rows_of("SELECT id FROM recharge_claim(10, interval '1 minute')")]
    numbers, nothing = [1] * 10, [""] * 10
    record = "SELECT * FROM recharge_record_many(%s, %s::uuid[], %s, %s, %s, %s, %s, %s, %s::interval[])"
    answers = [history.acme.row.pk, taken, numbers, ["succeeded"] * 10, nothing, nothing, nothing, numbers, [None] * 10]
    statements: dict[str, tuple[str, list[Any]]] = {
        "claim": ("SELECT * FROM recharge_claim(10, interval '1 minute')", []),
        "claim, but for the gateway of all": ("SELECT * FROM recharge_claim(10, interval '1 minute', '{instant}')", []),
        "when the next is due": ("SELECT recharge_next_due()", []),
        "when the next is due, but for that gateway": ("SELECT recharge_next_due('{instant}')", []),
        "renew": ("SELECT * FROM recharge_renew(%s::uuid[], %s, interval '1 minute')", [taken, numbers]),
        "record": (record, answers),
    }
    read = {}
    for name, (statement, arguments) in statements.items():
        before = waiting_read()
        rows_of(statement, arguments)
        read[name] = waiting_read() - before
    assert {name: count for name, count in read.items() if count > 50} == {}


def test_a_worker_reads_of_the_messages_that_wait_only_what_it_takes(world: World) -> None:
    """Also where 5,000 for fifty webhooks fall due at once, which the statistics of the tables know nothing of yet."""
    with tenant_context(world.acme.row):
        create_webhook(
            organization=world.acme.row, seller_id=None, url="https://receiver.example/", events=["recharge.succeeded"]
        )
    more = (
        "INSERT INTO credit_webhookendpoint"
        " SELECT (jsonb_populate_record(endpoint, jsonb_build_object('id', gen_random_uuid()))).*"
        " FROM credit_webhookendpoint AS endpoint, generate_series(1, 49)"
    )
    write = (
        "INSERT INTO credit_webhookmessage"
        " (id, endpoint_id, event, data, status, attempts, due_at, delivered_at, give_up_at, created_at)"
        " SELECT gen_random_uuid(), endpoint.id, 'recharge.succeeded', '{{}}', '{}', 0, {}, {},"
        " now() + interval '1 day', now() FROM credit_webhookendpoint AS endpoint, generate_series(1, 100) AS n"
    )
    with as_owner(), world.acme.context, connection.cursor() as cursor:
        cursor.execute(more)
        cursor.execute(write.format("delivered", "NULL", "now()"))
        cursor.execute("ANALYZE credit_webhookmessage, credit_webhookendpoint")
        cursor.execute(write.format("pending", "now() - n * interval '1 second'", "NULL"))
    taken = rows_of("SELECT id, claimed_until FROM webhook_claim(20, interval '1 minute')")
    ids, until = [row[0] for row in taken], [row[1] for row in taken]
    record = "SELECT * FROM webhook_record(%s::uuid[], %s, %s, %s::interval[], %s, %s, %s, %s, %s)"
    numbers, nothing = [200] * 20, [""] * 20
    answers = [ids, until, ["delivered"] * 20, [None] * 20, until, numbers, numbers, nothing, nothing]
    statements: dict[str, tuple[str, list[Any]]] = {
        "renew": ("SELECT * FROM webhook_renew(%s::uuid[], %s, interval '1 minute')", [ids, until]),
        "claim": ("SELECT * FROM webhook_claim(20, interval '1 minute')", []),
        "when the next is due": ("SELECT webhook_next_due()", []),
        "figures": ("SELECT webhooks_seconds FROM queue_figures()", []),
        "record": (record, answers),
    }
    read = {}
    for name, (statement, arguments) in statements.items():
        before = waiting_read("webhook_message_due|webhook_message_lane")
        rows_of(statement, arguments)
        read[name] = waiting_read("webhook_message_due|webhook_message_lane") - before
    # Of each webhook a claim reads as many as it may take; the figures count all of so many.
    most = {"claim": 2 * 50 * 20, "when the next is due": 50 * 10, "figures": 5000 + 50 * 10}
    assert {name: count for name, count in read.items() if count > most.get(name, 50)} == {}


def test_a_number_is_found_by_its_last_digits_by_the_index(history: World) -> None:
    for ending in ("4567", "34567"):
        rows = recharges(ending=ending).order_by("-pk")[:7]
        plan = rows.explain()
        assert "recharge_last_digits" in plan, plan
        assert "Seq Scan" not in plan, plan
        assert pages_read(*rows.query.sql_with_params()) <= LARGEST_COST
        assert {row.phone_number[-4:] for row in rows} == {"4567"}


def test_such_a_history_is_right_and_can_be_sold_on(history: World) -> None:
    member = history.acme.member
    assert member.balance() == 5
    assert member.sell(6).code == "insufficient_credit"
    assert member.sell(5).status == 201
    assert member.client.get("/balance").json["last_entry"] == SALES + 7


def test_a_new_organizations_sales_do_not_read_the_sellers_history(world: World) -> None:
    """What is planned while the tables are empty must be right when they no longer are: the statistics that would have
    it planned again are made a minute or two later."""
    row = provision_organization(slug="fresh", name="Fresh", admin_username="owner", admin_password=PASSWORD)
    seller_id = make_seller(row, "seller", 1000).pk
    items = [Item("+989121234567", "mci", 1, f"bulk-{number}") for number in range(20)]
    for number in range(20):  # PostgreSQL settles on a plan after the fifth time
        sell_recharge(
            organization=row,
            seller_id=seller_id,
            item=Item("+989121234567", "mci", 1, f"single-{number}"),
        )
        sell_recharges(organization=row, seller_id=seller_id, items=items, atomic=False)
    with entered(row.schema_name).cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    counted = everywhere(
        r"SELECT regexp_replace(relname, '_\d+$', ''), seq_scan FROM pg_stat_user_tables"
        r" WHERE schemaname = 'org_fresh'"
    )
    sequential = max(scans for table, scans in counted if table == "recharge_recharge")
    scans: Counter[str] = Counter()
    for index, count in everywhere(
        r"SELECT regexp_replace(indexrelname, '_\d+$', ''), idx_scan FROM pg_stat_user_indexes"
        r" WHERE schemaname = 'org_fresh' AND relname ~ '^(recharge_recharge|credit_entry)(_\d+)?$'"
    ):
        scans[index] += count
    assert scans["recharge_key"] >= 20 + 20 * len(items)
    assert sequential < 30  # by the migrations
    assert scans["recharge_seller"] == scans["recharge_seller_status"] == scans["entry_seller"] == 0
