"""A recharge's columns are named once (RECHARGE_COLUMNS); whoever writes them out once more has the same ones."""

import json

import pytest
from django.db import connection

from credit.api.credit import EntrySerializer, rendered_entry
from credit.pages.exports import Exports
from credit.pages.filters import SellerFilters
from credit.queries import entries
from recharge.api.recharges import RechargeSerializer, rendered_row
from recharge.pages.tables import RECHARGES_SHEET
from recharge.selling.queries import RECHARGE_COLUMNS, Sold, recharges
from tests.support.client import Answer
from tests.support.visitor import Visitor
from tests.support.world import Organization, give_credit


def heading(answer: Answer) -> tuple[str, ...]:
    """The first line of a CSV file."""
    assert answer.status == 200, answer
    return tuple(answer.body.decode("utf-8-sig").splitlines()[0].split(","))


def test_they_are_the_same_wherever_a_recharge_is_shown(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 50_000)
    client = acme.member.client
    sale = {"phone_number": "09121234567", "amount": 5000}
    sold = client.post("/recharges", sale, key="k").json
    one = f"/recharges/{sold['id']}"
    by_the_view = client.request(
        "POST",
        "/recharges",
        body=json.dumps(sale).encode(),
        key="k2",
        headers={"Content-Type": "application/json", "Accept": "application/*"},
    )
    bulk = client.post("/recharges/bulk", {"items": [sale | {"idempotency_key": "k3"}]}).json
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT sold::text FROM recharge_recharge AS sold WHERE id = %s", [sold["id"]])
        cursor.execute("SELECT recharge_data(%s::recharge_recharge)", cursor.fetchone())
        for_webhooks = json.loads(cursor.fetchone()[0])
    shown = {
        "the sale": sold,
        "the sale again": client.post("/recharges", sale, key="k").json,
        "the sale by the view": by_the_view.json,
        "the bulk sale": bulk["results"][0]["recharge"],
        "the seller's": client.get(one).json,
        "the list": client.get("/recharges").json["results"][0],
        "the API's file": heading(client.get("/recharges.csv")),
        "the page's file": heading(Visitor.signed_in(acme.owner).get("/recharges.csv")),
        "what a sale answers": Sold._fields[: len(RECHARGE_COLUMNS)],
    }
    for place, columns in shown.items():
        assert tuple(columns) == RECHARGE_COLUMNS, place
    assert set(for_webhooks) == set(RECHARGE_COLUMNS)  # jsonb keeps no order
    assert tuple(acme.owner.client.get(one).json) == (*RECHARGE_COLUMNS, "gateway", "sold_by", "attempts")


@pytest.mark.breaks_the_books
def test_a_row_of_a_list_is_what_its_serializer_gives(acme: Organization) -> None:
    """Lists that are asked for most are written without one."""
    give_credit(acme.row, acme.member.id, 50_000)
    sold = [acme.member.sell(1000).json["id"] for _ in range(3)]
    with acme.context, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE recharge_recharge SET status = 'failed', failure = 'no such', late = 'reversed' WHERE id = %s",
            sold[:1],
        )
        cursor.execute("ALTER TABLE recharge_recharge DISABLE TRIGGER USER")
        cursor.execute("UPDATE recharge_recharge SET status = 'pending', completed_at = NULL WHERE id = %s", sold[1:2])
        cursor.execute("ALTER TABLE recharge_recharge ENABLE TRIGGER USER")
        for row in recharges():
            assert list(rendered_row(row).items()) == list(RechargeSerializer(row).data.items())
        for entry in entries():
            assert list(rendered_entry(entry).items()) == list(EntrySerializer(entry).data.items())


@pytest.mark.parametrize("columns", [(*RECHARGE_COLUMNS, "gateway"), RECHARGE_COLUMNS[:-1]], ids=["more", "fewer"])
def test_a_workbook_can_t_have_others_than_the_csv_file(columns: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="other columns"):
        Exports("recharges", SellerFilters, recharges, columns, "", RECHARGES_SHEET)  # type: ignore[arg-type]
