"""The pages that every console has: signing in and out, passwords, preferences; and whose a session is."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from credit.services import update_seller
from shared.identity.lockout import ATTEMPTS_FROM_ONE_ADDRESS
from shared.models import User
from tenants.services import suspend_organization
from tests.support.queries import queries_of
from tests.support.visitor import Visitor, session_of
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World


def is_sign_in(answer) -> bool:
    return answer.status == 302 and answer.headers["Location"].startswith("/sign-in")


def test_signing_in_leads_back_to_the_page_that_was_asked_for(acme: Organization) -> None:
    visitor = Visitor(acme.anyone)
    asked = visitor.get("/account/preferences")
    assert (asked.status, asked.headers["Location"]) == (302, "/sign-in?next=%2Faccount%2Fpreferences")
    answer = visitor.submit(asked.headers["Location"], {"username": "member", "password": PASSWORD})
    assert (answer.status, answer.headers["Location"]) == (302, "/account/preferences")
    page = visitor.get("/account/preferences")
    assert page.status == 200
    assert "no-store" in page.headers["Cache-Control"]


@pytest.mark.parametrize(
    "wanted", ["//evil.test/", "https://evil.test/", "/\\evil.test", "javascript:alert(1)", "evil"]
)
def test_signing_in_never_leads_elsewhere(acme: Organization, wanted: str) -> None:
    visitor = Visitor(acme.anyone)
    answer = visitor.submit("/sign-in", {"username": "member", "password": PASSWORD, "next": wanted})
    assert (answer.status, answer.headers["Location"]) == (302, "/")


def test_a_wrong_password_and_a_stranger_are_told_the_same(acme: Organization, world: World) -> None:
    visitor = Visitor(acme.anyone)
    said = {
        re.sub(r'value="[^"]*"', "", visitor.sign_in(username, password).body.decode())
        for username, password in (
            ("member", "wrong"),
            ("nobody", PASSWORD),
            ("root", PASSWORD),
            ("acme/member", PASSWORD),
        )
    }
    assert len(said) == 1
    assert "Wrong username or password" in said.pop()
    assert is_sign_in(visitor.get("/"))


def test_guessing_is_locked_out(acme: Organization) -> None:
    visitor = Visitor(acme.anyone)
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        visitor.sign_in("member", "wrong")
    answer = visitor.sign_in("member")
    assert answer.status == 422
    assert "Too many attempts" in answer.body.decode()


def test_signing_out_ends_the_session_for_good(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    cookie = dict(visitor.cookies)
    visitor.submit("/account/preferences", {}, to="/sign-out")
    visitor.cookies = cookie
    assert is_sign_in(visitor.get("/account/preferences"))


def test_a_session_is_good_on_the_host_that_made_it_alone(world: World) -> None:
    for person in (world.acme.owner, world.acme.member, world.platform_admin):
        visitor = Visitor.signed_in(person)
        assert visitor.get("/account/preferences").status == 200
        for other in (world.acme.anyone, world.globex.anyone, world.platform):
            if other.host != person.client.host:
                visitor.client = other
                assert is_sign_in(visitor.get("/account/preferences"))


def test_a_session_ends_with_the_membership(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, is_active=False)
    assert is_sign_in(visitor.get("/account/preferences"))
    # And stays over when the seller comes back.
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, is_active=True)
    assert is_sign_in(visitor.get("/account/preferences"))
    assert Visitor.signed_in(acme.member).get("/account/preferences").status == 200


def test_a_session_ends_with_the_user(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    User.objects.filter(pk=acme.owner.user.pk).update(is_active=False)
    assert is_sign_in(visitor.get("/account/preferences"))


def test_a_suspended_organization_shows_nothing_but_that(acme: Organization, server) -> None:
    visitor = Visitor.signed_in(acme.member)
    suspend_organization(slug="acme")
    wait_until(lambda: visitor.get("/account/preferences").status == 403)  # other processes know it within 2 seconds
    page = visitor.get("/account/preferences")
    assert "suspended" in page.body.decode()
    assert "member" not in page.body.decode()


def test_a_session_ends_with_its_password(acme: Organization) -> None:
    visitor, elsewhere = Visitor.signed_in(acme.member), Visitor.signed_in(acme.member)
    refused = visitor.submit(
        "/account/password", {"old": "wrong", "new": "tall green lamp", "again": "tall green lamp"}
    )
    assert refused.status == 422
    unlike = visitor.submit("/account/password", {"old": PASSWORD, "new": "tall green lamp", "again": "tall lamp"})
    assert "The two passwords differ" in unlike.body.decode()
    answer = visitor.submit(
        "/account/password", {"old": PASSWORD, "new": "tall green lamp", "again": "tall green lamp"}
    )
    assert answer.status == 302
    assert visitor.get("/account/preferences").status == 200
    assert is_sign_in(elsewhere.get("/account/preferences"))
    assert Visitor(acme.anyone).sign_in("member", "tall green lamp").status == 302


def test_a_form_without_its_token_is_refused(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    assert visitor.post("/sign-out", {}).status == 403
    assert visitor.get("/account/preferences").status == 200


def _link_for(user: User) -> str:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return f"/password-reset/{uid}/{default_token_generator.make_token(user)}"


def test_a_forgotten_password_is_reset_once(acme: Organization, server) -> None:
    User.objects.filter(pk=acme.member.user.pk).update(email="member@example.com")
    said = {Visitor(acme.anyone).submit("/password-reset", {"username": name}).status for name in ("member", "nobody")}
    assert said == {200}

    def links() -> list[str]:
        return re.findall(r"http://acme\.recharge\.test\S*(/password-reset/\S+/\S+)", server.log.read_text())

    wait_until(lambda: bool(links()), "the mail")
    sent = links()
    fields = {"new": "tall green lamp", "again": "tall green lamp"}
    assert Visitor(acme.anyone).submit(sent[-1], fields).status == 302
    assert Visitor(acme.anyone).get(sent[-1]).status == 404
    assert Visitor(acme.anyone).sign_in("member", "tall green lamp").status == 302


def test_resets_are_limited_however_the_name_is_written(acme: Organization, server) -> None:
    User.objects.filter(pk=acme.member.user.pk).update(email="member@example.com")
    visitor, wide = Visitor(acme.anyone), str.maketrans("member", "ｍｅｍｂｅｒ")
    names = ["member"[:n] + "member"[n:].translate(wide) for n in range(7)] * 2
    statuses = [visitor.submit("/password-reset", {"username": name}).status for name in names]
    assert statuses == [200] * ATTEMPTS_FROM_ONE_ADDRESS + [422] * (len(names) - ATTEMPTS_FROM_ONE_ADDRESS)


def test_what_opens_an_account_is_not_in_the_request_log(acme: Organization, server) -> None:
    link = _link_for(acme.member.user)
    Visitor(acme.anyone).get(link)
    log = server.log.read_text()
    assert '"path": "/password-reset/…"' in log
    assert link.rpartition("/")[2] not in log


def test_a_reset_link_is_good_on_its_own_host_alone(world: World) -> None:
    link = _link_for(world.acme.member.user)
    for other in (world.globex.anyone, world.platform):
        assert Visitor(other).get(link).status == 404
    assert Visitor(world.acme.anyone).get(link).status == 200


@pytest.mark.parametrize("uid", ["AAAA", "%00", "MQ", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "é"])
def test_a_made_up_reset_link_is_no_link(acme: Organization, uid: str) -> None:
    assert Visitor(acme.anyone).get(f"/password-reset/{uid}/abc-def").status in (400, 404)


def test_the_language_is_the_accounts_and_before_that_the_browsers(acme: Organization) -> None:
    visitor = Visitor(acme.anyone)
    assert '<html lang="fa" dir="rtl">' in visitor.get("/sign-in", Accept_Language="fa-IR").body.decode()
    assert '<html lang="en" dir="ltr">' in visitor.get("/sign-in", Accept_Language="de").body.decode()
    visitor = Visitor.signed_in(acme.member)
    visitor.submit("/account/preferences", {"language": "fa"}, to="/language")
    page = visitor.get("/account/preferences", Accept_Language="en")
    assert '<html lang="fa" dir="rtl">' in page.body.decode()
    assert page.headers["Content-Language"] == "fa"
    assert 'lang="en"' in Visitor.signed_in(acme.owner).get("/account/preferences", Accept_Language="en").body.decode()


def test_preferences_are_checked(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    for fields in (
        {"language": "xx", "time_zone": "Asia/Tehran"},
        {"language": "fa", "time_zone": "Mars/Olympus"},
        {"language": "fa", "time_zone": "Asia/Tehran", "email": "nonsense"},
    ):
        assert visitor.submit("/account/preferences", fields).status == 422
    fields = {"language": "fa", "time_zone": "Europe/Berlin", "email": "a@example.com"}
    # An open session is not enough to turn the mail that resets the password to somebody else.
    for password in ("", "wrong"):
        assert visitor.submit("/account/preferences", fields | {"password": password}).status == 422
    assert visitor.submit("/account/preferences", fields | {"password": PASSWORD}).status == 302
    assert visitor.submit("/account/preferences", fields).status == 302  # which changes nothing
    user = User.objects.get(pk=acme.member.user.pk)
    assert (user.language, user.time_zone, user.email) == ("fa", "Europe/Berlin", "a@example.com")


def test_nobodys_page_says_what_the_apis_problem_says(acme: Organization) -> None:
    page = Visitor(acme.anyone).get("/nothing-there")
    assert page.status == 404
    assert page.headers["Content-Type"].startswith("text/html")
    assert acme.anyone.get("/nothing-there").headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "django_language"])
@pytest.mark.parametrize("value", ['"a\\000b"', '"\\303\\050' + "c" * 30 + '"', "x" * 4000, "", "../../etc"])
def test_a_cookie_that_nobody_was_given_is_nobodys(acme: Organization, name: str, value: str) -> None:
    visitor = Visitor(acme.anyone)
    visitor.cookies[name] = value
    assert is_sign_in(visitor.get("/account/preferences"))
    visitor.cookies[name] = value
    assert visitor.get("/sign-in").status == 200
    visitor.cookies = {}
    assert visitor.sign_in("member").status == 302


def test_cookies_are_kept_from_scripts_and_other_sites(acme: Organization) -> None:
    visitor = Visitor(acme.anyone)
    answer = visitor.sign_in("member")
    cookie = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(settings.SESSION_COOKIE_NAME))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Domain" not in cookie


def test_a_page_costs_few_queries(acme: Organization) -> None:
    # The session, the account, the seller's balance; of an admin, whether the organization trains.
    assert len(queries_of(acme.member, "/account/preferences")) == 3
    assert len(queries_of(acme.owner, "/account/preferences")) == 3


def test_signing_in_takes_expired_sessions_away(acme: Organization) -> None:
    old = session_of(acme.neighbour)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    Visitor(acme.anyone).sign_in("member")
    assert not Session.objects.filter(pk=old).exists()


def test_a_body_that_is_too_large_is_not_read(acme: Organization) -> None:
    answer = Visitor(acme.anyone).post("/sign-in", {"username": "x" * 3 * 1024 * 1024})
    assert answer.status == 413
