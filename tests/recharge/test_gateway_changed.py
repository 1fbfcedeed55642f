"""A gateway that changes while recharges are in flight: each is asked about where it was submitted."""

from typing import Any

import pytest
from django_tenants.utils import tenant_context

from recharge.delivery import work
from recharge.delivery.gateways import Answer, Delivery
from recharge.delivery.gateways.kinds import gateways_of
from recharge.delivery.work import DeliveryWork
from recharge.models import GatewaySettings, OperatorSettings, Recharge
from tests.support.world import Organization, give_credit

OLD, NEW = "https://old.example", "https://new.example"
UNKNOWN, MISSING, UNSENT = Answer(Delivery.UNKNOWN), Answer(Delivery.MISSING), Answer(Delivery.UNSENT)
SUCCEEDED = Answer(Delivery.SUCCEEDED)


class Spy:
    """Notes what it is asked, under its address, key id and secret, and answers as it is told."""

    kind = "http"

    def __init__(self, made: Any, worker: "Delivering") -> None:
        self._made, self._worker = made, worker

    def submit(self, *_: Any) -> Answer:
        return self._called("submit")

    def inquire(self, *_: Any) -> Answer:
        return self._called("inquire")

    def _called(self, action: str) -> Answer:
        self._worker.calls.append((action, self._made.url, self._made.key_id, self._made.secret))
        return self._worker.answer


class Delivering:
    """A worker's steps, with what it asked of whom."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.calls: list[tuple[str, ...]] = []
        self.answer = UNKNOWN
        self.work = DeliveryWork()

    def step(self, answer: Answer) -> list[tuple[str, ...]]:
        """Everything falls due and is done once, with this answer; gives what was asked of whom."""
        self.answer = answer
        self.calls.clear()
        row = self.organization.row
        with tenant_context(row):
            Recharge.objects.filter(due_at__isnull=False).update(due_at="2020-01-01T00:00:00Z")
            done = [(task, self.work.carry_out(row, task)) for task in self.work.claim(row, 100)]
            self.work.record(row, done)
        return list(self.calls)


@pytest.fixture
def worker(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> Delivering:
    """One recharge of acme waits for its gateway at the old address."""
    made = Delivering(acme)

    def spied(organization: Any) -> dict[int, Any]:
        return {pk: Spy(gateway, made) for pk, gateway in gateways_of(organization).items()}

    monkeypatch.setattr(work, "gateways_of", spied)
    monkeypatch.setattr(work, "SETTINGS_SECONDS", 0.0)
    body = {"name": "direct", "kind": "http", "url": OLD, "key_id": "k1", "secret": "s1"}
    assert acme.owner.client.post("/gateways", body).status == 201
    assert acme.owner.client.patch("/operators/mci", {"gateway": "direct"}).status == 200
    give_credit(acme.row, acme.member.id, 100_000)
    assert acme.member.sell().status == 201
    return made


def change(organization: Organization, **body: Any) -> None:
    assert organization.owner.client.patch("/gateways/direct", body).status == 200


@pytest.mark.parametrize(
    "changes", [{"url": NEW}, {"key_id": "k2"}, {"url": NEW, "key_id": "k2", "secret": "s2"}], ids=str
)
def test_what_was_submitted_is_asked_about_and_submitted_again_where_it_was_submitted(
    acme: Organization, worker: Delivering, changes: dict[str, str]
) -> None:
    old = (OLD, "k1", "s1")
    assert worker.step(UNKNOWN) == [("submit", *old)]
    change(acme, **changes)
    assert worker.step(UNKNOWN) == [("inquire", *old)]
    assert worker.step(MISSING) == [("inquire", *old)]
    assert worker.step(UNKNOWN) == [("submit", *old)]
    assert worker.step(SUCCEEDED) == [("inquire", *old)]
    # And what is sold from now on goes to the new one.
    assert acme.member.sell().status == 201
    new = (changes.get("url", OLD), changes.get("key_id", "k1"), changes.get("secret", "s1"))
    assert worker.step(UNKNOWN) == [("submit", *new)]


def test_what_certainly_reached_nobody_goes_to_the_new_address(acme: Organization, worker: Delivering) -> None:
    assert worker.step(UNSENT) == [("submit", OLD, "k1", "s1")]
    change(acme, url=NEW)
    assert worker.step(UNKNOWN) == [("submit", NEW, "k1", "s1")]


def test_what_one_try_did_not_send_and_another_may_have_stays_with_the_old_address(
    acme: Organization, worker: Delivering
) -> None:
    for answer in (UNKNOWN, MISSING, UNSENT):
        worker.step(answer)
    change(acme, url=NEW)
    assert worker.step(UNKNOWN) == [("submit", OLD, "k1", "s1")]


def test_what_was_sold_and_not_yet_submitted_goes_to_the_new_address(acme: Organization, worker: Delivering) -> None:
    change(acme, url=NEW)
    assert worker.step(UNKNOWN) == [("submit", NEW, "k1", "s1")]


def test_a_new_secret_and_new_time_limits_hold_for_what_is_under_way(acme: Organization, worker: Delivering) -> None:
    worker.step(UNKNOWN)
    change(acme, secret="s2", read_timeout_ms=500)
    assert worker.step(UNKNOWN) == [("inquire", OLD, "k1", "s2")]
    with acme.context:
        assert GatewaySettings.objects.count() == 1


def test_a_claim_whose_answer_is_still_on_its_way_is_asked_about_where_it_went(
    acme: Organization, worker: Delivering
) -> None:
    with acme.context:
        assert len(worker.work.claim(acme.row, 100)) == 1  # and its worker dies
    change(acme, url=NEW)
    assert worker.step(UNKNOWN) == [("inquire", OLD, "k1", "s1")]


def test_an_operator_s_other_gateway_is_for_what_is_sold_from_then_on(acme: Organization, worker: Delivering) -> None:
    body = {"name": "other", "kind": "http", "url": NEW, "key_id": "k9", "secret": "s9"}
    assert acme.owner.client.post("/gateways", body).status == 201
    worker.step(UNKNOWN)
    assert acme.owner.client.patch("/operators/mci", {"gateway": "other"}).status == 200
    assert worker.step(UNKNOWN) == [("inquire", OLD, "k1", "s1")]


def test_a_late_doubt_is_asked_where_it_was_submitted(acme: Organization, worker: Delivering) -> None:
    worker.step(Answer(Delivery.FAILED, reason="barred", ask_again_after=60.0))
    change(acme, url=NEW)
    assert worker.step(SUCCEEDED) == [("inquire", OLD, "k1", "s1")]


def test_a_gateway_with_something_in_flight_at_an_old_address_is_not_deleted(
    acme: Organization, worker: Delivering
) -> None:
    worker.step(UNKNOWN)
    change(acme, url=NEW)
    assert acme.owner.client.patch("/operators/mci", {"gateway": None}).status == 200
    assert acme.owner.client.request("DELETE", "/gateways/direct").code == "gateway_in_use"
    worker.step(SUCCEEDED)
    assert acme.owner.client.request("DELETE", "/gateways/direct").status == 204
    with acme.context:
        assert not GatewaySettings.objects.exists()


def test_a_changed_gateway_is_still_one_gateway(acme: Organization, worker: Delivering) -> None:
    change(acme, url=NEW)
    change(acme, key_id="k3")
    (listed,) = acme.owner.client.get("/gateways").json["results"]
    assert (listed["name"], listed["url"], listed["key_id"]) == ("direct", NEW, "k3")
    assert acme.owner.client.get("/gateways/direct").json == listed
    assert acme.owner.client.get("/operators/mci").json["gateway"] == "direct"
    body = {"name": "direct", "kind": "http", "url": OLD, "secret": "s1"}
    assert acme.owner.client.post("/gateways", body).code == "gateway_exists"
    with acme.context:
        assert OperatorSettings.objects.get().gateway == GatewaySettings.objects.get(retired_at__isnull=True)
