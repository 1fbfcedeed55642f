"""Whoever is known is not locked out by strangers: a device that the account has signed in with, and an address."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import signing
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from shared.errors import Throttled
from shared.identity import devices, lockout
from shared.identity.devices import device_of, remember_device
from shared.identity.lockout import (
    ATTEMPTS_FROM_ALL_ADDRESSES,
    ATTEMPTS_FROM_ONE_ADDRESS,
    ATTEMPTS_OVER_ALL_NAMES,
    WINDOW_SECONDS,
    Door,
    count_attempt,
    look_at_secret,
    look_from_address,
)
from shared.identity.realm import PLATFORM, Realm
from shared.models import SignIn, SignInAttempts
from tests.support.client import Answer
from tests.support.visitor import Visitor
from tests.support.world import PASSWORD, Organization, World

HOME, STRANGER = "127.0.0.1", "192.0.2.1"


def realm(organization: Organization) -> Realm:
    return Realm(organization.row.pk, organization.row.slug)


def fail(username: str, address: str, in_realm: Realm = PLATFORM, device: str = "", door: Door = "sign-in") -> None:
    """A wrong try, without the time that a password takes."""
    count_attempt(realm=in_realm, username=username, address=address, device=device, door=door).fail()


def refused(username: str, address: str, in_realm: Realm = PLATFORM, device: str = "", door: Door = "sign-in") -> int:
    with pytest.raises(Throttled) as throttled:
        count_attempt(realm=in_realm, username=username, address=address, device=device, door=door)
    return int(throttled.value.headers["Retry-After"])


def use_up_name(username: str, in_realm: Realm = PLATFORM) -> None:
    """Strangers from everywhere guess until the name's limit is reached."""
    for number in range(ATTEMPTS_FROM_ALL_ADDRESSES):
        fail(username, f"203.0.113.{number}", in_realm)


def use_up_address(address: str) -> None:
    for number in range(ATTEMPTS_OVER_ALL_NAMES):
        fail(f"made-up-{number}", address)


# --- The cookie -------------------------------------------------------------------------------------------------------


def cookie_of(answer: Answer) -> str:
    (cookie,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith(f"{devices.COOKIE}=")]
    return cookie


def test_a_browser_that_has_signed_in_gets_in_whatever_strangers_do(acme: Organization, globex: Organization) -> None:
    known = Visitor(acme.anyone)
    cookie = cookie_of(known.sign_in("member"))
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=31536000"):
        assert attribute in cookie
    assert "Domain" not in cookie
    value = known.cookies[devices.COOKIE]
    use_up_name("member", realm(acme))
    use_up_name("neighbour", realm(acme))
    use_up_name("member", realm(globex))
    use_up_address(HOME)
    for visitor, username in (
        (Visitor(acme.anyone), "member"),  # a browser that was never here
        (Visitor(acme.anyone), "neighbour"),
        (Visitor(globex.anyone), "member"),
    ):
        assert visitor.sign_in(username).status == 422
    # The cookie is worth nothing for another account, nor in another organization.
    for organization, username in ((acme, "neighbour"), (globex, "member")):
        other = Visitor(organization.anyone)
        other.cookies[devices.COOKIE] = value
        assert other.sign_in(username).status == 422
    again = Visitor(acme.anyone)
    again.cookies[devices.COOKIE] = value
    assert again.sign_in("ｍember").status == 302  # the same name, however it is written
    again.cookies.pop(django_settings.SESSION_COOKIE_NAME)
    assert again.sign_in("member", "wrong").status == 422  # it was looked at
    assert again.sign_in("member").status == 302


def test_a_platform_admins_browser_is_known_too(world: World) -> None:
    at_admin, at_console = Visitor(world.platform), Visitor(world.platform)
    assert at_admin.sign_in_to_admin("root").status == 302
    assert at_console.sign_in("root").status == 302
    SignIn.objects.update(address="198.51.100.1")  # else it is the address that is known
    use_up_name("root")
    assert Visitor(world.platform).sign_in("root").status == 422
    for visitor in (at_admin, at_console):
        again = Visitor(world.platform)
        again.cookies[devices.COOKIE] = visitor.cookies[devices.COOKIE]
        assert again.sign_in_to_admin("root").status == 302


def test_a_known_device_guesses_no_more_than_an_address(acme: Organization) -> None:
    known = Visitor(acme.anyone)
    known.sign_in("member")
    device = signing.loads(known.cookies[devices.COOKIE], salt=devices._SALT)["device"]
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        fail("member", STRANGER, realm(acme), device)
    assert refused("member", HOME, realm(acme), device) > 1
    # Which locks out neither others nor another device.
    count_attempt(realm=realm(acme), username="member", address=STRANGER)
    count_attempt(realm=realm(acme), username="member", address=STRANGER, device="another")


def test_who_collects_devices_has_no_more_tries_than_one_name_has() -> None:
    for number in range(ATTEMPTS_FROM_ALL_ADDRESSES):
        fail("root", STRANGER, device=f"device {number}")
    assert refused("root", STRANGER, device="one more") > 1
    count_attempt(realm=PLATFORM, username="root", address=STRANGER)


def test_signing_in_at_a_device_forgets_what_was_counted_for_it(acme: Organization) -> None:
    device = "device"
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS - 1):
        fail("member", HOME, realm(acme), device)
    fail("member", STRANGER, realm(acme))
    before = set(SignInAttempts.objects.exclude(address_key="").values_list("key", "attempts"))
    count_attempt(realm=realm(acme), username="member", address=HOME, device=device).forget()
    assert set(SignInAttempts.objects.exclude(address_key="").values_list("key", "attempts")) == before
    assert SignInAttempts.objects.count() == 2


class Browser:
    """Keeps the cookie, without HTTP."""

    def __init__(self) -> None:
        self.value = ""

    def request(self, at: Realm) -> Any:
        request = RequestFactory().get("/")
        request.COOKIES[devices.COOKIE] = self.value
        request.realm = at  # type: ignore[attr-defined]
        return request

    def sign_in(self, at: Realm, username: str) -> None:
        response = HttpResponse()
        remember_device(self.request(at), response, username)
        self.value = response.cookies[devices.COOKIE].value

    def known_as(self, at: Realm, username: str) -> str:
        return device_of(self.request(at), username)


ACME, FORMER = Realm(1, "acme"), Realm(9, "acme")


def test_a_browser_is_known_to_each_account_that_signed_in_with_it() -> None:
    browser = Browser()
    assert not browser.known_as(ACME, "sara")
    browser.sign_in(ACME, "sara")
    device = browser.known_as(ACME, "sara")
    assert len(device) == 22
    browser.sign_in(ACME, "omid")
    browser.sign_in(PLATFORM, "sara")
    assert {browser.known_as(ACME, "sara"), browser.known_as(ACME, "omid")} == {device}
    assert not browser.known_as(FORMER, "sara")  # the slug was another organization's
    assert not browser.known_as(ACME, "Sara")
    for number in range(devices._MOST_ACCOUNTS - 1):
        browser.sign_in(ACME, f"cashier {number}")
    assert not browser.known_as(ACME, "omid")
    assert browser.known_as(ACME, "cashier 0") == device
    assert len(browser.value) < 500


def test_nobody_makes_a_device_of_his_own(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser()
    browser.sign_in(ACME, "sara")
    good = browser.value
    content = {"device": "x", "accounts": [devices._mark(ACME, "sara")]}
    forged = [
        "",
        "x",
        ":::",
        "\0",
        good[:-1],
        good[1:],
        json.dumps(content),
        signing.dumps(content),
        signing.dumps(content, key="x" * 50, salt=devices._SALT),
        signing.dumps("sara", salt="another"),
    ]
    for value in forged:
        browser.value = value
        assert not browser.known_as(ACME, "sara"), value
    # A year is long, and ends; a new SECRET_KEY does not end it while the former one is kept.
    browser.value = good
    monkeypatch.setattr(devices, "_SECONDS", -1)
    assert not browser.known_as(ACME, "sara")
    monkeypatch.undo()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "y" * 60, [settings.SECRET_KEY]
    assert browser.known_as(ACME, "sara")
    settings.SECRET_KEY_FALLBACKS = []
    assert not browser.known_as(ACME, "sara")


# --- The address, where there are no cookies --------------------------------------------------------------------------


@pytest.fixture
def sign_in_row(acme: Organization) -> SignIn:
    return SignIn.objects.create(
        user=acme.member.user,
        organization_id=acme.row.pk,
        address=HOME,
        expires_at=timezone.now() + timedelta(days=14),
    )


def test_an_address_with_a_sign_in_is_not_held_to_the_names_limit(acme: Organization, sign_in_row: SignIn) -> None:
    use_up_name("member", realm(acme))
    use_up_name("nobody", realm(acme))
    assert refused("member", STRANGER, realm(acme)) > 1
    assert refused("nobody", HOME, realm(acme)) > 1
    answer = acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD})
    assert answer.status == 200
    # Whoever shares the address guesses no further than its own limits let them.
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        fail("member", HOME, realm(acme))
    assert refused("member", HOME, realm(acme)) > 1
    assert refused("member", STRANGER, realm(acme)) > 1


def test_which_sign_ins_make_an_address_known(acme: Organization, globex: Organization, sign_in_row: SignIn) -> None:
    use_up_name("member", realm(acme))
    use_up_name("member", realm(globex))
    use_up_name("neighbour", realm(acme))
    count_attempt(realm=realm(acme), username="member", address=HOME).take_back()
    assert refused("member", HOME, realm(globex))
    assert refused("neighbour", HOME, realm(acme))
    for change in (
        {"revoked_at": timezone.now()},
        {"last_seen_at": timezone.now() - timedelta(days=31)},
        {"created_at": timezone.now() - timedelta(days=31)},
        {"organization_id": globex.row.pk},
        {"address": "127.0.0.2"},
        {"address": ""},
    ):
        before = {name: getattr(sign_in_row, name) for name in change}
        SignIn.objects.filter(pk=sign_in_row.pk).update(**change)
        assert refused("member", HOME, realm(acme)), change
        SignIn.objects.filter(pk=sign_in_row.pk).update(**before)
    count_attempt(realm=realm(acme), username="member", address=HOME)


def test_a_platform_users_address_is_known_likewise(world: World) -> None:
    use_up_name("root")
    assert refused("root", HOME) > 1
    expires_at = timezone.now() + timedelta(days=14)
    SignIn.objects.create(user=world.platform_admin.user, address=HOME, expires_at=expires_at)
    assert world.platform.post("/auth/token", {"username": "root", "password": PASSWORD}).status == 200


def test_a_known_address_is_held_to_its_limit_over_all_names(acme: Organization, sign_in_row: SignIn) -> None:
    use_up_address(HOME)
    use_up_name("member", realm(acme))
    assert refused("member", HOME, realm(acme)) > 1


# --- When to come again -----------------------------------------------------------------------------------------------


def move(seconds: int, **which: Any) -> None:
    """As if so much time had gone by."""
    for row in SignInAttempts.objects.filter(**which):
        row.window_ends_at -= timedelta(seconds=seconds)
        row.tried_at = row.tried_at and row.tried_at - timedelta(seconds=seconds)
        row.save()


def test_retry_after_is_when_all_that_refuse_are_open() -> None:
    """The address's oldest tries are over in a minute, the name's from it in a quarter of an hour: until then."""
    for number in range(ATTEMPTS_OVER_ALL_NAMES - ATTEMPTS_FROM_ONE_ADDRESS):
        fail(f"made-up-{number}", STRANGER)
    move(WINDOW_SECONDS - 60)
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        fail("root", STRANGER)
    assert 55 <= refused("other", STRANGER) <= 60
    wait = refused("root", STRANGER)
    assert WINDOW_SECONDS - 5 <= wait <= WINDOW_SECONDS
    move(wait - 1)
    assert refused("root", STRANGER) <= 5
    move(2)
    count_attempt(realm=PLATFORM, username="root", address=STRANGER)


def test_tries_under_way_are_worth_a_second_and_those_cut_off_the_whole_window() -> None:
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        count_attempt(realm=PLATFORM, username="root", address=STRANGER)
    assert refused("root", STRANGER) == 1
    move(60)  # nobody looks at a password for so long: the process was killed
    assert refused("root", STRANGER) > WINDOW_SECONDS - 70


# --- Other secrets ----------------------------------------------------------------------------------------------------


def test_a_right_password_forgets_no_wrong_code() -> None:
    def sign_in() -> bool:
        assert lockout.look_at_password(realm=PLATFORM, username="root", address=HOME, is_right=lambda: True)
        return look_at_secret(door="code", realm=PLATFORM, username="root", address=HOME, is_right=lambda: False)

    for _ in range(5):
        assert not sign_in()
    with pytest.raises(Throttled) as throttled:
        sign_in()
    assert 60 * 60 - 5 <= int(throttled.value.headers["Retry-After"]) <= 60 * 60


def test_codes_are_tried_less_often_from_everywhere() -> None:
    for number in range(20):
        fail("root", f"203.0.113.{number}", door="code")
    assert refused("root", STRANGER, door="code") > 1
    count_attempt(realm=PLATFORM, username="root", address=STRANGER)


def test_what_was_not_looked_at_is_not_counted() -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            look_at_secret(door="code", realm=PLATFORM, username="root", address=HOME, is_right=broken)
        with pytest.raises(ZeroDivisionError):
            look_from_address(door="key", address=HOME, is_right=broken)
    assert not SignInAttempts.objects.exists()


def test_a_secret_that_nobody_guesses_is_counted_for_the_address_alone() -> None:
    for _ in range(ATTEMPTS_OVER_ALL_NAMES):
        assert look_from_address(door="key", address=HOME, is_right=lambda: True)
    for _ in range(ATTEMPTS_OVER_ALL_NAMES):
        assert not look_from_address(door="key", address=STRANGER, is_right=lambda: False)
    with pytest.raises(Throttled):
        look_from_address(door="key", address=STRANGER, is_right=lambda: True)
    assert look_from_address(door="key", address=HOME, is_right=lambda: True)
    count_attempt(realm=PLATFORM, username="root", address=STRANGER)
