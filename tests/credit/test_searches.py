"""A name is found as people type it: digits of all three kinds, letters that look alike, with and without joiners."""

import pytest

from tests.support.visitor import Visitor, shown
from tests.support.world import Organization, World


@pytest.fixture
def admin(acme: Organization) -> Visitor:
    for name, username in (("کیوسک ۷", "omid"), ("كيوسك\u200cهای ۸", "mina۸")):
        body = {"name": name, "username": username, "password": "tall blue tree"}
        assert acme.owner.client.post("/sellers", body).status == 201
    return Visitor.signed_in(acme.owner)


@pytest.mark.parametrize("written", ["کیوسک ۷", "کیوسک 7", "کیوسک ٧", "كيوسك 7", "سک ۷", "\u202bکیوسک ۷\u202c\u200b"])
@pytest.mark.parametrize(
    "path", ["/sellers?search=", "/recharges?seller=", "/ledger?seller=", "/credit-requests?seller="]
)
def test_a_seller_is_found_however_the_name_is_typed(admin: Visitor, path: str, written: str) -> None:
    page = shown(admin.get(path + written.replace(" ", "+")))
    assert "no such seller" not in page
    if path.startswith("/sellers"):
        assert "کیوسک ۷" in page
        assert "۸" not in page


@pytest.mark.parametrize("written", ["کیوسکهای", "كيوسك\u200cهاي 8", "mina8", "MINA٨", "ﮐﯿﻮﺳﮏ"])
def test_joiners_and_letters_do_not_matter_and_usernames_are_found_so_too(admin: Visitor, written: str) -> None:
    assert "۸" in shown(admin.get("/sellers?search=" + written.replace(" ", "+")))


def test_a_number_alone_is_an_id_first(admin: Visitor, acme: Organization) -> None:
    assert "no such seller" not in shown(admin.get(f"/recharges?seller=۰{acme.member.id}"))


def test_an_organization_is_found_so_too(world: World) -> None:
    body = {"slug": "new-one", "name": "شرکت ۷", "admin": {"username": "boss", "password": "tall blue tree"}}
    assert world.platform_admin.client.post("/organizations", body).status == 201
    boss = Visitor.signed_in(world.platform_admin)
    assert "شرکت ۷" in shown(boss.get("/organizations?search=شركت+7"))
