"""An organization is written whole to a file, and made of it again, here under another slug or elsewhere."""

import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import closing
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.db import connection, transaction
from django_tenants.utils import tenant_context

from credit.models import AuditRecord as OwnRecord
from credit.models import Seller, WebhookEndpoint
from credit.services import create_api_key
from credit.webhooks.services import create_webhook
from recharge.models import GatewaySettings, Recharge
from recharge.reports.books import prove_books
from recharge.selling.queries import own_balance
from recharge.terms.services import create_gateway
from shared.models import ApiKey, Membership, Passkey, Totp, User
from shared.outbound.secrets import decrypt
from tenants import schemas
from tenants.keeping import sealed
from tenants.keeping.contents import IN_THE_HEAD, PUBLIC_ROWS, STAY_BEHIND, sequences_in, tables_in
from tenants.keeping.errors import BooksAreWrong, CanNotExport, CanNotImport, NotAnExport
from tenants.keeping.export import Exported, export_organization
from tenants.keeping.importing import Imported, import_organization
from tenants.keeping.sealed import SealedReader, SealedWriter
from tenants.models import AuditRecord, Domain, FormerSlug
from tenants.models import Organization as OrganizationRow
from tenants.schemas import Condition, make_tables, states_of, update_schema
from tenants.services import reserve_organization, suspend_organization
from tenants.tables import is_empty
from tenants.working_role import as_owner
from tests.browser.scenery import furnish
from tests.support import commands
from tests.support.client import Client
from tests.support.environment import database_at
from tests.support.schemas import PASSWORD, provision, run_sql
from tests.support.server import serving
from tests.support.waiting import wait_until
from tests.support.world import World, database_url, give_credit, make_person

PASSPHRASE = "a passphrase of the tests"
VARIABLE = {"RECHARGE_EXPORT_PASSPHRASE": PASSPHRASE}


def export(slug: str, file: Path) -> Exported:
    row = OrganizationRow.objects.get(slug=slug)
    return export_organization(organization=row, file=file, passphrase=PASSPHRASE)


def proved(row: OrganizationRow) -> list[Any]:
    return [fault for proof in prove_books([row]) for fault in proof.faults]


def take_in(file: Path, slug: str | None = None) -> Imported:
    return import_organization(file=file, passphrase=PASSPHRASE, prove=proved, slug=slug)


def query(statement: str, *values: Any) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def what_is_left_of(slug: str) -> list[str]:
    """Whatever an organization that is not there has left."""
    schema = f"org_{slug.replace('-', '_')}"
    left = [f"a row of {table}" for table in ("organization", "domain", "formerslug") if _names(table, slug)]
    if query("SELECT FROM pg_namespace WHERE nspname = %s", schema):
        left.append("the schema")
    if User.objects.filter(username__startswith=f"{slug}/").exists():
        left.append("users")
    there = set(OrganizationRow.objects.values_list("pk", flat=True))
    for model in (Membership, ApiKey):
        left += [f"{row}" for row in model.objects.exclude(organization_id__in=there)]
    return left


def _names(table: str, slug: str) -> bool:
    column, value = ("domain", f"{slug}.recharge.test") if table == "domain" else ("slug", slug)
    return bool(query(f"SELECT FROM tenants_{table} WHERE {column} = %s", value))


# --- What belongs to an organization ----------------------------------------------------------------------------------


def test_each_table_of_the_public_schema_has_a_rule() -> None:
    there = {
        name
        for (name,) in query(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
    }
    rules = [*PUBLIC_ROWS, *IN_THE_HEAD, *STAY_BEHIND]
    assert len(set(rules)) == len(rules)
    assert set(rules) == there


def test_each_table_of_a_schema_is_written_but_those_that_are_made_anew() -> None:
    there = {
        name
        for (name,) in query(
            "SELECT relname FROM pg_class WHERE relnamespace = 'org_acme'::regnamespace AND relkind IN ('r', 'p')"
        )
    }
    with connection.cursor() as cursor:
        tables = tables_in(cursor, "org_acme")
        sequences = sequences_in(cursor, "org_acme")
    anew = {
        "django_migrations",
        "installed_functions",
        "credit_accessepoch",
        "recharge_transition",
        "recharge_checkpoint",
        "recharge_provedaccount",
        "recharge_summedday",
        "recharge_daysum",
        "recharge_dayposting",
    }
    assert there - {table.name for table in tables} == anew
    counting = {
        name
        for (name,) in query(
            "SELECT relname FROM pg_class WHERE relnamespace = 'org_acme'::regnamespace AND relkind = 'S'"
        )
    }
    # Each counts for a column: so it is known by that.
    assert {f"{table}_{column}_seq" for table, column in sequences} == counting - {
        "django_migrations_id_seq",
        "recharge_transition_id_seq",
        "recharge_checkpoint_id_seq",
        "recharge_daysum_id_seq",
        "recharge_dayposting_id_seq",
    }


SELLERS = {"seller_id", "giver_id", "receiver_id", "parent_id", "switched_off_by"}


def test_each_number_that_names_something_is_known_to_be_a_users_or_of_the_schema_itself() -> None:
    own = {
        (table, column)
        for table, column in query(
            """
            SELECT relname, attname FROM pg_constraint
            INNER JOIN pg_class ON pg_class.oid = conrelid
            INNER JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
            WHERE connamespace = 'org_acme'::regnamespace AND contype IN ('f', 'p')
            """
        )
    }
    named = query(
        """
        SELECT relname, attname, format_type(atttypid, NULL) FROM pg_class
        INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relnamespace = 'org_acme'::regnamespace AND relkind = 'r'
            AND format_type(atttypid, NULL) IN ('bigint', 'uuid') AND (attname LIKE '%%\\_id' OR attname LIKE '%%\\_by')
        """
    )
    with connection.cursor() as cursor:
        tables = {table.name: table for table in tables_in(cursor, "org_acme")}
    unknown = set()
    for table, column, kind in named:
        if table not in tables or (table, column) in own or column in SELLERS:
            continue
        place = tables[table].columns.index(column)
        if kind == "uuid" and column in ("message_id", "adjustment_id"):
            continue  # rows of the schema, which keep their ids
        if place not in tables[table].users | tables[table].keys:
            unknown.add((table, column))
    assert unknown == set()
    assert tables["recharge_recharge"].users
    assert tables["recharge_recharge"].keys


def test_each_secret_is_known_to_be_encrypted() -> None:
    columns = query(
        """
        SELECT relname, attname FROM pg_class
        INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relnamespace = 'org_acme'::regnamespace AND attname LIKE '%%secret%%'
            AND format_type(atttypid, NULL) IN ('text', 'character varying')
        """
    )
    with connection.cursor() as cursor:
        tables = tables_in(cursor, "org_acme")
    encrypted = {(table.name, table.columns[place]) for table in tables for place in table.secrets}
    assert encrypted == set(columns) - {("credit_alertsettings", "sms_secret_header")}


# --- There and back ---------------------------------------------------------------------------------------------------


def contents_of(row: OrganizationRow, *, but: Callable[[Any], set[str]]) -> dict[str, list[tuple]]:
    with connection.cursor() as cursor:
        tables = tables_in(cursor, row.schema_name)
    return {
        table.name: sorted(
            query(f"SELECT {', '.join(_quoted(table, but(table)))} FROM {row.schema_name}.{table.name}"), key=repr
        )
        for table in tables
    }


def _quoted(table: Any, but: set[str]) -> list[str]:
    return [f'"{column}"::text' for column in table.columns if column not in but]


def what_changes(table: Any) -> set[str]:
    return {table.columns[place] for place in table.users | table.keys | table.secrets}


@pytest.mark.slow
def test_all_of_it_is_there_again_under_another_slug_beside_the_first(world: World, tmp_path: Path) -> None:
    people, ids = furnish(world)
    acme = world.acme.row
    with tenant_context(acme):
        # A secret that has others before it.
        endpoint = WebhookEndpoint.objects.get(pk=ids["webhook"])
        endpoint.previous_secret = f"{endpoint.secret} {endpoint.secret}"
        endpoint.save()
    key = ApiKey.objects.filter(organization_id=acme.pk, ended_at=None, seller_id=world.acme.member.id).get()
    sold = world.acme.member.sell(10_000)
    assert sold.status == 201
    new = {"name": "New", "username": "new", "password": PASSWORD}
    created = world.acme.owner.client.post("/sellers", new)
    assert created.status == 201
    written = export("acme", tmp_path / "acme.export")
    before = contents_of(acme, but=what_changes)

    made = take_in(tmp_path / "acme.export", "moved")
    row = made.organization
    assert (row.status, row.name, row.reconciliation_faults) == ("active", acme.name, 0)
    assert (made.rows, made.members, made.digest) == (written.rows, written.members, written.digest)
    assert contents_of(row, but=what_changes) == before
    assert states_of(["org_moved"])["org_moved"].condition is Condition.CURRENT
    assert commands.run("reconcile").returncode == 0
    # (The scenery has moved an entry after its statement was made: what is proved of the one is proved of the other.)
    proofs = [commands.run("prove_statements", "--organization", slug).stdout for slug in ("acme", "moved")]
    assert proofs[0].replace("acme", "moved") == proofs[1]
    assert "1 statements looked at" in proofs[1]

    # Ids are of this installation, and name the same people.
    names = dict(Membership.objects.filter(organization_id=row.pk).values_list("user_id", "username"))
    assert not names.keys() & set(Membership.objects.filter(organization_id=acme.pk).values_list("user_id", flat=True))
    with tenant_context(row):
        made_by = OwnRecord.objects.get(action="seller.created", object=created.json["id"])
        assert names[made_by.user_id] == made_by.actor == "owner"
        assert names[Recharge.objects.get(pk=sold.json["id"]).user_id] == "member"
        moved = WebhookEndpoint.objects.get(pk=ids["webhook"])
        assert [decrypt(one) for one in (moved.secret, *moved.previous_secret.split())] == [
            decrypt(endpoint.secret)
        ] * 3
        assert decrypt(GatewaySettings.objects.get(name="direct").secret) == "never shown"
    # What somebody has already got another id.
    assert made.keys[key.pk] != key.pk
    assert ApiKey.objects.get(pk=made.keys[key.pk]).secret_hash == key.secret_hash
    assert made.passkeys == 2
    support = User.objects.get(username="moved/support")
    assert decrypt(support.totp.secret) == decrypt(Totp.objects.get(user=people["support"].user).secret)
    assert Passkey.objects.filter(user=support).count() == 2
    assert support.recovery_codes.count() == 8

    # And it works: the same password, an own ledger, and no token of the first is good.
    host = Client(world.platform.address, "moved.recharge.test")
    wait_until(lambda: host.get("/me").status == 401, "the server knows the host")
    token = host.post("/auth/token", {"username": "member", "password": PASSWORD}).json["access"]
    member = Client(world.platform.address, "moved.recharge.test", token)
    balance = member.get("/balance").json["balance"]
    assert balance == world.acme.member.balance()
    body = {"phone_number": "09121234567", "amount": 10_000}
    assert member.post("/recharges", body, key="anew").status == 201
    assert world.acme.member.balance() == balance
    strange = Client(world.platform.address, "moved.recharge.test", world.acme.member.client.token)
    assert strange.get("/balance").status == 401
    assert commands.run("reconcile").returncode == 0
    record = AuditRecord.objects.filter(organization="moved").latest("pk")
    assert (record.action, record.after["slug"], record.after["sha256"]) == ("imported", "acme", written.digest)
    assert AuditRecord.objects.filter(organization="acme").latest("pk").action == "exported"


@pytest.fixture
def elsewhere(empty_database: str) -> dict[str, str]:
    """The environment of another installation: another database, another domain, another SECRET_KEY."""
    environment = {
        **database_at(empty_database),
        "SECRET_KEY": "of-another-installation-" * 3,
        "BASE_DOMAIN": "other.test",
        "RECHARGE_EMBEDDED": "1",
    } | VARIABLE
    done = commands.run("migrate_schemas", environment=environment)
    assert done.returncode == 0, done.stderr
    with closing(psycopg2.connect(empty_database)) as other, other, other.cursor() as cursor:
        # Its ids are others.
        cursor.execute("SELECT setval('tenants_organization_id_seq', 1000), setval('shared_user_id_seq', 2000)")
    return environment


@pytest.mark.slow
def test_another_installation_sells_on_with_its_own_key_and_domain(
    world: World, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "acme.export"
    acme, member = world.acme.row, world.acme.member
    give_credit(acme, member.id, 50_000)
    assert member.sell(10_000).status == 201
    with tenant_context(acme):
        create_webhook(
            organization=acme, seller_id=member.id, url="https://hooks.example/x", events=["recharge.failed"]
        )
        create_gateway(
            organization=acme, by="owner", name="direct", kind="http", url="https://op.example/", key_id="1",
            secret="of the operator, with blanks",
        )  # fmt: skip
        key, secret = create_api_key(
            organization=acme, seller_id=member.id, name="till", scopes=["read"], created_by="member",
            allowed_addresses=[],
        )  # fmt: skip
    make_person(acme, "boss")
    done = commands.run("organization", "export", "acme", str(file), environment=VARIABLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    done = commands.run("organization", "import", str(file), environment=elsewhere)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "acme is active at acme.other.test" in done.stdout
    assert "API key" not in done.stdout, "its id is nobody's there"

    with serving(tmp_path / "log", workers=1, environment=dict(os.environ) | elsewhere) as server:
        host = Client(server.address, "acme.other.test")
        token = host.post("/auth/token", {"username": "member", "password": PASSWORD}).json["access"]
        moved = Client(server.address, "acme.other.test", token)
        assert moved.get("/balance").json["balance"] == 40_000
        assert moved.post("/recharges", {"phone_number": "09121234567", "amount": 15_000}, key="1").status == 201
        assert Client(server.address, "acme.other.test", member.client.token).get("/balance").status == 401
        body = {"grant_type": "client_credentials", "client_id": str(key.pk), "client_secret": secret}
        program = Client(server.address, "acme.other.test", host.post("/auth/token", body).json["access"])
        assert program.get("/balance").status == 200
        boss = host.post("/auth/token", {"username": "boss", "password": PASSWORD}).json["access"]
        admin = Client(server.address, "acme.other.test", boss)
        new = admin.post("/sellers", {"name": "New", "username": "new", "password": PASSWORD})
        assert new.status == 201
        assert new.json["id"] > world.acme.neighbour.id
    assert commands.run("reconcile", environment=elsewhere).returncode == 0
    shown = (
        "from django_tenants.utils import schema_context\n"
        "from recharge.models import GatewaySettings\n"
        "from credit.models import WebhookEndpoint\n"
        "from shared.outbound.secrets import decrypt\n"
        "with schema_context('org_acme'):\n"
        "    print(decrypt(GatewaySettings.objects.get(name='direct').secret))\n"
        "    print(decrypt(WebhookEndpoint.objects.get().secret))\n"
    )
    done = commands.run("shell", "--command", shown, environment=elsewhere)
    with tenant_context(acme):
        signing = decrypt(WebhookEndpoint.objects.get().secret)
    assert done.stdout.splitlines()[-2:] == ["of the operator, with blanks", signing], done.stderr
    again = commands.run("organization", "import", str(file), environment=elsewhere)
    assert again.returncode == 1
    assert "There is an organization 'acme' already" in again.stderr


# --- Files that are none ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The file of an organization that is gone again."""
    row = provision("small")
    give_credit(row, make_person(row, "kiosk", is_seller=True).id, 5000)
    file = tmp_path / "small.export"
    export("small", file)
    return file


_written: list[bytes] = []


@pytest.fixture
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Such a file, which was written once for all tests that spoil one."""
    if not _written:
        small: Path = request.getfixturevalue("small")
        _written.append(small.read_bytes())
    file = tmp_path / "written.export"
    file.write_bytes(_written[0])
    return file


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is made once of a passphrase and a file's salt: it takes a core's 0.4 s, and tests open a file often."""
    monkeypatch.setattr(sealed, "_cipher_of", _cipher_of)


_cipher_of = cache(sealed._cipher_of)


def refused(file: Path, slug: str = "new", passphrase: str = PASSPHRASE) -> str:
    """Why a file is refused; nothing of it must be there."""
    with pytest.raises((NotAnExport, CanNotImport, BooksAreWrong)) as caught:
        import_organization(file=file, passphrase=passphrase, prove=proved, slug=slug)
    assert what_is_left_of(slug) == []
    return str(caught.value)


def test_another_passphrase_opens_nothing(small: Path) -> None:
    assert "passphrase" in refused(small, passphrase="another one of the tests")


def test_no_byte_can_be_changed_left_out_or_added(written: Path) -> None:
    whole = written.read_bytes()
    first_line = whole.index(b"\n") + 1
    frame = first_line + 5 + int.from_bytes(whole[first_line + 1 : first_line + 5], "big")
    next_frame = frame + 5 + int.from_bytes(whole[frame + 1 : frame + 5], "big")
    ways = {
        "its last byte is missing": whole[:-1],
        "it ends after a frame": whole[:next_frame],
        "it ends after its first line": whole[:first_line],
        "a frame is missing": whole[:frame] + whole[next_frame:],
        "a frame is there twice": whole[:next_frame] + whole[frame:],
        "a bit of the first line is another one": whole[: first_line - 2] + b"0" + whole[first_line - 1 :],
        "a bit in its middle is another one": _with_another_bit(whole, len(whole) // 2),
        "a frame says that it is the last": whole[:frame] + b"\1" + whole[frame + 1 :],
        "something is added": whole + b"x",
        "it is empty": b"",
        "it is something else": b"PGDMP" + whole,
        "a newer release wrote it": whole.replace(b"organization 1/", b"organization 2/", 1),
        "its first line is not one": whole.replace(b"organization 1/", b"organization 1/xx", 1),
    }
    for way, content in ways.items():
        assert content != whole or way.startswith("a bit of the first"), way
        written.write_bytes(content)
        if content != whole:
            assert refused(written), way
    written.write_bytes(whole)
    assert take_in(written, "new").organization.status == "active"


def _with_another_bit(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def rewrite(file: Path, change: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes] | None]) -> None:
    """Has a file say something else, as whoever knows the passphrase can."""
    frames = []
    for content in SealedReader(BytesIO(file.read_bytes()), PASSPHRASE).frames():
        head, _, body = content.partition(b"\n")
        if changed := change(json.loads(head), body):
            frames.append(changed)
    with file.open("wb") as writing:
        writer = SealedWriter(writing, PASSPHRASE)
        for number, (head, body) in enumerate(frames, 1):
            writer.write(json.dumps(head).encode() + b"\n" + body, is_last=number == len(frames))


def changed(kind: str, of: str | None = None, /, **members: Any) -> Callable[[dict[str, Any], bytes], Any]:
    """A frame of a kind (and of a table) says something else; a function is asked what."""

    def change(head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        if head["type"] == kind and of in (None, head.get("table")):
            head |= {name: value(head[name]) if callable(value) else value for name, value in members.items()}
        return head, body

    return change


def with_rows(body: bytes) -> Callable[[dict[str, Any], bytes], Any]:
    """All rows of the schema are these."""
    return lambda head, there: (head, body if head["type"] == "data" else there)


def standing_at(value: int) -> Callable[[dict[str, Any], bytes], Any]:
    """All sequences stand there."""
    return changed("end", sequences=lambda all: [[table, column, value, called] for table, column, _, called in all])


def with_moments(table: str, moment: bytes) -> Callable[[dict[str, Any], bytes], Any]:
    """All moments of a table of the schema are this one."""
    tables = []

    def change(head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        if head["type"] == "table":
            tables.append(head["table"])
        if head["type"] == "data" and tables[-1] == table:
            body, count = re.subn(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00", moment, body)
            assert count
        return head, body

    return change


def each(**members: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: [row | members for row in rows]


REFUSED = {
    "a newer release wrote other things": (changed("organization", version=2), "in another form"),
    "a newer release had other migrations": (
        changed("organization", migrations=lambda names: [*names, "credit.9999_later"]),
        "credit.9999_later is not known here",
    ),
    "an older release, which had fewer columns": (
        changed("organization", migrations=lambda names: [one for one in names if one < "recharge.0015"]),
        "another one than its migrations make",
    ),
    "users have a column more": (changed("rows", "shared_user", rows=each(later=1)), "has no later here"),
    "a user is somebody else's": (changed("rows", "shared_membership", rows=each(user_id=1)), "who is not in it"),
    "a role that there is not": (changed("rows", "shared_membership", rows=each(role="king")), "refuses"),
    "rows of the platform": (changed("rows", "shared_user", table="tenants_auditrecord"), "no organization's"),
    "a table more": (changed("table", "credit_policy", table="django_migrations"), "another one"),
    "a table twice": (changed("table", "credit_policy", table="credit_account"), "another one"),
    "a table less": (
        lambda head, body: None if head.get("table") == "credit_policy" else (head, body),
        "something of an unknown kind",
    ),
    "a column more": (changed("table", "credit_account", columns=lambda names: [*names, "x"]), "another one"),
    "fewer rows than it says": (changed("table_end", rows=lambda rows: rows + 1), "It says"),
    "rows with too few values": (with_rows(b"1\n"), "not one value|refuses"),
    "rows that are no rows": (with_rows(b"\xff\n"), "refuses|not one value"),
    "no sequences": (changed("end", sequences=[]), "where each sequence stood"),
    "something unknown": (changed("end", type="later"), "unknown kind"),
    "no slug": (changed("organization", slug=5), "lacks 'slug'"),
    "a name that is too long": (changed("organization", name="x" * 201), "too long"),
    "a name that is no text": (changed("organization", name="a\0b"), "'name' is not what it should be"),
    "a name of half a character": (changed("organization", name="\ud800"), "'name' is not what it should be"),
    "a status that there is not": (changed("organization", status="closed"), "damaged"),
    "a moment that is none": (changed("organization", created_at="yesterday"), "damaged"),
    "a moment that never was": (changed("organization", created_at="2026-13-01T00:00:00Z"), "not what it should be"),
    "a moment of no zone": (changed("organization", created_at="2026-01-01T00:00:00"), "damaged"),
    "hosts that are none": (changed("organization", domains=[5]), "'domains' is not what it should be"),
    "migrations that are none": (changed("organization", migrations=[{}]), "'migrations' is not what it should be"),
    "a frame that is no object": (lambda head, body: ([head], body), "lacks 'type'"),
    "a user who is no object": (changed("rows", "shared_user", rows=[5]), "A row of shared_user is none"),
    "a user without an id": (changed("rows", "shared_user", rows=each(id=None)), "lacks 'id'"),
    "a member of a list of users": (changed("rows", "shared_membership", rows=each(user_id=[1])), "lacks 'user_id'"),
    "columns that are none": (changed("table", "credit_account", columns=lambda names: [*names[1:], {}]), "'columns'"),
    "sequences that are none": (changed("end", sequences=[5]), "where each sequence stood"),
    "a sequence below all": (standing_at(-5), "where none can"),
    "a sequence at its end": (standing_at(2**63 - 1), "where none can"),
    "a sequence beyond all": (standing_at(10**30), "where none can"),
    "no end": (lambda head, body: None if head.get("type") == "end" else (head, body), "lacks its end"),
    "nothing but the first frame": (
        lambda head, body: (head, body) if head.get("type") == "organization" else None,
        "lacks its end",
    ),
    "no migrations": (changed("organization", migrations=[]), "has no tables"),
    "an organization of long ago": (changed("organization", created_at="0001-01-01T00:00:00+14:00"), "can't be of"),
    "an organization that is to come": (changed("organization", created_at="2300-01-01T00:00:00Z"), "can't be of"),
    "a user of long ago": (
        changed("rows", "shared_user", rows=each(date_joined="0044-03-15 00:00:00+00 BC")),
        "moment",
    ),
    "a member of long ago": (
        changed("rows", "shared_membership", rows=each(created_at="0044-03-15 00:00:00+00 BC")),
        "moment",
    ),
    "sellers of long ago": (with_moments("credit_seller", b"0044-03-15 00:00:00+00 BC"), "moment"),
    "sellers for ever": (with_moments("credit_seller", b"infinity"), "moment"),
    "a balance that is another one": (
        lambda head, body: (head, body.replace(b"\t5000\t", b"\t6000\t")),
        "The books in the file are wrong",
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_can_not_be_imported_is_refused_and_leaves_nothing(way: str, written: Path) -> None:
    change, reason = REFUSED[way]
    rewrite(written, change)
    said = refused(written)
    assert any(one in said for one in reason.split("|")), said


def test_what_ends_at_the_end_of_time_comes_along(small: Path) -> None:
    """As keys may, whose clients ask for that."""
    rewrite(small, changed("rows", "shared_membership", rows=each(created_at="9999-12-31T23:59:59+00:00")))
    take_in(small, "new")
    assert Membership.objects.filter(user__username__startswith="new/", created_at__year=9999).exists()


def test_what_is_behind_the_end_is_refused(written: Path) -> None:
    frames = [*SealedReader(BytesIO(written.read_bytes()), PASSPHRASE).frames()]
    for more in (frames[-1], frames[1], b"[" * 100_000):
        with written.open("wb") as writing:
            writer = SealedWriter(writing, PASSPHRASE)
            for frame in frames:
                writer.write(frame, is_last=False)
            writer.write(more, is_last=True)
        assert "behind its end" in (said := refused(written)) or "no export" in said


def test_what_comes_next_has_the_id_of_none_that_is_there(small: Path) -> None:
    rewrite(small, standing_at(1))
    imported = take_in(small, "new")
    with tenant_context(imported.organization), connection.cursor() as cursor:
        for table, column in sequences_in(cursor, "org_new"):
            cursor.execute(
                f"SELECT nextval(pg_get_serial_sequence('org_new.{table}', '{column}')) > coalesce(max({column}), 0)"
                f" FROM org_new.{table}"
            )
            assert cursor.fetchone() == (True,), table


def test_the_command_says_what_is_wrong_with_the_books(small: Path) -> None:
    rewrite(small, REFUSED["a balance that is another one"][0])
    done = commands.run("organization", "import", str(small), "--slug", "new", environment=VARIABLE)
    assert done.returncode == 1
    assert "balance" in done.stdout
    assert "Nothing was imported" in done.stderr
    assert what_is_left_of("new") == []


def with_names(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"username": f"user-{row['id']}"} for row in rows]


def test_nobody_comes_with_a_file_and_is_somebody_on_the_platform(small: Path) -> None:
    powers = {"is_superuser": True, "is_staff": True, "platform_role": "platform_admin", "username": "root"}
    rewrite(small, changed("rows", "shared_user", rows=each(**powers)))
    assert "refuses" in refused(small)  # two of one name
    rewrite(
        small, changed("rows", "shared_user", rows=lambda rows: [row | {"username": f"x{row['id']}"} for row in rows])
    )
    take_in(small, "new")
    for user in User.objects.filter(username__startswith="new/"):
        assert (user.is_superuser, user.is_staff, user.platform_role) == (False, False, "")


def test_the_slug_and_the_names_must_be_free(small: Path, world: World) -> None:
    assert "already" in refused_beside(small, "small")
    for slug, reason in (("api", "reserved"), ("Two Words", "lower-case")):
        assert reason in refused_beside(small, slug)
    FormerSlug.objects.create(slug="gone", organization_id=10**6, given_up_at="2026-01-01T00:00:00Z")
    done = commands.run("organization", "import", str(small), "--slug", "gone", environment=VARIABLE)
    assert (done.returncode, "not given again" in done.stderr) == (1, True)
    Domain.objects.create(tenant=world.acme.row, domain="second.recharge.test", is_primary=False)
    done = commands.run("organization", "import", str(small), "--slug", "second", environment=VARIABLE)
    assert (done.returncode, "leads to another" in done.stderr) == (1, True)
    Domain.objects.get(domain="second.recharge.test").delete()
    User.objects.create(username="left/kiosk")
    assert "left/kiosk" in refused_beside(small, "left")
    assert not OrganizationRow.objects.filter(slug="left").exists()


def test_tables_that_somebody_has_put_back_are_not_touched(small: Path) -> None:
    run_sql("CREATE SCHEMA org_back; CREATE TABLE org_back.credit_entry AS SELECT 1 AS id")
    try:
        assert "There are tables in the schema org_back" in refused_beside(small, "back")
        assert run_sql("SELECT id FROM org_back.credit_entry") == [(1,)]
        reserve_organization(slug="back", name="Back")
        done = commands.run("organization", "delete", "back", "--yes")
        assert (done.returncode, "Drop it by hand" in done.stderr) == (1, True)
        assert run_sql("SELECT id FROM org_back.credit_entry") == [(1,)]
    finally:
        run_sql("DROP SCHEMA org_back CASCADE")


def refused_beside(file: Path, slug: str) -> str:
    with pytest.raises(CanNotImport) as caught:
        take_in(file, slug)
    return str(caught.value)


def test_what_was_suspended_comes_suspended(small: Path) -> None:
    suspend_organization(slug="small")
    export("small", small)
    assert take_in(small, "new").organization.status == "suspended"


def test_further_hosts_come_where_they_can(small: Path) -> None:
    # Somebody's, the platform's, somebody's below it, none at all.
    not_here = ["acme.recharge.test", "api.recharge.test", "x.acme.recharge.test", "Two Words.recharge.test"]
    rewrite(
        small,
        changed(
            "organization",
            domains=["small.recharge.test", "kiosk.recharge.test", "kiosk.elsewhere.example", *not_here],
        ),
    )
    made = take_in(small, "new")
    assert made.left_out == ["kiosk.elsewhere.example", *not_here]
    assert set(made.organization.domains.values_list("domain", "is_primary")) == {
        ("new.recharge.test", True),
        ("kiosk.recharge.test", False),
    }


def test_tables_are_made_as_an_older_release_made_them_and_brought_up_to_date() -> None:
    applied = [f"{app}.{name}" for app, name in query("SELECT app, name FROM org_acme.django_migrations")]
    older = [name for name in applied if not (name.startswith("recharge.") and name >= "recharge.0014")]
    run_sql("CREATE SCHEMA org_older")
    try:
        with as_owner(), transaction.atomic():
            make_tables("org_older", older)
            assert states_of(["org_older"])["org_older"].condition is Condition.BEHIND
            assert not query("SELECT FROM pg_class WHERE oid = to_regclass('org_older.recharge_bulkbatch')")
            run_sql("INSERT INTO credit_accessepoch (subject, epoch) VALUES ('of then', 1)", schema="org_older")
            update_schema("org_older", verbosity=0)
        assert states_of(["org_older"])["org_older"].condition is Condition.CURRENT
        assert run_sql("SELECT subject FROM credit_accessepoch", schema="org_older") == [("of then",)]
    finally:
        run_sql("DROP SCHEMA org_older CASCADE")


@pytest.mark.slow
def test_a_file_whose_tables_the_migrations_make_is_imported_as_any_other(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of an older release."""
    monkeypatch.setattr(schemas, "are_written", lambda: False)
    row = take_in(written, "migrated").organization
    assert states_of(["org_migrated"])["org_migrated"].condition is Condition.CURRENT
    kiosk = Membership.objects.get(organization_id=row.pk, username="kiosk").seller_id
    assert kiosk is not None
    balance = own_balance("org_migrated", kiosk)
    assert balance is not None
    assert balance.balance == 5000
    give_credit(row, kiosk, 2000)
    assert proved(row) == []


@pytest.mark.slow
def test_who_is_killed_while_it_imports_leaves_a_reservation_that_the_next_one_takes(small: Path) -> None:
    with closing(psycopg2.connect(database_url())) as holder, holder.cursor() as cursor:
        # It waits for its turn to install functions, with all rows there and none committed.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('install functions: org_new', 0))")
        process = commands.start("organization", "import", str(small), "--slug", "new", environment=VARIABLE)
        wait_until(_somebody_waits_for_a_lock, "it waits")
        process.kill()
        process.communicate()
    assert OrganizationRow.objects.get(slug="new").status == "provisioning"
    assert is_empty("org_new")
    assert not User.objects.filter(username__startswith="new/").exists()
    assert take_in(small, "new").organization.status == "active"


@pytest.mark.slow
def test_of_two_imports_at_once_one_makes_it_and_the_other_says_so(small: Path) -> None:
    with closing(psycopg2.connect(database_url())) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('install functions: org_new', 0))")
        both = [
            commands.start("organization", "import", str(small), "--slug", "new", environment=VARIABLE)
            for _ in range(2)
        ]
        wait_until(_somebody_waits_for_a_lock, "one waits to install functions")
        wait_until(_somebody_waits_for_a_row, "the other waits for it")
    ended = {process.wait(60): process.communicate() for process in both}
    assert ended.keys() == {0, 1}, ended
    assert "new is active" in ended[0][0]
    assert "Somebody has provisioned 'new' meanwhile." in ended[1][1]
    assert OrganizationRow.objects.get(slug="new").status == "active"
    assert User.objects.filter(username="new/kiosk").count() == 1
    assert commands.run("reconcile").returncode == 0


def _somebody_waits_for_a_row() -> bool:
    return bool(
        query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'")
    )


def _somebody_waits_for_a_lock() -> bool:
    here = "(SELECT oid FROM pg_database WHERE datname = current_database())"  # other tests run beside this one
    return bool(query(f"SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = {here}"))


# --- Writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_is_of_one_moment_while_sales_go_on(world: World, tmp_path: Path) -> None:
    acme, member = world.acme.row, world.acme.member
    give_credit(acme, member.id, 100_000_000)
    stop, sold = threading.Event(), []

    def go_on_selling() -> None:
        while not stop.is_set():
            sold.append(member.sell(1000).status)

    selling = threading.Thread(target=go_on_selling)
    selling.start()
    try:
        for number in range(3):
            seen = len(sold)
            wait_until(lambda seen=seen: len(sold) > seen + 3, "it sells")
            file = tmp_path / f"{number}.export"
            export("acme", file)
            made = take_in(file, f"copy-{number}")
            assert made.organization.reconciliation_faults == 0
    finally:
        stop.set()
        selling.join()
    assert set(sold) == {201}
    with tenant_context(made.organization):
        last = query("SELECT min(balance), max(last_number) FROM credit_account")[0]
    assert 0 < last[1] - 1 <= len(sold)
    assert last[0] <= 100_000_000 - 1000


def test_names_with_odd_letters_are_as_they_were(tmp_path: Path) -> None:
    """COPY and JSON write these in ways of their own."""
    odd = "\t\\N \\. \n\r\x0b\x85\u2028 \u202e'\"\\\\$$ {}%s کیوسک‌ها 🛒"
    row = provision("odd")
    kiosk = make_person(row, "kiosk", is_seller=True)
    give_credit(row, kiosk.id, 5000)
    OrganizationRow.objects.filter(pk=row.pk).update(name=odd)
    with tenant_context(row):
        Seller.objects.update(name=odd)
    file = tmp_path / f"{odd[5:].replace('/', '')}.export"
    done = commands.run("organization", "export", "odd", str(file), environment=VARIABLE)
    assert done.returncode == 0, done.stderr
    done = commands.run("organization", "import", str(file), "--slug", "new", environment=VARIABLE)
    assert done.returncode == 0, done.stderr
    assert OrganizationRow.objects.get(slug="new").name == odd
    assert query("SELECT name FROM org_new.credit_seller") == [(odd,)]


def test_a_short_passphrase_writes_nothing(tmp_path: Path) -> None:
    row, file = OrganizationRow.objects.get(slug="acme"), tmp_path / "x"
    with pytest.raises(CanNotExport, match="12 characters"):
        export_organization(organization=row, file=file, passphrase="too short")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.breaks_the_books
def test_a_schema_that_is_not_whole_is_not_written(tmp_path: Path) -> None:
    provision("broken")
    run_sql("DROP TABLE org_broken.credit_policy CASCADE")
    done = commands.run("organization", "export", "broken", str(tmp_path / "x"), environment=VARIABLE)
    assert (done.returncode, "tables are missing: credit_policy" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    row = provision("small")
    with tenant_context(row):
        GatewaySettings.objects.create(name="old", kind="http", secret="gAAAAA-of-another-key")
    with pytest.raises(CanNotExport, match=r"recharge_gatewaysettings\.secret"):
        export("small", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    assert not AuditRecord.objects.filter(action="exported").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("export", "nobody", "FILE"), 2, "There is no organization 'nobody'"),
        (("export", "acme", "/nowhere/at/all"), 2, "It can't be written"),
        (("import", "/nowhere/at/all"), 2, "It can't be read"),
        (("delete", "nobody", "--yes"), 2, "There is no organization 'nobody'"),
        (("delete", "acme"), 1, "Say --yes"),
        (("delete", "--yes"), 1, "one of the arguments"),
        ((), 1, "required"),
    ],
)
def test_the_command_says_what_it_can_not_do(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    words = [str(tmp_path / "x") if word == "FILE" else word for word in arguments]
    done = commands.run("organization", *words, environment=VARIABLE)
    assert said in done.stderr
    assert done.returncode in (status, 2)
    assert "Traceback" not in done.stderr


def test_without_a_terminal_the_passphrase_is_asked_for_by_its_variable(tmp_path: Path) -> None:
    done = commands.run("organization", "export", "acme", str(tmp_path / "x"))
    assert done.returncode == 1
    assert "RECHARGE_EXPORT_PASSPHRASE" in done.stderr
