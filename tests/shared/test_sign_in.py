"""Signing in: who gets a token where, what it says, and what a wrong name or password is told."""

import time
from typing import Any

import pytest

from credit.models import Seller
from credit.services import update_seller
from shared.identity.new_accounts import check_credentials, create_member
from shared.identity.roles import ROLES
from shared.identity.tokens import AccessToken
from shared.models import Membership, SignIn, User
from tests.support.client import Answer, Client
from tests.support.world import PASSWORD, Organization, World
from tests.tenants.forgery import claims_of


def sign_in(client: Client, username: str, password: str = PASSWORD) -> Answer:
    return client.post("/auth/token", {"username": username, "password": password})


def anonymous(answer: Answer) -> dict[str, Any]:
    """The answer without what differs from request to request."""
    return {name: value for name, value in answer.json.items() if name != "request_id"}


@pytest.mark.parametrize("who", ["owner", "member", "platform admin"])
def test_each_role_gets_a_pair_of_tokens_that_says_who_it_is(who: str, world: World, acme: Organization) -> None:
    person = {"owner": acme.owner, "member": acme.member, "platform admin": world.platform_admin}[who]
    anyone = world.platform if who == "platform admin" else acme.anyone
    answer = sign_in(anyone, person.username)
    assert answer.status == 200
    assert set(answer.json) == {"access", "refresh", "token_type", "expires_in"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 300)

    role = {"owner": "admin", "member": "seller", "platform admin": "platform_admin"}[who]
    slug = None if who == "platform admin" else "acme"
    claims = claims_of(answer.json["access"])
    assert set(claims) == (
        {"iss", "sub", "org", "org_id", "role", "seller_id", "family", "password", "epoch"}
        | {"iat", "exp", "jti", "token_type"}
    )
    assert claims["iss"] == "recharge.test"
    assert claims["sub"] == str(person.user.pk)
    assert (claims["org"], claims["role"], claims["seller_id"]) == (slug, role, person.seller_id)
    assert claims["org_id"] == (person.row.pk if person.row else None)
    assert claims["token_type"] == "access"
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 60

    me = Client(anyone.address, anyone.host, answer.json["access"]).get("/me")
    who = {"username": person.username, "role": role, "organization": slug, "seller_id": person.seller_id}
    assert me.json.items() >= who.items()
    assert me.json["permissions"] == sorted(ROLES[role].permissions)


def test_a_token_of_the_tests_is_what_a_sign_in_gives(acme: Organization) -> None:
    """tests/support/world.py makes tokens without the sign-in; they must not be better ones."""
    given, made = claims_of(sign_in(acme.anyone, "member").json["access"]), claims_of(acme.member.client.token or "")
    for claim in ("iat", "exp", "jti"):
        assert given.pop(claim) != made.pop(claim) or claim != "jti"
    assert given.pop("family")
    assert given == made


def test_two_sign_ins_are_two_sessions(acme: Organization) -> None:
    first, second = sign_in(acme.anyone, "member"), sign_in(acme.anyone, "member")
    assert claims_of(first.json["access"])["jti"] != claims_of(second.json["access"])["jti"]
    assert SignIn.objects.filter(user=acme.member.user, revoked_at=None).count() == 2


def test_one_name_in_two_organizations_is_two_people(acme: Organization, globex: Organization) -> None:
    for organization, password in ((acme, "the one of acme"), (globex, "the one of globex")):
        row = organization.row
        create_member(organization_id=row.pk, slug=row.slug, role="admin", username="sara", password=password)
    for organization, password, status in (
        (acme, "the one of acme", 200),
        (acme, "the one of globex", 401),
        (globex, "the one of globex", 200),
        (globex, "the one of acme", 401),
    ):
        assert sign_in(organization.anyone, "sara", password).status == status


def test_an_unknown_name_and_a_wrong_password_are_told_the_same(world: World, acme: Organization) -> None:
    User.objects.create_user("staff", PASSWORD, is_staff=True)
    answers = [
        sign_in(acme.anyone, "nobody"),
        sign_in(acme.anyone, "member", "wrong"),
        sign_in(acme.anyone, "owner", "wrong"),
        sign_in(acme.anyone, "Member"),
        sign_in(acme.anyone, "root"),
        sign_in(acme.anyone, "acme/member"),
        sign_in(acme.anyone, "globex/member"),
        sign_in(acme.anyone, "member", PASSWORD + " "),
        sign_in(acme.anyone, "member", " " + PASSWORD),
        sign_in(world.platform, "nobody"),
        sign_in(world.platform, "root", "wrong"),
        sign_in(world.platform, "staff"),
        sign_in(world.platform, "acme/owner"),
    ]
    assert {answer.status for answer in answers} == {401}
    assert {answer.code for answer in answers} == {"bad_credentials"}
    assert [anonymous(answer) for answer in answers] == [anonymous(answers[0])] * len(answers)
    assert SignIn.objects.count() == 0


def test_a_name_is_found_in_any_unicode_writing(acme: Organization) -> None:
    row = acme.row
    create_member(organization_id=row.pk, slug=row.slug, role="admin", username="e\u0301lodie", password=PASSWORD)
    assert sign_in(acme.anyone, "\u00e9lodie").status == 200
    assert sign_in(acme.anyone, "e\u0301lodie").status == 200


@pytest.mark.parametrize("password", ["wrong", PASSWORD], ids=["wrong password", "right password"])
def test_who_was_switched_off_is_told_so_only_for_the_right_password(password: str, acme: Organization) -> None:
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, is_active=False)
    Membership.objects.filter(user=acme.owner.user).update(is_active=False)
    User.objects.filter(pk=acme.neighbour.user.pk).update(is_active=False)
    expected = {"member": "seller_inactive", "owner": "permission_denied", "neighbour": "seller_inactive"}
    for username, code in expected.items():
        answer = sign_in(acme.anyone, username, password)
        assert (answer.status, answer.code) == ((403, code) if password == PASSWORD else (401, "bad_credentials"))
    assert SignIn.objects.count() == 0


def test_a_platform_admin_who_was_switched_off_does_not_get_in(world: World) -> None:
    User.objects.filter(username="root").update(is_active=False)
    assert sign_in(world.platform, "root").code == "permission_denied"
    User.objects.filter(username="root").update(is_active=True, is_superuser=False, platform_role="")
    assert sign_in(world.platform, "root").code == "bad_credentials"


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {("username", "required"), ("password", "required")}),
        ({"username": "", "password": ""}, {("username", "blank"), ("password", "blank")}),
        ({"username": None, "password": None}, {("username", "null"), ("password", "null")}),
        ({"username": 1, "password": ["x"]}, {("username", "invalid"), ("password", "invalid")}),
        ({"username": "x" * 151, "password": "y" * 1025}, {("username", "max_length"), ("password", "max_length")}),
        ({"username": "x", "password": "y", "organization": "globex"}, {("organization", "unknown_field")}),
    ],
)
def test_credentials_of_a_wrong_form_are_refused(body: Any, faults: set[Any], acme: Organization) -> None:
    answer = acme.anyone.post("/auth/token", body)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.faults == faults


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"username": "a\\u0000", "password": "b"}']
)
def test_a_body_that_is_no_object_is_refused(body: bytes, acme: Organization) -> None:
    answer = acme.anyone.request("POST", "/auth/token", body=body)
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_too_short"),
        ("password123", "password_too_common"),
        ("x" * 7, "password_too_short"),
        ("", None),
    ],
)
def test_a_weak_password_is_not_taken(password: str, code: str | None, acme: Organization) -> None:
    body = {"name": "Sara", "username": "sara", "password": password}
    answer = acme.owner.client.post("/sellers", body)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert ("password", code or "blank") in answer.faults
    assert not Membership.objects.filter(username="sara").exists()
    with acme.context:
        assert not Seller.objects.filter(name="Sara").exists()


@pytest.mark.parametrize(
    "username", ["a b", "a/b", "acme/sara", "a\nb", "sara!", "", "x" * 151, "\u202esara", "\u2024\u2024/"]
)
def test_a_username_of_other_characters_is_not_taken(username: str, acme: Organization) -> None:
    body = {"name": "Sara", "username": username, "password": PASSWORD}
    answer = acme.owner.client.post("/sellers", body)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert "username" in {field for field, _ in answer.faults}


def test_a_taken_username_is_refused_in_any_writing_and_leaves_no_seller(acme: Organization) -> None:
    for username in ("member", "\uff4dember", "owner"):  # a full-width m is an m (NFKC)
        answer = acme.owner.client.post("/sellers", {"name": "Again", "username": username, "password": PASSWORD})
        assert (answer.status, answer.code) == (409, "username_taken")
    with acme.context:
        assert not Seller.objects.filter(name="Again").exists()


def test_a_username_is_kept_as_it_is_compared() -> None:
    assert check_credentials(username="\uff53ara", password=PASSWORD) == "sara"


def test_an_access_token_lives_five_minutes() -> None:
    assert AccessToken.lifetime.total_seconds() == 300
