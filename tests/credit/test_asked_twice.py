"""What makes or changes access is asked for twice, as after a lost answer or by a second click: it is done once, and
the second answer is the first one's."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from credit.models import WebhookEndpoint
from shared.outbound.secrets import decrypt
from tests.support.bad_input import Refusal, invalid, table
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.earlier import earlier
from tests.support.visitor import Visitor
from tests.support.world import Organization, Person

URL = "https://hooks.example.com/recharges"
WEBHOOK: dict[str, Any] = {"url": URL, "events": ["recharge.succeeded", "recharge.failed"]}
SELLER = {"name": "Sara", "username": "sara", "password": "correct horse battery"}
LATER = timedelta(minutes=16)


def is_replay(answer: Answer) -> bool:
    assert answer.status in (200, 201), answer
    return answer.headers.get("Idempotent-Replayed") == "true"


@pytest.fixture(params=["seller", "organization"])
def person(acme: Organization, request: pytest.FixtureRequest) -> Person:
    return acme.member if request.param == "seller" else acme.owner


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def test_a_webhook_asked_for_twice_is_one(person: Person) -> None:
    first = person.client.post("/webhooks", WEBHOOK)
    second = person.client.post("/webhooks", WEBHOOK | {"events": WEBHOOK["events"][::-1]})
    assert (first.status, second.status) == (201, 200)
    assert second.json == first.json, "with its secret"
    assert (is_replay(first), is_replay(second)) == (False, True)
    assert len(person.client.get("/webhooks").json["results"]) == 1


def test_a_webhook_asked_for_by_many_at_once_is_one(acme: Organization, person: Person) -> None:
    answers = together([partial(person.client.post, "/webhooks", WEBHOOK)] * 8)
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["secret"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "other", table(("another url", {"url": f"{URL}/2"}), ("other events", {"events": ["recharge.failed"]}))
)
def test_another_webhook_is_another(person: Person, other: dict[str, Any]) -> None:
    first = person.client.post("/webhooks", WEBHOOK).json
    second = person.client.post("/webhooks", WEBHOOK | other)
    assert second.status == 201
    assert second.json["secret"] != first["secret"]


def test_anothers_webhook_is_not_ones_own(acme: Organization) -> None:
    secrets = {
        one.client.post("/webhooks", WEBHOOK).json["secret"] for one in (acme.owner, acme.member, acme.neighbour)
    }
    assert len(secrets) == 3


def test_a_webhook_that_was_deleted_or_made_long_ago_is_not_told_again(acme: Organization, person: Person) -> None:
    first = person.client.post("/webhooks", WEBHOOK).json
    assert person.client.request("DELETE", f"/webhooks/{first['id']}").status == 204
    second = person.client.post("/webhooks", WEBHOOK)
    assert second.status == 201
    with acme.context:
        WebhookEndpoint.objects.update(created_at=timezone.now() - LATER)
    third = person.client.post("/webhooks", WEBHOOK)
    assert third.status == 201
    assert len({first["secret"], second.json["secret"], third.json["secret"]}) == 3


def test_with_a_key_a_webhook_is_one_however_late_and_other_content_is_refused(
    acme: Organization, person: Person
) -> None:
    first = person.client.post("/webhooks", WEBHOOK, key="one")
    with acme.context:
        WebhookEndpoint.objects.update(created_at=timezone.now() - LATER)
    second = person.client.post("/webhooks", WEBHOOK, key="one")
    assert (first.status, second.status) == (201, 200)
    assert (second.json["id"], second.json["secret"]) == (first.json["id"], first.json["secret"])
    Refusal(422, "idempotency_key_reused").check(
        person.client.post("/webhooks", WEBHOOK | {"url": f"{URL}/2"}, key="one")
    )
    assert person.client.post("/webhooks", WEBHOOK, key="two").status == 201, "another key is meant"


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/{}/rotate-secret"])
def test_a_bad_key_is_refused(person: Person, path: str) -> None:
    made = person.client.post("/webhooks", WEBHOOK).json
    body = WEBHOOK if path == "/webhooks" else None
    answer = person.client.post(path.format(made["id"]), body, headers={"Idempotency-Key": "k" * 256})
    invalid(("Idempotency-Key", "invalid")).check(answer)


def rotate(person: Person, webhook_id: str, **more: Any) -> Answer:
    answer = person.client.post(f"/webhooks/{webhook_id}/rotate-secret", **more)
    assert answer.status == 200, answer
    return answer


def pass_time(acme: Organization, by: timedelta) -> None:
    """As if the last secret had been made so much earlier."""
    with acme.context:
        WebhookEndpoint.objects.update(previous_secret_until=earlier("previous_secret_until", by))


def signing(acme: Organization) -> list[str]:
    """The secrets with which a message would be signed now, the newest first."""
    with acme.context:
        endpoint = WebhookEndpoint.objects.get()
        return [decrypt(one) for one in (endpoint.secret, *endpoint.previous_secret.split())]


def test_a_new_secret_asked_for_twice_is_one_and_the_receivers_stays_good(acme: Organization, person: Person) -> None:
    made = person.client.post("/webhooks", WEBHOOK).json
    first, second = rotate(person, made["id"]), rotate(person, made["id"])
    assert second.json == first.json
    assert (is_replay(first), is_replay(second)) == (False, True)
    assert signing(acme) == [first.json["secret"], made["secret"]]


def test_a_new_secret_asked_for_by_many_at_once_is_one(acme: Organization, person: Person) -> None:
    made = person.client.post("/webhooks", WEBHOOK).json
    answers = together([partial(rotate, person, made["id"])] * 8)
    assert len({answer.json["secret"] for answer in answers}) == 1
    assert sorted(is_replay(answer) for answer in answers) == [False] + [True] * 7
    assert signing(acme)[1:] == [made["secret"]]


def test_a_secret_made_after_one_that_nobody_saw_leaves_the_receivers_good(acme: Organization, person: Person) -> None:
    made = person.client.post("/webhooks", WEBHOOK).json
    unseen = rotate(person, made["id"]).json["secret"]
    pass_time(acme, LATER)
    seen = rotate(person, made["id"]).json["secret"]
    assert signing(acme) == [seen, unseen, made["secret"]]
    pass_time(acme, timedelta(hours=25))
    last = rotate(person, made["id"]).json["secret"]
    assert signing(acme) == [last, seen], "what was good a day ago is not"


def test_with_a_key_a_new_secret_is_one_however_late_and_another_key_is_meant(
    acme: Organization, person: Person
) -> None:
    made = person.client.post("/webhooks", WEBHOOK).json
    first = rotate(person, made["id"], key="one")
    pass_time(acme, LATER)
    second = rotate(person, made["id"], key="one")
    third = rotate(person, made["id"], key="two")
    assert first.json["secret"] == second.json["secret"] != third.json["secret"]
    assert [is_replay(answer) for answer in (first, second, third)] == [False, True, False]
    assert signing(acme) == [third.json["secret"], first.json["secret"], made["secret"]]


def test_a_second_click_on_a_page_of_webhooks_does_nothing_more(acme: Organization, person: Person) -> None:
    visitor = Visitor.signed_in(person)
    pages = {visitor.submit("/webhooks/new", WEBHOOK).headers["Location"] for _ in range(2)}
    (page,) = pages
    shown = []
    for _ in range(2):
        assert visitor.submit(page, {}, to=f"{page}/rotate-secret").status == 302
        shown.append(visitor.get(page).body.decode())
    secret, old = signing(acme)
    assert all(secret in one for one in shown)
    assert secret != old
    assert "here it is again" in shown[1]
