"""The second factor at the API: enrolling an app, signing in with its codes and recovery codes, and whom a strict
organization lets in."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection
from django.utils import timezone

from shared.identity.accounts import Account, account_of
from shared.identity.realm import Realm
from shared.models import Passkey, RecoveryCode, Totp, User
from shared.second_factor import services
from tenants.models import Organization as OrganizationRow
from tests.support import commands
from tests.support.client import Client
from tests.support.environment import database_at
from tests.support.factors import code_of, enrol, wrong_code
from tests.support.knowing import wait_until_every_process_knows
from tests.support.server import working_environment
from tests.support.world import PASSWORD, Organization, World, make_platform_user

ADDRESS = "192.0.2.1"


def sign_in(client: Client, username: str, **more: str):
    return client.post("/auth/token", {"username": username, "password": PASSWORD, **more})


def sign_in_when_let(client: Client, username: str, code: str) -> int:
    """The status, once it isn't 503: a process lets few hash a password at a time."""
    while (answer := sign_in(client, username, code=code)).status == 503:
        pass
    return answer.status


def audit_of(organization: Organization) -> list[tuple[str, str, dict | None, dict | None]]:
    with organization.context, connection.cursor() as cursor:
        cursor.execute("SELECT action, actor, before, after FROM credit_auditrecord ORDER BY id")
        return [
            (action, actor, before and json.loads(before), after and json.loads(after))
            for action, actor, before, after in cursor.fetchall()
        ]


@pytest.mark.parametrize("who", ["owner", "member", "platform admin"])
def test_an_app_is_enrolled_and_asked_for_from_then_on(world: World, who: str) -> None:
    acme = world.acme
    person = {"owner": acme.owner, "member": acme.member, "platform admin": world.platform_admin}[who]
    anyone = replace(person.client, token=None)
    begun = person.client.post("/second-factor/totp")
    assert begun.status == 201
    secret = begun.json["secret"]
    assert begun.json["uri"].startswith("otpauth://totp/")
    assert secret in begun.json["uri"]
    assert sign_in(anyone, person.username).status == 200  # it is not in force yet
    assert person.client.post("/second-factor/totp/confirm", {"code": wrong_code(secret)}).faults == {
        ("code", "wrong_code")
    }
    confirmed = person.client.post("/second-factor/totp/confirm", {"code": code_of(secret, steps=-1)})
    assert confirmed.status == 200
    assert len(set(confirmed.json["recovery_codes"])) == 10
    state = person.client.get("/second-factor").json
    assert (state["totp"], state["passkeys"], state["recovery_codes"]) == (True, 0, 10)

    # Nothing is told of it to who does not know the password.
    assert anyone.post("/auth/token", {"username": person.username, "password": "wrong"}).code == "bad_credentials"
    assert sign_in(anyone, person.username).code == "second_factor_required"
    assert sign_in(anyone, person.username, code="").code == "second_factor_required"
    assert sign_in(anyone, person.username, code=wrong_code(secret)).code == "bad_credentials"
    good = code_of(secret)
    assert sign_in(anyone, person.username, code=good).status == 200
    assert sign_in(anyone, person.username, code=good).code == "bad_credentials"  # once

    # Persian digits and blanks are read; a recovery code stands in once.
    spare = confirmed.json["recovery_codes"][0]
    assert sign_in(anyone, person.username, code=spare.upper().replace("-", " ")).status == 200
    assert sign_in(anyone, person.username, code=spare).code == "bad_credentials"

    assert person.client.post("/second-factor/totp").code == "second_factor_enrolled"
    assert person.client.post("/second-factor/totp/confirm", {"code": "123456"}).code == "second_factor_enrolled"
    assert person.client.request("DELETE", "/second-factor/totp", json={"code": good}).code == "invalid_request"
    spare = confirmed.json["recovery_codes"][1]
    assert person.client.request("DELETE", "/second-factor/totp", json={"code": spare}).status == 204
    assert sign_in(anyone, person.username).status == 200
    assert not RecoveryCode.objects.exists()
    # Nothing is there to be removed; and a try is no success.
    assert person.client.request("DELETE", "/second-factor/totp", json={"code": spare}).status == 400


def test_what_is_stored_gives_no_secret_away_and_what_was_done_is_written(acme: Organization) -> None:
    secret, codes = enrol(acme.member.client)
    stored = Totp.objects.get()
    assert secret not in stored.secret
    hashes = set(RecoveryCode.objects.values_list("code_hash", flat=True))
    assert not hashes & {code.replace("-", "") for code in codes}
    assert sign_in(acme.anyone, "member", code=codes[3]).status == 200
    renewed = acme.member.client.post("/second-factor/recovery-codes", {"code": codes[4]})
    assert renewed.status == 200
    assert not set(renewed.json["recovery_codes"]) & set(codes)
    assert sign_in(acme.anyone, "member", code=codes[5]).code == "bad_credentials"
    answer = acme.member.client.request("DELETE", "/second-factor/totp", json={"code": code_of(secret)})
    assert answer.status == 204
    written = audit_of(acme)
    assert [(action, actor) for action, actor, _before, _after in written if "second_factor" in action] == [
        ("second_factor.enrolled", "member"),
        ("second_factor.used_recovery_code", "member"),
        ("second_factor.used_recovery_code", "member"),
        ("second_factor.recovery_codes_made", "member"),
        ("second_factor.removed", "member"),
    ]
    assert written[1][3] == {"left": 9}
    for text in (secret, *codes, *(code.replace("-", "") for code in codes)):
        assert text not in str(written)


def test_a_code_that_is_refused_after_the_right_password_is_written(acme: Organization) -> None:
    secret, _codes = enrol(acme.member.client)
    assert sign_in(acme.anyone, "member", code=wrong_code(secret)).code == "bad_credentials"
    assert sign_in(acme.anyone, "member").code == "second_factor_required"  # it was not tried yet
    assert [row for row in audit_of(acme) if "sign_in" in row[0]] == [
        ("sign_in.refused", "", None, {"code": "wrong_code"})
    ]


def test_bad_input_is_refused_and_never_fails(acme: Organization) -> None:
    client = acme.member.client
    assert client.post("/second-factor/totp/confirm", {"code": "123456"}).status == 404  # none was begun with
    client.post("/second-factor/totp")
    for code in (None, 123456, "", "x" * 41, ["1"], True):
        assert client.post("/second-factor/totp/confirm", {"code": code}).code == "invalid_request", code
    for code in ("\u0661\u0662\u0663\u0664\u0665\u0666", "'; --", "۱۲۳", "²³¹²³¹", "\u200f123456"):
        assert client.post("/second-factor/totp/confirm", {"code": code}).code == "invalid_request", code
        assert sign_in(acme.anyone, "member", code=code).status == 200  # nothing is in force
    assert client.post("/second-factor/totp", {"secret": "mine"}).faults == {("secret", "unknown_field")}
    assert acme.anyone.post("/second-factor/totp").code == "not_authenticated"


# --- Codes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def enrolled(acme: Organization) -> tuple[services.Enrolment, Account]:
    realm = Realm(acme.row.pk, "acme")
    account = account_of(realm=realm, user_id=acme.member.user.pk)
    with acme.context:
        enrolment = services.begin_totp(account, realm=realm)
        services.confirm_totp(account, code=code_of(enrolment.secret, steps=-1))
    return enrolment, account


def is_right(acme: Organization, account, code: str) -> bool:
    with acme.context:
        return services.is_code_right(account, realm=Realm(acme.row.pk, "acme"), code=code, address=ADDRESS)


def test_a_clock_may_be_thirty_seconds_off_and_no_more(
    acme: Organization, enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment, account = enrolled
    now = time.time() + 3600
    monkeypatch.setattr(services, "_now", lambda: now)
    ahead = 3600 // 30
    for steps, is_good in ((-2, False), (2, False), (-1, True), (0, True), (1, True)):
        assert is_right(acme, account, code_of(enrolment.secret, steps=ahead + steps)) is is_good, steps
    # The newest was used: none before it is good any more.
    for steps in (-1, 0, 1):
        assert not is_right(acme, account, code_of(enrolment.secret, steps=ahead + steps))


def test_of_many_who_send_one_code_at_once_one_gets_in(acme: Organization) -> None:
    secret, _codes = enrol(acme.member.client)
    _secret, codes = enrol(acme.neighbour.client)
    for username, code in (("member", code_of(secret)), ("neighbour", codes[0])):
        with ThreadPoolExecutor(4) as pool:
            tries = [pool.submit(sign_in_when_let, acme.anyone, username, code) for _ in range(4)]
        assert sorted(one.result() for one in tries) == [200, 401, 401, 401]


def test_guessing_codes_is_locked_out_though_the_password_is_right(acme: Organization) -> None:
    secret, _codes = enrol(acme.member.client)
    wrong = wrong_code(secret)
    answers = [sign_in(acme.anyone, "member", code=wrong) for _ in range(6)]
    assert [answer.code for answer in answers] == ["bad_credentials"] * 5 + ["throttled"]
    assert int(answers[-1].headers["Retry-After"]) > 60
    # A right password forgets none of it, and the right code is not looked at either.
    assert sign_in(acme.anyone, "member").code == "second_factor_required"
    assert sign_in(acme.anyone, "member", code=code_of(secret)).code == "throttled"
    # Nor is there another door for it.
    answer = acme.member.client.request("DELETE", "/second-factor/totp", json={"code": wrong})
    assert answer.code == "throttled"
    assert sign_in(acme.anyone, "neighbour").status == 200


# --- Required ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(acme: Organization) -> Organization:
    OrganizationRow.objects.filter(pk=acme.row.pk).update(requires_second_factor=True)
    wait_until_every_process_knows()
    return acme


def test_who_lacks_what_is_required_may_only_enrol(acme: Organization, request: pytest.FixtureRequest) -> None:
    pairs = {person.username: sign_in(acme.anyone, person.username).json for person in (acme.owner, acme.member)}
    strict = request.getfixturevalue("strict")
    assert strict.owner.client.get("/second-factor").json["is_required"]
    for person in (strict.owner, strict.member):
        # Signed in now, and a refresh from before.
        pair = sign_in(strict.anyone, person.username).json
        refreshed = strict.anyone.post("/auth/token/refresh", {"refresh": pairs[person.username]["refresh"]}).json
        for token in (pair["access"], refreshed["access"]):
            limited = replace(person.client, token=token)
            assert limited.get("/me").status == 200
            for answer in (
                limited.get("/entries"),
                limited.get("/recharges"),
                limited.post("/recharges", {"phone_number": "09121234567", "amount": 5000}, key="k"),
                limited.post("/recharges/bulk", {"items": []}),
                limited.post("/sellers", {"name": "x", "username": "x", "password": PASSWORD}),
                limited.get("/balance"),
            ):
                assert (answer.status, answer.code) == (403, "second_factor_required")
        secret, codes = enrol(limited)
        # What was begun without it stays so: a stranger with the password may have begun it.
        renewed = strict.anyone.post("/auth/token/refresh", {"refresh": pair["refresh"]}).json
        for token in (pair["access"], renewed["access"]):
            assert replace(person.client, token=token).get("/entries").code == "second_factor_required"
        whole = sign_in(strict.anyone, person.username, code=code_of(secret)).json
        again = strict.anyone.post("/auth/token/refresh", {"refresh": whole["refresh"]}).json
        for token in (whole["access"], again["access"]):
            assert replace(person.client, token=token).get("/entries").status == 200
        # And the last one stays.
        answer = limited.request("DELETE", "/second-factor/totp", json={"code": codes[0]})
        assert (answer.status, answer.code) == (409, "last_second_factor")
        assert sign_in(strict.anyone, person.username).code == "second_factor_required"


def test_on_the_platform_a_program_signs_in_by_password_until_a_factor_is_enrolled(world: World) -> None:
    pair = sign_in(world.platform, "root").json
    root = replace(world.platform, token=pair["access"])
    assert root.get("/organizations").status == 200
    enrol(root)
    assert sign_in(world.platform, "root").code == "second_factor_required"


def test_who_was_switched_off_enrols_nothing(acme: Organization) -> None:
    User.objects.filter(pk=acme.member.user.pk).update(is_active=False)
    assert acme.member.client.post("/second-factor/totp").code == "seller_inactive"


# --- What the deployment check says -----------------------------------------------------------------------------------


def warned_of() -> str:
    said = {one.id: one.msg for one in run_checks(tags=["recharge"], include_deployment_checks=True)}
    return said.get("recharge.W002", "").partition(": ")[2]


def test_the_deployment_check_names_platform_users_without_a_second_factor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert warned_of() == ""  # on a newcomer's database none is required
    monkeypatch.setattr(settings, "EMBEDDED", False)
    watcher, begun, gone = (make_platform_user(name, "platform_auditor").user for name in ("watcher", "begun", "gone"))
    Totp.objects.create(user=begun, secret="x")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    enrol(world.platform_admin.client)
    assert warned_of() == "watcher, begun."
    Passkey.objects.create(user=watcher, credential_id=b"1", public_key=b"2", host="h", name="n")
    Totp.objects.filter(user=begun).update(confirmed_at=timezone.now())
    assert warned_of() == ""


def test_the_deployment_check_says_nothing_of_a_database_that_does_not_answer() -> None:
    environment = working_environment() | {
        **database_at("postgres://nobody@127.0.0.1:1/nothing"),
        "OWNER_DATABASE_URL": "",
        "RECHARGE_EMBEDDED": "false",
    }
    done = commands.run("check", "--deploy", environment=environment)
    assert done.returncode == 0, done.stderr
    assert "recharge.W" not in done.stderr
