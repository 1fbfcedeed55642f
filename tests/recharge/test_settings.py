"""What an organization's admins settle: the guard's window, and gateways."""

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from recharge.delivery.settlement import settle_recharge
from recharge.models import GatewaySettings, OperatorSettings, Recharge, Settings
from shared.outbound.secrets import decrypt
from tests.support.bad_input import NOT_JSON, SOME_BODIES, SOME_CONTENT_TYPES, Refusal, invalid, table
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.locks import sell_pending, sell_through_sandbox
from tests.support.logs import ServerLog
from tests.support.tables import nothing_written
from tests.support.world import Organization, give_credit

HTTP = {"name": "bank", "kind": "http", "url": "https://bank.example/topup", "secret": "a secret of theirs"}
SIMULATOR = {"name": "sandbox", "kind": "simulator"}


# --- The window -------------------------------------------------------------------------------------------------------


REST = {
    "send_within": 900,
    "training": True,
    "four_eyes_from": None,
    "requests_go_to_parent": False,
    "requires_second_factor": False,
    "refuses_owing": False,
    "claim_hours": 24,
    "claim_days": 30,
    "receipts_by_sms": False,
    "numbers_kept_months": 0,
    "time_zone": "Asia/Tehran",
}


def test_there_is_no_guard_until_one_is_set(acme: Organization) -> None:
    assert acme.owner.client.get("/settings").json == REST | {"duplicate_window": 0}


@pytest.mark.parametrize("window", [0, 1, 86_400])
def test_the_window_is_set(acme: Organization, globex: Organization, window: int) -> None:
    assert acme.owner.client.patch("/settings", {"duplicate_window": 60}).json == REST | {"duplicate_window": 60}
    assert acme.owner.client.patch("/settings", {"duplicate_window": window}).json == REST | {
        "duplicate_window": window
    }
    assert acme.owner.client.patch("/settings", {}).json == REST | {"duplicate_window": window}
    assert acme.owner.client.get("/settings").json == REST | {"duplicate_window": window}
    assert globex.owner.client.get("/settings").json == REST | {"duplicate_window": 0}


def test_it_is_one_window_whoever_sets_it_at_once(acme: Organization) -> None:
    calls = [
        lambda seconds=seconds: acme.owner.client.patch("/settings", {"duplicate_window": seconds})
        for seconds in range(8)
    ]
    assert {answer.status for answer in together(calls)} == {200}
    with acme.context:
        assert Settings.objects.count() == 1


WHOLE_NUMBERS = table(
    ("negative", -1, "too_small"),
    ("too many", 86_401, "too_large"),
    ("beyond a bigint", 2**63, "too_large"),
    ("a float", 60.0, "not_an_integer"),
    ("a string", "60", "not_an_integer"),
    ("true", True, "not_an_integer"),
    ("null", None, "null"),
    ("a list", [60], "not_an_integer"),
    ("an object", {}, "not_an_integer"),
)


@pytest.mark.parametrize(("window", "code"), WHOLE_NUMBERS)
def test_it_refuses_a_window(acme: Organization, window: object, code: str) -> None:
    with nothing_written():
        answer = acme.owner.client.patch("/settings", {"duplicate_window": window})
    invalid(("duplicate_window", code)).check(answer)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Settings, {"id": 1, "duplicate_window": -1}),
        (Settings, {"id": 1, "duplicate_window": 86_401}),
        (Settings, {"id": 2}),
        (OperatorSettings, {"operator": "mci", "least_amount": 2, "most_amount": 1}),
        (OperatorSettings, {"operator": "mci", "least_amount": 0}),
        (OperatorSettings, {"operator": "mci", "most_amount": 10**12 + 1}),
        (GatewaySettings, {"name": "instant", "kind": "simulator"}),
    ],
    ids=str,
)
def test_the_database_refuses_it_too(acme: Organization, model: Any, values: dict[str, Any]) -> None:
    with acme.context, pytest.raises(IntegrityError, match="violates check constraint"), transaction.atomic():
        model.objects.create(**values)


# --- Gateways ---------------------------------------------------------------------------------------------------------


def create(organization: Organization, **fields: Any) -> Answer:
    answer = organization.owner.client.post("/gateways", fields)
    assert answer.status == 201, answer.json
    return answer


def test_a_gateway_is_set_up_and_its_secret_is_never_shown(acme: Organization) -> None:
    made = create(acme, **HTTP, key_id="acme-7", read_timeout_ms=12_000)
    assert made.json == {
        "name": "bank",
        "kind": "http",
        "url": "https://bank.example/topup",
        "key_id": "acme-7",
        "has_secret": True,
        "connect_timeout_ms": 3000,
        "read_timeout_ms": 12_000,
    }
    assert acme.owner.client.get("/gateways/bank").json == made.json
    assert acme.owner.client.get("/gateways").json["results"] == [made.json]


def test_its_secret_is_encrypted_in_the_database(acme: Organization) -> None:
    create(acme, **HTTP)
    with acme.context:
        stored = GatewaySettings.objects.get().secret
    assert HTTP["secret"] not in stored
    assert decrypt(stored) == HTTP["secret"]


def test_it_is_changed_one_thing_at_a_time(acme: Organization) -> None:
    made = create(acme, **HTTP).json
    owner = acme.owner.client
    changes: list[dict[str, Any]] = [
        {"url": "https://[2001:db8::7]:8443/x/y"},
        {"key_id": "k"},
        {"connect_timeout_ms": 100},
        {"read_timeout_ms": 15_000},
    ]
    for change in changes:
        made |= change
        assert owner.patch("/gateways/bank", change).json == made
    assert owner.patch("/gateways/bank", {"key_id": ""}).json == made | {"key_id": None}
    assert owner.patch("/gateways/bank", {"secret": " another "}).json == made | {"key_id": None}
    with acme.context:
        assert decrypt(GatewaySettings.objects.get(retired_at=None).secret) == " another "  # to the letter


def test_the_list_is_pages_newest_first(acme: Organization) -> None:
    for number in range(5):
        create(acme, **SIMULATOR | {"name": f"g{number}"})
    names, path = [], "/gateways?limit=2"
    while path:
        page = acme.owner.client.get(path.partition("/api/v1")[2] or path).json
        names += [row["name"] for row in page["results"]]
        path = page["next"]
    assert names == ["g4", "g3", "g2", "g1", "g0"]


def test_of_many_who_take_one_name_at_once_one_gets_it(acme: Organization) -> None:
    answers = together([lambda: acme.owner.client.post("/gateways", SIMULATOR)] * 6)
    assert (
        sorted((answer.status, answer.code or "") for answer in answers) == [(201, "")] + [(409, "gateway_exists")] * 5
    )


def test_the_log_says_who_changed_what_and_keeps_the_secret(acme: Organization, log: Path) -> None:
    server_log, owner = ServerLog(log), acme.owner.client

    def logged(event: str, answer: Answer, *fields: str) -> list[Any]:
        line = server_log.wait_for(event, answer.headers["X-Request-ID"])
        assert (line["organization"], line["by"]) == ("acme", "owner")
        return [line[field] for field in fields]

    assert logged("gateway_created", create(acme, **HTTP), "gateway", "kind") == ["bank", "http"]
    changed = owner.patch("/gateways/bank", {"secret": "another secret", "key_id": "k"})
    assert logged("gateway_changed", changed, "gateway", "changed") == ["bank", ["key_id", "secret"]]
    assert logged("gateway_deleted", owner.request("DELETE", "/gateways/bank"), "gateway") == ["bank"]
    assert logged("settings_changed", owner.patch("/settings", {"duplicate_window": 60}), "duplicate_window") == [60]
    assert logged("operator_changed", owner.patch("/operators/mci", {"amounts": [500]}), "amounts") == [[500]]
    assert "secret of theirs" not in server_log.text()
    assert "another secret" not in server_log.text()


REFUSED = table(
    ("no name", {"name": ...}, ("name", "required")),
    ("an empty name", {"name": ""}, ("name", "blank")),
    ("a name of 51 characters", {"name": "g" * 51}, ("name", "max_length")),
    ("a name in capitals", {"name": "Bank"}, ("name", "invalid")),
    ("a name with a blank", {"name": "my bank"}, ("name", "invalid")),
    ("a name with a slash", {"name": "my/bank"}, ("name", "invalid")),
    ("a name with a line feed inside", {"name": "my\nbank"}, ("name", "invalid")),
    ("a name in Persian digits", {"name": "bank۱"}, ("name", "invalid")),
    ("a name that begins with a hyphen", {"name": "-bank"}, ("name", "invalid")),
    ("a number for a name", {"name": 5}, ("name", "invalid")),
    ("the built-in gateway's name", {"name": "instant"}, ("name", "reserved")),
    ("no kind", {"kind": ...}, ("kind", "required")),
    ("no such kind", {"kind": "smtp"}, ("kind", "invalid_choice")),
    ("a list of kinds", {"kind": ["http"]}, ("kind", "invalid_choice")),
    ("no url", {"url": ...}, ("url", "required")),
    ("an empty url", {"url": ""}, ("url", "blank")),
    ("a number for a url", {"url": 5}, ("url", "invalid")),
    ("a url of 2,001 characters", {"url": "https://bank.example/" + "x" * 1980}, ("url", "max_length")),
    ("a url that is none", {"url": "bank.example"}, ("url", "invalid_url")),
    ("http without s", {"url": "http://bank.example/"}, ("url", "invalid_url")),
    ("a file", {"url": "file:///etc/passwd"}, ("url", "invalid_url")),
    ("no host", {"url": "https:///topup"}, ("url", "invalid_url")),
    ("a user", {"url": "https://user@bank.example/"}, ("url", "invalid_url")),
    ("a user and a password", {"url": "https://user:word@bank.example/"}, ("url", "invalid_url")),
    ("no user", {"url": "https://@bank.example/"}, ("url", "invalid_url")),
    ("a fragment", {"url": "https://bank.example/#top"}, ("url", "invalid_url")),
    ("a query", {"url": "https://bank.example/?key=7"}, ("url", "invalid_url")),
    ("an empty query", {"url": "https://bank.example/?"}, ("url", "invalid_url")),
    ("a backslash", {"url": "https://bank.example\\evil.example/"}, ("url", "invalid_url")),
    ("an empty fragment", {"url": "https://bank.example/#"}, ("url", "invalid_url")),
    ("a port that is none", {"url": "https://bank.example:x/"}, ("url", "invalid_url")),
    ("a port too high", {"url": "https://bank.example:65536/"}, ("url", "invalid_url")),
    ("port 0", {"url": "https://bank.example:0/"}, ("url", "invalid_url")),
    ("half an IPv6 address", {"url": "https://[::1/"}, ("url", "invalid_url")),
    ("a blank in it", {"url": "https://bank.example/a b"}, ("url", "invalid_url")),
    ("a line feed in it", {"url": "https://bank.example/\nHost: x"}, ("url", "invalid_url")),
    ("Persian in it", {"url": "https://بانک.example/"}, ("url", "invalid_url")),
    ("no secret", {"secret": ...}, ("secret", "required")),
    ("an empty secret", {"secret": ""}, ("secret", "blank")),
    ("a secret that is null", {"secret": None}, ("secret", "null")),
    ("a number for a secret", {"secret": 5}, ("secret", "invalid")),
    ("a secret of 1,025 characters", {"secret": "s" * 1025}, ("secret", "max_length")),
    ("a key id with a line feed", {"key_id": "a\r\nX-Admin: 1"}, ("key_id", "invalid")),
    ("a key id in Persian", {"key_id": "کلید"}, ("key_id", "invalid")),
    ("a key id of 101 characters", {"key_id": "k" * 101}, ("key_id", "max_length")),
    ("99 milliseconds", {"connect_timeout_ms": 99}, ("connect_timeout_ms", "too_small")),
    ("15,001 milliseconds", {"read_timeout_ms": 15_001}, ("read_timeout_ms", "too_large")),
    ("milliseconds as text", {"read_timeout_ms": "500"}, ("read_timeout_ms", "not_an_integer")),
    ("milliseconds as a float", {"connect_timeout_ms": 500.0}, ("connect_timeout_ms", "not_an_integer")),
    ("a simulator with a url", {"kind": "simulator"}, ("url", "not_of_this_kind")),
    (
        "an instant one with a secret",
        {"kind": "instant", "url": ...},
        ("secret", "not_of_this_kind"),
    ),
    (
        "an instant one with a key id",
        {"kind": "instant", "url": ..., "secret": ..., "key_id": "k"},
        ("key_id", "not_of_this_kind"),
    ),
    ("something else", {"surprise": 1}, ("surprise", "unknown_field")),
)


@pytest.mark.parametrize(("change", "fault"), REFUSED)
def test_it_refuses_a_gateway(acme: Organization, change: dict[str, Any], fault: tuple[str, str]) -> None:
    body = {name: value for name, value in (HTTP | change).items() if value is not ...}
    with nothing_written():
        answer = acme.owner.client.post("/gateways", body)
    invalid(fault).check(answer)


@pytest.mark.parametrize(
    ("change", "fault"),
    table(
        ("another name", {"name": "other"}, ("name", "unknown_field")),
        ("another kind", {"kind": "simulator"}, ("kind", "unknown_field")),
        ("an address without s", {"url": "http://bank.example/"}, ("url", "invalid_url")),
        ("an empty address", {"url": ""}, ("url", "blank")),
        ("no secret", {"secret": ""}, ("secret", "blank")),
        ("no time-out", {"read_timeout_ms": None}, ("read_timeout_ms", "null")),
    ),
)
def test_it_refuses_a_change(acme: Organization, change: dict[str, Any], fault: tuple[str, str]) -> None:
    create(acme, **HTTP)
    with nothing_written():
        answer = acme.owner.client.patch("/gateways/bank", change)
    invalid(fault).check(answer)


def test_a_simulator_gets_no_address(acme: Organization) -> None:
    create(acme, **SIMULATOR)
    answer = acme.owner.client.patch("/gateways/sandbox", {"url": "https://bank.example/"})
    invalid(("url", "not_of_this_kind")).check(answer)


@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
@pytest.mark.parametrize("call", ["POST /gateways", "PATCH /gateways/bank", "PATCH /settings", "PATCH /operators/mci"])
def test_it_refuses_the_body(acme: Organization, call: str, body: bytes, refusal: Refusal) -> None:
    create(acme, **HTTP)
    with nothing_written():
        refusal.check(acme.owner.client.request(*call.split(), body=body))


@pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
@pytest.mark.parametrize("call", ["POST /gateways", "PATCH /settings", "PATCH /operators/mci"])
def test_it_refuses_another_content_type(acme: Organization, call: str, content_type: str) -> None:
    answer = acme.owner.client.request(*call.split(), body=b"{}", headers={"Content-Type": content_type})
    NOT_JSON.check(answer)


@pytest.mark.parametrize("name", ["nowhere", "instant", "BANK", "bank%00", "%D8%A8", "x" * 3000])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_gateway_that_is_not_there_is_404(acme: Organization, method: str, name: str) -> None:
    create(acme, **HTTP)
    body = {} if method == "PATCH" else None
    answer = acme.owner.client.request(method, f"/gateways/{name}", json=body)
    assert (answer.status, answer.code) == (404, "not_found")


# --- Deleting one -----------------------------------------------------------------------------------------------------


def delete(organization: Organization, name: str = "sandbox") -> tuple[int, str | None]:
    answer = organization.owner.client.request("DELETE", f"/gateways/{name}")
    return answer.status, answer.code


def test_a_gateway_that_nothing_needs_is_deleted_and_its_name_is_free(acme: Organization) -> None:
    create(acme, **SIMULATOR)
    assert delete(acme) == (204, None)
    assert delete(acme) == (404, "not_found")
    create(acme, **SIMULATOR)


def test_a_gateway_that_an_operator_has_stays(acme: Organization) -> None:
    create(acme, **SIMULATOR)
    acme.owner.client.patch("/operators/mci", {"gateway": "sandbox"})
    with nothing_written():
        assert delete(acme) == (409, "gateway_in_use")
    acme.owner.client.patch("/operators/mci", {"gateway": None})
    assert delete(acme) == (204, None)


@pytest.mark.parametrize("told", ["", "unknown"], ids=["pending", "unknown"])
def test_a_gateway_through_which_something_is_under_way_stays(acme: Organization, told: str) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    recharge_id = sell_pending(acme.row, acme.member.id)
    if told:
        settle_recharge(organization=acme.row, recharge_id=recharge_id, status=Recharge.Status(told))
    acme.owner.client.patch("/operators/telekish", {"gateway": None})
    with nothing_written():
        assert delete(acme) == (409, "gateway_in_use")
    settle_recharge(organization=acme.row, recharge_id=recharge_id, status=Recharge.Status.SUCCEEDED)
    assert delete(acme) == (204, None)


def test_a_gateway_that_is_to_be_asked_once_more_stays(acme: Organization) -> None:
    """Its recharge has ended, and the gateway may change its mind."""
    give_credit(acme.row, acme.member.id, 10_000)
    recharge_id = sell_pending(acme.row, acme.member.id)
    settle_recharge(organization=acme.row, recharge_id=recharge_id, status=Recharge.Status.SUCCEEDED)
    acme.owner.client.patch("/operators/telekish", {"gateway": None})
    with acme.context:
        Recharge.objects.filter(pk=recharge_id).update(due_at="2999-01-01T00:00:00Z")
    assert delete(acme) == (409, "gateway_in_use")


def test_a_sale_that_has_read_its_gateway_is_waited_for(acme: Organization) -> None:
    """It has not committed, so that its recharge can't be seen, and its operator has another gateway by now."""
    give_credit(acme.row, acme.member.id, 10_000)
    sell_through_sandbox(acme.row)
    with transaction.atomic():
        recharge_id = sell_pending(acme.row, acme.member.id)
        assert acme.owner.client.patch("/operators/telekish", {"gateway": None}).status == 200
        assert delete(acme) == (503, "unavailable")
    assert delete(acme) == (409, "gateway_in_use")
    settle_recharge(organization=acme.row, recharge_id=recharge_id, status=Recharge.Status.SUCCEEDED)
    assert delete(acme) == (204, None)


def test_sales_go_on_after_a_deletion_that_gave_up(acme: Organization) -> None:
    create(acme, **SIMULATOR)
    give_credit(acme.row, acme.member.id, 10_000)
    with transaction.atomic(), acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT FROM recharge_recharge")
        answer = acme.owner.client.request("DELETE", "/gateways/sandbox")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert acme.member.sell(5000).status == 201
    assert delete(acme) == (204, None)
