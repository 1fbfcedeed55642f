"""Whoever is refused a page is told why, in words: as whom, what is missing, who may give it; nothing of others."""

import uuid

from shared.console.reasons import PERMISSIONS
from shared.identity.permissions import Permission
from shared.identity.roles import ROLES
from tests.support.client import Client
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor, shown
from tests.support.world import World, give_credit, make_member


def test_every_permission_has_its_words() -> None:
    assert set(PERMISSIONS) == set(Permission)
    assert all(str(words) for words in PERMISSIONS.values())
    assert {one for role in ROLES.values() for one in role.permissions} <= set(PERMISSIONS)


def test_who_lacks_a_permission_reads_which_and_who_has_it(world: World) -> None:
    answer = Visitor.signed_in(world.acme.member).get("/members")
    page = shown(answer).replace("\u2068", "").replace("\u2069", "")
    assert answer.status == 404
    assert "Your role does not include this page." in page
    assert "You are signed in as member (Seller)." in page
    assert "It needs the permission to see members." in page
    assert "Roles with this permission: Admin, Auditor." in page
    support = Visitor.signed_in(make_member(world.acme.row, "helper", "support", world.acme.anyone.address))
    assert "make adjustments" in shown(support.get("/adjustments/new"))
    auditor = shown(Visitor.signed_in(world.platform_admin).get("/sell"))
    assert "This page is one of an organization's." in auditor


def test_programs_are_told_nothing_of_it(world: World) -> None:
    visitor = Visitor.signed_in(world.acme.member)
    answer = visitor.get("/members", Accept="application/json")
    assert answer.json["detail"] == "There is nothing at this address."
    assert "member" not in str(answer.json)


def test_what_is_anothers_and_what_is_not_there_read_the_same(world: World) -> None:
    give_credit(world.acme.row, world.acme.neighbour.id, 10_000)
    anothers = sell_pending(world.acme.row, world.acme.neighbour.id)
    visitor = Visitor.signed_in(world.acme.member)
    texts = {
        shown(visitor.get(f"/recharges/{one}", X_Request_ID="same")) for one in (anothers, uuid.uuid4(), uuid.uuid4())
    }
    assert len(texts) == 1
    (text,) = texts
    assert "Page not found, or no access." in text
    assert "You are signed in as" in text


def test_it_is_said_whose_page_it_is(world: World) -> None:
    owner = Visitor.signed_in(world.acme.owner)
    page = shown(owner.get("/organizations"))
    assert "This page is one of the platform's" in page
    assert "recharge.test" in page
    stranger = Visitor(Client(world.platform.address, "nowhere.recharge.test"))
    answer = stranger.get("/sell")
    assert answer.status == 404
    assert 'href="//recharge.test/"' in answer.body.decode()


def test_a_form_of_another_site_is_said_to_be_one(world: World) -> None:
    visitor = Visitor.signed_in(world.acme.owner)
    headers = {"Origin": "https://elsewhere.example", "Accept": "text/html", "Cookie": ""}
    sent = visitor.client.request("POST", "/sign-in", body=b"", headers=visitor._headers(headers), is_page=True)
    assert sent.status == 403
    assert "another site" in shown(sent)
