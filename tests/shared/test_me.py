"""``GET /me``: who a token speaks for."""

from typing import Any

from tests.support.client import Answer
from tests.support.world import World


def told(answer: Answer) -> dict[str, Any]:
    """Without what one may do: tests/shared/test_members.py."""
    assert "permissions" in answer.json
    return {name: value for name, value in answer.json.items() if name != "permissions"}


def test_each_role_is_told_who_it_is(world: World) -> None:
    acme = world.acme
    assert told(world.platform_admin.client.get("/me")) == {
        "username": "root",
        "role": "platform_admin",
        "organization": None,
        "seller_id": None,
        "must_change_password": False,
    }
    assert told(acme.owner.client.get("/me")) == {
        "username": "owner",
        "role": "admin",
        "organization": "acme",
        "seller_id": None,
        "must_change_password": False,
    }
    assert told(acme.neighbour.client.get("/me")) == {
        "username": "neighbour",
        "role": "seller",
        "organization": "acme",
        "seller_id": acme.neighbour.id,
        "must_change_password": False,
    }
    assert world.globex.member.client.get("/me").json["organization"] == "globex"
    assert acme.anyone.get("/me").code == "not_authenticated"


def test_an_account_that_is_gone_may_not_ask(world: World) -> None:
    user = world.acme.member.user
    user.memberships.all().delete()
    answer = world.acme.member.client.get("/me")
    assert (answer.status, answer.code) == (403, "permission_denied")
