"""``GET /me``: who a token speaks for."""

from tests.support.world import World


def test_each_role_is_told_who_it_is(world: World) -> None:
    acme = world.acme
    assert world.platform_admin.client.get("/me").json == {
        "username": "root",
        "role": "platform_admin",
        "organization": None,
        "seller_id": None,
    }
    assert acme.owner.client.get("/me").json == {
        "username": "owner",
        "role": "admin",
        "organization": "acme",
        "seller_id": None,
    }
    assert acme.neighbour.client.get("/me").json == {
        "username": "neighbour",
        "role": "seller",
        "organization": "acme",
        "seller_id": acme.neighbour.id,
    }
    assert world.globex.member.client.get("/me").json["organization"] == "globex"
    assert acme.anyone.get("/me").code == "not_authenticated"


def test_an_account_that_is_gone_may_not_ask(world: World) -> None:
    user = world.acme.member.user
    user.memberships.all().delete()
    answer = world.acme.member.client.get("/me")
    assert (answer.status, answer.code) == (403, "permission_denied")
