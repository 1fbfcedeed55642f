"""The second factor on the pages: the second step of signing in, enrolling, passkeys, and being asked again."""

import re
import time
from collections.abc import Iterator
from html import unescape

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client as InProcess

from recharge.models import GatewaySettings
from shared.identity.session_store import SessionStore
from shared.models import Passkey, Totp, User
from tenants.models import Organization as OrganizationRow
from tenants.routing import forget_routes
from tests.shared.test_second_factor import audit_of
from tests.support.client import Answer
from tests.support.factors import Authenticator, code_of, enrol, options_of, wrong_code
from tests.support.visitor import Visitor, session_of, shown, text_of
from tests.support.world import PASSWORD, Organization, Person, World


def leads_to(answer: Answer) -> str:
    assert answer.status == 302, answer
    return answer.headers["Location"]


def origin_of(organization: Organization) -> str:
    return f"http://{organization.host}"


def age(person: Person, key: str, *, seconds: int = 11 * 60) -> None:
    """As if the session had been proved that long ago."""
    session = SessionStore(key)
    session.load()
    session._session_cache = session.load()
    session["proved"] = time.time() - seconds
    session.save()


def aged(person: Person) -> Visitor:
    visitor = Visitor.signed_in(person)
    age(person, visitor.cookies[settings.SESSION_COOKIE_NAME])
    return visitor


def with_passkey(visitor: Visitor, authenticator: Authenticator, name: str = "laptop") -> Answer:
    page = visitor.get("/account/security/passkeys/add")
    fields = {"name": name, "answer": authenticator.make(options_of(page))}
    return send(visitor, page, "/account/security/passkeys/add", fields)


def refusals(organization: Organization) -> list[dict | None]:
    """What evidence says of the sign-ins that were refused."""
    return [after for action, _by, _before, after in audit_of(organization) if action == "sign_in.refused"]


def send(visitor: Visitor, page: Answer, path: str, fields: dict[str, str]) -> Answer:
    """Sends a form of this page, without loading it again: each load asks anew."""
    (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', text_of(page))
    return visitor.post(path, {"csrfmiddlewaretoken": token, **fields})


# --- An app -----------------------------------------------------------------------------------------------------------


def test_an_app_is_set_up_on_the_pages_and_asked_for_in_a_second_step(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    assert leads_to(visitor.submit("/account/security", {}, to="/account/security/app")) == "/account/security/app"
    page = visitor.get("/account/security/app")
    (secret,) = re.findall(r"<code id=\"secret\"[^>]*>(\w+)</code>", text_of(page))
    assert "<svg" in text_of(page)
    assert visitor.submit("/account/security/app", {"code": wrong_code(secret)}).status == 422
    done = visitor.submit("/account/security/app", {"code": code_of(secret, steps=-1)})
    codes = re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", shown(visitor.get(leads_to(done))))
    assert len(codes) == 10
    assert leads_to(visitor.get(leads_to(done))) == "/account/security"  # once
    assert "Left: 10" in shown(visitor.get("/account/security"))

    other = Visitor(acme.anyone)
    asked = other.get("/account/preferences")
    answer = other.submit(leads_to(asked), {"username": "member", "password": PASSWORD})
    assert leads_to(answer) == "/sign-in/second-step"
    # The password alone opens nothing.
    assert leads_to(other.get("/account/preferences")).startswith("/sign-in")
    assert other.submit("/sign-in/second-step", {"code": wrong_code(secret)}).status == 422
    assert refusals(acme) == [{"code": "wrong_code"}]
    assert leads_to(other.get("/account/preferences")).startswith("/sign-in")
    answer = other.submit("/sign-in/second-step", {"code": code_of(secret)})
    assert leads_to(answer) == "/account/preferences"
    assert other.get("/account/preferences").status == 200
    assert leads_to(other.get("/sign-in/second-step")) == "/"

    # A recovery code, once; and the step is this browser's alone.
    third, stranger = Visitor(acme.anyone), Visitor(acme.anyone)
    for _ in range(2):
        third.sign_in("member")
        answer = third.submit("/sign-in/second-step", {"code": codes[0]})
        third.cookies = third.cookies if answer.status == 422 else {}
    assert answer.status == 422
    assert leads_to(stranger.get("/sign-in/second-step")) == "/sign-in"


def test_a_second_step_that_is_too_old_or_of_another_password_begins_anew(acme: Organization) -> None:
    secret, _codes = enrol(acme.member.client)
    visitor = Visitor(acme.anyone)
    visitor.sign_in("member")
    session = SessionStore(visitor.cookies[settings.SESSION_COOKIE_NAME])
    step = session["second_step"]
    session["second_step"] = step | {"at": time.time() - 601}
    session.save()
    assert leads_to(visitor.get("/sign-in/second-step")) == "/sign-in"
    session["second_step"] = step | {"password": "another"}
    session.save()
    assert leads_to(visitor.get("/sign-in/second-step")) == "/sign-in"
    session["second_step"] = step
    session.save()
    assert leads_to(visitor.submit("/sign-in/second-step", {"code": code_of(secret)})) == "/"


def test_a_second_step_is_of_the_host_that_began_it(world: World) -> None:
    enrol(world.acme.member.client)
    visitor = Visitor(world.acme.anyone)
    visitor.sign_in("member")
    for other in (world.globex.anyone, world.platform):
        visitor.client = other
        assert leads_to(visitor.get("/sign-in/second-step")) == "/sign-in"


def test_the_admin_site_asks_for_the_second_factor_too(world: World) -> None:
    secret, _codes = enrol(world.platform_admin.client)
    visitor = Visitor(world.platform)
    assert leads_to(visitor.sign_in_to_admin("root")) == "/sign-in/second-step"
    assert leads_to(visitor.get("/admin/")).startswith("/admin/login/")
    assert leads_to(visitor.submit("/sign-in/second-step", {"code": code_of(secret)})) == "/admin/"
    assert visitor.get("/admin/").status == 200


# --- Passkeys ---------------------------------------------------------------------------------------------------------


def test_a_passkey_signs_in_beside_the_password_and_alone(acme: Organization) -> None:
    visitor, authenticator = Visitor.signed_in(acme.member), Authenticator(origin_of(acme))
    added = with_passkey(visitor, authenticator, "work laptop")
    assert "Your recovery codes" in shown(visitor.get(leads_to(added)))
    assert "work laptop" in shown(visitor.get("/account/security"))
    assert acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}).code == (
        "second_factor_required"
    )

    beside = Visitor(acme.anyone)
    assert leads_to(beside.sign_in("member")) == "/sign-in/second-step"
    page = beside.get("/sign-in/second-step")
    assert send(beside, page, "/sign-in/second-step", {"answer": "nonsense"}).status == 422
    page = beside.get("/sign-in/second-step")
    answer = authenticator.sign(options_of(page))
    assert leads_to(send(beside, page, "/sign-in/second-step", {"answer": answer})) == "/"
    assert beside.get("/account/preferences").status == 200

    alone = Visitor(acme.anyone)
    page = alone.get("/sign-in/passkey?next=/account/preferences")
    fields = {"answer": authenticator.sign(options_of(page)), "next": "/account/preferences"}
    assert leads_to(send(alone, page, "/sign-in/passkey", fields)) == "/account/preferences"
    assert alone.get("/account/preferences").status == 200
    # What was asked is good for one answer.
    again = Visitor(acme.anyone)
    page = again.get("/sign-in/passkey")
    for answer in ("nonsense", authenticator.sign(options_of(page))):
        assert leads_to(send(again, page, "/sign-in/passkey", {"answer": answer})) == "/sign-in/passkey"
    assert [(action, after) for action, _by, _before, after in audit_of(acme) if "passkey" in action] == [
        ("passkey.added", {"name": "work laptop"})
    ]
    assert refusals(acme) == [{"code": "passkey_refused"}]

    passkey = Passkey.objects.get()
    User.objects.filter(pk=acme.neighbour.user.pk).update(is_active=False)
    Passkey.objects.update(user=acme.neighbour.user)
    page = alone.get("/sign-in/passkey")
    assert leads_to(send(alone, page, "/sign-in/passkey", {"answer": authenticator.sign(options_of(page))}))
    assert refusals(acme)[1:] == [{"code": "seller_inactive"}]
    Passkey.objects.update(user=acme.member.user)

    assert visitor.submit(f"/account/security/passkeys/{passkey.pk}/remove", {}).status == 302
    assert leads_to(visitor.get(f"/account/security/passkeys/{passkey.pk}/remove")) == "/account/security"
    assert leads_to(Visitor(acme.anyone).sign_in("member")) == "/"


def test_what_a_passkey_must_not_do(world: World) -> None:
    acme = world.acme
    visitor, authenticator = Visitor.signed_in(acme.member), Authenticator(origin_of(acme))
    page = visitor.get("/account/security/passkeys/add")
    for answer in (
        "",
        "null",
        "[" * 10_000,
        '{"rawId": 1}',
        authenticator.make(options_of(page), origin="https://evil.test"),
        Authenticator(origin_of(world.globex)).make(options_of(page)),
        authenticator.make(options_of(page) | {"challenge": "AAAA"}),
        authenticator.make(options_of(page) | {"rp": {"id": "evil.test"}}),
    ):
        page = visitor.get("/account/security/passkeys/add")
        refused = send(visitor, page, "/account/security/passkeys/add", {"name": "x", "answer": answer})
        assert refused.status == 422, answer
    assert not Passkey.objects.exists()
    assert with_passkey(visitor, authenticator).status == 302

    def alone(change: dict[str, str], who: Authenticator = authenticator, organization: Organization = acme) -> str:
        guest = Visitor(organization.anyone)
        page = guest.get("/sign-in/passkey")
        answer = who.sign(options_of(page), **change)
        return leads_to(send(guest, page, "/sign-in/passkey", {"answer": answer}))

    assert alone({"origin": "https://evil.test"}) == "/sign-in/passkey"
    assert alone({"origin": origin_of(world.globex)}) == "/sign-in/passkey"
    assert alone({"challenge": "AAAA"}) == "/sign-in/passkey"
    assert alone({"type": "webauthn.create"}) == "/sign-in/passkey"
    assert alone({}, organization=world.globex) == "/sign-in/passkey"
    authenticator.verifies = False
    assert alone({}) == "/sign-in/passkey"  # alone, the authenticator must look at who uses it
    authenticator.verifies = True
    forger = Authenticator(origin_of(acme), id=authenticator.id)
    assert alone({}, forger) == "/sign-in/passkey"
    assert alone({}) == "/"
    authenticator.count -= 2  # a copy that counts on from before
    assert alone({}) == "/sign-in/passkey"

    # Of another member's account it opens nothing.
    enrol(acme.neighbour.client)
    guest = Visitor(acme.anyone)
    guest.sign_in("neighbour")
    page, asking = guest.get("/sign-in/second-step"), guest.get("/sign-in/passkey")
    authenticator.count += 10
    answer = authenticator.sign(options_of(asking))
    assert send(guest, page, "/sign-in/second-step", {"answer": answer}).status == 422


# --- Being asked again ------------------------------------------------------------------------------------------------


def test_after_ten_minutes_it_is_asked_again_before_what_matters(acme: Organization) -> None:
    fresh, old = Visitor.signed_in(acme.owner), aged(acme.owner)
    assert fresh.get("/settings/new-gateway").status == 200
    assert old.get("/settings").status == 200
    for path in ("/settings/new-gateway", "/settings/second-factor", "/webhooks/new", "/sellers/new"):
        assert leads_to(old.get(path)).startswith("/account/proof?next=%2F"), path
    where = leads_to(old.get("/settings/new-gateway?kind=http"))
    page = old.get(where)
    assert page.status == 200
    wanted = unescape(re.findall(r'name="next" value="([^"]*)"', text_of(page))[0])
    wrong = old.submit(where, {"by": "password", "password": "wrong", "next": wanted})
    assert wrong.status == 422
    assert leads_to(old.get("/settings/new-gateway")).startswith("/account/proof")
    right = old.submit(where, {"by": "password", "password": PASSWORD, "next": wanted})
    assert leads_to(right) == "/settings/new-gateway?kind=http"
    assert old.get("/settings/new-gateway").status == 200


def test_a_form_that_was_open_too_long_is_kept_and_sent_after_the_proof(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    page = visitor.get("/settings/new-gateway")
    age(acme.owner, visitor.cookies[settings.SESSION_COOKIE_NAME])
    fields = {"name": "second", "kind": "simulator", "secret": "open sesame"}
    where = leads_to(send(visitor, page, "/settings/new-gateway", fields))
    assert where.startswith("/account/proof")
    with acme.context:
        assert not GatewaySettings.objects.exists()
    assert leads_to(visitor.submit(where, {"by": "password", "password": PASSWORD, "next": "/"})) == "/held"
    held = visitor.get("/held")
    assert "second" in shown(held)
    assert "open sesame" not in text_of(held)


def test_a_session_from_before_the_second_factor_must_show_it_where_it_matters(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)  # a moment ago, by the password
    secret, _codes = enrol(acme.member.client)
    where = leads_to(visitor.get("/account/security/app/remove"))
    page = visitor.get(where)
    assert 'name="password"' not in text_of(page)
    answer = visitor.submit(where, {"by": "password", "password": PASSWORD, "next": "/account/security/app/remove"})
    assert answer.status == 200  # asked for the code again
    assert leads_to(visitor.get("/account/security/app/remove")).startswith("/account/proof")
    assert visitor.submit(where, {"by": "code", "code": wrong_code(secret), "next": "/"}).status == 422
    answer = visitor.submit(where, {"by": "code", "code": code_of(secret), "next": "/account/security/app/remove"})
    assert leads_to(answer) == "/account/security/app/remove"
    assert leads_to(visitor.submit("/account/security/app/remove", {})) == "/account/security"
    assert not Totp.objects.exists()


def test_the_proof_leads_nowhere_else(acme: Organization) -> None:
    visitor = aged(acme.member)
    for wanted in ("//evil.test/", "https://evil.test/", "javascript:alert(1)"):
        answer = visitor.submit("/account/proof", {"by": "password", "password": PASSWORD, "next": wanted})
        assert leads_to(answer) == "/"


def test_the_admin_site_asks_again_before_it_changes_anything(world: World) -> None:
    visitor = aged(world.platform_admin)
    path = f"/admin/shared/user/{world.acme.member.user.pk}/change/"
    assert visitor.get(path).status == 200
    assert leads_to(visitor.submit(path, {"is_active": ""})).startswith("/account/proof?next=%2Fadmin%2F")
    world.acme.member.user.refresh_from_db()
    assert world.acme.member.user.is_active
    assert visitor.submit(path, {}, to="/admin/logout/").status == 200


# --- Required ---------------------------------------------------------------------------------------------------------


def here(person: Person) -> InProcess:
    """A browser at this process."""
    client = InProcess(headers={"host": person.client.host, "accept": "text/html"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    return client


@pytest.fixture
def strict(acme: Organization) -> Iterator[Organization]:
    OrganizationRow.objects.filter(pk=acme.row.pk).update(requires_second_factor=True)
    forget_routes()
    yield acme
    forget_routes()


def test_who_lacks_what_is_required_gets_nowhere_but_to_enrol(strict: Organization) -> None:
    client = here(strict.member)
    for path in ("/", "/sell", "/account/preferences", "/webhooks", "/ledger.csv"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/account/security"), path
    assert client.post("/sell/confirm", {"phone_number": "09121234567"}).status_code in (302, 405)
    page = client.get("/account/security")
    assert "A second factor is required here" in page.content.decode()
    assert client.get("/account/password").status_code == 200
    client.post("/account/security/app")
    page = client.get("/account/security/app").content.decode()
    (secret,) = re.findall(r"<code id=\"secret\"[^>]*>(\w+)</code>", page)
    assert client.post("/account/security/app", {"code": code_of(secret)}).status_code == 302
    assert client.get("/account/preferences").status_code == 200
    # The last one stays.
    client.post("/account/security/app/remove")
    assert "this is your last one" in client.get("/account/security").content.decode()
    assert Totp.objects.exists()
    # A session by the password alone must show it.
    answer = here(strict.member).get("/account/preferences")
    assert answer.headers["Location"] == "/account/proof?next=%2Faccount%2Fpreferences"


def test_platform_users_are_led_to_enrol_but_on_a_newcomers_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = here(world.platform_admin)
    assert client.get("/organizations").status_code == 200
    monkeypatch.setattr(settings, "EMBEDDED", False)
    client = here(world.platform_admin)
    assert client.get("/organizations").headers["Location"] == "/account/security"
    assert client.get("/admin/").headers["Location"].startswith("/admin/login/")
    assert client.get("/admin/login/").headers["Location"] == "/account/security"


def test_an_admin_requires_it_and_no_longer(acme: Organization) -> None:
    assert acme.owner.client.get("/settings").json["requires_second_factor"] is False
    visitor = Visitor.signed_in(acme.owner)
    assert leads_to(visitor.submit("/settings/second-factor", {"required": "on"})) == "/settings"
    assert OrganizationRow.objects.get(pk=acme.row.pk).requires_second_factor
    changed = acme.owner.client.patch("/settings", {"requires_second_factor": False})
    assert changed.json["requires_second_factor"] is False
    assert acme.owner.client.patch("/settings", {"requires_second_factor": "no"}).code == "invalid_request"
    assert acme.member.client.patch("/settings", {"requires_second_factor": True}).code == "permission_denied"
    assert [(action, by, before, after) for action, by, before, after in audit_of(acme) if "settings" in action] == [
        ("settings.changed", "owner", {"requires_second_factor": before}, {"requires_second_factor": after})
        for before, after in ((False, True), (True, False))
    ]
    assert Session.objects.exists()
