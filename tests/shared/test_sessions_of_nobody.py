"""Who is not signed in leaves no session behind, whatever they do."""

import re

from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from tests.support.visitor import Visitor, shown
from tests.support.world import PASSWORD, Organization, World


def token_of(visitor: Visitor, path: str = "/sign-in") -> dict[str, str]:
    found = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', visitor.get(path).body.decode())
    return {"csrfmiddlewaretoken": found[0]}


def test_signing_out_without_a_session_makes_none(acme: Organization) -> None:
    visitor = Visitor(acme.anyone)
    token = token_of(visitor)
    for _ in range(60):
        visitor.cookies = {name: value for name, value in visitor.cookies.items() if name == "csrftoken"}
        assert visitor.post("/sign-out", token).headers["Location"] == "/sign-in"
    assert Session.objects.count() == 0
    assert "sessionid" not in visitor.cookies


def test_signing_out_leaves_no_session_and_says_that_it_is_done_once(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    assert visitor.submit("/account/preferences", {}, to="/sign-out").status == 302
    assert Session.objects.count() == 0
    assert "You are signed out." in shown(visitor.get("/sign-in"))
    assert "You are signed out." not in shown(visitor.get("/sign-in"))
    assert Session.objects.count() == 0


def test_nothing_that_nobody_does_makes_a_session(world: World, acme: Organization) -> None:
    for client in (acme.anyone, world.platform):
        visitor = Visitor(client)
        token = token_of(visitor)
        for path, fields in (
            ("/sign-in", {"username": "nobody", "password": PASSWORD}),
            ("/sign-in", {"username": "", "password": ""}),
            ("/password-reset", {"username": "nobody"}),
            ("/language", {"language": "fa"}),
            ("/language", {"language": "xx"}),
            ("/account/password", {"old": "x", "new": "y", "again": "z"}),
            ("/account/preferences", {"language": "fa"}),
            ("/sign-out", {}),
            ("/nothing", {}),
            ("/admin/login/", {"username": "nobody", "password": "x"}),
            ("/admin/logout/", {}),
        ):
            assert visitor.post(path, token | fields).status < 500
            assert visitor.post(path, fields).status < 500  # without the form's token
        for path in ("/", "/sign-in", "/password-reset", "/nothing", "/admin/", "/admin/login/", "/api/docs"):
            visitor.get(path)
    assert Session.objects.count() == 0


def test_a_reset_of_a_password_makes_none_and_says_that_it_is_done(acme: Organization) -> None:
    user = acme.member.user
    link = f"/password-reset/{urlsafe_base64_encode(force_bytes(user.pk))}/{default_token_generator.make_token(user)}"
    visitor = Visitor(acme.anyone)
    assert visitor.submit(link, {"new": "tall green lamp", "again": "tall green lamp"}).status == 302
    assert Session.objects.count() == 0
    assert "Your password is changed" in shown(visitor.get("/sign-in"))


def test_what_one_host_says_is_not_said_on_another(world: World) -> None:
    visitor = Visitor(world.acme.anyone)
    visitor.post("/sign-out", token_of(visitor))
    for other in (world.globex.anyone, world.platform):
        stranger = Visitor(other)
        stranger.cookies = dict(visitor.cookies)
        assert "You are signed out." not in shown(stranger.get("/sign-in"))
    assert "You are signed out." in shown(visitor.get("/sign-in"))


def test_what_is_said_goes_with_the_session_of_who_is_signed_in(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    fields = {"language": "en", "time_zone": "UTC"}
    assert visitor.submit("/account/preferences", fields).status == 302
    assert "messages" not in visitor.cookies
    assert "Saved." in shown(visitor.get("/account/preferences"))
