"""The organization's audit log: the list, the file and the page; and whose act a row says it is."""

import csv
import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from django.db import connection, transaction
from django.utils.translation import override

from credit.models import AuditRecord
from credit.services import approve_credit_request, update_seller
from recharge.terms.services import change_gateway, change_settings, create_gateway
from shared.audit import record, record_change
from shared.identity.acting import COMMAND, Actor, acting, acting_as
from shared.models import Membership
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor, in_process, shown
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, database_url

COLUMNS = ["id", "at", "actor", "key_id", "address", "action", "object", "before", "after", "request_id"]


def rename(acme: Organization, name: str, **headers: str) -> None:
    path = f"/sellers/{acme.member.id}"
    assert acme.owner.client.request("PATCH", path, json={"name": name}, headers=headers).status == 200


def acts(organization: Organization, **filters: str) -> list[tuple[str, str, str]]:
    """Who did what to which, newest last."""
    with organization.context:
        rows = AuditRecord.objects.filter(**filters).order_by("pk")
        return list(rows.values_list("actor", "action", "object"))


def test_an_act_over_the_api_says_who_from_where_what_and_in_which_request(acme: Organization) -> None:
    rename(acme, "Renamed", **{"X-Request-ID": "asked-1"})
    answer = acme.owner.client.get("/audit")
    (row,) = answer.json["results"]
    assert list(row) == COLUMNS
    assert row | {"id": 0, "at": ""} == {
        "id": 0,
        "at": "",
        "actor": "owner",
        "key_id": None,
        "address": "127.0.0.1",
        "action": "seller.changed",
        "object": str(acme.member.id),
        "before": {"name": "member"},
        "after": {"name": "Renamed"},
        "request_id": "asked-1",
    }
    assert row["at"].endswith("Z")


def test_the_same_act_on_a_page_leaves_the_same_row(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}"
    assert visitor.submit(f"{path}/rename", {"name": "Renamed"}).status == 302
    assert visitor.submit(path, {}, to=f"{path}/switch-off").status == 302
    assert acts(acme) == [("owner", "seller.changed", str(acme.member.id))] * 2
    with acme.context:
        last = AuditRecord.objects.latest("pk")
    assert (last.before, last.after, last.address) == ({"is_active": True}, {"is_active": False}, "127.0.0.1")
    assert last.user_id == acme.owner.user.pk


def test_a_command_s_act_names_nobody(acme: Organization) -> None:
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, name="Renamed")
        row = AuditRecord.objects.get()
    assert (row.actor, row.user_id, row.key_id, row.address, row.request_id) == ("", None, None, "", "")


def test_what_changes_nothing_leaves_no_row(acme: Organization) -> None:
    rename(acme, "member")
    acme.owner.client.patch("/settings", {"duplicate_window": 0})
    with acme.context, transaction.atomic():
        record_change("seller.changed", "1", before={"a": 1}, after={"a": 1})
    assert acts(acme) == []


def test_an_act_that_is_taken_back_leaves_no_row_and_one_that_can_t_be_written_is_not_done(acme: Organization) -> None:
    with acme.context, transaction.atomic():
        update_seller(organization=acme.row, seller_id=acme.member.id, name="Renamed")
        transaction.set_rollback(True)
    assert acts(acme) == []
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE org_acme.credit_auditrecord ADD CONSTRAINT full_up CHECK (actor = '?') NOT VALID")
    try:
        asked = acme.member.client.post("/credit-requests", {"amount": 5000}, key="k")
        assert asked.status == 500
        assert acme.owner.client.patch(f"/sellers/{acme.member.id}", {"name": "Renamed"}).status == 500
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE org_acme.credit_auditrecord DROP CONSTRAINT full_up")
    assert acme.owner.client.get("/credit-requests").json["results"] == []
    assert acme.owner.client.get(f"/sellers/{acme.member.id}").json["name"] == "member"


def test_outside_of_a_transaction_nothing_is_recorded(acme: Organization) -> None:
    with acme.context, pytest.raises(AssertionError, match="one transaction"):
        record("seller.changed", "1")


def test_a_replay_and_a_second_approval_leave_no_second_row(acme: Organization) -> None:
    member, owner = acme.member.client, acme.owner.client
    for _ in range(2):
        asked = member.post("/credit-requests", {"amount": 5000}, key="k")
    for _ in range(2):
        assert owner.post(f"/credit-requests/{asked.json['id']}/approve").status == 200
    assert owner.post(f"/credit-requests/{asked.json['id']}/reject", {"reason": "No."}).status == 409
    id_ = asked.json["id"]
    assert acts(acme) == [("member", "credit_request.created", id_), ("owner", "credit_request.approved", id_)]
    (row, _) = owner.get("/audit").json["results"]
    assert row["before"] == {"status": "pending"}
    assert row["after"] == {"status": "approved", "seller_id": acme.member.id, "amount": 5000}


def test_a_decision_and_its_row_are_made_once_more_where_the_connection_was_dead(acme: Organization) -> None:
    asked = acme.member.client.post("/credit-requests", {"amount": 5000}, key="k").json["id"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (process,) = cursor.fetchone()
    with psycopg2.connect(database_url()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
    with acme.context:
        written = approve_credit_request(
            organization=acme.row, request_id=uuid.UUID(asked), decided_by="owner", decided_by_id=acme.owner.user.pk
        )
    assert (written.is_replay, acme.member.balance()) == (False, 5000)
    assert acts(acme, action="credit_request.approved") == [("", "credit_request.approved", asked)]


def test_no_secret_and_no_whole_phone_number_is_written(acme: Organization) -> None:
    owner = acme.owner.client
    secrets = ["the first secret", "another secret of it"]
    with acme.context:
        create_gateway(
            organization=acme.row,
            by="owner",
            name="direct",
            kind="http",
            url="https://topup.operator.example/v2",
            key_id="acme-1",
            secret=secrets[0],
        )
        change_gateway(organization=acme.row, by="owner", name="direct", secret=secrets[1], read_timeout_ms=500)
    made = acme.member.client.post("/webhooks", {"url": "https://hooks.example.com", "events": ["recharge.failed"]})
    rotated = acme.member.client.post(f"/webhooks/{made.json['id']}/rotate-secret")
    secrets += [made.json["secret"], rotated.json["secret"]]
    assert owner.get("/recharges.csv?phone_number=09121234567").status == 200
    with acme.context:
        rows = list(AuditRecord.objects.order_by("pk"))
    assert [row.action for row in rows] == [
        "gateway.created",
        "gateway.changed",
        "webhook.created",
        "webhook.secret_rotated",
        "list.exported",
    ]
    assert (rows[1].before, rows[1].after) == (
        {"read_timeout_ms": 10000, "secret": None},
        {"read_timeout_ms": 500, "secret": "changed"},
    )
    written = json.dumps([[row.object, row.before, row.after] for row in rows])
    assert [secret for secret in [*secrets, "9121234567", "09121234567"] if secret in written] == []
    assert rows[-1].after == {"filters": {"phone_number": "+98912****567"}}


def test_exports_say_which_rows_were_taken_in_each_format(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    for path in ("/ledger.xlsx?kind=credit", "/ledger.csv", "/recharges.csv?status=failed", "/audit-log.csv?actor=x"):
        assert visitor.get(path).status == 200
    assert acme.owner.client.get("/audit.csv?action=claim.opened").status == 200
    assert visitor.get("/ledger.csv?from_day=x").status == 302  # refused: nothing was taken
    with acme.context:
        rows = list(AuditRecord.objects.filter(action="list.exported").order_by("pk").values_list("object", "after"))
    assert rows == [
        ("entries.xlsx", {"filters": {"kind": "credit"}}),
        ("entries.csv", None),
        ("recharges.csv", {"filters": {"status": "failed"}}),
        ("audit.csv", {"filters": {"actor": "x"}}),
        ("audit.csv", {"filters": {"action": "claim.opened"}}),
    ]


def test_it_is_filtered_by_actor_action_and_time(acme: Organization) -> None:
    rename(acme, "One")
    acme.member.client.post("/credit-requests", {"amount": 5000}, key="k")
    owner = acme.owner.client
    newest, oldest = owner.get("/audit").json["results"]

    def found(query: str) -> list[int]:
        return [row["id"] for row in owner.get(f"/audit?{query}").json["results"]]

    assert found("actor=member") == found("action=credit_request.created") == [newest["id"]]
    # On a cluster, of which clocks may differ, who asks so is told of nothing that is younger than a second.
    wait_until(lambda: found(f"created_from={newest['at']}") == [newest["id"]], "it is old enough")
    assert found(f"created_to={newest['at']}") == [oldest["id"]]
    assert found("actor=MEMBER") == found("action=claim.opened") == []
    for query in (
        "actor=%00",
        "actor=" + "x" * 151,
        "action=a'b",
        "action=A.B",
        "action=no.such",
        "action=suspended",  # the platform's
        "created_from=now",
        "object=1",
        "limit=0",
    ):
        assert owner.get(f"/audit?{query}").status == 400, query
        assert query.startswith("limit") or owner.get(f"/audit.csv?{query}").status == 400, query
    (error,) = owner.get("/audit?action=no.such").json["errors"]
    assert (error["field"], error["code"]) == ("action", "invalid_choice")


def test_its_pages_stay_as_they_are_while_rows_are_added(acme: Organization) -> None:
    for number in range(5):
        rename(acme, f"Name {number}")
    owner = acme.owner.client
    first = owner.get("/audit?limit=2")
    rename(acme, "Later")
    second = owner.request("GET", first.json["next"].partition("/api/v1")[2])
    names = [row["after"]["name"] for row in first.json["results"] + second.json["results"]]
    assert names == ["Name 4", "Name 3", "Name 2", "Name 1"]


def test_who_polls_it_misses_no_row_that_is_committed_late(acme: Organization) -> None:
    """A row has its number before it can be seen; one with a higher number may be there first."""
    owner = acme.owner.client

    def ask(link: str) -> tuple[list[str], str]:
        page = owner.request("GET", link.partition("/api/v1")[2]).json
        return [row["object"] for row in reversed(page["results"])], page["previous"]

    told: list[str] = []
    link = owner.get("/audit?cursor=newest").json["previous"]

    def is_told(*objects: str) -> bool:
        nonlocal link
        more, link = ask(link)
        told.extend(more)
        return told == list(objects)

    late = psycopg2.connect(database_url())
    try:
        late.cursor().execute(
            "SELECT org_acme.audit_write('', NULL, NULL, '', 'seller.changed', 'late', NULL, NULL, '')"
        )
        rename(acme, "Renamed")
        assert len(owner.get("/audit").json["results"]) == 1  # who only looks sees all that is there
        assert is_told()
        late.commit()
    finally:
        late.close()
    # On a cluster, of which clocks may differ, a second later.
    wait_until(lambda: is_told("late", str(acme.member.id)), "both are told")


def test_the_file_has_the_same_rows_and_no_formula(acme: Organization) -> None:
    with acme.context, transaction.atomic(), acting_as(Actor(name="=HYPERLINK(1)", address="192.0.2.1")):
        record("seller.changed", "@sum", before={"name": "=1+1"}, after={"name": "نام"})
    rename(acme, "Renamed")
    for answer, mark in (
        (acme.owner.client.get("/audit.csv"), ""),
        (Visitor.signed_in(acme.owner).get("/audit-log.csv"), "\ufeff"),
    ):
        text = answer.body.decode()
        assert text.startswith(mark + "id,")
        *_, newer, older = csv.DictReader(io.StringIO(text.removeprefix(mark)))
        assert list(older) == COLUMNS
        assert (older["actor"], older["object"]) == ("'=HYPERLINK(1)", "'@sum")
        assert (json.loads(older["before"]), older["after"]) == ({"name": "=1+1"}, '{"name": "نام"}')
        assert (newer["actor"], newer["key_id"]) == ("owner", "")


@pytest.mark.parametrize("language", ["en", "fa"])
def test_the_page_shows_it_in_words(acme: Organization, language: str) -> None:
    with acme.context:
        change_settings(organization=acme.row, by="owner", duplicate_window=60, training=False)
    rename(acme, "Renamed")
    acme.owner.user.language = language
    acme.owner.user.save()
    visitor = Visitor.signed_in(acme.owner)
    page = shown(visitor.get("/audit-log"))
    with override(language):
        from shared.acts import ACTS
        from shared.console.acts import FIELDS

        for word in (ACTS["seller.changed"], ACTS["settings.changed"], FIELDS["training"]):
            assert str(word) in page
    arrow = {"en": "→", "fa": "←"}[language]
    assert f"member {arrow} Renamed" in page
    only = shown(visitor.get("/audit-log?action=settings.changed"))
    assert {"en": "60", "fa": "۶۰"}[language] in only
    assert "Renamed" not in only
    assert visitor.get("/audit-log?from_day=x&action=nonsense&cursor=").status in (200, 400)
    assert "<table" not in visitor.get("/audit-log?action=nonsense").body.decode()


def test_only_who_may_sees_it(acme: Organization) -> None:
    assert acme.member.client.get("/audit").code == "permission_denied"
    assert Visitor.signed_in(acme.member).get("/audit-log").status == 404
    assert "/audit-log" not in Visitor.signed_in(acme.member).get("/sell").body.decode()
    Membership.objects.filter(user=acme.owner.user).update(role="auditor")
    visitor = Visitor.signed_in(acme.owner)
    assert 'href="/audit-log"' in visitor.get("/audit-log").body.decode()
    Membership.objects.filter(user=acme.owner.user).update(role="accountant")
    assert visitor.get("/audit-log").status == 404


def test_looking_writes_nothing(acme: Organization) -> None:
    rename(acme, "Renamed")
    visitor = Visitor.signed_in(acme.owner)
    with nothing_written():
        assert acme.owner.client.get("/audit").status == 200
        assert visitor.get("/audit-log").status == 200


@pytest.mark.parametrize("table", ["credit_auditrecord", "credit_chainroot"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_refuses_to_change_it(acme: Organization, table: str, statement: str) -> None:
    column = "object" if table == "credit_auditrecord" else "accounts"
    with psycopg2.connect(database_url()) as other, pytest.raises(psycopg2.errors.RestrictViolation):
        other.cursor().execute(statement.format(f"org_acme.{table}", column, column))


def test_a_thread_does_not_keep_who_acted(world: World, acme: Organization) -> None:
    """Whatever was answered before on it: a page, a call, a refusal, an error."""
    assert in_process(acme.owner, "/sellers").status_code == 200
    assert acting() == COMMAND
    assert in_process(acme.owner, "/sellers/999999999999999999/rename").status_code == 404
    assert acting() == COMMAND
    assert in_process(world.platform_admin, "/admin/").status_code == 200
    assert acting() == COMMAND


def test_many_threads_at_once_write_each_act_under_its_own_name(acme: Organization) -> None:
    """2,000 acts of 16 threads over HTTP, each with a request id of its own: none is missing, none is another's."""
    people = [acme.member, acme.neighbour]

    def act(number: int) -> tuple[str, str]:
        person = people[number % 2]
        request_id = uuid.uuid4().hex
        answer = person.client.request(
            "POST", "/credit-requests", json={"amount": 5000}, key=request_id, headers={"X-Request-ID": request_id}
        )
        while answer.status == 503:
            answer = person.client.request(
                "POST", "/credit-requests", json={"amount": 5000}, key=request_id, headers={"X-Request-ID": request_id}
            )
        assert answer.status == 201, answer
        return request_id, person.username

    with ThreadPoolExecutor(16) as pool:
        done = sorted(pool.map(act, range(2000)))
    with acme.context:
        written = sorted(AuditRecord.objects.filter(action="credit_request.created").values_list("request_id", "actor"))
    assert written == done
