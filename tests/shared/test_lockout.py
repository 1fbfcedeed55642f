"""Guessing passwords: a few tries in a window, counted over all processes before the password is looked at."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone

from shared.errors import Throttled
from shared.identity import lockout
from shared.identity.realm import PLATFORM, Realm
from shared.models import SignInAttempts
from tests.support.client import Answer, Client
from tests.support.crowd import together
from tests.support.server import serving
from tests.support.world import PASSWORD, Organization, World

ALLOWED = lockout.ATTEMPTS_FROM_ONE_ADDRESS


def guess(client: Client, username: str, password: str = "wrong") -> Answer:
    return client.post("/auth/token", {"username": username, "password": password})


def lock(client: Client, username: str) -> None:
    """Uses up all tries, without the time that the passwords would take to look at."""
    realm = Realm(None, None)
    if client.host != "recharge.test":
        slug = client.host.split(".")[0]
        realm = Realm(1, slug)
    for _ in range(ALLOWED):
        lockout.count_attempt(realm=realm, username=username, address="127.0.0.1")


def assert_throttled(answer: Answer) -> None:
    assert (answer.status, answer.code) == (429, "throttled")
    assert 1 <= int(answer.headers["Retry-After"]) <= lockout.WINDOW_SECONDS


@pytest.mark.parametrize("username", ["member", "nobody"])
def test_of_many_guesses_at_once_only_the_allowed_ones_are_looked_at(username: str, acme: Organization) -> None:
    barrier = Barrier(32)

    def one(number: int) -> Answer:
        barrier.wait(20)
        return guess(acme.anyone, username, f"guess {number}")

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(one, range(32)))
    statuses = [answer.status for answer in answers]
    # Those that found no place to wait for their turn were not looked at, and are not counted.
    assert set(statuses) <= {401, 429, 503}
    assert 1 <= statuses.count(401) <= ALLOWED
    for answer in answers:
        if answer.status == 429:
            assert_throttled(answer)
    for _ in range(ALLOWED - statuses.count(401)):
        assert guess(acme.anyone, username).status == 401
    assert_throttled(guess(acme.anyone, username, PASSWORD))


def test_the_right_password_is_not_looked_at_while_the_name_is_locked(acme: Organization) -> None:
    lock(acme.anyone, "member")
    assert_throttled(guess(acme.anyone, "member", PASSWORD))


def test_a_lock_is_the_names_own(world: World, acme: Organization, globex: Organization) -> None:
    lock(acme.anyone, "member")
    assert_throttled(guess(acme.anyone, "member", PASSWORD))
    assert guess(acme.anyone, "neighbour", PASSWORD).status == 200
    assert guess(globex.anyone, "member", PASSWORD).status == 200
    assert guess(world.platform, "member").status == 401
    assert guess(world.platform, "root", PASSWORD).status == 200


def test_the_platforms_names_are_locked_too(world: World, acme: Organization) -> None:
    lock(world.platform, "root")
    assert_throttled(guess(world.platform, "root", PASSWORD))
    assert guess(acme.anyone, "root").status == 401


def test_a_live_token_is_not_hurt_by_somebody_who_guesses(acme: Organization) -> None:
    lock(acme.anyone, "member")
    assert acme.member.client.get("/balance").status == 200


@pytest.mark.parametrize("since", [timedelta(seconds=1), timedelta(hours=2)], ids=["just now", "long ago"])
def test_the_end_of_the_window_frees_the_name(since: timedelta, acme: Organization) -> None:
    lock(acme.anyone, "member")
    SignInAttempts.objects.update(window_ends_at=timezone.now() - since)
    assert guess(acme.anyone, "member").status == 401
    assert sorted(SignInAttempts.objects.values_list("attempts", flat=True)) == [1, 1]
    assert guess(acme.anyone, "member", PASSWORD).status == 200


def test_tries_do_not_lengthen_the_window(acme: Organization) -> None:
    lock(acme.anyone, "member")
    before = set(SignInAttempts.objects.values_list("window_ends_at", flat=True))
    assert_throttled(guess(acme.anyone, "member"))
    assert set(SignInAttempts.objects.values_list("window_ends_at", flat=True)) == before


def test_signing_in_forgets_the_tries_before(acme: Organization) -> None:
    for _ in range(ALLOWED - 1):
        lockout.count_attempt(realm=Realm(1, "acme"), username="member", address="127.0.0.1")
    assert guess(acme.anyone, "member", PASSWORD).status == 200
    assert SignInAttempts.objects.count() == 0


def test_a_name_in_another_writing_is_the_same_name(acme: Organization) -> None:
    lock(acme.anyone, "member")
    assert_throttled(guess(acme.anyone, "\uff4dember"))  # a full-width m (NFKC)


def test_many_addresses_share_the_tries_for_one_name() -> None:
    def attempt(number: int) -> None:
        lockout.count_attempt(realm=PLATFORM, username="root", address=f"192.0.2.{number}")

    for number in range(lockout.ATTEMPTS_FROM_ALL_ADDRESSES):
        attempt(number)
    with pytest.raises(Throttled) as throttled:
        attempt(200)
    assert 1 <= int(throttled.value.headers["Retry-After"]) <= lockout.WINDOW_SECONDS


def test_one_address_that_guesses_does_not_lock_the_owner_out_elsewhere() -> None:
    for _ in range(ALLOWED):
        lockout.count_attempt(realm=PLATFORM, username="root", address="192.0.2.1")
    with pytest.raises(Throttled):
        lockout.count_attempt(realm=PLATFORM, username="root", address="192.0.2.1")
    lockout.count_attempt(realm=PLATFORM, username="root", address="198.51.100.1")


def test_made_up_names_are_swept_away() -> None:
    for number in range(8):
        lockout.count_attempt(realm=PLATFORM, username=f"made-up-{number}", address="192.0.2.1")
    SignInAttempts.objects.update(window_ends_at=timezone.now() - timedelta(hours=2))
    for number in range(2):
        lockout.count_attempt(realm=PLATFORM, username=f"another-{number}", address="192.0.2.1")
    assert SignInAttempts.objects.count() == 4


def test_what_is_kept_names_nobody() -> None:
    lockout.count_attempt(realm=PLATFORM, username="root", address="192.0.2.1")
    assert not SignInAttempts.objects.filter(key__contains="root").exists()
    assert SignInAttempts.objects.filter(key__regex="^[0-9a-f]{64}$").count() == 2


# --- Whose tries they are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, "192.0.2.9"),
        (0, "203.0.113.1", "192.0.2.9"),  # no proxy is trusted: a client's word
        (1, None, "192.0.2.9"),
        (1, "", "192.0.2.9"),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "198.51.100.7, 203.0.113.1", "203.0.113.1"),  # what stands before is forged
        (1, "127.0.0.1,203.0.113.1", "203.0.113.1"),
        (1, " , 203.0.113.1 ,", "203.0.113.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (2, "203.0.113.1, 10.0.0.1", "203.0.113.1"),
        (2, "198.51.100.7, 203.0.113.1, 10.0.0.1", "203.0.113.1"),
        (2, "10.0.0.1", "192.0.2.9"),  # it did not come through both: the peer
    ],
)
def test_the_clients_address_is_what_the_outermost_trusted_proxy_saw(
    proxies: int, forwarded: str | None, address: str, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request: HttpRequest = RequestFactory().get("/", headers=headers, REMOTE_ADDR="192.0.2.9")
    assert lockout.client_address(request) == address


def test_a_forged_address_frees_nobody(acme: Organization) -> None:
    lock(acme.anyone, "member")
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        body = {"username": "member", "password": PASSWORD}
        assert_throttled(acme.anyone.post("/auth/token", body, headers={header: "203.0.113.1"}))


def test_many_right_sign_ins_at_once_are_at_worst_asked_to_come_again_in_a_second(world: World, tmp_path: Path) -> None:
    """More of them than the limit, all in flight before the first is through; none of them was wrong."""
    credentials = {"username": world.acme.member.username, "password": PASSWORD}
    with serving(tmp_path / "log", workers=4, threads=4) as server:
        client = Client(server.address, world.acme.host)
        answers = together([partial(client.post, "/auth/token", credentials)] * 32)
        waits = {answer.headers["Retry-After"] for answer in answers if answer.status != 200}
        assert {answer.status for answer in answers} <= {200, 429, 503}
        assert waits <= {"1"}
        assert client.post("/auth/token", credentials).status == 200
