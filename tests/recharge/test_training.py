"""Training: an operator without a gateway is sold, and delivered by nobody, until an admin says that it sells."""

import re
import uuid
from typing import Any

import pytest

from recharge.delivery.settlement import resolve_recharge
from recharge.models import Recharge
from shared.models import User
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor, shown, value_of
from tests.support.world import Organization, give_credit

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def selling(acme: Organization) -> Organization:
    """acme sells: MCI through its sandbox, the others not at all; its seller has 100,000 Tomans."""
    give_credit(acme.row, acme.member.id, 100_000)
    assert acme.owner.client.post("/gateways", {"name": "sandbox", "kind": "simulator"}).status == 201
    assert acme.owner.client.patch("/operators/mci", {"gateway": "sandbox"}).status == 200
    answer = acme.owner.client.patch("/settings", {"training": False})
    assert (answer.status, answer.json.get("training")) == (200, False), answer.json
    return acme


def sell(organization: Organization, number: str = "09351234567", *, key: str = "", **more: Any) -> Answer:
    body = {"phone_number": number, "amount": 5000, **more}
    return organization.member.client.post("/recharges", body, key=key or uuid.uuid4().hex)


def item(key: str, number: str) -> dict[str, Any]:
    return {"idempotency_key": key, "phone_number": number, "amount": 5000}


def test_an_organization_trains_until_it_says_otherwise(acme: Organization) -> None:
    assert acme.owner.client.get("/settings").json["training"] is True
    give_credit(acme.row, acme.member.id, 100_000)
    sold = sell(acme)
    assert (sold.status, sold.json["status"]) == (201, "succeeded")
    with acme.context:
        assert Recharge.objects.get().training


def test_an_operator_without_a_gateway_is_not_sold(selling: Organization) -> None:
    with nothing_written():
        refused = sell(selling)
    assert (refused.status, refused.code) == (409, "operator_not_sold")
    assert sell(selling, "09121234567").status == 201
    with selling.context:
        assert not Recharge.objects.get().training


def test_bulk_and_validate_and_the_list_say_the_same(selling: Organization) -> None:
    items = [item("a", "09351234567"), item("b", "09121234567")]
    answer = selling.member.client.post("/recharges/bulk", {"items": items}).json
    assert [one.get("problem", {}).get("code", one["outcome"]) for one in answer["results"]] == [
        "operator_not_sold",
        "created",
    ]
    items = [item("c", "09351234567"), item("d", "09121234567")]
    with nothing_written():
        answer = selling.member.client.post("/recharges/bulk", {"items": items, "atomic": True})
    assert answer.status == 400
    asked = selling.member.client.post("/recharges/validate", {"phone_number": "09351234567", "amount": 5000}).json
    assert (asked["amount_is_sold"], asked["would_be_sold"]) == (False, False)
    listed = {row["operator"]: row for row in selling.owner.client.get("/operators").json["results"]}
    assert {code for code, row in listed.items() if row["is_sold"]} == {"mci"}
    assert (listed["mci"]["gateway"], listed["irancell"]["gateway"]) == ("sandbox", None)


def test_what_was_sold_in_training_is_replayed_after_it_and_stays_known_as_that(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    assert sell(acme, key="k").status == 201
    assert acme.owner.client.patch("/settings", {"training": False}).status == 200
    assert sell(acme, key="k").status == 200
    with acme.context:
        assert Recharge.objects.get().training


def test_a_chosen_gateway_that_delivers_nothing_is_sold(selling: Organization) -> None:
    assert selling.owner.client.post("/gateways", {"name": "trainer", "kind": "instant"}).status == 201
    assert selling.owner.client.patch("/operators/irancell", {"gateway": "trainer"}).status == 200
    assert sell(selling).json["status"] == "succeeded"


@pytest.mark.parametrize("given", table(("a number", 0), ("a text", "false"), ("null", None)))
def test_training_is_true_or_false(acme: Organization, given: Any) -> None:
    assert acme.owner.client.patch("/settings", {"training": given}).status == 400
    assert acme.owner.client.get("/settings").json["training"] is True


def test_every_page_says_so_while_it_trains_and_none_does_when_it_sells(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    sold = sell(acme).json["id"]
    paths = [
        (acme.owner, ["/today", "/settings", "/recharges"]),
        (acme.member, ["/sell", "/recharges", f"/recharges/{sold}"]),
    ]
    for person, of_person in paths:
        for path in of_person:
            assert "Training: recharges of an operator" in shown(Visitor.signed_in(person).get(path)), path
    owner = Visitor.signed_in(acme.owner)
    assert "Irancell" in shown(owner.get("/settings/training"))
    owner.submit("/settings/training", {"training": "off"})
    assert acme.owner.client.get("/settings").json["training"] is False
    for person, of_person in paths:
        for path in of_person:
            assert "Training: recharges of an operator" not in shown(Visitor.signed_in(person).get(path)), path
    # What was sold in training stays known as that.
    for person in (acme.owner, acme.member):
        assert "Sold in training" in shown(Visitor.signed_in(person).get(f"/recharges/{sold}"))
        assert "Sold in training" in shown(Visitor.signed_in(person).get(f"/recharges/{sold}/receipt"))


def test_the_confirmation_and_the_preview_say_that_an_operator_is_not_sold(selling: Organization) -> None:
    member = Visitor.signed_in(selling.member)
    address = f"/sell/confirm?key={'0' * 32}&phone_number=09351234567&amount=5000"
    assert "are not sold" in shown(member.get(address))
    assert "are not sold" in shown(member.submit("/bulk", {"text": "09351234567,5000"}))


def states_on(page: Answer) -> list[str]:
    """The coloured words for states, in their order."""
    assert page.status == 200, page
    return re.findall(r'<span class="(state state-\w+">[^<]*)</span>', page.body.decode())


TRAINING, DELIVERED = 'state state-plain">Delivered (training)', 'state state-good">Delivered'


def test_wherever_a_state_is_shown_what_was_sold_in_training_is_not_delivered(acme: Organization) -> None:
    """What a gateway delivered is, on the same page, by the same organization."""
    give_credit(acme.row, acme.member.id, 100_000)
    trained = sell(acme, key="k").json["id"]
    assert acme.owner.client.post("/gateways", {"name": "sandbox", "kind": "instant"}).status == 201
    assert acme.owner.client.patch("/operators/mci", {"gateway": "sandbox"}).status == 200
    delivered = sell(acme, "09121234567").json["id"]
    owner, member = Visitor.signed_in(acme.owner), Visitor.signed_in(acme.member)
    for visitor in (owner, member):
        assert states_on(visitor.get("/recharges")) == [DELIVERED, TRAINING]
        for path in (f"/recharges/{trained}", f"/recharges/{trained}/receipt"):
            assert TRAINING in states_on(visitor.get(path)), path
            assert DELIVERED not in states_on(visitor.get(path)), path
        for path in (f"/recharges/{delivered}", f"/recharges/{delivered}/receipt"):
            assert states_on(visitor.get(path))[0] == DELIVERED, path
            assert "training" not in shown(visitor.get(path)), path
    assert "nothing was sent" in shown(owner.get(f"/recharges/{trained}"))
    outcome = member.get(f"/recharges/{trained}/outcome").body.decode()
    assert 'data-announce="Delivered (training)"' in outcome
    assert "outcome-training" in outcome
    assert "outcome-succeeded" in member.get(f"/recharges/{delivered}/outcome").body.decode()


def test_of_many_at_once_each_row_says_whether_it_was_training(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    assert acme.owner.client.post("/gateways", {"name": "sandbox", "kind": "instant"}).status == 201
    assert acme.owner.client.patch("/operators/mci", {"gateway": "sandbox"}).status == 200
    member = Visitor.signed_in(acme.member)
    preview = member.submit("/bulk", {"text": "09351234567,5000\n09121234567,5000"})
    fields = {name: value_of(preview, name) for name in ("csrfmiddlewaretoken", "batch", "items")}
    for _ in range(2):  # and where it is a replay
        sale = member.post("/bulk/sell", fields).headers["Location"]
        found = states_on(member.get(sale))
        assert [one for one in found if one in (TRAINING, DELIVERED)] == [TRAINING, DELIVERED]
    file = member.get(f"{sale}.csv").body.decode().splitlines()
    assert "succeeded,Sold in training: nothing was delivered.," in file[1]
    assert "succeeded,," in file[2]


def test_what_was_sold_in_training_and_failed_by_hand_is_both(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    sold = sell(acme).json["id"]
    resolve_recharge(
        organization=acme.row,
        recharge_id=uuid.UUID(sold),
        status=Recharge.Status.FAILED,
        reason="no",
        by="owner",
    )
    for path in ("/recharges", f"/recharges/{sold}"):
        found = states_on(Visitor.signed_in(acme.owner).get(path))
        assert found[:2] == ['state state-bad">Failed, refunded', 'state state-plain">Training'], path


def test_the_api_says_what_it_said(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    sold = sell(acme).json
    assert sold["status"] == "succeeded"
    assert "training" not in sold
    assert sold == acme.member.client.get(f"/recharges/{sold['id']}").json


def options_on(page: Answer) -> dict[str, tuple[str, bool]]:
    """Of a sell form: what each operator is called, and whether it can be chosen."""
    found = re.findall(r'<option value="(\w+)"([^>]*)>([^<]*)</option>', page.body.decode())
    return {code: (name, "disabled" not in attributes) for code, attributes, name in found}


def test_the_sell_form_says_which_operators_are_not_sold(selling: Organization) -> None:
    assert selling.owner.client.post("/operators", {"operator": "shatel", "name": "Shatel"}).status == 201
    member = Visitor.signed_in(selling.member)
    options = options_on(member.get("/sell"))
    assert list(options) == ["mci", "irancell", "rightel", "aptel", "espadan", "telekish", "shatel"]
    assert options["mci"] == ("Hamrah-e Aval (MCI)", True)
    assert options["rightel"] == ("RighTel (not sold)", False)
    assert options["shatel"] == ("Shatel (not sold)", False)
    assert selling.owner.client.patch("/operators/shatel", {"gateway": "sandbox"}).status == 200
    assert options_on(member.get("/sell"))["shatel"] == ("Shatel", True)


def test_an_operator_that_was_chosen_and_is_not_sold_stays_chosen_and_is_refused(selling: Organization) -> None:
    """Were it switched off in the form, the browser would send the number's own in its place."""
    member = Visitor.signed_in(selling.member)
    address = f"/sell/confirm?key={'0' * 32}&phone_number=09121234567&operator=rightel&amount=5000"
    for path in (address, "/sell?operator=rightel"):
        page = member.get(path)
        assert options_on(page)["rightel"] == ("RighTel (not sold)", True), path
        assert options_on(page)["irancell"][1] is False, path
    assert "are not sold" in shown(member.get(address))


def test_the_hint_of_a_number_says_that_its_operator_is_not_sold(selling: Organization) -> None:
    member = Visitor.signed_in(selling.member)
    path = "/sell/number?phone_number="
    assert 'state-bad">Irancell (MTN) (not sold)<' in member.get(f"{path}09351234567").body.decode()
    assert 'state-good">Hamrah-e Aval (MCI)<' in member.get(f"{path}09121234567").body.decode()


def test_while_it_trains_every_operator_can_be_chosen(acme: Organization) -> None:
    options = options_on(Visitor.signed_in(acme.member).get("/sell"))
    assert len(options) == 6
    assert all(can_be_chosen and "not sold" not in name for name, can_be_chosen in options.values())


@pytest.mark.parametrize(
    ("language", "listed"), [("en", "Hamrah-e Aval (MCI), Irancell (MTN)"), ("fa", "همراه اول، ایرانسل")]
)
def test_names_stand_between_commas_of_the_readers_language(acme: Organization, language: str, listed: str) -> None:
    User.objects.filter(pk=acme.owner.user.pk).update(language=language)
    page = Visitor.signed_in(acme.owner).get("/settings/training").body.decode()
    assert listed in page
