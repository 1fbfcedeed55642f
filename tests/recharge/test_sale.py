"""A sale over HTTP: what it answers, what it leaves behind."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.identity.realm import Realm
from shared.identity.tokens import AccessToken, name_realm
from tests.support.waiting import wait_until
from tests.support.world import Organization, Person, give_credit

pytestmark = pytest.mark.usefixtures("way")


def test_it_debits_exactly_the_amount(funded: Organization) -> None:
    answer = funded.member.sell(5000)
    assert answer.status == 201
    assert answer.json["balance_after"] == 995_000
    assert funded.member.balance() == 995_000


def test_a_replay_sells_nothing(funded: Organization) -> None:
    first = funded.member.sell(5000, key="k")
    again = funded.member.sell(5000, key="k")
    assert (first.status, again.status) == (201, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.json == first.json
    assert funded.member.balance() == 995_000


def test_it_is_shown_by_the_sale_as_by_the_list(funded: Organization) -> None:
    """The one is rendered by hand (recharge/selling/rendering.py), the other by the serializer of the document."""
    sold = funded.member.sell(5000)
    assert funded.member.client.get(f"/recharges/{sold.json['id']}").json == sold.json


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/json;q=0.9", "application/*"])
def test_it_is_the_same_whatever_way_it_is_answered(funded: Organization, content_type: str, accept: str) -> None:
    """An ordinary request is answered by recharge/api/fast_path.py, any other by the view of REST framework."""
    headers = {"Content-Type": content_type, "Accept": accept}
    body = b'{"amount": 5000, "phone_number": "09121234567"}'
    sold = funded.member.client.request("POST", "/recharges", body=body, key="k", headers=headers)
    assert sold.status == 201
    again = funded.member.sell(5000, key="k")
    assert (again.status, again.json) == (200, sold.json)
    assert again.headers["Content-Type"] == sold.headers["Content-Type"] == "application/json"


def remember(person: Person) -> None:
    """Sells often enough that every process of the server has verified this token and remembers it."""
    assert {person.sell(1).status for _ in range(30)} == {201}


def test_a_token_that_is_remembered_still_expires(funded: Organization) -> None:
    token = AccessToken()
    token.set_exp(lifetime=timedelta(seconds=4))
    token["sub"] = str(funded.member.user.pk)
    name_realm(token, Realm(funded.row.pk, "acme"))
    token["role"], token["seller_id"] = "seller", funded.member.id
    brief = replace(funded.member, client=replace(funded.member.client, token=str(token)))
    remember(brief)
    wait_until(lambda: brief.sell(1).status != 201, "it expires")
    answers = [brief.sell(1) for _ in range(10)]
    assert {(answer.status, answer.code) for answer in answers} == {(401, "token_expired")}


def test_a_token_that_is_remembered_is_good_for_its_own_host_alone(funded: Organization, globex: Organization) -> None:
    remember(funded.member)
    give_credit(globex.row, globex.member.id, 5000)
    stranger = replace(globex.member, client=replace(globex.member.client, token=funded.member.client.token))
    answers = [stranger.sell(1) for _ in range(10)]
    assert {(answer.status, answer.code) for answer in answers} == {(401, "token_wrong_organization")}
    assert globex.member.balance() == 5000
