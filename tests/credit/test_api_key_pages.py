"""API keys, as pages: making one, its secret once, rotating and ending it."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from shared.models import ApiKey, User
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.logs import ServerLog
from tests.support.queries import queries_of
from tests.support.visitor import MARKUP, Visitor, shown, text_of
from tests.support.waiting import wait_until
from tests.support.world import Organization

FIELDS: dict[str, Any] = {"name": "Till", "scopes": ["sell", "read"], "allowed_addresses": "", "last_day": ""}
SECRET = re.compile(r"rk_live_[\w-]{43}")


def make(visitor: Visitor, **change: Any) -> Answer:
    return visitor.submit("/api-keys/new", FIELDS | change)


def signs_in(acme: Organization, key: ApiKey, secret: str) -> int:
    body = {"grant_type": "client_credentials", "client_id": str(key.pk), "client_secret": secret}
    return acme.anyone.post("/auth/token", body).status


def test_a_seller_makes_one_and_sees_its_secret_once(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    made = make(visitor, allowed_addresses="127.0.0.1\n 203.0.113.0/24, 2001:db8::/32", last_day="2100-01-01")
    assert made.status == 302
    key = ApiKey.objects.get()
    assert (key.seller_id, key.scopes, key.created_by) == (acme.member.id, ["sell", "read"], "member")
    assert key.allowed_addresses == ["127.0.0.1/32", "203.0.113.0/24", "2001:db8::/32"]
    assert key.expires_at
    assert key.expires_at.isoformat() == "2100-01-01T20:30:00+00:00"  # the day is over in Tehran
    page = visitor.get(made.headers["Location"])
    (secret,) = SECRET.findall(text_of(page))
    assert signs_in(acme, key, secret) == 200
    assert "http://acme.recharge.test/api/v1/auth/token" in text_of(page)
    assert f'"client_id": "{key.pk}"' in text_of(page)
    assert SECRET.findall(text_of(visitor.get(made.headers["Location"]))) == []
    assert secret[-4:] in shown(visitor.get("/api-keys"))


def test_an_admin_makes_the_organizations_and_a_sellers(acme: Organization, globex: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    assert make(visitor, scopes=["read"], seller="").status == 302
    assert make(visitor, seller=str(acme.member.id), name="Theirs").status == 302
    assert list(ApiKey.objects.order_by("id").values_list("seller_id", flat=True)) == [None, acme.member.id]
    listed = shown(visitor.get("/api-keys"))
    assert "The organization" in listed
    assert "Theirs" in listed
    for stranger in (globex.owner, acme.neighbour):
        assert "Theirs" not in shown(Visitor.signed_in(stranger).get("/api-keys"))
        assert Visitor.signed_in(stranger).get(f"/api-keys/{ApiKey.objects.latest('id').pk}").status == 404


@pytest.mark.parametrize(
    ("change", "told"),
    table(
        ("no name", {"name": ""}, "Fill this in."),
        ("no scope", {"scopes": []}, "Fill this in."),
        ("the organization's that sells", {"seller": ""}, "An organization's key can only read."),
        ("nobody's", {"seller": "nobody"}, "There is no such seller."),
        ("no address", {"seller": "member", "allowed_addresses": "here"}, "One of these is not an IP address"),
        ("yesterday", {"seller": "member", "last_day": "2020-01-01"}, "This day is past."),
        ("no day", {"seller": "member", "last_day": "soon"}, "Write a day like"),
    ),
)
def test_what_is_wrong_is_said_at_its_field(change: dict[str, Any], told: str, acme: Organization) -> None:
    answer = make(Visitor.signed_in(acme.owner), **change)
    assert answer.status == 422
    assert told in shown(answer)
    assert not ApiKey.objects.exists()


def test_a_new_secret_beside_the_old_one_or_in_place_of_it(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    path = make(visitor).headers["Location"]
    key = ApiKey.objects.get()
    secrets = SECRET.findall(text_of(visitor.get(path)))
    for end_old in ({}, {"end_old": "on"}):
        rotated = visitor.submit(path, end_old, to=f"{path}/rotate")
        page = visitor.get(rotated.headers["Location"])
        secrets += SECRET.findall(text_of(page))
        assert ("is valid until" in shown(page)) == (not end_old)
        assert [signs_in(acme, key, secret) for secret in secrets] == ([401, 401, 200] if end_old else [200, 200])


def test_an_ended_one_is_shown_as_ended_and_has_no_button(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    path = make(visitor).headers["Location"]
    assert visitor.submit(path, {}, to=f"{path}/end").headers["Location"] == "/api-keys"
    assert "Revoked" in shown(visitor.get("/api-keys"))
    page = text_of(visitor.get(path))
    assert f"{path}/rotate" not in page
    assert "curl" not in page
    ApiKey.objects.update(ended_at=timezone.now() - timedelta(days=31))
    assert visitor.get(path).status == 404


def test_markup_in_a_name_is_text(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    path = make(visitor, name=MARKUP).headers["Location"]
    for page in (visitor.get(path), visitor.get("/api-keys")):
        assert MARKUP not in text_of(page)
        assert "&lt;script&gt;" in text_of(page)


def test_the_list_costs_as_many_queries_whatever_is_on_it(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    make(visitor, seller="member")
    few = len(queries_of(acme.owner, "/api-keys"))
    for _ in range(3):
        make(visitor, seller="neighbour")
    assert len(queries_of(acme.owner, "/api-keys")) == few


def test_who_makes_a_key_and_whose_it_is_get_a_mail_without_the_secret(acme: Organization, log: Path) -> None:
    for person in (acme.owner, acme.member, acme.neighbour):
        User.objects.filter(pk=person.user.pk).update(email=f"{person.username}@example.com")
    server_log = ServerLog(log)

    def receivers() -> list[str]:
        return sorted(re.findall(r"^To: (\S+)@example.com", server_log.text(), re.MULTILINE))

    made = acme.owner.client.post("/api-keys", {"name": "Till", "scopes": ["sell"], "seller_id": acme.member.id})
    wait_until(lambda: receivers() == ["member", "owner"], "both mails")
    make(Visitor.signed_in(acme.member))
    wait_until(lambda: receivers() == ["member", "member", "owner"], "one more, to the seller alone")
    acme.owner.client.post("/api-keys", {"name": "Figures", "scopes": ["read"]})
    wait_until(lambda: receivers() == ["member", "member", "owner", "owner"], "one more, to the admin alone")
    assert "A new API key was made at acme.recharge.test" in server_log.text()
    assert made.json["secret"] not in server_log.text()


def test_who_rotates_a_key_and_whose_it_is_get_a_mail_too(acme: Organization, log: Path) -> None:
    """Another who has the new secret sells, while the old one goes on and nobody notices."""
    for person in (acme.owner, acme.member, acme.neighbour):
        User.objects.filter(pk=person.user.pk).update(email=f"{person.username}@example.com")
    key = acme.member.client.post("/api-keys", {"name": "Till", "scopes": ["sell"]}).json["id"]
    server_log = ServerLog(log)

    def told() -> list[tuple[str, str]]:
        """To whom, and who has made the secret, of each mail that is there whole."""
        letter = (
            r"^To: (\S+)@example\.com(?:(?!^To: ).)*?A new secret of an API key was made at acme\.recharge\.test"
            r"(?:(?!^To: ).)*?^Created by: (\S+)$"
        )
        return sorted(re.findall(letter, server_log.text().replace("\r", ""), re.MULTILINE | re.DOTALL))

    secret = acme.owner.client.post(f"/api-keys/{key}/rotate").json["secret"]
    both = [("member", "owner"), ("owner", "owner")]
    wait_until(lambda: told() == both, "both mails")
    Visitor.signed_in(acme.member).submit(f"/api-keys/{key}/rotate", {})
    wait_until(lambda: told() == [("member", "member"), *both], "one more, to the seller alone")
    assert secret not in server_log.text()
