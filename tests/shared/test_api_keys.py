"""API keys: who may have which, what a program may do with one, and when it is over."""

import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.utils import timezone

from credit.models import AuditRecord
from credit.services import update_seller
from recharge.models import Recharge
from shared.errors import InvalidRequest
from shared.identity import keys
from shared.identity.lockout import ATTEMPTS_OVER_ALL_NAMES
from shared.models import ApiKey, SignInAttempts
from tests.support.bad_input import NO_UUIDS, SOME_BODIES, SOME_CONTENT_TYPES, Refusal, invalid, table
from tests.support.client import Answer, Client
from tests.support.crowd import together
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor, shown
from tests.support.world import PASSWORD, Organization, Person, World, give_credit

BODY: dict[str, Any] = {"name": "Till", "scopes": ["sell", "read", "credit"]}
READS: dict[str, Any] = {"name": "Figures", "scopes": ["read"]}
BAD_CREDENTIALS, KEY_REFUSED = Refusal(401, "bad_credentials"), Refusal(401, "key_refused")
DENIED, NOT_FOUND, OVER = Refusal(403, "permission_denied"), Refusal(404, "not_found"), Refusal(401, "token_invalid")


def make(person: Person, **change: Any) -> dict[str, Any]:
    answer = person.client.post("/api-keys", (READS if person.seller_id is None else BODY) | change)
    assert answer.status == 201, answer.json
    made: dict[str, Any] = answer.json
    return made


def ask_for_token(key: dict[str, Any], client: Client, **change: Any) -> Answer:
    body = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["secret"]}
    return replace(client, token=None).post("/auth/token", body | change)


def program(key: dict[str, Any], organization: Organization) -> Client:
    answer = ask_for_token(key, organization.anyone)
    assert answer.status == 200, answer.json
    return replace(organization.anyone, token=answer.json["access"])


def sell(client: Client, key: str = "sale") -> Answer:
    return client.post("/recharges", {"phone_number": "09121234567", "amount": 5000}, key=key)


def without_secret(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "secret"}


def acts(organization: Organization, action: str) -> list[AuditRecord]:
    with organization.context:
        return list(AuditRecord.objects.filter(action=action).order_by("id"))


# --- Making one -------------------------------------------------------------------------------------------------------


def test_a_seller_makes_one_and_its_secret_is_told_once(acme: Organization) -> None:
    made = make(
        acme.member,
        scopes=["credit", "sell", "sell"],
        allowed_addresses=["203.0.113.7", "2001:db8::/32", "203.0.113.7/32", "::ffff:198.51.100.1"],
        expires_at="2100-01-01T03:30:00+03:30",
    )
    secret = made["secret"]
    assert secret.startswith("rk_live_")
    assert len(secret) == len("rk_live_") + 43
    assert made == {
        "id": made["id"],
        "secret": secret,
        "name": "Till",
        "seller_id": acme.member.id,
        "scopes": ["sell", "credit"],
        "allowed_addresses": ["203.0.113.7/32", "2001:db8::/32", "198.51.100.1/32"],
        "hint": secret[-4:],
        "is_active": True,
        "created_by": "member",
        "created_at": made["created_at"],
        "expires_at": "2100-01-01T00:00:00Z",
        "old_secret_until": None,
        "last_used_at": None,
        "last_used_from": None,
        "ended_at": None,
    }
    assert UUID(made["id"]).version == 7
    assert acme.member.client.get("/api-keys").json["results"] == [without_secret(made)]
    assert acme.member.client.get(f"/api-keys/{made['id']}").json == without_secret(made)
    kept = ApiKey.objects.values().get()
    assert not any(secret[8:] in str(value) for value in kept.values())
    (act,) = acts(acme, "api_key.created")
    assert (act.actor, act.object) == ("member", made["id"])
    assert secret[-43:] not in str(act.after)


def test_an_admin_makes_a_sellers_and_the_organizations(acme: Organization, globex: Organization) -> None:
    assert make(acme.owner)["seller_id"] is None
    assert make(acme.owner, seller_id=acme.member.id, scopes=["sell"])["seller_id"] == acme.member.id
    for scopes in (["sell"], ["read", "sell"], ["credit"]):
        invalid(("scopes", "organization_reads")).check(acme.owner.client.post("/api-keys", BODY | {"scopes": scopes}))
    missing = BODY | {"seller_id": 10**15}
    invalid(("seller_id", "no_such_seller")).check(acme.owner.client.post("/api-keys", missing))


def test_a_seller_makes_none_for_another(acme: Organization) -> None:
    for seller_id in (acme.neighbour.id, 10**15):  # which of them there are is not told
        answer = acme.member.client.post("/api-keys", BODY | {"seller_id": seller_id})
        invalid(("seller_id", "not_yours")).check(answer)
    assert make(acme.member, seller_id=acme.member.id)["seller_id"] == acme.member.id
    assert make(acme.member, seller_id=None)["seller_id"] == acme.member.id


@pytest.mark.parametrize(
    ("change", "fault"),
    table(
        ("no name", {"name": " "}, ("name", "blank")),
        ("a name of 101", {"name": "x" * 101}, ("name", "max_length")),
        ("a name that nobody sees", {"name": "\u200e"}, ("name", "unfit_character")),
        ("no scope", {"scopes": []}, ("scopes", "empty")),
        ("an unknown scope", {"scopes": ["manage_members"]}, ("scopes.0", "invalid_choice")),
        ("a scope that is no list", {"scopes": "sell"}, ("scopes", "not_a_list")),
        ("a thousand scopes", {"scopes": ["sell"] * 1000}, ("scopes", "max_length")),
        ("a seller of text", {"seller_id": "1"}, ("seller_id", "not_an_integer")),
        ("seller 0", {"seller_id": 0}, ("seller_id", "too_small")),
        ("a huge seller", {"seller_id": 2**63}, ("seller_id", "too_large")),
        ("no address", {"allowed_addresses": ["nowhere"]}, ("allowed_addresses", "invalid_address")),
        ("host bits", {"allowed_addresses": ["203.0.113.7/24"]}, ("allowed_addresses", "invalid_address")),
        ("33 bits", {"allowed_addresses": ["203.0.113.0/33"]}, ("allowed_addresses", "invalid_address")),
        ("an octal address", {"allowed_addresses": ["010.0.0.1"]}, ("allowed_addresses", "invalid_address")),
        ("Persian digits", {"allowed_addresses": ["۱۰.0.0.1"]}, ("allowed_addresses", "invalid_address")),
        ("a zone", {"allowed_addresses": ["fe80::1%eth0"]}, ("allowed_addresses", "invalid_address")),
        ("an address of no text", {"allowed_addresses": [1]}, ("allowed_addresses.0", "invalid")),
        ("51 addresses", {"allowed_addresses": ["10.0.0.1"] * 51}, ("allowed_addresses", "max_length")),
        ("a day", {"expires_at": "2100-01-01"}, ("expires_at", "invalid")),
        ("a number", {"expires_at": 4102444800}, ("expires_at", "invalid")),
        ("the past", {"expires_at": "2020-01-01T00:00:00Z"}, ("expires_at", "not_in_future")),
        ("before all time", {"expires_at": "0001-01-01T00:00:00+14:00"}, ("expires_at", "invalid")),
        ("an unknown field", {"surprise": 1}, ("surprise", "unknown_field")),
    ),
)
def test_what_no_key_is_made_of(change: dict[str, Any], fault: tuple[str, str], acme: Organization) -> None:
    with nothing_written():
        invalid(fault).check(acme.member.client.post("/api-keys", BODY | change))


@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
def test_bodies_that_are_none(body: bytes, refusal: Refusal, acme: Organization) -> None:
    refusal.check(acme.member.client.request("POST", "/api-keys", body=body))
    refusal.check(acme.anyone.request("POST", "/auth/token", body=body))


@pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
def test_bodies_of_other_types(content_type: str, acme: Organization) -> None:
    answer = acme.member.client.post("/api-keys", BODY, headers={"Content-Type": content_type})
    Refusal(415, "unsupported_media_type").check(answer)


@pytest.mark.parametrize("key_id", NO_UUIDS)
def test_ids_that_are_none(key_id: str, acme: Organization) -> None:
    NOT_FOUND.check(acme.member.client.get(f"/api-keys/{key_id}"))


def test_a_seller_has_20_at_most_and_the_organization_100(acme: Organization) -> None:
    made = [make(acme.member) for _ in range(20)]
    full = Refusal(409, "too_many_api_keys")
    full.check(acme.member.client.post("/api-keys", BODY))
    assert acme.member.client.request("DELETE", f"/api-keys/{made[0]['id']}").status == 204
    ApiKey.objects.filter(pk=made[1]["id"]).update(expires_at=timezone.now())
    bodies = [partial(acme.member.client.post, "/api-keys", BODY) for _ in range(6)]
    assert Counter(answer.status for answer in together(bodies)) == {201: 2, 409: 4}
    for _ in range(79):
        with acme.context:
            keys.create_key(organization_id=acme.row.pk, seller_id=None, name="x", scopes=["read"], created_by="owner")
    make(acme.owner)
    full.check(acme.owner.client.post("/api-keys", READS))
    full.check(acme.neighbour.client.post("/api-keys", BODY))


# --- Whose ------------------------------------------------------------------------------------------------------------


def test_anothers_is_not_there(acme: Organization, globex: Organization) -> None:
    of_member, of_organization = make(acme.member), make(acme.owner)
    assert [one["id"] for one in acme.owner.client.get("/api-keys").json["results"]] == [
        of_organization["id"],
        of_member["id"],
    ]
    narrowed = acme.owner.client.get(f"/api-keys?seller_id={acme.member.id}").json["results"]
    assert narrowed == [without_secret(of_member)]
    strangers = [(of_member, acme.neighbour), (of_organization, acme.member)]
    strangers += [(key, person) for key in (of_member, of_organization) for person in (globex.owner, globex.member)]
    with nothing_written():
        for key, stranger in strangers:
            path = f"/api-keys/{key['id']}"
            assert key["id"] not in {one["id"] for one in stranger.client.get("/api-keys").json["results"]}
            for answer in (
                stranger.client.get(path),
                stranger.client.post(f"{path}/rotate"),
                stranger.client.request("DELETE", path),
            ):
                NOT_FOUND.check(answer)
        for organization in (globex.anyone, replace(acme.anyone, host="recharge.test")):
            BAD_CREDENTIALS.check(ask_for_token(of_member, organization))


# --- What a program may do --------------------------------------------------------------------------------------------


def test_a_program_sells_with_a_key(acme: Organization, way: None) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    key = make(acme.member, scopes=["sell", "read"])
    answer = ask_for_token(key, acme.anyone)
    access = answer.json["access"]
    assert answer.json == {"access": access, "token_type": "Bearer", "expires_in": 300, "scope": "sell read"}
    claims = jwt.decode(access, options={"verify_signature": False})
    assert {name: claims[name] for name in ("sub", "role", "seller_id", "org", "org_id", "scope", "epoch")} == {
        "sub": f"key:{key['id']}",
        "role": "seller",
        "seller_id": acme.member.id,
        "org": "acme",
        "org_id": acme.row.pk,
        "scope": "sell read",
        "epoch": 0,
    }
    client = replace(acme.anyone, token=access)
    sold = sell(client)
    assert sold.status == 201
    assert client.get("/balance").json["balance"] == 95_000
    assert client.get(f"/recharges/{sold.json['id']}").json["status"] in ("pending", "succeeded")
    me = client.get("/me").json
    assert (me["username"], me["role"], me["seller_id"]) == ("Till", "seller", acme.member.id)
    assert "sell" in me["permissions"]
    assert "manage_api_keys" not in me["permissions"]
    (act,) = acts(acme, "api_key.signed_in")
    assert (act.actor, str(act.key_id), act.user_id) == ("Till", key["id"], None)
    used = acme.member.client.get(f"/api-keys/{key['id']}").json
    assert used["last_used_from"] == "127.0.0.1"
    assert used["last_used_at"]


REACHES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "sell": ("POST", "/recharges", {"phone_number": "09121234567", "amount": 5000}),
    "ask": ("POST", "/recharges/validate", {"phone_number": "09121234567", "amount": 5000}),
    "bulk": (
        "POST",
        "/recharges/bulk",
        {"items": [{"idempotency_key": "b", "phone_number": "09121234568", "amount": 5000}]},
    ),
    "operators": ("GET", "/operators", None),
    "balance": ("GET", "/balance", None),
    "recharges": ("GET", "/recharges", None),
    "entries": ("GET", "/entries", None),
    "csv": ("GET", "/recharges.csv", None),
    "webhooks": ("GET", "/webhooks", None),
    "credit requests": ("GET", "/credit-requests", None),
    "ask for credit": ("POST", "/credit-requests", {"amount": 5000}),
    "sellers": ("GET", "/sellers", None),
    "keys": ("GET", "/api-keys", None),
    "make a key": ("POST", "/api-keys", BODY),
    "add a webhook": ("POST", "/webhooks", {"url": "https://h.example.com/", "events": ["recharge.failed"]}),
    "settings": ("GET", "/settings", None),
    "change settings": ("PATCH", "/settings", {"duplicate_window": 60}),
    "add a seller": ("POST", "/sellers", {"name": "Sara", "username": "sara", "password": "an unusual password"}),
    "gateways": ("GET", "/gateways", None),
}
SELLS = {"sell", "ask", "bulk", "operators"}
LOOKS = {"operators", "balance", "recharges", "entries", "csv", "webhooks", "credit requests"}


@pytest.mark.parametrize(
    ("scopes", "may"),
    table(
        ("sell", ["sell"], SELLS),
        ("read", ["read"], LOOKS),
        ("credit", ["credit"], {"credit requests", "ask for credit"}),
        ("all", ["sell", "read", "credit"], SELLS | LOOKS | {"ask for credit"}),
        ("the organization's", None, LOOKS - {"balance"} | {"sellers"}),
    ),
)
def test_a_key_reaches_what_its_scopes_name(
    scopes: list[str] | None, may: set[str], acme: Organization, way: None
) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    client = program(make(acme.member, scopes=scopes) if scopes else make(acme.owner), acme)
    refused = {}
    for name, (method, path, body) in REACHES.items():
        key = "k" if (method, path) in (("POST", "/recharges"), ("POST", "/credit-requests")) else None
        answer = client.request(method, path, json=body, key=key)
        if not 200 <= answer.status < 300:
            refused[name] = answer
    assert set(refused) == set(REACHES) - may
    for answer in refused.values():
        DENIED.check(answer)


def test_a_role_that_may_not_is_not_helped_by_a_scope(acme: Organization) -> None:
    key = make(acme.owner)
    DENIED.check(sell(program(key, acme)))


# --- Which secrets are good -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    table(
        ("another secret", {"client_secret": "rk_live_" + "x" * 43}),
        ("an empty end", {"client_secret": "rk_live_"}),
        ("an unknown id", {"client_id": "0199b7e2-0000-7000-8000-000000000000"}),
        ("no id", {"client_id": "nonsense"}),
        ("a seller's name", {"client_id": "member", "client_secret": PASSWORD}),
    ),
)
def test_a_wrong_id_or_secret(change: dict[str, str], acme: Organization) -> None:
    BAD_CREDENTIALS.check(ask_for_token(make(acme.member), acme.anyone, **change))


@pytest.mark.parametrize(
    ("change", "faults"),
    table(
        ("another grant", {"grant_type": "password"}, {("grant_type", "invalid_choice")}),
        ("no text", {"client_id": 5}, {("client_id", "invalid")}),
        ("a mixture", {"username": "member"}, {("username", "unknown_field")}),
        ("a long secret", {"client_secret": "x" * 2000}, {("client_secret", "max_length")}),
        ("a list", {"grant_type": ["client_credentials"]}, {("grant_type", "invalid_choice")}),
        ("null", {"client_secret": None}, {("client_secret", "null")}),
    ),
)
def test_grants_that_are_none(change: dict[str, Any], faults: set[tuple[str, str]], acme: Organization) -> None:
    key = {"id": "0199b7e2-0000-7000-8000-000000000000", "secret": "x"}
    invalid(*faults).check(ask_for_token(key, acme.anyone, **change))


def test_a_grant_needs_its_type_and_a_password_takes_none(acme: Organization) -> None:
    answer = acme.anyone.post("/auth/token", {"client_id": "x", "client_secret": "y"})
    invalid(("grant_type", "required")).check(answer)
    answer = acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD})
    assert answer.status == 200
    assert "refresh" in answer.json


def test_wrong_secrets_count_for_the_address_and_lock_no_key_out(acme: Organization) -> None:
    key = make(acme.member)
    answers = [ask_for_token(key, acme.anyone, client_secret="wrong") for _ in range(ATTEMPTS_OVER_ALL_NAMES + 1)]
    assert [answer.status for answer in answers] == [401] * ATTEMPTS_OVER_ALL_NAMES + [429]
    assert SignInAttempts.objects.filter(failures__gt=0).exists()
    assert ask_for_token(key, acme.anyone).status == 200
    assert {act.after["reason"] for act in acts(acme, "api_key.refused") if act.after} == {"secret"}


def test_who_is_let_in_is_said_by_the_address(acme: Organization) -> None:
    elsewhere = make(acme.member, allowed_addresses=["203.0.113.0/24", "2001:db8::/32"])
    KEY_REFUSED.check(ask_for_token(elsewhere, acme.anyone))
    forged = replace(acme.anyone, headers={"X-Forwarded-For": "203.0.113.9"})  # no proxy is trusted here
    KEY_REFUSED.check(ask_for_token(elsewhere, forged))
    BAD_CREDENTIALS.check(ask_for_token(elsewhere, acme.anyone, client_secret="wrong"))
    here = make(acme.member, allowed_addresses=["203.0.113.0/24", "127.0.0.0/8"])
    assert ask_for_token(here, acme.anyone).status == 200
    assert [act.after["reason"] for act in acts(acme, "api_key.refused") if act.after][:2] == ["address", "address"]


def test_addresses_as_they_are_compared() -> None:
    assert keys._is_in("::ffff:203.0.113.9", ["203.0.113.0/24"])
    assert keys._is_in("2001:db8::5", ["2001:db8::/32"])
    assert not keys._is_in("203.0.114.9", ["203.0.113.0/24", "2001:db8::/32"])
    assert not keys._is_in("", ["0.0.0.0/0"])
    with pytest.raises(InvalidRequest):
        keys.normalize_networks(["10.0.0.1"] * 51)


def test_an_expired_key_is_refused_and_its_tokens_end_with_it(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    soon = (timezone.now() + timedelta(seconds=100)).isoformat()
    key = make(acme.member, expires_at=soon)
    answer = ask_for_token(key, acme.anyone)
    assert 90 < answer.json["expires_in"] <= 100
    claims = jwt.decode(answer.json["access"], options={"verify_signature": False})
    assert claims["exp"] <= datetime.fromisoformat(soon).timestamp()
    assert claims["exp"] - time.time() < 101
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    KEY_REFUSED.check(ask_for_token(key, acme.anyone))
    Refusal(409, "api_key_ended").check(acme.member.client.post(f"/api-keys/{key['id']}/rotate"))
    listed = acme.member.client.get("/api-keys").json["results"]
    assert [one["is_active"] for one in listed] == [False]
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=31))
    assert acme.member.client.get("/api-keys").json["results"] == []


def test_two_secrets_are_good_while_one_is_rotated(acme: Organization) -> None:
    first = make(acme.member)
    path = f"/api-keys/{first['id']}/rotate"

    def rotate(**body: Any) -> dict[str, Any]:
        answer = acme.member.client.post(path, body)
        assert answer.status == 200, answer.json
        rotated: dict[str, Any] = answer.json
        return rotated

    second = rotate()
    assert second["secret"] != first["secret"]
    assert second["hint"] == second["secret"][-4:]
    until = datetime.fromisoformat(second["old_secret_until"]) - timezone.now()
    assert timedelta(hours=23, minutes=59) < until <= timedelta(hours=24)
    assert [ask_for_token(key, acme.anyone).status for key in (first, second)] == [200, 200]
    third = rotate(end_old=False)
    assert [ask_for_token(key, acme.anyone).status for key in (first, second, third)] == [401, 200, 200]
    ApiKey.objects.update(former_until=timezone.now())
    assert [ask_for_token(key, acme.anyone).status for key in (second, third)] == [401, 200]
    fourth = rotate(end_old=True)
    assert fourth["old_secret_until"] is None
    assert [ask_for_token(key, acme.anyone).status for key in (third, fourth)] == [401, 200]
    invalid(("end_old", "invalid")).check(acme.member.client.post(path, {"end_old": "yes"}))
    assert [act.after["end_old"] for act in acts(acme, "api_key.rotated") if act.after] == [False, False, True]


# --- When access ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ended", "rotated"])
def test_what_a_key_was_given_moves_and_changes_nothing_once_it_has_ended(
    how: str, acme: Organization, way: None
) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    key, organizations = make(acme.member), make(acme.owner)
    client, looking = program(key, acme), program(organizations, acme)
    assert looking.get("/sellers").status == 200
    assert sell(client, "before").status == 201
    for one, person in ((key, acme.member), (organizations, acme.owner)):
        path = f"/api-keys/{one['id']}"
        if how == "ended":
            assert person.client.request("DELETE", path).status == 204
            assert person.client.request("DELETE", path).status == 204
            KEY_REFUSED.check(ask_for_token(one, acme.anyone))
            Refusal(409, "api_key_ended").check(person.client.post(f"{path}/rotate"))
        else:
            assert person.client.post(f"{path}/rotate", {"end_old": True}).status == 200
    over = OVER if how == "ended" else Refusal(401, "token_expired")
    item = {"phone_number": "09121234567", "amount": 5000}
    with nothing_written():
        over.check(sell(client, "after"))
        over.check(sell(client, "before"))  # nor is it told what became of that
        over.check(client.post("/recharges/bulk", {"items": [item | {"idempotency_key": "b"}]}))
        over.check(client.post("/credit-requests", {"amount": 5000}, key="k"))
        over.check(client.post("/recharges/validate", item))
        over.check(client.get("/me"))
        over.check(looking.get("/sellers"))
    assert acme.member.client.get(f"/api-keys/{key['id']}").json["is_active"] == (how == "rotated")
    assert len(acts(acme, "api_key.ended")) == (2 if how == "ended" else 0)


def test_a_key_that_is_ended_while_it_sells_sells_nothing_after(acme: Organization) -> None:
    """Whatever the order they come in: what was sold after the end was answered is nothing."""
    give_credit(acme.row, acme.member.id, 100_000)
    key = make(acme.member)
    client = program(key, acme)
    end = partial(acme.member.client.request, "DELETE", f"/api-keys/{key['id']}")
    answers = together([end, *(partial(sell, client, f"sale {number}") for number in range(8))])
    assert answers[0].status == 204
    assert {answer.status for answer in answers[1:]} <= {201, 401}
    sold = sum(answer.status == 201 for answer in answers[1:])
    assert acme.member.balance() == 100_000 - 5000 * sold
    OVER.check(sell(client, "after"))


def test_a_sale_keeps_the_key_or_the_user_that_made_it(acme: Organization, way: None) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    key = make(acme.member)
    by_key, by_person = sell(program(key, acme), "one").json["id"], sell(acme.member.client, "two").json["id"]
    with acme.context:
        kept = {str(row.pk): (row.user_id, row.key_id) for row in Recharge.objects.all()}
    told = {one: acme.owner.client.get(f"/recharges/{one}").json["sold_by"] for one in (by_key, by_person)}
    assert told == {by_key: "Till", by_person: "member"}
    assert "API key Till" in shown(Visitor.signed_in(acme.member).get(f"/recharges/{by_key}"))
    assert "Sold by member" in shown(Visitor.signed_in(acme.owner).get(f"/recharges/{by_person}"))
    assert kept == {by_key: (None, UUID(key["id"])), by_person: (acme.member.user.pk, None)}


def test_a_key_of_a_seller_switched_off_gets_nothing(acme: Organization) -> None:
    key = make(acme.member)
    client = program(key, acme)
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, is_active=False)
    inactive = Refusal(403, "seller_inactive")
    inactive.check(ask_for_token(key, acme.anyone))
    inactive.check(client.get("/balance"))
    inactive.check(sell(client))


def test_a_changed_password_stops_no_program(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    key = make(acme.member)
    client = program(key, acme)
    acme.member.user.set_password("quite another password")
    acme.member.user.save()
    assert sell(client).status == 201
    assert ask_for_token(key, acme.anyone).status == 200


def test_a_token_of_a_key_is_good_on_its_own_host_only(world: World, acme: Organization, globex: Organization) -> None:
    client = program(make(acme.member), acme)
    for host in (globex.host, "recharge.test"):
        Refusal(401, "token_wrong_organization").check(replace(client, host=host).get("/me"))
