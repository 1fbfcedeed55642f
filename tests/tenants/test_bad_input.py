"""What the platform's endpoints refuse: a clear 4xx each, and nothing is written, half an organization least of all."""

from collections.abc import Iterator

import pytest

from tests.support.bad_input import NOT_JSON, SOME_BODIES, SOME_CONTENT_TYPES, Refusal, cursor_of, invalid, table
from tests.support.client import Client
from tests.support.tables import nothing_written
from tests.support.world import PASSWORD, World

ADMIN = {"username": "owner", "password": PASSWORD}
GOOD = {"slug": "initech", "name": "Initech", "admin": ADMIN}


@pytest.fixture
def platform_admin(world: World) -> Iterator[Client]:
    """A platform admin; in the whole test nothing may be written."""
    with nothing_written():
        yield world.platform_admin.client


@pytest.mark.parametrize(
    ("slug", "code"),
    table(
        ("empty", "", "blank"),
        ("capitals", "Initech", "invalid_slug"),
        ("an underscore", "ini_tech", "invalid_slug"),
        ("a dot", "ini.tech", "invalid_slug"),
        ("a blank", "ini tech", "invalid_slug"),
        ("a slash", "ini/tech", "invalid_slug"),
        ("a leading hyphen", "-initech", "invalid_slug"),
        ("a trailing hyphen", "initech-", "invalid_slug"),
        ("an encoded name", "xn--initech", "invalid_slug"),
        ("Persian", "اینیتک", "invalid_slug"),
        ("Persian digits", "initech۱", "invalid_slug"),
        ("a quote", "ini'tech", "invalid_slug"),
        ("51 characters", "i" * 51, "too_long"),
        ("64 characters", "i" * 64, "max_length"),
        ("reserved", "www", "reserved_slug"),
        ("the platform's schema", "public", "reserved_slug"),
        ("a number", 5, "invalid"),
        ("null", None, "null"),
        ("a list", ["initech"], "invalid"),
    ),
)
def test_it_refuses_the_slug(platform_admin: Client, slug: object, code: str) -> None:
    invalid(("slug", code)).check(platform_admin.post("/organizations", GOOD | {"slug": slug}))


@pytest.mark.parametrize(
    ("change", "fault"),
    table(
        ("an empty name", {"name": ""}, ("name", "blank")),
        ("a name of 201 characters", {"name": "ن" * 201}, ("name", "max_length")),
        ("a name that is true", {"name": True}, ("name", "invalid")),
        ("a schema", {"schema_name": "public"}, ("schema_name", "unknown_field")),
        ("a status", {"status": "active"}, ("status", "unknown_field")),
        ("an admin that is null", {"admin": None}, ("admin", "null")),
        ("an admin that is a string", {"admin": "owner"}, ("admin", "invalid")),
        ("an admin that is a list", {"admin": [ADMIN]}, ("admin", "invalid")),
    ),
)
def test_it_refuses_the_field(platform_admin: Client, change: dict[str, object], fault: tuple[str, str]) -> None:
    invalid(fault).check(platform_admin.post("/organizations", GOOD | change))


@pytest.mark.parametrize(
    ("change", "fault"),
    table(
        ("a role", {"role": "seller"}, ("admin.role", "unknown_field")),
        ("an empty username", {"username": ""}, ("admin.username", "blank")),
        ("a username with a slash", {"username": "acme/owner"}, ("admin.username", "invalid")),
        ("a username of 151 characters", {"username": "o" * 151}, ("admin.username", "max_length")),
        ("a username that is a number", {"username": 7}, ("admin.username", "invalid")),
        ("a short password", {"password": "kJ8#xW"}, ("admin.password", "password_too_short")),
        ("a common password", {"password": "password123"}, ("admin.password", "password_too_common")),
        ("a password that is null", {"password": None}, ("admin.password", "null")),
        ("an address without an @", {"email": "owner"}, ("admin.email", "invalid")),
        ("an address that is a number", {"email": 5}, ("admin.email", "invalid")),
        ("an address that is true", {"email": True}, ("admin.email", "invalid")),
        ("an address that is null", {"email": None}, ("admin.email", "null")),
        ("an address of 255 characters", {"email": "o" * 243 + "@example.com"}, ("admin.email", "max_length")),
    ),
)
def test_it_refuses_the_admin(platform_admin: Client, change: dict[str, object], fault: tuple[str, str]) -> None:
    invalid(fault).check(platform_admin.post("/organizations", GOOD | {"admin": ADMIN | change}))


@pytest.mark.parametrize(
    ("body", "faults"),
    table(
        ("nothing", {}, [("slug", "required"), ("name", "required"), ("admin", "required")]),
        (
            "an admin of nothing",
            GOOD | {"admin": {}},
            [("admin.username", "required"), ("admin.password", "required")],
        ),
    ),
)
def test_it_names_what_is_missing(
    platform_admin: Client, body: dict[str, object], faults: list[tuple[str, str]]
) -> None:
    invalid(*faults).check(platform_admin.post("/organizations", body))


def test_it_refuses_a_slug_that_is_taken(platform_admin: Client) -> None:
    Refusal(409, "organization_exists").check(platform_admin.post("/organizations", GOOD | {"slug": "acme"}))


@pytest.mark.parametrize("path", ["/organizations", "/organizations/acme/suspend"])
@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
def test_it_refuses_the_body(platform_admin: Client, path: str, body: bytes, refusal: Refusal) -> None:
    refusal.check(platform_admin.request("POST", path, body=body))


@pytest.mark.parametrize("path", ["/organizations", "/organizations/acme/activate"])
@pytest.mark.parametrize("content_type", SOME_CONTENT_TYPES)
def test_it_refuses_the_content_type(platform_admin: Client, path: str, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    NOT_JSON.check(platform_admin.request("POST", path, body=b"{}", headers=headers))


@pytest.mark.parametrize(
    "slug",
    table(
        ("one that is not there", "initech"),
        ("capitals", "ACME"),
        ("NUL", "%00"),
        ("NUL behind", "acme%00"),
        ("Persian", "اینیتک"),
        ("no UTF-8", "%ff"),
        ("ten thousand characters", "a" * 10_000),
        ("a schema", "org_acme"),
        ("a quote", "acme'"),
    ),
)
def test_no_organization_is_at_a_bad_address(platform_admin: Client, slug: str) -> None:
    refusal = Refusal(404, "not_found")
    refusal.check(platform_admin.get(f"/organizations/{slug}"))
    refusal.check(platform_admin.post(f"/organizations/{slug}/suspend"))
    refusal.check(platform_admin.post(f"/organizations/{slug}/activate"))


QUERIES = table(
    ("a filter", "status=active", ("status", "unknown_parameter")),
    ("a cursor of sellers", f"cursor={cursor_of('seller<1')}", ("cursor", "invalid")),
)


@pytest.mark.parametrize(("query", "fault"), QUERIES)
def test_its_list_refuses_the_query(platform_admin: Client, query: str, fault: tuple[str, str]) -> None:
    invalid(fault).check(platform_admin.get(f"/organizations?{query}"))
