"""Webhooks over HTTP: who may have which, what an address may be, and what is told of the secret."""

import base64
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import connection

from credit.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from credit.webhooks.services import create_webhook, events_for
from shared.outbound.secrets import decrypt
from tests.support.bad_input import (
    NO_UUIDS,
    SOME_BODIES,
    SOME_CONTENT_TYPES,
    Refusal,
    cursor_of,
    invalid,
    queries,
    table,
)
from tests.support.client import Answer, Client
from tests.support.crowd import together
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit

URL = "https://hooks.example.com/recharges"
EVENTS = [str(event) for event in events_for(1)]
BODY: dict[str, Any] = {"url": URL, "events": ["recharge.succeeded"]}
NOT_FOUND = Refusal(404, "not_found")
SELLERS_OWN = Refusal(403, "permission_denied")


def add(person: Person, **change: Any) -> dict[str, Any]:
    answer = person.client.post("/webhooks", BODY | change)
    assert answer.status == 201, answer.json
    added: dict[str, Any] = answer.json
    return added


def without_secret(added: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in added.items() if name != "secret"}


def changes(client: Client, webhook_id: str) -> dict[str, Answer]:
    """Everything that changes a webhook, by name."""
    path = f"/webhooks/{webhook_id}"
    resend = f"{path}/deliveries/0199b7e2-0000-7000-8000-000000000000/resend"
    return {
        "patch": client.patch(path, {"is_active": False}),
        "rotate": client.post(f"{path}/rotate-secret"),
        "resend": client.post(resend),
        "delete": client.request("DELETE", path),
    }


# --- Adding -----------------------------------------------------------------------------------------------------------


def test_a_seller_adds_one(acme: Organization) -> None:
    added = add(acme.member, events=["recharge.failed", "recharge.succeeded", "recharge.failed"])
    secret = added.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert added == {
        "id": added["id"],
        "seller_id": acme.member.id,
        "url": URL,
        "events": ["recharge.succeeded", "recharge.failed"],
        "is_active": True,
        "disabled": "",
        "created_at": added["created_at"],
    }
    assert acme.member.client.get(f"/webhooks/{added['id']}").json == added
    assert acme.member.client.get("/webhooks").json["results"] == [added]
    with acme.context:
        assert decrypt(WebhookEndpoint.objects.get().secret) == secret


def test_an_admin_adds_the_organizations(acme: Organization) -> None:
    assert add(acme.owner)["seller_id"] is None


def test_no_two_secrets_are_the_same(acme: Organization) -> None:
    assert add(acme.member)["secret"] != add(acme.member, url=f"{URL}/2")["secret"]


def test_each_owner_has_ten_at_most(acme: Organization) -> None:
    for person in (acme.member, acme.owner):
        webhook_ids = [add(person, url=f"{URL}/{number}")["id"] for number in range(10)]
        Refusal(409, "too_many_webhooks").check(person.client.post("/webhooks", BODY))
        assert person.client.request("DELETE", f"/webhooks/{webhook_ids[0]}").status == 204
        add(person)
    add(acme.neighbour)


def test_of_many_added_at_once_ten_are(acme: Organization) -> None:
    bodies = [BODY | {"url": f"{URL}/{number}"} for number in range(16)]
    answers = together([partial(acme.member.client.post, "/webhooks", body) for body in bodies])
    assert Counter(answer.status for answer in answers) == {201: 10, 409: 6}


# --- Who sees and changes which ---------------------------------------------------------------------------------------


def test_a_seller_sees_own_ones_and_an_admin_all(acme: Organization) -> None:
    members, neighbours, organizations = (
        without_secret(add(person)) for person in (acme.member, acme.neighbour, acme.owner)
    )

    def listed(person: Person, query: str = "") -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = person.client.get(f"/webhooks{query}").json["results"]
        return results

    assert listed(acme.member) == [members]
    assert listed(acme.neighbour) == [neighbours]
    assert listed(acme.owner) == [organizations, neighbours, members]
    assert listed(acme.owner, f"?seller_id={acme.member.id}") == [members]
    assert listed(acme.owner, "?limit=1") == [organizations]


def test_anothers_is_not_there(acme: Organization, globex: Organization) -> None:
    for owner, strangers in (
        (acme.member, [acme.neighbour, globex.member, globex.owner]),
        (acme.owner, [acme.member, globex.owner]),
    ):
        webhook_id = add(owner)["id"]
        for stranger in strangers:
            with nothing_written():
                NOT_FOUND.check(stranger.client.get(f"/webhooks/{webhook_id}"))
                NOT_FOUND.check(stranger.client.get(f"/webhooks/{webhook_id}/deliveries"))
                for answer in changes(stranger.client, webhook_id).values():
                    NOT_FOUND.check(answer)


def test_an_admin_sees_a_sellers_and_changes_nothing_of_it(acme: Organization) -> None:
    added = add(acme.member)
    with nothing_written():
        assert acme.owner.client.get(f"/webhooks/{added['id']}").json == without_secret(added)
        assert acme.owner.client.get(f"/webhooks/{added['id']}/deliveries").json["results"] == []
        for answer in changes(acme.owner.client, added["id"]).values():
            SELLERS_OWN.check(answer)


def test_a_delivery_of_another_webhook_is_not_there(acme: Organization) -> None:
    delivery_id = make_delivery(acme)["id"]
    other = add(acme.member, url=f"{URL}/other")
    with nothing_written():
        NOT_FOUND.check(acme.member.client.post(f"/webhooks/{other['id']}/deliveries/{delivery_id}/resend"))


# --- Changing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "shown"),
    table(
        ("the address", {"url": "https://other.example.com"}, {"url": "https://other.example.com"}),
        ("the events", {"events": EVENTS[::-1]}, {"events": EVENTS}),
        ("off", {"is_active": False}, {"is_active": False, "disabled": "by_hand"}),
        ("on, which it is", {"is_active": True}, {}),
        ("nothing", {}, {}),
    ),
)
@pytest.mark.parametrize("who", ["member", "owner"])
def test_it_is_changed(acme: Organization, who: str, change: dict[str, Any], shown: dict[str, Any]) -> None:
    person: Person = getattr(acme, who)
    added = without_secret(add(person))
    answer = person.client.patch(f"/webhooks/{added['id']}", change)
    assert (answer.status, answer.json) == (200, added | shown)
    assert person.client.get(f"/webhooks/{added['id']}").json == added | shown


@pytest.mark.parametrize("disabled", ["by_hand", "gone", "failing"])
def test_a_disabled_one_is_enabled_again(acme: Organization, disabled: str) -> None:
    path = f"/webhooks/{add(acme.member)['id']}"
    with acme.context:
        WebhookEndpoint.objects.update(disabled=disabled, failing_since="2020-01-01T00:00:00Z")
    shown = acme.member.client.patch(path, {"is_active": False}).json
    assert (shown["is_active"], shown["disabled"]) == (False, disabled)
    shown = acme.member.client.patch(path, {"is_active": True}).json
    assert (shown["is_active"], shown["disabled"]) == (True, "")
    with acme.context:
        assert WebhookEndpoint.objects.get().failing_since is None


def test_it_is_deleted_with_all_that_was_sent(acme: Organization) -> None:
    path = make_delivery(acme)["path"]
    with acme.context:
        WebhookAttempt.objects.create(
            message=WebhookMessage.objects.get(), attempted_at="2026-01-01T00:00:00Z", latency_ms=1
        )
    answer = acme.member.client.request("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")
    with acme.context:
        for model in (WebhookEndpoint, WebhookMessage, WebhookAttempt):
            assert model.objects.count() == 0  # type: ignore[attr-defined]
    NOT_FOUND.check(acme.member.client.get(path))
    for again in changes(acme.member.client, path.rpartition("/")[2]).values():
        NOT_FOUND.check(again)


def test_a_new_secret_is_told_once_and_the_old_one_stays_for_a_day(acme: Organization) -> None:
    added = add(acme.member)
    answer = acme.member.client.post(f"/webhooks/{added['id']}/rotate-secret")
    assert answer.status == 200
    assert answer.json["secret"].startswith("whsec_")
    assert answer.json["secret"] != added["secret"]
    assert answer.json["secret"].encode() not in acme.member.client.get(f"/webhooks/{added['id']}").body
    with acme.context, connection.cursor() as cursor:
        endpoint = WebhookEndpoint.objects.get()
        assert (decrypt(endpoint.secret), decrypt(endpoint.previous_secret)) == (answer.json["secret"], added["secret"])
        cursor.execute("SELECT extract(epoch FROM previous_secret_until - now()) / 3600 FROM credit_webhookendpoint")
        assert 23.9 < cursor.fetchone()[0] < 24.1


# --- Deliveries -------------------------------------------------------------------------------------------------------


def make_delivery(acme: Organization) -> dict[str, Any]:
    """A delivery to a webhook of acme's member, as the API shows it and not sent yet; ``path`` is the webhook's."""
    path = f"/webhooks/{add(acme.member)['id']}"
    give_credit(acme.row, acme.member.id, 5000)
    assert acme.member.sell(5000).status == 201
    (delivery,) = acme.member.client.get(f"{path}/deliveries").json["results"]
    return {"path": path, **delivery}


def test_the_deliveries_of_a_webhook(acme: Organization) -> None:
    delivery = make_delivery(acme)
    path = delivery.pop("path")
    (recharge,) = acme.member.client.get("/recharges").json["results"]
    assert delivery == {
        "id": delivery["id"],
        "message_id": f"msg_{delivery['id']}",
        "event": "recharge.succeeded",
        "data": recharge,
        "status": "pending",
        "created_at": delivery["created_at"],
        "next_attempt_at": delivery["created_at"],
        "delivered_at": None,
        "attempts": [],
    }
    with acme.context:
        for status_code, error in ((None, "No answer in time."), (500, "")):
            WebhookAttempt.objects.create(
                message=WebhookMessage.objects.get(),
                attempted_at="2026-01-01T00:00:00Z",
                latency_ms=7,
                status_code=status_code,
                error=error,
                answer="sorry",
            )
    shown = {"attempted_at": "2026-01-01T00:00:00Z", "latency_ms": 7, "answer": "sorry"}
    for person in (acme.member, acme.owner):
        (seen,) = person.client.get(f"{path}/deliveries").json["results"]
        assert seen["attempts"] == [
            shown | {"status_code": 500, "error": ""},
            shown | {"status_code": None, "error": "No answer in time."},
        ]


def test_deliveries_come_in_pages(acme: Organization) -> None:
    path = make_delivery(acme)["path"]
    give_credit(acme.row, acme.member.id, 10_000)
    for _ in range(2):
        acme.member.sell()
    everything = acme.member.client.get(f"{path}/deliveries").json["results"]
    assert [row["created_at"] for row in everything] == sorted((row["created_at"] for row in everything), reverse=True)
    first = acme.member.client.get(f"{path}/deliveries?limit=2").json
    second = acme.member.client.get(first["next"].partition(acme.host)[2]).json
    assert first["results"] + second["results"] == everything
    assert (len(everything), second["next"]) == (3, None)


@pytest.mark.parametrize("status", ["pending", "delivered", "failed"])
def test_a_delivery_is_resent(acme: Organization, status: str) -> None:
    delivery = make_delivery(acme)
    with acme.context:
        WebhookMessage.objects.update(
            status=status,
            attempts=9,
            due_at="2999-01-01T00:00:00Z" if status == "pending" else None,
            delivered_at="2026-01-01T00:00:00Z" if status == "delivered" else None,
            give_up_at="2026-01-01T00:00:00Z",
        )
    answer = acme.member.client.post(f"{delivery['path']}/deliveries/{delivery['id']}/resend")
    assert (answer.status, answer.json["status"]) == (202, "pending")
    assert (answer.json["id"], answer.json["message_id"]) == (delivery["id"], delivery["message_id"])
    with acme.context, connection.cursor() as cursor:
        cursor.execute(
            "SELECT due_at <= now(), attempts, give_up_at > now() + interval '23 hours' FROM credit_webhookmessage"
        )
        assert cursor.fetchone() == (True, 0, True)


def test_nothing_is_resent_to_a_disabled_webhook(acme: Organization) -> None:
    delivery = make_delivery(acme)
    acme.member.client.patch(delivery["path"], {"is_active": False})
    (given_up,) = acme.member.client.get(f"{delivery['path']}/deliveries").json["results"]
    assert (given_up["status"], given_up["next_attempt_at"]) == ("failed", None)
    with nothing_written():
        answer = acme.member.client.post(f"{delivery['path']}/deliveries/{delivery['id']}/resend")
        Refusal(409, "webhook_disabled").check(answer)


# --- Bad input --------------------------------------------------------------------------------------------------------

URLS = table(
    ("empty", "", "blank"),
    ("null", None, "null"),
    ("a number", 5, "invalid"),
    ("true", True, "invalid"),
    ("a list", [URL], "invalid"),
    ("an object", {"url": URL}, "invalid"),
    ("a word", "nonsense", "invalid"),
    ("no scheme", "//hooks.example.com/x", "invalid"),
    ("plain http", "http://hooks.example.com/x", "not_https"),
    ("ftp", "ftp://hooks.example.com/x", "not_https"),
    ("a file", "file:///etc/passwd", "invalid"),
    ("JavaScript", "javascript:alert(1)", "invalid"),
    ("no host", "https://", "invalid"),
    ("no host but a path", "https:///x", "invalid"),
    ("a user", "https://user@hooks.example.com/x", "invalid"),
    ("a password", "https://user:password@hooks.example.com/x", "invalid"),
    ("a user by a backslash", "https://hooks.example.com\\@127.0.0.1/x", "invalid"),
    ("a fragment", URL + "#part", "invalid"),
    ("an empty fragment", URL + "#", "invalid"),
    ("port 0", "https://hooks.example.com:0/x", "invalid"),
    ("port 65536", "https://hooks.example.com:65536/x", "invalid"),
    ("an endless port", "https://hooks.example.com:" + "9" * 1000, "invalid"),
    ("no port", "https://hooks.example.com:/x", "invalid"),
    ("a blank", "https://hooks.example.com/a b", "invalid"),
    ("a line feed", "https://hooks.example.com/a\nHost: internal", "invalid"),
    ("a carriage return", "https://hooks.example.com/\r\nx", "invalid"),
    ("Persian", "https://hooks.example.com/شارژ", "invalid"),
    ("a host in Persian", "https://نمونه.ایران/x", "invalid"),
    ("full-width digits", "https://１２７.0.0.1/x", "invalid"),
    ("half an escape", "https://hooks.example.com/%4", "invalid"),
    ("an escape in the host", "https://%6cocalhost/x", "invalid"),
    ("an empty label", "https://hooks..example.com/x", "invalid"),
    ("a trailing dot", "https://hooks.example.com./x", "invalid"),
    ("a label of 64", f"https://{'h' * 64}.example.com/x", "invalid"),
    ("a host of 254", f"https://{'.'.join(['h' * 49] * 5)}.exam/x", "invalid"),
    ("2,001 characters", "https://hooks.example.com/" + "x" * 1975, "max_length"),
    ("a megabyte", "https://hooks.example.com/" + "x" * 1_000_000, "max_length"),
    ("this host", "https://127.0.0.1/x", "private_address"),
    ("this host in IPv6", "https://[::1]/x", "private_address"),
    ("this host, mapped", "https://[::ffff:127.0.0.1]/x", "private_address"),
    ("no brackets", "https://::1/x", "invalid"),
    ("brackets around a name", "https://[hooks.example.com]/x", "invalid"),
    ("brackets around IPv4", "https://[127.0.0.1]/x", "invalid"),
    ("a zone", "https://[fe80::1%25eth0]/x", "invalid"),
    ("a private network", "https://10.0.0.7:8443/x", "private_address"),
    ("cloud metadata", "https://169.254.169.254/latest/meta-data", "private_address"),
    ("no address", "https://0.0.0.0/x", "private_address"),
    ("a decimal number", "https://2130706433/x", "invalid"),
    ("octal", "https://0177.0.0.1/x", "invalid"),
    ("hexadecimal", "https://0x7f.0x0.0x0.0x1/x", "invalid"),
    ("hexadecimal, whole", "https://0x7f000001/x", "invalid"),
    ("a short one", "https://127.1/x", "invalid"),
)


@pytest.mark.parametrize(("url", "code"), URLS)
def test_it_refuses_the_address(acme: Organization, url: Any, code: str) -> None:
    path = f"/webhooks/{add(acme.member)['id']}"
    with nothing_written():
        invalid(("url", code)).check(acme.member.client.post("/webhooks", BODY | {"url": url}))
        invalid(("url", code)).check(acme.member.client.patch(path, {"url": url}))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com?a=b",
        "HTTPS://Hooks.Example.COM/X",
        "https://hooks.example.com:8443/a/b;c?d=e&f=%2F@:[]",
        "https://xn--mgba3a4f16a.ir/x",
        "https://8.8.8.8/x",
        "https://[2001:4860:4860::8888]:8443/x",
        "https://under_score.example.com/x",
        "https://hooks.example.com/" + "x" * 1974,
    ],
)
def test_it_takes_the_address_as_it_is(acme: Organization, url: str) -> None:
    assert add(acme.member, url=url)["url"] == url


EVENT_LISTS = table(
    ("none", [], {("events", "empty")}),
    ("null", None, {("events", "null")}),
    ("a string", "recharge.succeeded", {("events", "not_a_list")}),
    ("an object", {"recharge.succeeded": True}, {("events", "not_a_list")}),
    ("a number", 1, {("events", "not_a_list")}),
    ("an unknown one", ["recharge.succeeded", "recharge.sold"], {("events.1", "invalid_choice")}),
    ("all", ["*"], {("events.0", "invalid_choice")}),
    ("null in it", [None], {("events.0", "null")}),
    ("a number in it", [5], {("events.0", "invalid_choice")}),
    ("a list in it", [["recharge.succeeded"]], {("events.0", "invalid_choice")}),
    ("an object in it", [{}], {("events.0", "invalid_choice")}),
    ("an empty one", [""], {("events.0", "invalid_choice")}),
    ("the organization's", ["recharge.succeeded", "chain.root"], {("events", "organization_only")}),
    ("21", ["recharge.succeeded"] * 21, {("events", "max_length")}),
    ("fifty thousand", ["x"] * 50_000, {("events", "max_length")}),
)


@pytest.mark.parametrize(("events", "faults"), EVENT_LISTS)
def test_it_refuses_the_events(acme: Organization, events: Any, faults: set[tuple[str, str]]) -> None:
    path = f"/webhooks/{add(acme.member)['id']}"
    with nothing_written():
        invalid(*faults).check(acme.member.client.post("/webhooks", BODY | {"events": events}))
        invalid(*faults).check(acme.member.client.patch(path, {"events": events}))


def test_the_organizations_webhook_is_told_of_roots(acme: Organization) -> None:
    added = add(acme.owner, events=["chain.root"])
    assert added["events"] == ["chain.root"]
    assert acme.owner.client.patch(f"/webhooks/{added['id']}", {"events": [*EVENTS, "chain.root"]}).status == 200


@pytest.mark.parametrize(
    ("method", "body", "fault"),
    table(
        ("no url", "POST", {"events": EVENTS}, ("url", "required")),
        ("no events", "POST", {"url": URL}, ("events", "required")),
        ("somebody's seller_id", "POST", BODY | {"seller_id": 1}, ("seller_id", "unknown_field")),
        ("a secret", "POST", BODY | {"secret": "whsec_mine"}, ("secret", "unknown_field")),
        ("not active yet", "POST", BODY | {"is_active": True}, ("is_active", "unknown_field")),
        ("a new secret", "PATCH", {"secret": "whsec_mine"}, ("secret", "unknown_field")),
        ("why it is disabled", "PATCH", {"disabled": ""}, ("disabled", "unknown_field")),
        ("a flag that is a string", "PATCH", {"is_active": "true"}, ("is_active", "invalid")),
        ("a flag that is null", "PATCH", {"is_active": None}, ("is_active", "null")),
    ),
)
def test_it_refuses_the_field(acme: Organization, method: str, body: dict[str, Any], fault: tuple[str, str]) -> None:
    path = f"/webhooks/{add(acme.member)['id']}" if method == "PATCH" else "/webhooks"
    with nothing_written():
        invalid(fault).check(acme.member.client.request(method, path, json=body))


@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
def test_it_refuses_the_body(acme: Organization, body: bytes, refusal: Refusal) -> None:
    delivery = make_delivery(acme)
    with nothing_written():
        for method, path in (
            ("POST", "/webhooks"),
            ("PATCH", delivery["path"]),
            ("POST", f"{delivery['path']}/rotate-secret"),
            ("POST", f"{delivery['path']}/deliveries/{delivery['id']}/resend"),
        ):
            refusal.check(acme.member.client.request(method, path, body=body))


@pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
def test_it_refuses_the_content_type(acme: Organization, content_type: str) -> None:
    with nothing_written():
        answer = acme.member.client.request(
            "POST", "/webhooks", body=b'{"url": "x"}', headers={"Content-Type": content_type}
        )
        Refusal(415, "unsupported_media_type").check(answer)


@pytest.mark.parametrize("webhook_id", NO_UUIDS)
def test_no_webhook_is_at_a_bad_address(acme: Organization, webhook_id: str) -> None:
    with nothing_written():
        for client in (acme.member.client, acme.owner.client):
            NOT_FOUND.check(client.get(f"/webhooks/{webhook_id}"))
            NOT_FOUND.check(client.get(f"/webhooks/{webhook_id}/deliveries"))
            for answer in changes(client, webhook_id).values():
                NOT_FOUND.check(answer)


@pytest.mark.parametrize(
    ("query", "fault"),
    queries(
        ("a status", "status=pending", ("status", "unknown_parameter")),
        (
            "a cursor of deliveries",
            f"cursor={cursor_of('webhookmessage<0199b7e2-0000-7000-8000-000000000000')}",
            ("cursor", "invalid"),
        ),
    ),
)
def test_the_list_refuses_the_query(acme: Organization, query: str, fault: tuple[str, str]) -> None:
    invalid(fault).check(acme.owner.client.get(f"/webhooks?{query}"))


@pytest.mark.parametrize(
    ("query", "fault"),
    table(
        ("a seller", "seller_id=1", ("seller_id", "unknown_parameter")),
        ("a limit of 0", "limit=0", ("limit", "invalid")),
        (
            "a cursor of webhooks",
            f"cursor={cursor_of('webhookendpoint<0199b7e2-0000-7000-8000-000000000000')}",
            ("cursor", "invalid"),
        ),
    ),
)
def test_the_list_of_deliveries_refuses_the_query(acme: Organization, query: str, fault: tuple[str, str]) -> None:
    webhook_id = add(acme.owner)["id"]
    invalid(fault).check(acme.owner.client.get(f"/webhooks/{webhook_id}/deliveries?{query}"))


def test_a_seller_may_not_ask_for_a_seller(acme: Organization) -> None:
    invalid(("seller_id", "unknown_parameter")).check(acme.member.client.get(f"/webhooks?seller_id={acme.member.id}"))


def test_the_secret_is_in_no_list(acme: Organization) -> None:
    with acme.context:
        _, secret = create_webhook(organization=acme.row, seller_id=acme.member.id, url=URL, events=EVENTS)
    for person in (acme.member, acme.owner):
        assert b"whsec_" not in person.client.get("/webhooks").body
        assert secret.encode() not in person.client.get("/webhooks").body
