"""What guessing passwords costs others: nothing of their tries, no thread for long, and one hash at a time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import check_password, make_password

from saas import settings as product
from shared.errors import BadCredentials, Throttled, Unavailable
from shared.identity import hashing
from shared.identity.lockout import (
    ATTEMPTS_FROM_ALL_ADDRESSES,
    ATTEMPTS_FROM_ONE_ADDRESS,
    ATTEMPTS_OVER_ALL_NAMES,
    FAILURES_OF_THE_PATIENT,
    WINDOW_SECONDS,
    count_attempt,
)
from shared.identity.realm import PLATFORM, Realm
from shared.identity.signing_in import authenticate
from shared.models import SignInAttempts, User
from tests.support.crowd import together
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World

STRANGER, HOME = "192.0.2.1", "198.51.100.1"


def fail(username: str, address: str, realm: Realm = PLATFORM, device: str = "") -> None:
    """A wrong password, without the time that it takes to look at it."""
    count_attempt(realm=realm, username=username, address=address, device=device).fail()


@contextmanager
def somebodys_turn() -> Iterator[None]:
    """Somebody else's password is being looked at."""
    hashing.turns.take(patience=0, is_known=False)
    try:
        yield
    finally:
        hashing.turns.give()


def refused(username: str, address: str, realm: Realm = PLATFORM) -> int:
    """After how many seconds a try that must be refused may be made again."""
    with pytest.raises(Throttled) as throttled:
        count_attempt(realm=realm, username=username, address=address)
    return int(throttled.value.headers["Retry-After"])


# --- By name, and by name and address ---------------------------------------------------------------------------------


def test_a_stranger_who_goes_on_and_on_does_not_lock_the_owner_out(world: World) -> None:
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        fail("root", STRANGER)
    for _ in range(3 * ATTEMPTS_FROM_ALL_ADDRESSES):
        assert refused("root", STRANGER) > 1
    # Over HTTP the owner comes from 127.0.0.1.
    assert world.platform.post("/auth/token", {"username": "root", "password": PASSWORD}).status == 200


def test_a_refused_try_is_counted_nowhere() -> None:
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        fail("root", STRANGER)
    before = sorted(SignInAttempts.objects.values_list())
    for _ in range(5):
        refused("root", STRANGER)
    assert sorted(SignInAttempts.objects.values_list()) == before


def test_what_is_refused_for_the_name_is_not_counted_against_the_address() -> None:
    for number in range(ATTEMPTS_FROM_ALL_ADDRESSES):
        fail("root", f"203.0.113.{number}")
    for _ in range(ATTEMPTS_OVER_ALL_NAMES + 1):
        assert refused("root", HOME) > 1
    count_attempt(realm=PLATFORM, username="other", address=HOME)


def test_a_password_that_was_not_looked_at_is_not_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "LONGEST_WAIT", 0.0)
    with somebodys_turn():
        for _ in range(ATTEMPTS_FROM_ONE_ADDRESS + 1):
            with pytest.raises(Unavailable, match="was not"):
                authenticate(realm=PLATFORM, username="root", password=PASSWORD, address=HOME)
    assert not SignInAttempts.objects.exists()
    assert authenticate(realm=PLATFORM, username="root", password=PASSWORD, address=HOME)


def test_posts_to_the_reset_page_do_not_block_anothers_mail(acme: Organization) -> None:
    realm = Realm(acme.row.pk, "acme")

    def ask(address: str) -> None:
        count_attempt(realm=realm, username="member", address=address, door="reset", is_failure=True)

    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        ask(STRANGER)
    for _ in range(ATTEMPTS_FROM_ALL_ADDRESSES + 1):
        with pytest.raises(Throttled) as throttled:
            ask(STRANGER)
        assert int(throttled.value.headers["Retry-After"]) > 1
    page = Visitor(acme.anyone).submit("/password-reset", {"username": "member"})
    assert page.status == 200


def test_resets_and_sign_ins_are_counted_apart(acme: Organization) -> None:
    realm = Realm(acme.row.pk, "acme")
    for username in ("member", "reset/member", "reset"):
        for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
            fail(username, HOME, realm)
    count_attempt(realm=realm, username="member", address=HOME, door="reset", is_failure=True)


# --- By address, over all names ---------------------------------------------------------------------------------------


def test_an_address_has_so_many_tries_over_all_names_of_all_hosts(world: World) -> None:
    realms = [PLATFORM, Realm(world.acme.row.pk, "acme"), Realm(world.globex.row.pk, "globex")]
    for number in range(ATTEMPTS_OVER_ALL_NAMES):
        fail(f"made-up-{number}", "127.0.0.1", realms[number % 3])
    for client in (world.platform, world.acme.anyone, world.globex.anyone):
        answer = client.post("/auth/token", {"username": "member", "password": PASSWORD})
        assert (answer.status, answer.code) == (429, "throttled")
        assert 1 < int(answer.headers["Retry-After"]) <= WINDOW_SECONDS
    assert Visitor(world.acme.anyone).sign_in("member").status == 422
    count_attempt(realm=PLATFORM, username="root", address=HOME)  # other addresses have theirs


def test_of_many_names_at_once_an_address_gets_its_limit_and_no_more() -> None:
    def attempt(number: int) -> None:
        count_attempt(realm=PLATFORM, username=f"made-up-{number}", address=STRANGER)

    results = together([partial(attempt, number) for number in range(ATTEMPTS_OVER_ALL_NAMES + 30)])
    assert [result for result in results if result is None] == [None] * ATTEMPTS_OVER_ALL_NAMES
    assert all(isinstance(result, Throttled) for result in results if result is not None)


def test_names_that_got_in_are_not_counted_against_their_address() -> None:
    """A hundred kiosks behind one address."""
    for number in range(2 * ATTEMPTS_OVER_ALL_NAMES):
        fail(f"kiosk-{number}", HOME)
        count_attempt(realm=PLATFORM, username=f"kiosk-{number}", address=HOME).forget()


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:0DB8:0001:0002::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_an_address_is_what_one_client_can_not_choose(first: str, second: str, is_one: bool) -> None:
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS):
        fail("root", first)
    if is_one:
        assert refused("root", second) > 1
    else:
        count_attempt(realm=PLATFORM, username="root", address=second)


# --- One hash at a time -----------------------------------------------------------------------------------------------


def test_a_process_hashes_one_password_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones, new ones, and those of nobody."""
    at_work, most = 0, 0
    counting = threading.Lock()

    def counted(original):  # type: ignore[no-untyped-def]
        def call(self, *arguments):  # type: ignore[no-untyped-def]
            nonlocal at_work, most
            with counting:
                at_work += 1
                most = max(most, at_work)
            try:
                return original(self, *arguments)
            finally:
                with counting:
                    at_work -= 1

        return call

    known = make_password(PASSWORD)
    for name in ("encode", "verify"):
        original = getattr(hashers.Argon2PasswordHasher, name)
        monkeypatch.setattr(hashers.Argon2PasswordHasher, name, counted(original))
    looks = [lambda: check_password(PASSWORD, known), lambda: make_password(PASSWORD), lambda: make_password("other")]
    assert all(together(looks * 4))
    assert most == 1


def test_who_waits_too_long_for_a_hash_is_told_to_come_again() -> None:
    known = make_password(PASSWORD)
    with somebodys_turn():
        for look in (lambda: check_password(PASSWORD, known), lambda: make_password(PASSWORD)):
            with hashing.waiting_at_most(0.01), pytest.raises(Unavailable) as refused:
                look()
            assert refused.value.headers == {"Retry-After": "1"}
    with hashing.waiting_at_most(0):
        assert check_password(PASSWORD, known)  # where nobody is before it, it need not wait
    assert hashing.LONGEST_WAIT == 1.0


def test_few_may_wait_and_one_place_is_kept_for_who_is_known() -> None:
    """Whoever finds no place is refused at once, and those who wait have their turns in order."""
    turns, done = hashing.Turns(), []

    def wait(name: str, *, is_known: bool) -> None:
        turns.take(patience=20, is_known=is_known)
        done.append(name)
        turns.give()

    turns.take(patience=0, is_known=False)
    with ThreadPoolExecutor(hashing.MOST_WAITING) as pool:
        for name, is_known in (("a", False), ("b", False), ("known", True)):
            before = turns.waiting
            pool.submit(wait, name, is_known=is_known)
            wait_until(lambda: turns.waiting == before + 1)  # noqa: B023 - it ends here
            if before:
                with pytest.raises(Unavailable):
                    turns.take(patience=20, is_known=False)
        with pytest.raises(Unavailable):
            turns.take(patience=20, is_known=True)
        turns.give()
    assert done == ["a", "b", "known"]
    assert turns.waiting == 0


@pytest.mark.parametrize(("seats", "places"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (50, 3)])
def test_hashing_leaves_seats_to_everybody_else(seats: int, places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing.turns, "places", hashing.MOST_WAITING)
    hashing.leave_seats(seats)
    assert hashing.turns.places == places


def test_an_address_that_was_often_wrong_holds_no_thread_by_waiting(world: World) -> None:
    for number in range(FAILURES_OF_THE_PATIENT):
        fail(f"made-up-{number}", STRANGER)
    with ThreadPoolExecutor(1) as pool, somebodys_turn():
        # A thread of its own, as a request has, while another one's password is looked at.
        patient = pool.submit(_sign_in, HOME)
        wait_until(lambda: hashing.turns.waiting == 1)
        for _ in range(3):
            with pytest.raises(Unavailable, match="was not"):
                _sign_in(STRANGER)
        assert not patient.done()
    assert patient.result() == "root"
    with pytest.raises(BadCredentials):
        authenticate(realm=PLATFORM, username="root", password="wrong", address=STRANGER)


def _sign_in(address: str) -> str:
    from django.db import connection

    try:
        return authenticate(realm=PLATFORM, username="root", password=PASSWORD, address=address).username
    finally:
        if threading.current_thread() is not threading.main_thread():
            connection.close()


def test_every_password_is_hashed_in_turn() -> None:
    assert product.PASSWORD_HASHERS == ["shared.identity.hashing.Argon2PasswordHasher"]
    assert all(isinstance(one, hashing.Argon2PasswordHasher) for one in hashers.get_hashers())
    assert hashing.Argon2PasswordHasher.memory_cost >= 100 * 1024
    assert User(password=make_password(PASSWORD)).password.startswith("argon2$")
    assert count_attempt(realm=PLATFORM, username="root", address=HOME).patience == hashing.LONGEST_WAIT
