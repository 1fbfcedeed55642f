"""Settings as pages: operators and their amounts, gateways, the guard against slips."""

import re
from urllib.parse import quote

import pytest

from recharge.models import GatewaySettings, OperatorSettings, Settings
from recharge.pages.settings import GATEWAYS_SHOWN
from shared.money import LARGEST_AMOUNT as MOST
from shared.outbound.secrets import decrypt
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.locks import sell_pending, sell_through_sandbox
from tests.support.queries import queries_of
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor
from tests.support.world import Organization, give_credit

MARKUP = '"><script>alert(1)</script><img src=x>'
HTTP = {
    "name": "mci-direct",
    "url": "https://operator.example/topup",
    "key_id": "acme-1",
    "secret": " two words ",
    "connect_timeout_ms": "3000",
    "read_timeout_ms": "10000",
}

# What forms say.
NAME = "Use lower-case letters, digits, hyphens and underscores alone."
RESERVED = "This is the name of the gateway that is always there. Choose another name."
EXISTS = "A gateway of this name already exists. Choose another name."
URL = "Write an https:// address without a user, a password, a query or a fragment."
KEY = "Use letters, digits and signs of ASCII, without blanks."
UNCHOSEN = "Select a valid choice. nobody is not one of the available choices."
NO_LIST = "Write the amounts that are sold, one a line."
TWICE = "An amount is listed twice. Remove one of them."
NOT_DIGITS = "Write an amount in whole Tomans, in digits alone."
TOO_MANY = "More than 100 amounts. Write fewer."
ABOVE = "The minimum is above the maximum. Lower it, or raise the maximum."
TOO_LARGE = "This is more than can be sold or credited at once."
AS_LIST = {"gateway": "instant", "sold": "list"}
AS_RANGE = {"gateway": "instant", "sold": "range"}


@pytest.fixture
def admin(acme: Organization) -> Visitor:
    return Visitor.signed_in(acme.owner)


def text_of(answer: Answer) -> str:
    """What is read, without the markup."""
    body = re.sub(r"(?s)^.*<main", "<main", answer.body.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def errors_of(answer: Answer) -> dict[str, str]:
    """What a refused form says, by field; "" for what it says above them."""
    assert answer.status == 422, answer
    body = answer.body.decode()
    found = re.findall(r'(?s)class="field-errors" id="id_(\w+)_error"><div>(.*?)</div>', body)
    above = re.findall(r'(?s)class="alert alert-danger" role="alert"><div>(.*?)</div>', body)
    return dict(found) | ({"": above[0]} if above else {})


# --- The page ---------------------------------------------------------------------------------------------------------


def test_it_shows_all_that_is_settled(acme: Organization, admin: Visitor) -> None:
    with acme.context:
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="mci", gateway=gateway, amounts=[10_000, 20_000])
        OperatorSettings.objects.create(operator="irancell", least_amount=5_000)
        OperatorSettings.objects.create(operator="rightel", least_amount=5_000, most_amount=90_000)
        Settings.objects.create(pk=1, duplicate_window=120)
    page = admin.get("/settings")
    read = text_of(page)
    for shown in (
        "Hamrah-e Aval (MCI) sandbox 10,000 · 20,000",
        "Irancell (MTN) instant 5,000 or more",
        "RighTel instant 5,000 to 90,000",
        "ApTel instant any amount",
        "sandbox Simulator",
    ):
        assert shown in read
    assert 'value="120"' in page.body.decode()
    assert 'href="/webhooks"' in page.body.decode().split("<main")[1]


def test_an_operator_of_ones_own_is_added_and_then_sold(admin: Visitor, acme: Organization) -> None:
    added = admin.submit("/settings/new-operator", {"operator": "shatel", "name": "شاتل موبایل"})
    assert (added.status, added.headers["Location"]) == (302, "/settings/operators/shatel")
    assert "شاتل موبایل" in text_of(admin.get("/settings"))
    give_credit(acme.row, acme.member.id, 5000)
    sale = {"phone_number": "09981000000", "amount": 5000, "operator": "shatel"}
    answer = acme.member.client.post("/recharges", sale, headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.json["operator"]) == (201, "shatel")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"operator": "mci", "name": "Mine"}, "An operator of this code already exists"),
        ({"operator": "Shatel", "name": "Mine"}, "Use lower-case letters"),
        ({"operator": "", "name": "Mine"}, "Fill this in"),
        ({"operator": "shatel", "name": "ایرانسل"}, "An operator of this name already exists. Choose another name."),
        ({"operator": "shatel", "name": "a\u200bb"}, "an invisible character"),
    ],
)
def test_an_operator_that_will_not_do_is_refused(admin: Visitor, fields: dict[str, str], said: str) -> None:
    answer = admin.submit("/settings/new-operator", fields)
    assert answer.status in (409, 422)
    assert said in text_of(answer)


def test_a_code_that_is_taken_is_said_at_the_code(admin: Visitor) -> None:
    answer = admin.submit("/settings/new-operator", {"operator": "mci", "name": "Mine"})
    assert errors_of(answer) == {"operator": "An operator of this code already exists. Choose another code."}


def test_an_added_operator_is_renamed_and_a_built_in_one_is_not(acme: Organization, admin: Visitor) -> None:
    with acme.context:
        OperatorSettings.objects.create(operator="shatel", name="Shatel", amounts=[5000])
    path, sent = "/settings/operators/shatel", {"gateway": "instant", "sold": "list", "amounts": "5000"}
    assert 'name="name" value="Shatel"' in admin.get(path).body.decode()
    assert admin.submit(path, sent | {"name": "Shatel Mobile"}).status == 302
    with acme.context:
        row = OperatorSettings.objects.get()
        assert (row.name, row.amounts) == ("Shatel Mobile", [5000])
    taken = "An operator of this name already exists. Choose another name."
    assert errors_of(admin.submit(path, sent | {"name": "irancell"})) == {"name": taken}
    assert errors_of(admin.submit(path, sent | {"name": " "})) == {"name": "Fill this in."}
    assert 'name="name"' not in admin.get("/settings/operators/mci").body.decode()
    assert (
        admin.submit("/settings/operators/mci", {"gateway": "instant", "sold": "range", "name": "Mine"}).status == 302
    )


def test_without_gateways_it_says_what_to_do(admin: Visitor) -> None:
    assert "No gateway is set up yet" in text_of(admin.get("/settings"))


def test_gateways_are_paged(acme: Organization, admin: Visitor) -> None:
    with acme.context:
        for number in range(GATEWAYS_SHOWN + 1):
            GatewaySettings.objects.create(name=f"gateway-{number}", kind="instant")
    page = admin.get("/settings").body.decode()
    assert "gateway-1<" in page
    assert "gateway-0<" not in page
    (older,) = re.findall(r'rel="next" href="([^"]*)"', page)
    assert "gateway-0<" in admin.get("/settings" + older).body.decode()
    assert admin.get("/settings?cursor=nonsense").status == 400


def test_settings_are_for_the_organizations_admins(acme: Organization, globex: Organization) -> None:
    with acme.context:
        GatewaySettings.objects.create(name="sandbox", kind="simulator")
    paths = (
        "/settings",
        "/settings/duplicate-window",
        "/settings/new-gateway",
        "/settings/gateways/sandbox",
        "/settings/gateways/sandbox/delete",
        "/settings/operators/mci",
    )
    with nothing_written():
        for path in paths:
            assert Visitor.signed_in(acme.member).get(path).status == 404, path
            assert Visitor(acme.anyone).get(path).status == 302, path
            answer = Visitor.signed_in(acme.member).submit("/account/preferences", {"duplicate_window": "9"}, path)
            assert answer.status in (404, 405), path
        assert Visitor.signed_in(globex.owner).get("/settings/gateways/sandbox").status == 404
        assert Visitor.signed_in(acme.owner).post("/settings/duplicate-window", {"duplicate_window": "9"}).status == 403


def test_a_page_costs_few_queries(acme: Organization) -> None:
    with acme.context:
        for number in range(3):
            gateway = GatewaySettings.objects.create(name=f"gateway-{number}", kind="instant")
        for operator in ("mci", "irancell", "rightel"):
            OperatorSettings.objects.create(operator=operator, gateway=gateway)
    # The session, the account; what is settled, of whom too, and from which amount two people must agree; the operators
    # with their gateways, are they sold; the gateways; and whether it trains.
    assert len(queries_of(acme.owner, "/settings")) == 9
    assert len(queries_of(acme.owner, "/settings/operators/mci")) == 7
    # And by what one may prove who one is.
    assert len(queries_of(acme.owner, "/settings/gateways/gateway-1")) == 5
    assert len(queries_of(acme.owner, "/settings/new-gateway")) == 4


# --- The guard against slips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "window"), [("0", 0), ("180", 180), ("۱۲۰", 120), ("86400", 86_400), (" 60 ", 60)])
def test_the_window_is_changed(acme: Organization, admin: Visitor, written: str, window: int) -> None:
    answer = admin.submit("/settings", {"duplicate_window": written}, "/settings/duplicate-window")
    assert (answer.status, answer.headers["Location"]) == (302, "/settings")
    assert "from the next sale" in text_of(admin.get("/settings"))
    with acme.context:
        assert Settings.objects.get().duplicate_window == window


@pytest.mark.parametrize("written", ["-1", "86401", "1.5", "x", "\0", "9" * 5000, "1e3", "½"])
def test_a_window_that_is_none_is_refused(admin: Visitor, written: str) -> None:
    with nothing_written():
        answer = admin.submit("/settings", {"duplicate_window": written}, "/settings/duplicate-window")
    assert errors_of(answer) == {"duplicate_window": "Write a whole number from 0 to 86,400."}
    assert "Operators" in text_of(answer)


def test_a_window_is_needed(admin: Visitor) -> None:
    answer = admin.submit("/settings", {"duplicate_window": ""}, "/settings/duplicate-window")
    assert errors_of(answer) == {"duplicate_window": "Fill this in."}


# --- Gateways ---------------------------------------------------------------------------------------------------------


def test_an_http_gateway_is_set_up_and_its_secret_is_never_shown(acme: Organization, admin: Visitor) -> None:
    answer = admin.submit("/settings/new-gateway?kind=http", HTTP)
    assert (answer.status, answer.headers["Location"]) == (302, "/settings")
    assert "The gateway is set up" in text_of(admin.get("/settings"))
    with acme.context:
        row = GatewaySettings.objects.get(retired_at=None)
    assert (row.name, row.kind, row.url, row.key_id) == ("mci-direct", "http", HTTP["url"], "acme-1")
    assert (row.connect_timeout_ms, row.read_timeout_ms) == (3000, 10_000)
    assert decrypt(row.secret) == " two words "
    for path in ("/settings", "/settings/gateways/mci-direct"):
        assert "two words" not in admin.get(path).body.decode()
    refused = admin.submit("/settings/new-gateway?kind=http", HTTP | {"url": "nonsense"})
    assert "two words" not in refused.body.decode()


@pytest.mark.parametrize("kind", ["instant", "simulator"])
def test_other_kinds_need_a_name_alone(acme: Organization, admin: Visitor, kind: str) -> None:
    path = f"/settings/new-gateway?kind={kind}"
    assert 'name="secret"' not in admin.get(path).body.decode()
    assert admin.submit(path, {"name": "sandbox"}).status == 302
    with acme.context:
        assert GatewaySettings.objects.get(retired_at=None).kind == kind
    assert "nothing to change" in text_of(admin.get("/settings/gateways/sandbox"))


@pytest.mark.parametrize(
    ("change", "errors"),
    table(
        ("no name", {"name": ""}, {"name": "Fill this in."}),
        ("capitals", {"name": "MCI"}, {"name": NAME}),
        ("a line", {"name": "mci\n"}, {}),
        ("a slash", {"name": "a/b"}, {"name": NAME}),
        (
            "the built-in one",
            {"name": "instant"},
            {"name": RESERVED},
        ),
        (
            "current one",
            {"name": "sandbox"},
            {"": EXISTS},
        ),
        ("no address", {"url": ""}, {"url": "Fill this in."}),
        (
            "http",
            {"url": "http://operator.example"},
            {"url": URL},
        ),
        (
            "a query",
            {"url": "https://operator.example/?a=1"},
            {"url": URL},
        ),
        ("NUL", {"url": "https://operator.example/\0"}, {"url": "Null characters are not allowed."}),
        ("no secret", {"secret": ""}, {"secret": "Fill this in."}),
        (
            "a key id with a blank",
            {"key_id": "a b"},
            {"key_id": KEY},
        ),
        ("99 ms", {"connect_timeout_ms": "99"}, {"connect_timeout_ms": "Write a whole number from 100 to 15,000."}),
        ("15,001 ms", {"read_timeout_ms": "15001"}, {"read_timeout_ms": "Write a whole number from 100 to 15,000."}),
    ),
)
def test_what_is_wrong_with_a_gateway_is_said_at_its_field(
    acme: Organization, admin: Visitor, change: dict[str, str], errors: dict[str, str]
) -> None:
    with acme.context:
        GatewaySettings.objects.create(name="sandbox", kind="simulator")
    answer = admin.submit("/settings/new-gateway?kind=http", HTTP | change)
    if errors:
        assert errors_of(answer) == errors
    with acme.context:
        assert GatewaySettings.objects.count() == (1 if errors else 2)


@pytest.mark.parametrize("kind", ["", "nonsense", "%00", "HTTP"])
def test_there_are_three_kinds(admin: Visitor, kind: str) -> None:
    assert admin.get(f"/settings/new-gateway?kind={kind}").status == 404


def test_a_gateway_is_changed_and_keeps_its_secret(acme: Organization, admin: Visitor) -> None:
    admin.submit("/settings/new-gateway?kind=http", HTTP)
    path = "/settings/gateways/mci-direct"
    changed = {**HTTP, "url": "https://other.example", "key_id": "", "secret": "", "read_timeout_ms": "۵۰۰۰"}
    answer = admin.submit(path, changed)
    assert (answer.status, answer.headers["Location"]) == (302, path)
    with acme.context:
        row = GatewaySettings.objects.get(retired_at=None)
    assert (row.url, row.key_id, row.read_timeout_ms) == ("https://other.example", "", 5000)
    assert decrypt(row.secret) == " two words "
    admin.submit(path, changed | {"secret": "a new one"})
    with acme.context:
        assert decrypt(GatewaySettings.objects.get(retired_at=None).secret) == "a new one"
    with nothing_written():
        refused = admin.submit(path, changed | {"url": "http://plain.example"})
    assert list(errors_of(refused)) == ["url"]
    page = admin.get(path).body.decode()
    assert 'value="https://other.example"' in page


def test_a_gateway_is_deleted_once_nothing_needs_it(acme: Organization, admin: Visitor) -> None:
    path = "/settings/gateways/sandbox"
    give_credit(acme.row, acme.member.id, 5000)
    recharge_id = sell_pending(acme.row, acme.member.id)
    with nothing_written():
        answer = admin.submit(path, {}, f"{path}/delete")
    assert answer.headers["Location"] == path
    assert "still in use" in text_of(admin.get(path))
    # The question is asked without script, too.
    assert "Delete this gateway?" in text_of(admin.get(f"{path}/delete"))
    admin.submit("/settings/operators/telekish", {"gateway": "instant", "sold": "range"})
    admin.submit(path, {}, f"{path}/delete")
    assert "still in use" in text_of(admin.get(path))  # what was sold through it is under way
    admin.submit(
        f"/recharges/{recharge_id}",
        {"status": "failed", "reason": "no", "seen": "pending."},
        f"/recharges/{recharge_id}/resolve",
    )
    answer = admin.submit(path, {}, f"{path}/delete")
    assert answer.headers["Location"] == "/settings"
    assert "The gateway is deleted" in text_of(admin.get("/settings"))
    assert admin.get(path).status == 404
    # Sent again (a double click), it is gone as was asked for.
    assert admin.submit("/settings", {}, f"{path}/delete").headers["Location"] == "/settings"


@pytest.mark.parametrize("name", ["nobody", "%00", "é", "<script>", "x" * 3000, "%ED%A0%80"])
def test_a_made_up_gateway_is_not_there(admin: Visitor, name: str) -> None:
    for path in (f"/settings/gateways/{quote(name, safe='%')}", f"/settings/gateways/{quote(name, safe='%')}/delete"):
        assert admin.get(path).status in (400, 404)


# --- Operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "settled"),
    table(
        ("any", {"sold": "range"}, ([], 1, MOST)),
        ("a range", {"sold": "range", "least_amount": "5,000", "most_amount": "۲۰۰٬۰۰۰"}, ([], 5000, 200_000)),
        (
            "a list",
            {"sold": "list", "amounts": "20000\r\n\r\n ۱۰٬۰۰۰ \n5,000"},
            ([5000, 10_000, 20_000], 1, MOST),
        ),
        (
            "a list, with leftovers of a range",
            {"sold": "list", "amounts": "7", "least_amount": "5"},
            ([7], 1, MOST),
        ),
        (
            "a range, with leftovers of a list",
            {"sold": "range", "least_amount": "5", "amounts": "7"},
            ([], 5, MOST),
        ),
    ),
)
@pytest.mark.parametrize("before", [{}, {"amounts": [1, 2]}, {"least_amount": 3, "most_amount": 4}])
def test_what_is_sold_of_an_operator_is_changed(
    acme: Organization, admin: Visitor, before: dict, sent: dict[str, str], settled: tuple
) -> None:
    sell_through_sandbox(acme.row, "mci")
    with acme.context:
        OperatorSettings.objects.filter(operator="mci").update(**before)
    path = "/settings/operators/mci"
    answer = admin.submit(path, {"gateway": "instant", **sent})
    assert (answer.status, answer.headers["Location"]) == (302, "/settings")
    with acme.context:
        row = OperatorSettings.objects.get()
        assert (row.amounts, row.least_amount, row.most_amount) == settled
        assert row.gateway is None
    # What the form shows then, sent as it is, changes nothing.
    page = admin.get(path).body.decode()
    fields = dict.fromkeys(("least_amount", "most_amount", "amounts"), "")
    fields |= dict(re.findall(r'<input type="text" name="(\w+)" value="([^"]*)"', page))
    fields["amounts"] = re.findall(r"(?s)<textarea[^>]*>(.*?)</textarea>", page)[0]
    (fields["sold"],) = re.findall(r'name="sold" value="(\w+)"[^>]*checked', page)
    (fields["gateway"],) = re.findall(r'<option value="([^"]+)" selected', page)
    with nothing_written():
        assert admin.submit(path, fields).status == 302


def test_an_operator_gets_a_gateway(acme: Organization, admin: Visitor) -> None:
    with acme.context:
        GatewaySettings.objects.create(name="sandbox", kind="simulator")
    admin.submit("/settings/operators/mci", {"gateway": "sandbox", "sold": "range"})
    with acme.context:
        assert OperatorSettings.objects.get().gateway.name == "sandbox"


@pytest.mark.parametrize(
    ("sent", "errors"),
    table(
        ("nothing", {}, {"gateway": "Fill this in.", "sold": "Fill this in."}),
        ("no such gateway", {"gateway": "nobody", "sold": "range"}, {"gateway": UNCHOSEN}),
        ("an empty list", AS_LIST, {"amounts": NO_LIST}),
        ("twice", AS_LIST | {"amounts": "5\n5"}, {"amounts": TWICE}),
        ("words", AS_LIST | {"amounts": "5\nmany"}, {"amounts": NOT_DIGITS}),
        ("zero", AS_LIST | {"amounts": "0"}, {"amounts": "This must be at least 1 Toman."}),
        ("101 of them", AS_LIST | {"amounts": "\n".join(map(str, range(1, 102)))}, {"amounts": TOO_MANY}),
        ("NUL", AS_LIST | {"amounts": "\0"}, {"amounts": NOT_DIGITS}),
        ("least above most", AS_RANGE | {"least_amount": "9", "most_amount": "8"}, {"least_amount": ABOVE}),
        ("too much", AS_RANGE | {"most_amount": "1000000000001"}, {"most_amount": TOO_LARGE}),
    ),
)
def test_what_is_wrong_with_an_operator_is_said_at_its_field(
    admin: Visitor, sent: dict[str, str], errors: dict[str, str]
) -> None:
    with nothing_written():
        assert errors_of(admin.submit("/settings/operators/mci", sent)) == errors


def test_a_gateway_that_went_meanwhile_is_said(acme: Organization, admin: Visitor, monkeypatch) -> None:
    with acme.context:
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        path = "/settings/operators/mci"
        assert "sandbox" in admin.get(path).body.decode()
        gateway.delete()
    answer = admin.submit(path, {"gateway": "sandbox", "sold": "range"})
    assert list(errors_of(answer)) == ["gateway"]


@pytest.mark.parametrize("name", ["nobody", "MCI", "%00", "é", "%ED%A0%80"])
def test_a_made_up_operator_is_not_there(admin: Visitor, name: str) -> None:
    assert admin.get(f"/settings/operators/{quote(name, safe='%')}").status in (400, 404)


def test_stored_markup_is_text(acme: Organization, admin: Visitor) -> None:
    with acme.context:
        texts = {"url": MARKUP, "key_id": MARKUP}
        GatewaySettings.objects.create(name="direct", kind="http", secret="x", **texts)
    for path in ("/settings", "/settings/gateways/direct"):
        page = admin.get(path).body.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;" in page
