"""What nobody sees, or no document may hold, is in no name, note or reason: not by the API, not by a page."""

import uuid

import pytest

from credit.models import Seller
from tests.support.visitor import Visitor
from tests.support.world import PASSWORD, Organization, World, ask, give_credit

UNFIT = ["a\u0007b", "a\u200bb", "\u202eabc", "a\ufeffb", "a\ufffeb", "a\x7fb", "a\u2028b", "a\u2065b", "a\U000e0080b"]


@pytest.mark.parametrize("name", [*UNFIT, "a\nb"])
def test_names_over_the_api(world: World, name: str) -> None:
    acme, owner = world.acme, world.acme.owner.client
    seller = {"name": name, "username": "omid", "password": PASSWORD}
    answers = [
        owner.post("/sellers", seller),
        owner.patch(f"/sellers/{acme.member.id}", {"name": name}),
        world.platform_admin.client.post(
            "/organizations", {"slug": "new", "name": name, "admin": {"username": "x", "password": PASSWORD}}
        ),
    ]
    for answer in answers:
        assert answer.status == 400, answer.json
        assert answer.json["errors"][0] | {"detail": ""} == {"field": "name", "code": "unfit_character", "detail": ""}


@pytest.mark.parametrize("username", ["neda\u3164", "neda\uffa0", "\u115fneda", "ne\u2800da", "ne\u200cda"])
def test_usernames(world: World, username: str) -> None:
    answers = [
        world.acme.owner.client.post("/sellers", {"name": "Neda", "username": username, "password": PASSWORD}),
        world.platform_admin.client.post(
            "/organizations", {"slug": "new", "name": "New", "admin": {"username": username, "password": PASSWORD}}
        ),
    ]
    for answer in answers:
        assert answer.status == 400, answer.json
        assert answer.json["errors"][0]["field"].endswith("username")


@pytest.mark.parametrize("text", UNFIT)
def test_notes_and_reasons_over_the_api(acme: Organization, text: str) -> None:
    seller, owner = acme.member.client, acme.owner.client
    asked = ask(acme.member)
    sold = owner.post(f"/credit-requests/{asked}/reject", {"reason": text})
    assert (sold.status, sold.json["errors"][0]["code"]) == (400, "unfit_character")
    noted = seller.post("/credit-requests", {"amount": 5000, "note": text}, key=uuid.uuid4().hex)
    assert (noted.status, noted.json["errors"][0]["code"]) == (400, "unfit_character")


def test_a_note_may_have_lines(acme: Organization) -> None:
    body = {"amount": 5000, "note": "paid\nin cash"}
    assert acme.member.client.post("/credit-requests", body, key=uuid.uuid4().hex).json["note"] == "paid\nin cash"


@pytest.mark.parametrize("name", UNFIT)
def test_names_and_notes_on_pages(acme: Organization, name: str) -> None:
    admin, seller = Visitor.signed_in(acme.owner), Visitor.signed_in(acme.member)
    fields = {"name": name, "username": "omid", "password": PASSWORD}
    assert admin.submit("/sellers/new", fields).status == 422
    assert admin.submit(f"/sellers/{acme.member.id}/rename", {"name": name}).status == 422
    assert seller.submit("/credit-requests/new", {"amount": "5000", "note": name}).status == 422


def test_a_name_of_before_breaks_no_report(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    with acme.context:
        Seller.objects.filter(pk=acme.member.id).update(name="a\u0007b\ufffe")
    acme.owner.client.get("/sellers")
    assert acme.owner.client.get("/sellers").status == 200
    assert acme.member.sell().status == 201
    report = Visitor.signed_in(acme.owner).get("/reports")
    assert report.status == 200
    assert "a\u0007b\ufffe" in report.body.decode()
