"""Where somebody is signed in: listed, ended one by one or all at once, and what an end stops."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from credit.models import AuditRecord
from credit.services import reset_seller_password
from shared.identity.password_changes import password_state
from shared.identity.session_store import SessionStore
from shared.identity.sign_ins import raise_epoch
from shared.models import Membership, SignIn
from tenants.models import AuditRecord as PlatformRecord
from tests.support.client import Answer, Client
from tests.support.visitor import Visitor, session_of, shown
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, Person, World, ask, give_credit

PHONE = "09121234567"


def sign_in(person: Person, client: str = "till/1.0") -> Client:
    """A client with a sign-in of its own, over HTTP; its refresh token is kept in ``refreshes``."""
    body = {"username": person.username, "password": PASSWORD}
    anyone = replace(person.client, token=None, headers={"User-Agent": client})
    pair = anyone.post("/auth/token", body).json
    refreshes[pair["access"]] = pair["refresh"]
    return replace(anyone, token=pair["access"])


refreshes: dict[str, str] = {}


def refresh(client: Client) -> Answer:
    return client.post("/auth/token/refresh", {"refresh": refreshes[client.token or ""]})


def sell(client: Client, amount: int = 1000) -> tuple[int, str | None]:
    answer = client.post("/recharges", {"phone_number": PHONE, "amount": amount}, key=f"{client.token}"[-30:])
    return answer.status, answer.code


OVER = (401, "token_invalid")


def acts(organization: Organization) -> list[str]:
    """What was recorded, in its order."""
    with organization.context:
        return list(AuditRecord.objects.order_by("pk").values_list("action", flat=True))


def test_a_session_says_what_signed_in_from_where_and_when(acme: Organization, world: World) -> None:
    for person in (acme.member, acme.owner, world.platform_admin):
        till = sign_in(person, "till/1.0")
        session_of(person)
        page = till.get("/sessions").json
        assert (page["next"], page["previous"]) == (None, None)
        web, api = page["results"]
        assert set(web) == {"id", "kind", "address", "client", "since", "last_seen", "current"}
        assert [(one["kind"], one["client"], one["current"]) for one in (web, api)] == [
            ("web", "visitor", False),
            ("api", "till/1.0", True),
        ]
        assert api["address"] == "127.0.0.1"
        assert api["since"] == api["last_seen"]
        newest = refresh(till).json["access"]
        (seen,) = [one for one in replace(till, token=newest).get("/sessions").json["results"] if one["current"]]
        assert (seen["id"], seen["since"]) == (api["id"], api["since"])
        assert seen["last_seen"] > api["last_seen"]
        assert till.get("/sessions?limit=1").json["next"]
        assert till.get("/sessions?who=me").status == 400


def test_what_a_client_calls_itself_is_cut_and_may_be_missing(acme: Organization) -> None:
    sign_in(acme.member, "x" * 5000)
    sign_in(acme.member, "")
    assert sorted(len(one) for one in SignIn.objects.values_list("client", flat=True)) in ([0, 300], [14, 300])


def test_one_session_is_ended_and_the_others_go_on(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    mine, lost, neighbour = sign_in(acme.member), sign_in(acme.member, "lost phone"), sign_in(acme.neighbour)
    (ended,) = [one["id"] for one in mine.get("/sessions").json["results"] if one["client"] == "lost phone"]
    for client in (neighbour, sign_in(acme.owner)):  # existence is not told
        assert client.request("DELETE", f"/sessions/{ended}").code == "not_found"
    for _ in range(2):
        assert mine.request("DELETE", f"/sessions/{ended}").status == 204
    assert sell(lost) == OVER
    assert refresh(lost).code == "token_invalid"
    assert lost.request("DELETE", "/sessions").code == "token_invalid"
    assert sell(mine) == (201, None)
    assert [one["id"] for one in mine.get("/sessions").json["results"]].count(ended) == 0
    assert acts(acme).count("session.ended") == 1


def test_all_sessions_but_this_one_are_ended_on_the_api_and_in_browsers(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    mine, other, neighbour = sign_in(acme.member), sign_in(acme.member), sign_in(acme.neighbour)
    browser, neighbours = Visitor.signed_in(acme.member), Visitor.signed_in(acme.neighbour)
    assert browser.get("/sell").status == 200
    assert mine.request("DELETE", "/sessions").status == 204
    assert sell(other) == OVER
    assert browser.get("/sell").status == 302
    assert sell(mine) == (201, None)
    assert refresh(mine).status == 200
    assert neighbours.get("/sell").status == 200
    assert neighbour.get("/sessions").status == 200
    assert refresh(neighbour).status == 200


def test_a_member_who_has_ended_everything_elsewhere_changes_nothing_there(acme: Organization) -> None:
    """An admin's approval, a seller's webhook, by a token that has not expired."""
    request = ask(acme.member)
    admin, theirs = sign_in(acme.owner), sign_in(acme.owner)
    seller, lost = sign_in(acme.member), sign_in(acme.member)
    assert admin.request("DELETE", "/sessions").status == 204
    assert seller.request("DELETE", "/sessions").status == 204
    hook = {"url": "https://hooks.example.com/x", "events": ["recharge.succeeded"]}
    for answer in (
        theirs.post(f"/credit-requests/{request}/approve"),
        lost.post("/webhooks", hook),
        lost.post("/credit-requests", {"amount": 5}, key="k"),
        lost.post("/recharges/bulk", {"items": [{"idempotency_key": "k", "phone_number": PHONE, "amount": 5}]}),
    ):
        assert (answer.status, answer.code) == OVER
    assert admin.post(f"/credit-requests/{request}/approve").status == 200
    assert seller.post("/webhooks", hook).status == 201


@pytest.mark.parametrize("how", ["changed", "reset by an admin"])
def test_a_new_password_stops_the_next_sale_by_an_old_token(how: str, acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    till, browser, other = sign_in(acme.member), Visitor.signed_in(acme.member), Visitor.signed_in(acme.member)
    if how == "changed":
        fields = {"old": PASSWORD, "new": "tall green lamp", "again": "tall green lamp"}
        assert browser.submit("/account/password", fields).status == 302
        assert browser.get("/sell").status == 200  # who changes it stays
    else:
        new = {"password": "tall green lamp", "state": password_state(acme.member.user)}
        with acme.context:
            reset_seller_password(organization=acme.row, seller_id=acme.member.id, **new)
        assert browser.get("/sell").status == 302
    assert sell(till) == OVER
    assert other.get("/sell").status == 302
    assert refresh(till).code == "token_invalid"
    assert SignIn.objects.filter(user=acme.member.user, revoked_at=None).count() == (how == "changed")
    assert ("password.changed" if how == "changed" else "seller.password_reset") in acts(acme)


def test_a_role_that_was_changed_is_in_force_and_the_client_refreshes(acme: Organization) -> None:
    request, admin = ask(acme.member), sign_in(acme.owner)
    with acme.context, transaction.atomic():
        raise_epoch(user_id=acme.owner.user.pk)
        Membership.objects.filter(user=acme.owner.user).update(role="support")
    assert admin.post(f"/credit-requests/{request}/approve").code == "token_expired"
    newest = replace(admin, token=refresh(admin).json["access"])
    assert newest.post(f"/credit-requests/{request}/approve").code == "permission_denied"
    assert newest.get("/sellers").status == 200


def test_both_ways_of_a_sale_refuse_ended_access_alike(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    till = sign_in(acme.member)
    assert till.post("/auth/token/revoke", {"refresh": refreshes[till.token or ""]}).status == 204
    fast, usual = (
        till.request("POST", path, json={"phone_number": PHONE, "amount": 5}, key="k", headers={"X-Request-ID": "same"})
        for path in ("/recharges", "/recharges?")
    )
    assert (fast.status, fast.code) == OVER
    assert fast.body == usual.body
    assert fast.headers["WWW-Authenticate"] == usual.headers["WWW-Authenticate"] == "Bearer"


# --- Browsers ---------------------------------------------------------------------------------------------------------


def test_a_browsers_sign_in_is_kept_ended_and_recorded(acme: Organization, world: World) -> None:
    for organization, person, page in ((acme, acme.member, "/sell"), (None, world.platform_admin, "/organizations")):
        browser = Visitor(person.client)
        assert browser.sign_in(person.username, "wrong").status == 422
        assert browser.sign_in(person.username).status == 302
        begun = SignIn.objects.get(user=person.user, kind="web", revoked_at=None)
        assert begun.address == "127.0.0.1"
        assert "This session" in shown(browser.get("/account/sessions", Accept_Language="en"))
        before = dict(browser.cookies)
        assert browser.submit(page, {}, to="/sign-out").status == 302
        begun.refresh_from_db()
        assert begun.revoked_at
        browser.cookies = before
        assert browser.get(page).status == 302
        if organization:
            assert Membership.objects.get(user=person.user).last_sign_in_at
            assert acts(organization) == ["sign_in.refused", "sign_in.succeeded", "session.ended"]
        else:
            found = PlatformRecord.objects.order_by("pk").values_list("action", flat=True)
            assert list(found) == ["sign_in.refused", "sign_in.succeeded", "session.ended"]


def test_the_page_ends_one_and_all_others_of_ones_own(acme: Organization) -> None:
    here, there, elsewhere = (Visitor.signed_in(acme.member) for _ in range(3))
    theirs = Visitor.signed_in(acme.neighbour)
    till = sign_in(acme.member)
    page = here.get("/account/sessions").body.decode()
    ends = re.findall(r'href="(/account/sessions/[0-9a-f-]{36}/end)"', page)
    assert len(ends) == 3
    ids = [str(one.public_id) for one in SignIn.objects.filter(user=acme.member.user).order_by("pk")]
    assert here.submit("/account/sessions", {}, to=f"/account/sessions/{ids[1]}/end").status == 302
    assert there.get("/sell").status == 302
    assert theirs.submit("/account/sessions", {}, to=f"/account/sessions/{ids[2]}/end").status == 404
    assert elsewhere.get("/sell").status == 200
    assert here.submit("/account/sessions", {}, to="/account/sessions/end").status == 302
    assert elsewhere.get("/sell").status == 302
    assert sell(till) == OVER
    assert here.get("/sell").status == theirs.get("/sell").status == 200


def test_that_a_browser_is_used_is_noted_at_most_once_a_minute(acme: Organization) -> None:
    browser = Visitor.signed_in(acme.member)
    browser.get("/sell")
    begun = SignIn.objects.get()
    assert begun.last_seen_at is None
    SignIn.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    browser.get("/sell")
    begun.refresh_from_db()
    assert begun.last_seen_at
    first = begun.last_seen_at
    browser.get("/sell")
    begun.refresh_from_db()
    assert begun.last_seen_at == first


def test_a_session_of_the_release_before_goes_on_until_something_ends_sessions(acme: Organization) -> None:
    def of_the_release_before(person: Person) -> Visitor:
        key = session_of(person)
        session = SessionStore(key)
        del session["sign_in"]
        session.save()
        visitor = Visitor(person.client)
        visitor.cookies["sessionid"] = key
        return visitor

    visitor = of_the_release_before(acme.member)
    SignIn.objects.all().delete()
    assert [visitor.get("/sell").status for _ in range(2)] == [200, 200]
    assert SignIn.objects.filter(user=acme.member.user, kind="web").count() == 1
    late = of_the_release_before(acme.member)
    Membership.objects.filter(user=acme.member.user).update(epoch=1)
    assert late.get("/sell").status == 302
    assert visitor.get("/sell").status == 200


# --- Mails ------------------------------------------------------------------------------------------------------------


def test_a_new_browser_and_a_new_password_are_told_by_mail(acme: Organization, server: Any) -> None:
    acme.member.user.email, acme.member.user.language = "told-by-mail@example.com", "en"
    acme.member.user.save()
    browser = Visitor(acme.anyone)
    for _ in range(2):  # the second time it is known
        assert browser.sign_in("member").status == 302
        browser.submit("/sell", {}, to="/sign-out")
    assert Visitor(acme.anyone).sign_in("owner").status == 302  # who has no address
    browser.sign_in("member")
    browser.submit("/account/password", {"old": PASSWORD, "new": "tall green lamp", "again": "tall green lamp"})

    def subjects() -> list[str]:
        mails = server.log.read_text().split("Content-Type: text/plain")
        own = (one for one in mails if "To: told-by-mail@example.com" in one)
        return [re.findall(r"^Subject: (.*)$", one, re.MULTILINE)[0] for one in own]

    wait_until(lambda: len(subjects()) >= 2, "the mails")
    assert sorted(subjects()) == ["A new sign-in to your account", "Your password was changed"]


def test_a_seller_who_is_switched_on_again_goes_on_with_the_token_that_he_has(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    till = sign_in(acme.member)
    assert sell(till) == (201, None)
    for is_active in (False, True):
        assert acme.owner.client.patch(f"/sellers/{acme.member.id}", {"is_active": is_active}).status == 200
        if not is_active:
            assert sell(till) == (200, None)  # sent again: it was sold
            assert sell(replace(till, headers={}), 2000)[1] in ("idempotency_key_reused", "seller_inactive")
    assert sell(till) == (200, None)
