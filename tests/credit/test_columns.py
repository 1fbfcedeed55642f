"""The columns of an entry and of a credit request are named once; whoever writes them out once more has the same
ones."""

import json

from django.db import connection

from credit.queries import CREDIT_REQUEST_COLUMNS, ENTRY_COLUMNS
from tests.recharge.test_columns import heading
from tests.support.visitor import Visitor
from tests.support.world import Organization, give_credit


def test_an_entry_has_the_same_wherever_it_is_shown(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 50_000)
    shown = {
        "the list": acme.member.client.get("/entries").json["results"][0],
        "the API's file": heading(acme.member.client.get("/entries.csv")),
        "the page's file": heading(Visitor.signed_in(acme.member).get("/ledger.csv")),
    }
    for place, columns in shown.items():
        assert tuple(columns) == ENTRY_COLUMNS, place


def test_a_credit_request_has_the_same_wherever_it_is_shown(acme: Organization) -> None:
    client = acme.member.client
    asked = client.post("/credit-requests", {"amount": 5000}, key="k").json
    one = f"/credit-requests/{asked['id']}"
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT asked::text FROM credit_creditrequest AS asked")
        cursor.execute("SELECT credit_request_data(%s::credit_creditrequest)", cursor.fetchone())
        for_webhooks = json.loads(cursor.fetchone()[0])
    shown = {
        "the request": asked,
        "the request again": client.post("/credit-requests", {"amount": 5000}, key="k").json,
        "the list": client.get("/credit-requests").json["results"][0],
        "one": client.get(one).json,
        "the decision": acme.owner.client.post(f"{one}/approve", {}).json,
    }
    for place, columns in shown.items():
        assert tuple(columns) == CREDIT_REQUEST_COLUMNS, place
    assert for_webhooks == asked  # jsonb keeps no order
