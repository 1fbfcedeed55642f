"""Nothing of one organization is reachable from another, nothing of one seller from another, and nothing without the
right token: every endpoint, asked by everyone who must not have it."""

import uuid
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.http import HttpRequest
from django.test import RequestFactory
from django_tenants.utils import schema_context

from credit.adjustments import change_policy
from credit.models import CreditRequest, Entry, Seller, WebhookMessage
from credit.services import create_api_key, create_credit_request, update_seller
from credit.transfers import transfer_credit
from credit.webhooks.services import create_webhook
from recharge.claims.services import open_claim
from recharge.models import GatewaySettings, Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from recharge.statements.services import make_statement
from shared.identity.epochs import OF_COMMAND
from shared.identity.realm import PLATFORM as PLATFORM_REALM
from shared.identity.realm import Realm
from shared.identity.session_store import SessionStore
from shared.identity.sessions import RealmAuthenticationMiddleware
from shared.identity.signing_in import sign_in
from shared.models import Membership, User
from tenants.models import Organization as OrganizationRow
from tenants.services import provision_organization
from tests.support.client import Answer, Client
from tests.support.knowing import wait_until_every_process_knows
from tests.support.tables import contents
from tests.support.visitor import sign_in_of
from tests.support.world import (
    PASSWORD,
    Organization,
    World,
    access_token,
    ask_for_adjustment,
    give_credit,
    give_slip,
    make_member,
    make_organization,
    make_person,
    make_platform_user,
    place,
    raise_low_balance,
)
from tests.tenants import endpoints
from tests.tenants.endpoints import ADMIN, BOTH, OWNER, SELLER, Endpoint
from tests.tenants.forgery import FORGERIES

UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def ids(acme: Organization) -> dict[str, Any]:
    """What acme and its member have: 1,000,000 Tomans, a recharge, a pending credit request, a webhook that is told of
    the recharge, and a gateway; by the URL maps' names."""
    return stock(acme)


def stock(organization: Organization) -> dict[str, Any]:
    """Gives an organization's member credit, a webhook, a recharge, a pending credit request, and a child who has got a
    transfer and asks for more; and it a gateway."""
    give_credit(organization.row, organization.member.id, 1_000_000)
    arguments: dict[str, Any] = {"organization": organization.row, "seller_id": organization.member.id}
    child = make_person(organization.row, "child", is_seller=True)
    place(organization.row, child.id, organization.member.id)
    to_child = {"organization": organization.row, "giver_id": organization.member.id, "receiver_id": child.id}
    make_member(organization.row, "clerk", "accountant")
    with organization.context:
        webhook, _ = create_webhook(
            organization=organization.row,
            seller_id=organization.member.id,
            url="https://hooks.example.com/recharges",
            events=["recharge.succeeded"],
        )
        key, _ = create_api_key(
            organization=organization.row,
            seller_id=organization.member.id,
            name="Till",
            scopes=["sell", "read"],
            created_by="member",
        )
        sold = sell_recharge(**arguments, item=Item("+989121234567", "mci", 5000, "sale"))
        asked = create_credit_request(**arguments, idempotency_key="request", amount=7000, note="")
        statement = make_statement(
            organization=organization.row,
            seller_id=organization.member.id,
            first_day=date(2026, 1, 2),
            last_day=date(2026, 1, 3),
            made_by="member",
            made_by_id=organization.member.user.pk,
        )
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        message = WebhookMessage.objects.get(endpoint=webhook)
        given = transfer_credit(**to_child, idempotency_key="transfer", amount=3000)
        change_policy(requests_go_to_parent=True)
        asked_of_member = create_credit_request(
            organization=organization.row, seller_id=child.id, idempotency_key="request", amount=2000, note=""
        )
        change_policy(requests_go_to_parent=False)
        alert = raise_low_balance(organization.member.id)
        claim = open_claim(**arguments, recharge_id=uuid.UUID(sold.row.id), message="", by="member", access=OF_COMMAND)
    give_slip(organization.row, organization.member.id, asked.row.pk)
    return {
        "seller_id": organization.member.id,
        "recharge_id": uuid.UUID(sold.row.id),
        "request_id": asked.row.pk,
        "adjustment_id": ask_for_adjustment(organization.row, organization.member.id),
        "statement_id": statement.row.pk,
        "transfer_id": given.row.row.pk,
        "child_id": child.id,
        "asked_id": asked_of_member.row.pk,
        "claim_id": claim.row.pk,
        "webhook_id": webhook.pk,
        "key_id": key.pk,
        "delivery_id": message.pk,
        "alert_id": alert,
        "slug": organization.row.slug,
        "username": "clerk",
        "operator": "mci",
        "name": gateway.name,
        "session_id": sign_in_of(organization.member).public_id,
    }


def refusal(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def refresh_token(realm: Realm, username: str) -> str:
    with nullcontext() if realm.slug is None else schema_context(f"org_{realm.slug.replace('-', '_')}"):
        return sign_in(realm=realm, username=username, password=PASSWORD, address="192.0.2.1").refresh


def realm_of(organization: Organization) -> Realm:
    return Realm(organization.row.pk, organization.row.slug)


# --- Every endpoint ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["organization", "platform"])
def test_every_endpoint_has_a_row(kind: str) -> None:
    rows = [str(endpoint) for endpoint in getattr(endpoints, kind.upper())]
    assert len(rows) == len(set(rows))
    assert set(rows) == endpoints.published(f"saas.urls_{kind}")


def rightful(endpoint: Endpoint, organization: Organization) -> list[Client]:
    """Those who may call this endpoint of an organization."""
    allowed = {
        ADMIN: [organization.owner.client],
        SELLER: [organization.member.client],
        BOTH: [organization.owner.client, organization.member.client],
        OWNER: [organization.member.client],
    }
    return allowed[endpoint.who]


@pytest.mark.parametrize("endpoint", endpoints.closed(endpoints.ORGANIZATION), ids=str)
def test_an_organization_answers_its_own_people_and_nobody_else(
    endpoint: Endpoint, world: World, acme: Organization, globex: Organization, ids: dict[str, Any]
) -> None:
    good = rightful(endpoint, acme)
    anyone = acme.anyone
    refused: dict[str, tuple[Client, tuple[int, str]]] = {
        "nobody": (anyone, (401, "not_authenticated")),
        "a name and a password": (
            replace(anyone, headers={"Authorization": "Basic b3duZXI6cGFzc3dvcmQ="}),
            (401, "not_authenticated"),
        ),
        "a session cookie": (replace(anyone, headers=platform_session(world)), (401, "not_authenticated")),
    }
    strangers = {
        "the other organization's owner": globex.owner,
        "the other organization's member": globex.member,
        "the platform admin": world.platform_admin,
    }
    for name, person in strangers.items():
        refused[name] = (replace(anyone, token=person.client.token), (401, "token_wrong_organization"))
    for name, (forge, code) in FORGERIES.items():
        refused[f"a token {name}"] = (replace(anyone, token=forge(good[-1].token or "")), (401, code))
    if endpoint.who == ADMIN:
        refused["a seller"] = (acme.member.client, (403, "permission_denied"))
    if endpoint.who == SELLER:
        refused["an admin"] = (acme.owner.client, (403, "permission_denied"))
    before = contents()
    answers = {name: refusal(endpoint.ask(client, ids)) for name, (client, _) in refused.items()}
    assert answers == {name: expected for name, (_, expected) in refused.items()}
    assert contents() == before

    for client in good:
        assert endpoint.ask(client, ids).status in endpoint.accepted


@pytest.mark.parametrize("endpoint", endpoints.closed(endpoints.ORGANIZATION), ids=str)
def test_who_was_switched_off_is_refused_at_once_with_a_live_token(
    endpoint: Endpoint, acme: Organization, ids: dict[str, Any]
) -> None:
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, is_active=False)
    Membership.objects.filter(user=acme.owner.user).update(is_active=False)
    switched_off = contents()
    of_member, of_owner = (refusal(endpoint.ask(person.client, ids)) for person in (acme.member, acme.owner))
    assert of_member == (403, "permission_denied" if endpoint.who == ADMIN else "seller_inactive")
    assert of_owner == (403, "permission_denied")
    assert contents() == switched_off

    Membership.objects.filter(user=acme.owner.user).update(is_active=True)
    User.objects.filter(pk=acme.owner.user.pk).update(is_active=False)
    assert refusal(endpoint.ask(acme.owner.client, ids)) == (403, "permission_denied")

    User.objects.filter(pk=acme.owner.user.pk).update(is_active=True)
    if endpoint.who in (ADMIN, BOTH):
        assert endpoint.ask(acme.owner.client, ids).status in endpoint.accepted


def test_an_admin_made_a_seller_is_no_admin_from_that_moment(acme: Organization, ids: dict[str, Any]) -> None:
    Membership.objects.filter(user=acme.owner.user).update(role="seller", seller_id=1000)
    for endpoint in endpoints.ORGANIZATION:
        if endpoint.who == ADMIN:
            assert refusal(endpoint.ask(acme.owner.client, ids)) == (403, "permission_denied"), endpoint


@pytest.mark.parametrize("endpoint", endpoints.closed(endpoints.PLATFORM), ids=str)
def test_the_platform_answers_its_admins_and_nobody_else(
    endpoint: Endpoint, world: World, acme: Organization, ids: dict[str, Any]
) -> None:
    admin, anyone = world.platform_admin, world.platform
    staff, former = (
        User.objects.create(username="staff", is_staff=True),
        User.objects.create(
            username="former", is_staff=True, is_superuser=True, platform_role="platform_admin", is_active=False
        ),
    )
    refused: dict[str, tuple[Client, tuple[int, str]]] = {
        "nobody": (anyone, (401, "not_authenticated")),
        "a session cookie": (replace(anyone, headers=platform_session(world)), (401, "not_authenticated")),
        "an organization's owner": (replace(anyone, token=acme.owner.client.token), (401, "token_wrong_organization")),
        "an organization's member": (
            replace(anyone, token=acme.member.client.token),
            (401, "token_wrong_organization"),
        ),
        "staff that is no platform admin": (
            replace(anyone, token=access_token(staff, None, "platform_admin", None)),
            (403, "permission_denied"),
        ),
        "a platform admin who was switched off": (
            replace(anyone, token=access_token(former, None, "platform_admin", None)),
            (403, "permission_denied"),
        ),
        "the platform with an organization's role": (
            replace(anyone, token=access_token(acme.owner.user, None, "admin", None)),
            (403, "permission_denied"),
        ),
    }
    for name, (forge, code) in FORGERIES.items():
        # Which is what the platform's own tokens are.
        if name not in ("of no organization", "of this slug and the platform's id"):
            refused[f"a token {name}"] = (replace(anyone, token=forge(admin.client.token or "")), (401, code))
    before = contents()
    answers = {name: refusal(endpoint.ask(client, ids)) for name, (client, _) in refused.items()}
    assert answers == {name: expected for name, (_, expected) in refused.items()}
    assert contents() == before

    make_platform_user("clerk", "platform_operator")
    named = {
        "slug": provisioned_slug() if "status" in str(endpoint) else "acme",
        "username": "clerk",
        "session_id": sign_in_of(admin).public_id,
    }
    if "suspend" not in endpoint.route:  # acme goes on: the running server would remember it as suspended
        assert endpoint.ask(admin.client, named).status in endpoint.accepted


def provisioned_slug() -> str:
    """An organization of this test's own, whose name the running server has never heard."""
    slug = f"third-{uuid.uuid4().hex[:12]}"
    provision_organization(slug=slug, name="Third", admin_username="first", admin_password=PASSWORD)
    return slug


@pytest.mark.parametrize("endpoint", endpoints.ORGANIZATION[:3], ids=str)
def test_a_token_in_the_header_changes_nothing_where_none_is_needed(endpoint: Endpoint, acme: Organization) -> None:
    for token in (None, acme.owner.client.token, "nonsense"):
        assert refusal(endpoint.ask(replace(acme.anyone, token=token), {})) == (400, "invalid_request")


# --- Refresh tokens ---------------------------------------------------------------------------------------------------


def test_a_refresh_token_is_good_on_its_own_host_only(world: World, acme: Organization, globex: Organization) -> None:
    ours = refresh_token(realm_of(acme), "member")
    strange = {
        "another organization's": refresh_token(realm_of(globex), "member"),
        "the platform's": refresh_token(PLATFORM_REALM, "root"),
    }
    before = contents()
    for name, token in strange.items():
        for call in ("refresh", "revoke"):
            answer = acme.anyone.post(f"/auth/token/{call}", {"refresh": token})
            assert refusal(answer) == (401, "token_wrong_organization"), name
    assert refusal(world.platform.post("/auth/token/refresh", {"refresh": ours})) == (401, "token_wrong_organization")
    assert contents() == before
    assert acme.anyone.post("/auth/token/refresh", {"refresh": ours}).status == 200


def test_an_access_token_refreshes_nothing(acme: Organization) -> None:
    for call in ("refresh", "revoke"):
        answer = acme.anyone.post(f"/auth/token/{call}", {"refresh": acme.member.client.token})
        assert refusal(answer) == (401, "token_invalid")


def test_a_password_is_good_in_its_own_organization_only(
    world: World, acme: Organization, globex: Organization
) -> None:
    globex.member.user.set_password("the password of the other")
    globex.member.user.save()
    theirs = {"username": "member", "password": "the password of the other"}
    assert refusal(acme.anyone.post("/auth/token", theirs)) == (401, "bad_credentials")
    assert globex.anyone.post("/auth/token", theirs).status == 200
    for username in ("root", "globex/member", "acme/member"):
        answer = acme.anyone.post("/auth/token", {"username": username, "password": PASSWORD})
        assert refusal(answer) == (401, "bad_credentials"), username
    for username in ("member", "owner", "acme/owner"):
        answer = world.platform.post("/auth/token", {"username": username, "password": PASSWORD})
        assert refusal(answer) == (401, "bad_credentials"), username


# --- Ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["recharges", "credit-requests"])
def test_the_row_of_another_is_not_there(
    route: str, acme: Organization, globex: Organization, ids: dict[str, Any]
) -> None:
    place = "recharge_id" if route == "recharges" else "request_id"
    theirs = stock(globex)
    assert globex.member.id == acme.member.id  # the very same seller's id
    same = {"X-Request-ID": "the-same"}
    nothing = acme.neighbour.client.get(f"/{route}/{UNKNOWN_ID}", headers=same)
    assert refusal(nothing) == (404, "not_found")
    for person, row in (
        (acme.neighbour, ids[place]),
        (acme.neighbour, theirs[place]),
        (acme.member, theirs[place]),
        (acme.owner, theirs[place]),
    ):
        answer = person.client.get(f"/{route}/{row}", headers=same)
        assert (answer.status, answer.body) == (404, nothing.body)
        assert sorted(answer.headers) == sorted(nothing.headers)
    assert acme.member.client.get(f"/{route}/{ids[place]}").status == 200
    assert acme.owner.client.get(f"/{route}/{ids[place]}").status == 200


def test_an_admin_decides_nothing_of_another_organization(
    acme: Organization, globex: Organization, ids: dict[str, Any]
) -> None:
    theirs, same = stock(globex), {"X-Request-ID": "the-same"}
    before = contents()
    for decision, body in (("approve", None), ("reject", {"reason": "No."})):
        nothing = acme.owner.client.post(f"/credit-requests/{UNKNOWN_ID}/{decision}", body, headers=same)
        answer = acme.owner.client.post(f"/credit-requests/{theirs['request_id']}/{decision}", body, headers=same)
        assert refusal(answer) == (404, "not_found")
        assert answer.body == nothing.body
    assert contents() == before


def test_an_admin_settles_nothing_of_another_organization(
    acme: Organization, globex: Organization, ids: dict[str, Any]
) -> None:
    theirs, same = stock(globex), {"X-Request-ID": "the-same"}
    body = {"status": "failed", "reason": "No."}
    before = contents()
    nothing = acme.owner.client.post(f"/recharges/{UNKNOWN_ID}/resolve", body, headers=same)
    answer = acme.owner.client.post(f"/recharges/{theirs['recharge_id']}/resolve", body, headers=same)
    assert refusal(answer) == (404, "not_found")
    assert answer.body == nothing.body
    assert contents() == before


def test_a_sellers_id_of_the_other_organization_is_no_seller_here(acme: Organization, globex: Organization) -> None:
    with globex.context:
        beyond = Seller.objects.create(pk=777, name="Only there").pk
    try:
        assert refusal(acme.owner.client.get(f"/sellers/{beyond}")) == (404, "not_found")
        assert refusal(acme.owner.client.get(f"/sellers/{beyond}/balance")) == (404, "not_found")
        assert refusal(acme.owner.client.patch(f"/sellers/{beyond}", {"name": "Ours"})) == (404, "not_found")
        assert acme.owner.client.get(f"/entries?seller_id={beyond}").json["results"] == []
    finally:
        with globex.context:
            Seller.objects.filter(pk=beyond).delete()


@pytest.mark.parametrize("route", ["recharges", "credit-requests", "entries"])
def test_a_list_holds_only_what_is_the_askers(
    route: str, acme: Organization, globex: Organization, ids: dict[str, Any]
) -> None:
    stock(globex)
    assert globex.member.sell().status == 201
    ours = acme.member.client.get(f"/{route}").json["results"]
    assert ours
    assert acme.owner.client.get(f"/{route}?seller_id={acme.member.id}").json["results"] == ours
    assert acme.neighbour.client.get(f"/{route}").json["results"] == []
    for seller_id in (acme.member.id, acme.neighbour.id, 0, "x"):
        answer = acme.neighbour.client.get(f"/{route}?seller_id={seller_id}")
        assert refusal(answer) == (400, "invalid_request")
    # A page of the other organization, asked for here.
    page = globex.owner.client.get(f"/{route}?limit=1").json["next"]
    cursor = parse_qs(urlsplit(page).query)["cursor"][0]
    assert acme.neighbour.client.get(f"/{route}?cursor={cursor}").json["results"] == []
    here = acme.member.client.get(f"/{route}?cursor={cursor}").json["results"]
    assert [row for row in here if row not in ours] == []


@pytest.mark.parametrize("route", ["recharges", "entries"])
def test_an_export_holds_only_what_is_the_askers(
    route: str, acme: Organization, globex: Organization, ids: dict[str, Any]
) -> None:
    stock(globex)
    lines = {
        person.username: acme_lines
        for person in (acme.owner, acme.member, acme.neighbour)
        for acme_lines in [person.client.get(f"/{route}.csv").body.decode().splitlines()]
    }
    assert len(lines["neighbour"]) == 1  # the names of the columns
    assert len(lines["member"]) > 1
    assert set(lines["owner"]) >= set(lines["member"])
    theirs = globex.member.client.get(f"/{route}.csv").body.decode().splitlines()
    assert not set(theirs[1:]) & set(lines["owner"])


# --- Idempotency keys -------------------------------------------------------------------------------------------------


def test_one_idempotency_key_is_another_in_the_hands_of_another(acme: Organization, globex: Organization) -> None:
    people = [acme.member, acme.neighbour, globex.member, globex.neighbour]
    for person in people:
        assert person.row
        give_credit(person.row, person.id, 100_000)
    for amount, person in enumerate(people, start=1000):  # with other content each: not a reuse
        sold = person.sell(amount, key="the same")
        assert (sold.status, sold.headers.get("Idempotent-Replayed")) == (201, None)
        asked = person.client.post("/credit-requests", {"amount": amount}, key="the same")
        assert (asked.status, asked.headers.get("Idempotent-Replayed")) == (201, None)
    assert [person.balance() for person in people] == [99_000, 98_999, 98_998, 98_997]
    for person in people:
        found = person.client.get("/recharges?idempotency_key=the%20same").json["results"]
        assert [recharge["seller_id"] for recharge in found] == [person.id]


# --- Suspension -------------------------------------------------------------------------------------------------------


@pytest.fixture
def third(world: World) -> Organization:
    """A third organization, with its people, of this test's own."""
    return make_organization(provisioned_slug(), world.platform.address)


def test_a_suspended_organization_answers_nobody_anything(world: World, third: Organization) -> None:
    ids = stock(third)
    refresh = refresh_token(realm_of(third), "member")
    platform = world.platform_admin.client
    fresh = {"Connection": "close"}  # so that any of the server's processes may get it

    def all_processes_say(status: int) -> bool:
        return all(third.member.client.get("/balance", headers=fresh).status == status for _ in range(16))

    assert all_processes_say(200)
    assert platform.post(f"/organizations/{third.row.slug}/suspend").json["status"] == "suspended"
    wait_until_every_process_knows()
    assert all_processes_say(403)

    before = contents()
    for endpoint in endpoints.ORGANIZATION:
        for client in (third.anyone, third.owner.client, third.member.client):
            assert refusal(endpoint.ask(client, ids)) == (403, "organization_suspended"), endpoint
    credentials = {"username": "owner", "password": PASSWORD}
    for path, body in (
        ("/auth/token", credentials),
        ("/auth/token", credentials | {"password": "wrong"}),
        ("/auth/token/refresh", {"refresh": refresh}),
        ("/auth/token/revoke", {"refresh": refresh}),
    ):
        assert refusal(third.anyone.post(path, body)) == (403, "organization_suspended")
    for path in ("/no-such-path", "/api/nothing", "/admin/"):
        assert refusal(third.owner.client.get(path)) == (403, "organization_suspended")
    assert contents() == before
    assert third.anyone.get("/livez").status == 200

    # Its admins can't undo it; the platform can, and all is as it was.
    assert platform.post(f"/organizations/{third.row.slug}/activate").json["status"] == "active"
    wait_until_every_process_knows()
    assert all_processes_say(200)
    assert third.anyone.post("/auth/token/refresh", {"refresh": refresh}).status == 200
    assert third.member.sell().status == 201


# --- Session cookies --------------------------------------------------------------------------------------------------


def session_of(user: User, realm: str | None) -> dict[str, str]:
    """The headers of a browser that signed in as ``user`` in this realm (``""``: the platform; None: not said)."""
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "shared.identity.sessions.RealmBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    if realm is not None:
        session["realm"] = realm
        session["organization"] = OrganizationRow.objects.get(slug=realm).pk if realm else None
    session.create()
    return {"Cookie": f"sessionid={session.session_key}"}


def platform_session(world: World) -> dict[str, str]:
    return session_of(world.platform_admin.user, "")


def test_a_session_of_an_organization_is_nobody_on_the_platform(world: World) -> None:
    root = world.platform_admin.user
    assert world.platform.get("/admin/", headers=session_of(root, "")).status == 200
    for realm in ("acme", "globex", None):
        answer = world.platform.get("/admin/", headers=session_of(root, realm))
        assert (answer.status, answer.headers["Location"]) == (302, "/admin/login/?next=/admin/"), realm


def test_a_session_of_the_platform_is_nobody_in_an_organization(world: World, acme: Organization) -> None:
    headers = platform_session(world)
    assert refusal(acme.anyone.get("/me", headers=headers)) == (401, "not_authenticated")
    assert refusal(acme.anyone.get("/admin/", headers=headers)) == (404, "not_found")


@pytest.mark.parametrize("made_in", ["acme", "globex", "", None])
@pytest.mark.parametrize("replayed_in", ["acme", "globex", ""])
def test_a_session_is_somebody_only_where_it_was_made(made_in: str | None, replayed_in: str, world: World) -> None:
    realms = {"acme": realm_of(world.acme), "globex": realm_of(world.globex), "": PLATFORM_REALM}
    people = {"acme": world.acme.owner, "globex": world.globex.owner, "": world.platform_admin}
    for realm, person in people.items():
        request: HttpRequest = RequestFactory().get("/")
        request.realm = realms[replayed_in]  # type: ignore[attr-defined]
        key = session_of(person.user, made_in)["Cookie"].removeprefix("sessionid=")
        request.session = SessionStore(key)  # type: ignore[assignment]
        RealmAuthenticationMiddleware(lambda _: None).process_request(request)  # type: ignore[arg-type,return-value]
        # A session that says another realm than its user is of is nobody's, too.
        assert request.user.is_authenticated == (made_in == replayed_in == realm), realm
        if request.user.is_authenticated:
            assert request.user == person.user


# --- The connection ---------------------------------------------------------------------------------------------------


def test_nothing_is_left_on_public_by_an_organizations_requests(acme: Organization, ids: dict[str, Any]) -> None:
    acme.member.sell()
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = {name for (name,) in cursor.fetchall()}
    tenant_tables = {model._meta.db_table for model in (Seller, Entry, CreditRequest, Recharge)}
    assert not names & tenant_tables
