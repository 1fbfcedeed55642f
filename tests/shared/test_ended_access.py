"""Access that was ended: what an admin changes with a token looks at the sign-in it came from, in the query that it
makes anyway; and nothing of an organization is good for another one that got its slug."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.test import RequestFactory
from django.utils import timezone
from django_tenants.utils import tenant_context
from rest_framework.request import Request

from shared.identity.realm import PLATFORM, Realm
from shared.identity.sellers_members import set_membership_active
from shared.identity.session_store import SessionStore
from shared.identity.signing_in import TokenPair, sign_in
from shared.identity.tokens import remembered_principal
from shared.models import Membership, SignIn, User
from shared.rest.authentication import RealmJWTAuthentication
from tenants.working_role import as_owner
from tests.support.client import Answer, Client
from tests.support.visitor import Visitor, session_of
from tests.support.world import PASSWORD, Organization, Person, World, ask, give_credit
from tests.tenants.forgery import claims_of, signed

NEW = "tall green lamp"
SALE = {"phone_number": "09121234567", "amount": 5000}


def signed_in(person: Person) -> tuple[TokenPair, Client]:
    """The tokens of a sign-in, and a client that has the access token."""
    realm = Realm(person.row.pk, person.row.slug) if person.row else PLATFORM
    with tenant_context(person.row) if person.row else nullcontext():
        pair = sign_in(realm=realm, username=person.username, password=PASSWORD, address="192.0.2.1")
    return pair, replace(person.client, token=pair.access)


def change_password(person: Person, pair: TokenPair) -> None:
    """As the person does it on the page."""
    fields = {"old": PASSWORD, "new": NEW, "again": NEW}
    assert Visitor.signed_in(person).submit("/account/password", fields).status == 302


def set_the_password_beside_the_pages(person: Person, pair: TokenPair) -> None:
    user = User.objects.get(pk=person.user.pk)
    user.set_password(NEW)
    user.save()


def revoke(person: Person, pair: TokenPair) -> None:
    assert person.client.post("/auth/token/revoke", {"refresh": pair.refresh}).status == 204


def use_a_refresh_token_once_too_often(person: Person, pair: TokenPair) -> None:
    for _ in range(2):  # the second answer is for one that was lost
        assert person.client.post("/auth/token/refresh", {"refresh": pair.refresh}).status == 200
    assert person.client.post("/auth/token/refresh", {"refresh": pair.refresh}).code == "token_invalid"


ENDINGS: dict[str, Callable[[Person, TokenPair], None]] = {
    "a changed password": change_password,
    "a password that was set elsewhere": set_the_password_beside_the_pages,
    "a revocation": revoke,
    "a refresh token that was used once too often": use_a_refresh_token_once_too_often,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_ended_access_changes_nothing_in_an_organization(ending: str, acme: Organization) -> None:
    request = ask(acme.member)
    pair, client = signed_in(acme.owner)
    assert client.get("/sellers").status == 200
    ENDINGS[ending](acme.owner, pair)
    new = {"name": "Sara", "username": "sara", "password": NEW}
    for answer in (
        client.post(f"/credit-requests/{request}/approve"),
        client.post(f"/credit-requests/{request}/reject", {"reason": "no"}),
        client.post("/sellers", new),
        client.patch(f"/sellers/{acme.member.id}", {"is_active": False}),
        client.patch("/settings", {"duplicate_window_seconds": 0}),
        client.post("/gateways", {"name": "mine", "kind": "simulator"}),
        client.post("/webhooks", {"url": "https://hooks.example.com/x", "events": ["recharge.succeeded"]}),
    ):
        assert (answer.status, answer.code) == (401, "token_invalid"), answer
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert acme.member.balance() == 0
    assert acme.member.client.get(f"/credit-requests/{request}").json["status"] == "pending"


@pytest.mark.parametrize("ending", ENDINGS)
def test_ended_access_changes_nothing_on_the_platform(ending: str, world: World) -> None:
    pair, client = signed_in(world.platform_admin)
    assert client.get("/organizations").status == 200
    ENDINGS[ending](world.platform_admin, pair)
    answer = client.post("/organizations/acme/suspend")
    assert (answer.status, answer.code) == (401, "token_invalid")
    assert world.acme.member.client.get("/balance").status == 200


def test_a_password_that_is_set_at_the_shell_ends_sales_at_once_and_must_be_changed(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 20_000)
    pair, client = signed_in(acme.member)
    assert client.post("/recharges", SALE, key="before").status == 201
    with as_owner(), patch("getpass.getpass", return_value=NEW):  # commands go past a pooler
        call_command("changepassword", "acme/member", stdout=StringIO())
    for key in ("before", "after"):
        answer = client.post("/recharges", SALE, key=key)
        assert (answer.status, answer.code) == (401, "token_invalid")
    assert acme.anyone.post("/auth/token/refresh", {"refresh": pair.refresh}).status == 401
    assert acme.member.balance() == 15_000
    assert User.objects.get(pk=acme.member.user.pk).must_change_password
    (row,) = acme.owner.client.get("/audit?action=member.password_set").json["results"]
    assert (row["actor"], row["object"]) == ("", "member")


def test_ending_one_sign_in_ends_no_other(acme: Organization) -> None:
    pair, client = signed_in(acme.owner)
    _other_pair, other = signed_in(acme.owner)
    revoke(acme.owner, pair)
    assert client.get("/sellers").code == "token_invalid"
    assert other.get("/sellers").status == 200


def test_access_goes_on_through_a_chain_of_refreshes(acme: Organization) -> None:
    pair, client = signed_in(acme.owner)
    renewed = acme.anyone.post("/auth/token/refresh", {"refresh": pair.refresh}).json
    assert client.get("/sellers").status == 200  # until it expires
    assert replace(client, token=renewed["access"]).get("/sellers").status == 200


def test_the_sign_in_of_somebody_else_opens_nothing(acme: Organization, globex: Organization) -> None:
    pair, _client = signed_in(acme.owner)
    for other in (acme.member, globex.owner):
        signed_in(other)
    for family in SignIn.objects.exclude(user=acme.owner.user).values_list("pk", flat=True):
        client = replace(acme.anyone, token=signed(claims_of(pair.access) | {"family": family}))
        assert client.get("/sellers").code == "token_invalid"


# --- A slug that is given again ---------------------------------------------------------------------------------------


def refused_as_anothers(answer: Answer) -> bool:
    return (answer.status, answer.code) == (401, "token_wrong_organization")


@pytest.mark.parametrize("change", [{"org_id": 2**40}, {"org_id": None}, {"org_id": "1"}, {}], ids=str)
def test_a_token_of_an_organization_that_had_the_slug_before_is_no_token(
    change: dict[str, object], acme: Organization
) -> None:
    pair, _client = signed_in(acme.owner)
    access, refresh = claims_of(pair.access), claims_of(pair.refresh)
    for claims in (access, refresh):
        del claims["org_id"]
        claims.update(change)
    client = replace(acme.anyone, token=signed(access))
    for answer in (client.get("/sellers"), client.get("/me"), client.post("/recharges", {}, key="k")):
        assert refused_as_anothers(answer)
    for door in ("refresh", "revoke"):
        assert refused_as_anothers(acme.anyone.post(f"/auth/token/{door}", {"refresh": signed(refresh)}))
    assert acme.anyone.post("/auth/token/refresh", {"refresh": pair.refresh}).status == 200


def test_a_remembered_token_is_remembered_for_its_organization_and_not_for_its_slug(acme: Organization) -> None:
    authorization = f"Bearer {acme.member.client.token}"
    request = RequestFactory().get("/", headers={"Authorization": authorization})
    realm = request.realm = Realm(acme.row.pk, "acme")  # type: ignore[attr-defined]
    assert RealmJWTAuthentication().authenticate(Request(request))
    assert remembered_principal(authorization, realm)
    assert remembered_principal(authorization, Realm(acme.row.pk + 1, "acme")) is None


def test_a_session_of_an_organization_that_had_the_slug_before_is_nobodys(acme: Organization) -> None:
    key = session_of(acme.owner)
    visitor = Visitor(acme.anyone)
    visitor.cookies["sessionid"] = key
    assert visitor.get("/sellers").status == 200
    for organization_id in (acme.row.pk + 1_000, None):
        session = SessionStore(key)
        session["organization"] = organization_id
        session.save()
        visitor.cookies["sessionid"] = key
        assert visitor.get("/sellers").status == 302


def test_a_session_that_began_at_the_same_moment_as_a_withdrawal_needs_no_clocks_that_agree(acme: Organization) -> None:
    """Withdrawn by a machine whose clock is ahead, and given back: who signs in now is in."""
    for is_active in (False, True):
        with acme.context:
            set_membership_active(organization_id=acme.row.pk, seller_id=acme.member.id, is_active=is_active)
    Membership.objects.filter(user=acme.member.user).update(withdrawn_at=timezone.now() + timedelta(seconds=30))
    visitor = Visitor(acme.anyone)
    assert visitor.sign_in("member").status == 302
    assert visitor.get("/account/preferences").status == 200
