"""Members over HTTP: who is added as what, what changes at once, and that the last admin stays."""

import threading
import uuid
from dataclasses import replace

import pytest
from django.db import connection

from credit.models import AuditRecord
from shared.identity.realm import PLATFORM, Realm
from shared.identity.signing_in import sign_in
from shared.models import Membership, Passkey, RecoveryCode, SignIn, Totp, User
from tests.support.client import Answer, Client
from tests.support.factors import enrol
from tests.support.server import Server
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import (
    PASSWORD,
    Organization,
    World,
    access_token,
    give_credit,
    make_member,
    make_person,
    make_platform_user,
)

NEW = {"username": "nima", "password": "an unusual password", "role": "accountant"}


def realm_of(organization: Organization) -> Realm:
    return Realm(organization.row.pk, organization.row.slug)


def signed_in(organization: Organization, username: str, password: str) -> tuple[object, str]:
    """A client with a token of a real sign-in, and its refresh token."""
    pair = sign_in(realm=realm_of(organization), username=username, password=password, address="192.0.2.1")
    return replace(organization.anyone, token=pair.access), pair.refresh


# --- Adding -----------------------------------------------------------------------------------------------------------


def test_members_of_every_role_are_added_and_listed(acme: Organization) -> None:
    post, seller_id = acme.owner.client.post, acme.member.id
    for role in ("admin", "accountant", "support", "auditor", "cashier"):
        body = {**NEW, "username": role, "role": role} | ({"seller_id": seller_id} if role == "cashier" else {})
        answer = post("/members", body)
        assert answer.status == 201, answer
        created_at = answer.json.pop("created_at")
        assert created_at.endswith("Z")
        assert answer.json == {
            "username": role,
            "role": role,
            "seller_id": seller_id if role == "cashier" else None,
            "is_active": True,
            "second_factor": False,
            "last_sign_in": None,
        }
    Totp.objects.create(user=User.objects.get(username="acme/admin"), secret="x")  # not confirmed
    Passkey.objects.create(
        user=User.objects.get(username="acme/auditor"), credential_id=b"1", public_key=b"2", host="h", name="n"
    )
    client, _ = signed_in(acme, "support", NEW["password"])
    assert client.get("/me").json | {"permissions": []} == {  # type: ignore[attr-defined]
        "username": "support",
        "role": "support",
        "organization": "acme",
        "seller_id": None,
        "permissions": [],
        "must_change_password": True,
    }
    listed = {one["username"]: one for one in acme.owner.client.get("/members").json["results"]}
    assert list(listed) == ["cashier", "auditor", "support", "accountant", "admin", "neighbour", "member", "owner"]
    assert {name for name, one in listed.items() if one["second_factor"]} == {"auditor"}
    assert {name for name, one in listed.items() if one["last_sign_in"]} == {"support"}
    assert listed["member"]["role"] == "seller"
    page = acme.owner.client.get("/members?limit=3").json
    assert [one["username"] for one in page["results"]] == ["cashier", "auditor", "support"]
    assert len(acme.owner.client.get(page["next"].partition("/api/v1")[2]).json["results"]) == 3
    with acme.context:
        said = AuditRecord.objects.filter(action="member.created").values_list("object", "actor", "after")
        assert ("cashier", "owner", {"role": "cashier", "seller_id": seller_id, "is_invited": False}) in list(said)
        assert NEW["password"] not in str(list(AuditRecord.objects.values()))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"role": "seller"}, ("role", "invalid_choice")),
        ({"role": "owner"}, ("role", "invalid_choice")),
        ({"role": "platform_admin"}, ("role", "invalid_choice")),
        ({"role": ["admin"]}, ("role", "invalid")),
        ({"role": "adm\x00in"}, ("body", "not_readable")),
        ({"role": "cashier"}, ("seller_id", "seller_missing")),
        ({"role": "cashier", "seller_id": 999_999}, ("seller_id", "no_such_seller")),
        ({"role": "cashier", "seller_id": 2**63}, ("seller_id", "too_large")),
        ({"role": "cashier", "seller_id": "۱"}, ("seller_id", "not_an_integer")),
        ({"seller_id": 1}, ("seller_id", "seller_not_allowed")),
        ({"password": None}, ("password", "null")),
        ({"password": ""}, ("password", "blank")),
        ({"password": "12345678"}, ("password", "password_too_common")),
        ({"password": 12345678}, ("password", "invalid")),
        ({"username": "a/b"}, ("username", "invalid")),
        ({"username": "x" * 151}, ("username", "max_length")),
        ({"email": "nobody"}, ("email", "invalid")),
        ({"is_active": True}, ("is_active", "unknown_field")),
    ],
)
def test_what_makes_no_member(acme: Organization, change: dict[str, object], fault: tuple[str, str]) -> None:
    before = User.objects.count()
    answer = acme.owner.client.post("/members", {**NEW, **change})
    assert answer.status == 400, answer
    assert fault in answer.faults, answer
    assert User.objects.count() == before


def test_a_name_is_one_members(acme: Organization, globex: Organization) -> None:
    assert acme.owner.client.post("/members", {**NEW, "username": "member"}).code == "username_taken"
    assert acme.owner.client.post("/members", NEW).status == 201
    assert acme.owner.client.post("/members", {**NEW, "role": "auditor"}).code == "username_taken"
    assert globex.owner.client.post("/members", NEW).status == 201
    missing = acme.owner.client.post("/members", {"username": "sara", "role": "auditor"})
    assert missing.faults == {("password", "password_or_email")}


# --- Changing ---------------------------------------------------------------------------------------------------------


def test_another_role_is_in_force_at_once(acme: Organization) -> None:
    assert acme.owner.client.post("/members", NEW).status == 201
    client, refresh = signed_in(acme, "nima", NEW["password"])
    assert client.get("/credit-requests").status == 200  # type: ignore[attr-defined]
    answer = acme.owner.client.patch("/members/nima", {"role": "support"})
    assert (answer.status, answer.json["role"]) == (200, "support")
    assert client.get("/credit-requests").status in (401, 403)  # type: ignore[attr-defined]
    assert client.get("/members").status in (401, 403)  # type: ignore[attr-defined]
    assert acme.anyone.post("/auth/token/refresh", {"refresh": refresh}).status == 401
    member = Membership.objects.get(username="nima", organization_id=acme.row.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT epoch FROM org_acme.credit_accessepoch WHERE subject = %s", [str(member.user_id)])
        assert cursor.fetchone() == (member.epoch,) == (1,)
    assert acme.owner.client.patch("/members/nima", {"role": "support"}).status == 200  # the same: nothing is done
    assert Membership.objects.get(pk=member.pk).epoch == 1
    assert acme.owner.client.patch("/members/nima", {}).status == 200
    with acme.context:
        changed = AuditRecord.objects.filter(action="member.role_changed").values_list("object", "before", "after")
        assert list(changed) == [("nima", {"role": "accountant"}, {"role": "support"})]


def test_a_cashier_is_made_of_a_member_and_back(acme: Organization) -> None:
    acme.owner.client.post("/members", NEW)
    patch = acme.owner.client.patch
    assert patch("/members/nima", {"role": "cashier"}).faults == {("seller_id", "seller_missing")}
    assert patch("/members/nima", {"seller_id": acme.member.id}).faults == {("seller_id", "seller_not_allowed")}
    answer = patch("/members/nima", {"role": "cashier", "seller_id": acme.member.id})
    assert (answer.status, answer.json["seller_id"]) == (200, acme.member.id)
    assert patch("/members/nima", {"role": "auditor"}).json["seller_id"] is None


def test_who_is_switched_off_is_out_at_once_and_comes_back_by_signing_in(acme: Organization) -> None:
    acme.owner.client.post("/members", {**NEW, "role": "admin"})
    User.objects.filter(username="acme/nima").update(must_change_password=False)
    client, refresh = signed_in(acme, "nima", NEW["password"])
    browser = Visitor(acme.anyone)
    assert browser.sign_in("nima", NEW["password"]).status == 302
    assert browser.get("/today").status == 200
    assert acme.owner.client.patch("/members/nima", {"is_active": False}).json["is_active"] is False
    assert browser.get("/today").status == 302
    assert client.post("/members", {**NEW, "username": "another"}).status in (401, 403)  # type: ignore[attr-defined]
    assert acme.anyone.post("/auth/token/refresh", {"refresh": refresh}).status in (401, 403)
    assert not SignIn.objects.filter(user__username="acme/nima", revoked_at=None).exists()
    assert acme.anyone.post("/auth/token", {"username": "nima", "password": NEW["password"]}).status == 403
    assert acme.owner.client.patch("/members/nima", {"is_active": True}).json["is_active"] is True
    assert browser.get("/today").status == 302
    assert acme.anyone.post("/auth/token", {"username": "nima", "password": NEW["password"]}).status == 200
    with acme.context:
        acts = AuditRecord.objects.filter(object="nima", action__startswith="member.").order_by("pk")
        assert [one.action for one in acts] == ["member.created", "member.deactivated", "member.activated"]


@pytest.mark.parametrize("change", [{"role": "auditor"}, {"is_active": False}])
def test_the_last_active_admin_stays(acme: Organization, change: dict[str, object]) -> None:
    other = make_person(acme.row, "other")
    Membership.objects.filter(user=other.user).update(is_active=False)
    answer = acme.owner.client.patch("/members/owner", change)
    assert (answer.status, answer.code) == (409, "last_admin")
    User.objects.filter(pk=other.user.pk).update(is_active=False)  # by the platform
    Membership.objects.filter(user=other.user).update(is_active=True)
    assert acme.owner.client.patch("/members/owner", change).code == "last_admin"
    User.objects.filter(pk=other.user.pk).update(is_active=True)
    assert acme.owner.client.patch("/members/owner", change).status == 200


def test_a_sellers_own_member_changes_with_the_seller(acme: Organization) -> None:
    for change in ({"role": "admin"}, {"is_active": False}):
        assert acme.owner.client.patch("/members/member", change).faults == {("username", "is_seller")}
    for name in ("nobody", "MEMBER", "a%00b", "%F0%9F%98%80", "globex%2Fmember", "x" * 300):
        assert acme.owner.client.patch(f"/members/{name}", {"is_active": False}).status == 404, name


def test_of_admins_who_demote_each_other_at_once_one_stays(acme: Organization) -> None:
    for round_ in range(5):
        first = make_person(acme.row, f"first{round_}", acme.anyone.address)
        second = make_person(acme.row, f"second{round_}", acme.anyone.address)
        Membership.objects.filter(organization_id=acme.row.pk, role="admin").exclude(
            user__in=[first.user, second.user]
        ).update(is_active=False)
        start, answers = threading.Barrier(2), []

        def demote(one: object, other: str, start=start, answers=answers) -> None:
            start.wait()
            answers.append(one.client.patch(f"/members/{other}", {"role": "auditor"}))  # type: ignore[attr-defined]

        threads = [
            threading.Thread(target=demote, args=(first, second.username)),
            threading.Thread(target=demote, args=(second, first.username)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        admins = Membership.objects.filter(organization_id=acme.row.pk, role="admin", is_active=True)
        assert admins.count() == 1
        assert sorted(answer.status for answer in answers) in ([200, 401], [200, 403], [200, 409])


# --- Cashiers ---------------------------------------------------------------------------------------------------------


def test_a_cashier_sells_on_the_sellers_account_and_goes_with_the_seller(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    cashier = make_member(acme.row, "till", "cashier", acme.anyone.address, seller_id=acme.member.id)
    sold = cashier.sell()
    assert sold.status == 201, sold
    assert acme.member.client.get("/balance").json["balance"] == 95_000
    assert cashier.client.get("/balance").json["balance"] == 95_000
    assert cashier.client.get(f"/recharges/{sold.json['id']}").status == 200
    refused = [
        cashier.client.post("/credit-requests", {"amount": 5000}, key=uuid.uuid4().hex),
        cashier.client.get("/entries"),
        cashier.client.get("/webhooks"),
        cashier.client.get("/members"),
    ]
    assert [answer.code for answer in refused] == ["permission_denied"] * 4
    browser = Visitor.signed_in(cashier)
    assert browser.get("/sell").status == 200
    seller = f"/sellers/{acme.member.id}"
    assert acme.owner.client.get(seller).json["username"] == "member"
    acme.owner.client.patch(seller, {"is_active": False})
    assert browser.get("/sell").status == 302
    assert cashier.sell().code == "seller_inactive"
    assert acme.anyone.post("/auth/token", {"username": "till", "password": PASSWORD}).code == "seller_inactive"
    acme.owner.client.patch(seller, {"is_active": True})
    assert acme.anyone.post("/auth/token", {"username": "till", "password": PASSWORD}).status == 200
    # Switched off alone, it stays so when the seller is switched on.
    acme.owner.client.patch("/members/till", {"is_active": False})
    acme.owner.client.patch(seller, {"is_active": False})
    acme.owner.client.patch(seller, {"is_active": True})
    assert acme.anyone.post("/auth/token", {"username": "till", "password": PASSWORD}).status == 403


# --- The platform -----------------------------------------------------------------------------------------------------


def test_the_platforms_users_likewise(world: World) -> None:
    client = world.platform_admin.client
    assert client.post("/members", {**NEW, "role": "admin"}).faults == {("role", "invalid_choice")}
    for role in ("platform_admin", "platform_operator", "platform_auditor"):
        answer = client.post("/members", {**NEW, "username": role, "role": role})
        assert (answer.status, answer.json["role"], answer.json["seller_id"]) == (201, role, None)
    assert User.objects.get(username="platform_admin").is_superuser
    assert not User.objects.get(username="platform_operator").is_superuser
    assert client.post("/members", {**NEW, "username": "root", "role": "platform_auditor"}).code == "username_taken"
    listed = [one["username"] for one in client.get("/members").json["results"]]
    assert listed == ["platform_auditor", "platform_operator", "platform_admin", "root"]
    auditor = User.objects.get(username="platform_auditor")
    looks = replace(world.platform, token=access_token(auditor, None, "platform_auditor", None))
    assert looks.get("/members").status == 200
    assert looks.patch("/members/platform_operator", {"is_active": False}).code == "permission_denied"
    assert client.patch("/members/platform_auditor", {"role": "platform_operator"}).status == 200
    assert looks.get("/members").code == "permission_denied"
    assert client.patch("/members/platform_admin", {"role": "platform_auditor"}).status == 200
    assert not User.objects.get(username="platform_admin").is_superuser
    assert client.patch("/members/root", {"is_active": False}).code == "last_admin"
    assert client.patch("/members/acme%2Fowner", {"is_active": False}).status == 404


def test_me_says_what_one_may_do_now(acme: Organization, world: World) -> None:
    me = acme.member.client.get("/me").json
    assert me["permissions"] == sorted(me["permissions"])
    assert "sell" in me["permissions"]
    assert "manage_members" not in me["permissions"]
    Membership.objects.filter(user=acme.owner.user).update(role="auditor")
    me = acme.owner.client.get("/me").json
    assert (me["role"], "manage_members" in me["permissions"]) == ("auditor", False)
    assert world.platform_admin.client.get("/me").json["permissions"] == [
        "manage_members",
        "manage_organizations",
        "use_admin_site",
        "view_audit_log",
        "view_members",
        "view_organizations",
    ]


# --- A lost second factor ---------------------------------------------------------------------------------------------


def test_an_admin_takes_away_a_members_lost_second_factors(acme: Organization, server: Server) -> None:
    credentials = {"username": "member", "password": PASSWORD}
    _, codes = enrol(acme.member.client)
    Passkey.objects.create(user=acme.member.user, credential_id=b"1", public_key=b"2", host="h", name="n")
    pair = acme.anyone.post("/auth/token", {**credentials, "code": codes[0]}).json
    client = replace(acme.anyone, token=pair["access"])
    browser = Visitor(acme.anyone)
    browser.sign_in("member", PASSWORD)
    assert browser.submit("/sign-in/second-step", {"code": codes[1]}).status == 302
    assert browser.get("/sell").status == 200
    assert give_and_sell(acme, client).status == 201

    patch = acme.owner.client.patch
    assert patch("/members/member", {"second_factor": True}).faults == {("second_factor", "not_to_be_given")}
    assert patch("/members/member", {"second_factor": "false"}).faults == {("second_factor", "invalid")}
    assert patch("/members/member", {"second_factor": False, "role": "support"}).faults == {("username", "is_seller")}
    assert acme.neighbour.client.patch("/members/member", {"second_factor": False}).code == "permission_denied"
    assert patch("/members/nobody", {"second_factor": False}).status == 404
    assert browser.get("/sell").status == 200

    User.objects.filter(pk=acme.member.user.pk).update(email="lost@example.com")
    answer = patch("/members/member", {"second_factor": False})
    assert (answer.status, answer.json["second_factor"]) == (200, False)
    wait_until(lambda: "To: lost@example.com" in server.log.read_text(), "the mail")
    assert browser.get("/sell").status == 302
    assert give_and_sell(acme, client).status == 401
    assert acme.anyone.post("/auth/token/refresh", {"refresh": pair["refresh"]}).status == 401
    assert not RecoveryCode.objects.exists()
    assert acme.anyone.post("/auth/token", credentials).status == 200
    # Again there is nothing left to take, and one that was only begun with is none.
    Totp.objects.create(user=acme.member.user, secret="x")
    epoch = Membership.objects.get(user=acme.member.user).epoch
    assert patch("/members/member", {"second_factor": False}).status == 200
    assert Membership.objects.get(user=acme.member.user).epoch == epoch
    assert not Totp.objects.exists()
    with acme.context:
        (act,) = AuditRecord.objects.filter(action="member.second_factor_reset")
        assert (act.object, act.actor) == ("member", "owner")


def give_and_sell(acme: Organization, client: Client) -> Answer:
    give_credit(acme.row, acme.member.id, 10_000)
    return replace(acme.member, client=client).sell()


def test_nobody_takes_away_the_own_second_factors_so(world: World) -> None:
    acme = world.acme
    make_person(acme.row, "other")
    for person in (acme.owner, world.platform_admin):
        enrol(person.client)
        change = {"second_factor": False}
        answer = person.client.patch(f"/members/{person.username}", change)
        assert (answer.status, answer.code) == (403, "own_second_factor")
        assert Totp.objects.filter(user=person.user).exists()


def test_the_platforms_users_lose_theirs_likewise(world: World) -> None:
    other = make_platform_user("other", "platform_operator", world.platform.address)
    token = sign_in(realm=PLATFORM, username="other", password=PASSWORD, address="192.0.2.1")
    client = replace(world.platform, token=token.access)
    enrol(client)
    assert client.get("/organizations").status == 200
    patch = world.platform_admin.client.patch
    assert patch(f"/members/{other.username}", {"second_factor": False}).json["second_factor"] is False
    assert client.get("/organizations").status == 401
    assert not RecoveryCode.objects.exists()
    acts = [one["action"] for one in world.platform_admin.client.get("/audit").json["results"]]
    assert acts.count("member.second_factor_reset") == 1
