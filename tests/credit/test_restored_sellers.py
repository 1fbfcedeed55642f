"""Sellers after an organization's schema was put back from an older dump: its users stayed in the public schema."""

import pytest
from django.db import connection

from credit.models import Account, Seller
from shared.models import Membership
from tests.support.client import Client
from tests.support.world import PASSWORD, Organization

LATER = ("omid", "mina", "reza")


@pytest.fixture
def restored(acme: Organization) -> Organization:
    """Acme, whose last three sellers were added after the dump that its schema was restored from."""
    for username in LATER:
        acme.owner.client.post("/sellers", {"name": username.title(), "username": username, "password": PASSWORD})
    with acme.context, connection.cursor() as cursor:
        lost = Seller.objects.filter(name__in=[name.title() for name in LATER])
        Account.objects.filter(seller__in=lost).delete()
        first = min(lost.values_list("pk", flat=True))
        lost.delete()
        cursor.execute("SELECT setval(pg_get_serial_sequence('credit_seller', 'id'), %s, false)", [first])
    return acme


def add(organization: Organization, username: str, password: str = PASSWORD):
    return organization.owner.client.post("/sellers", {"name": "New", "username": username, "password": password})


def test_new_sellers_can_be_added_and_get_no_lost_sellers_id(restored: Organization) -> None:
    lost = set(Membership.objects.filter(username__in=LATER).values_list("seller_id", flat=True))
    ids = []
    for number in range(5):
        answer = add(restored, f"new{number}")
        assert answer.status == 201, answer.json
        ids.append(answer.json["id"])
    assert not lost & set(ids)
    assert ids == sorted(set(ids))


def test_a_lost_seller_comes_back_under_the_former_id_with_the_new_password(restored: Organization) -> None:
    former = Membership.objects.get(username="mina").seller_id
    answer = add(restored, "mina", "another good password")
    assert (answer.status, answer.json["id"], answer.json["username"]) == (201, former, "mina")
    restored_client = restored.anyone
    assert restored_client.post("/auth/token", {"username": "mina", "password": PASSWORD}).status == 401
    signed_in = restored_client.post("/auth/token", {"username": "mina", "password": "another good password"})
    mina = Client(restored_client.address, restored_client.host, signed_in.json["access"])
    assert mina.get("/balance").json["balance"] == 0
    assert mina.get("/me").json["seller_id"] == former


def test_what_a_lost_seller_had_begun_is_over_when_the_seller_comes_back(restored: Organization) -> None:
    pair = restored.anyone.post("/auth/token", {"username": "omid", "password": PASSWORD}).json
    add(restored, "omid", "another good password")
    assert restored.anyone.post("/auth/token/refresh", {"refresh": pair["refresh"]}).status == 401


def test_a_name_that_a_seller_has_who_is_not_lost_is_taken(restored: Organization) -> None:
    assert add(restored, "neighbour").json["code"] == "username_taken"
    assert add(restored, "owner").json["code"] == "username_taken"


def test_a_lost_seller_with_a_password_that_will_not_do_stays_lost(restored: Organization) -> None:
    answer = add(restored, "reza", "short")
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "password")
    with restored.context:
        assert not Seller.objects.filter(name="New").exists()
