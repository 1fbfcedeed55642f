"""After a test: proves the books, and deletes what it has left.

Every test pays for it, and most have written nothing. So it looks first, in one statement, whether anything is not as
it was; a world in which nothing was written is left for the next test that wants one.
"""

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import connection
from django_tenants.utils import tenant_context
from psycopg2 import OperationalError, sql

from recharge.reports.books import find_faults
from tenants import direct, models
from tenants.queries import working_organizations
from tests.support import citus
from tests.support.knowing import wait_until_every_process_knows
from tests.support.world import World

KEPT = {"acme": "org_acme", "globex": "org_globex"}
"""The two organizations that stay, and their schemas."""

_HAVE_BOOKS = {
    slug: f"""
    SELECT
        EXISTS (SELECT FROM {schema}.credit_entry)
        OR EXISTS (SELECT FROM {schema}.recharge_recharge)
        OR EXISTS (SELECT FROM {schema}.credit_creditrequest)
        OR EXISTS (SELECT FROM {schema}.credit_adjustment)
        OR EXISTS (SELECT FROM {schema}.credit_account WHERE balance <> 0 OR last_number <> 0)
        OR (SELECT count(*) FROM {schema}.credit_seller) <> (SELECT count(*) FROM {schema}.credit_account)
    """
    for slug, schema in KEPT.items()
}
"""By slug: whether something is in the books that could be wrong. A statement each: schemas may be on several nodes."""

# In the order that foreign keys ask for.
_OF_ORGANIZATION = (
    "recharge_claimmessage",
    "recharge_claim",
    "recharge_sentreceipt",
    "recharge_statement",
    "recharge_attempt",
    "recharge_margin",
    "recharge_marginbatch",
    "recharge_commissionrate",
    "recharge_limit",
    "recharge_sellerday",
    "recharge_recharge",
    "recharge_bulkbatch",
    "recharge_operatorsettings",
    "recharge_gatewaysettings",
    "recharge_settings",
    "recharge_lettinggo",
    "recharge_checkpoint",
    "recharge_provedaccount",
    "recharge_summedday",
    "recharge_daysum",
    "recharge_dayposting",
    "credit_alertmessage",
    "credit_alert",
    "credit_alertpreference",
    "credit_alertsettings",
    "credit_webhookattempt",
    "credit_webhookmessage",
    "credit_webhookendpoint",
    "credit_transfer",
    "credit_creditrequestslip",
    "credit_creditrequest",
    "credit_adjustment",
    "credit_policy",
    "credit_accessepoch",
    "credit_account",
    "credit_seller",
)
# In the same order: a transfer names the request that it answers.
_DOCUMENTS = {
    "recharge_claimmessage": "recharge_claimmessage_append_only",
    "recharge_claim": "recharge_claim_stays",
    "recharge_sentreceipt": "recharge_sentreceipt_append_only",
    "recharge_statement": "recharge_statement_append_only",
    "recharge_margin": "recharge_margin_stays",
    "recharge_marginbatch": "recharge_margin_batch_kept",
    "credit_transfer": "credit_transfer_stays",
    "credit_creditrequestslip": "credit_slip_stays",
    "credit_creditrequest": "credit_request_stays",
    "credit_adjustment": "credit_adjustment_stays",
}
"""Of an organization's tables, those whose rows stay, and the trigger that says so."""
_APPEND_ONLY = ("credit_entry", "credit_auditrecord", "credit_chainroot", "recharge_closedperiod")
_OF_PLATFORM = (
    "django_session",
    "django_admin_log",
    "shared_refreshfamily",
    "shared_apikey",
    "shared_totp",
    "shared_passkey",
    "shared_recoverycode",
    "shared_membership",
    "shared_signinattempts",
    "shared_user_groups",
    "shared_user_user_permissions",
    "shared_user",
    "tenants_formerslug",
    "tenants_workerheartbeat",
)


def _deletes(schema: str, tables: tuple[str, ...]) -> str:
    return "".join(f"DELETE FROM {schema}.{table};\n" for table in tables)


def _deletes_of_append_only(schema: str, table: str, trigger: str) -> str:
    return f"""
        IF current_setting('session_replication_role') = 'replica' THEN
            DELETE FROM {schema}.{table};
        ELSIF EXISTS (SELECT FROM {schema}.{table}) THEN
            ALTER TABLE {schema}.{table} DISABLE TRIGGER {trigger};
            DELETE FROM {schema}.{table};
            SET CONSTRAINTS ALL IMMEDIATE;
            ALTER TABLE {schema}.{table} ENABLE TRIGGER {trigger};
        END IF;
    """


def _triggers(schema: str, what: str) -> str:
    return "".join(
        f"ALTER TABLE {schema}.{table} {what} TRIGGER {table}_not_emptied;\n" for table in ("credit_entry", *_DOCUMENTS)
    )


MANY = 2_000
"""Entries from which on tables are emptied as a whole: row by row a hundred thousand take two seconds."""


def _empties(schema: str) -> str:
    everything = ", ".join(f"{schema}.{table}" for table in ("credit_entry", *_OF_ORGANIZATION))
    return f"""
        IF EXISTS (SELECT FROM {schema}.credit_entry OFFSET {MANY}) THEN
            {_triggers(schema, "DISABLE")}
            TRUNCATE {everything};
            {_triggers(schema, "ENABLE")}
        END IF;
        {_deletes_of_append_only(schema, "credit_entry", "credit_entry_append_only")}
        {_deletes_of_append_only(schema, "credit_auditrecord", "credit_audit_append_only")}
        {_deletes_of_append_only(schema, "recharge_closedperiod", "recharge_closedperiod_stays")}
        {_deletes_of_append_only(schema, "credit_chainroot", "credit_root_append_only")}
        {"".join(_deletes_of_append_only(schema, table, trigger) for table, trigger in _DOCUMENTS.items())}
        {_deletes(schema, tuple(table for table in _OF_ORGANIZATION if table not in _DOCUMENTS))}
        IF (SELECT is_called FROM {schema}.credit_seller_id_seq) THEN
            PERFORM setval('{schema}.credit_seller_id_seq', 1, false);
        END IF;
    """


def _look(table: str) -> str:
    """Differs when a row came, went or was changed: then another transaction wrote it."""
    return f"(SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0) FROM {table})"


_LOOKED_AT = [
    [
        "public.tenants_organization",
        "public.tenants_domain",
        "public.tenants_auditrecord",
        *(f"public.{table}" for table in _OF_PLATFORM),
    ],
    *([f"{schema}.{table}" for table in (*_APPEND_ONLY, *_OF_ORGANIZATION)] for schema in KEPT.values()),
]
"""By schema: a statement each, as above."""

# Functions of the session, which keep the plans of their statements.
_FUNCTIONS = f"""
    CREATE OR REPLACE FUNCTION pg_temp.state() RETURNS text LANGUAGE plpgsql AS $function$
    DECLARE
        found text := concat_ws(
            ', ', {", ".join(f"(SELECT last_value FROM {schema}.credit_seller_id_seq)" for schema in KEPT.values())}
        );
    BEGIN
        {"".join(f"found := concat_ws(', ', found, {', '.join(map(_look, tables))});" for tables in _LOOKED_AT)}
        RETURN found;
    END
    $function$;

    CREATE OR REPLACE FUNCTION pg_temp.wipe() RETURNS text LANGUAGE plpgsql AS $function$
    BEGIN
        SET CONSTRAINTS ALL IMMEDIATE;
        {"".join(map(_empties, KEPT.values()))}
        {_deletes_of_append_only("public", "tenants_auditrecord", "tenants_audit_append_only")}
        {_deletes("public", _OF_PLATFORM)}
        UPDATE public.tenants_organization
        SET status = 'active', reconciled_at = NULL, reconciliation_faults = NULL, requires_second_factor = false
        WHERE status <> 'active' OR reconciled_at IS NOT NULL OR requires_second_factor;
        RETURN pg_temp.state();
    END
    $function$
"""

WORLD_SECONDS = 60
"""How long a world may be left for other tests: its people's tokens are good for five minutes."""


_SERVERS_REMEMBER = """
    SELECT EXISTS (SELECT FROM public.tenants_organization WHERE status <> 'active' OR requires_second_factor)
        OR EXISTS (SELECT FROM public.tenants_auditrecord WHERE action IN ('suspended', 'activated'))
"""
"""Whether a server may know an organization otherwise than it is after the test, for ``CACHE_SECONDS``."""


class _Left:
    """What is known to be in the database, and the world that is, if one is."""

    state = ""
    kind: str | None = None
    world: World | None = None
    made_at = 0.0
    session: Any = None


def session() -> Any:
    """A connection of the tests' own, past any pooler. For it triggers are off, if that is allowed: switched off in the
    catalogue, every session would plan all its statements anew, and switched off for a while this one would."""
    if _Left.session is not None and not _Left.session.closed:
        with suppress(OperationalError), _Left.session.cursor() as cursor:
            cursor.execute("SELECT")
            return _Left.session
    _Left.session = direct.connect()  # the first one, or a test has ended it
    with _Left.session.cursor() as cursor:
        cursor.execute("SET lock_timeout = '60s'")  # to a transaction that a test has left open
        cursor.execute("SET max_parallel_workers_per_gather = 0")  # to start one takes longer than all there is to read
        cursor.execute("SELECT has_parameter_privilege('session_replication_role', 'SET')")
        if cursor.fetchone()[0]:
            cursor.execute("SET session_replication_role = replica")
        cursor.execute(_FUNCTIONS)
    return _Left.session


def _call(function: str) -> str:
    with session().cursor() as cursor:
        if citus.nodes():  # what its session has set the other nodes don't know
            cursor.execute("BEGIN; SET LOCAL citus.propagate_set_commands = local")
            cursor.execute("SET LOCAL session_replication_role = replica")
        try:
            cursor.execute(f"SELECT pg_temp.{function}()")
            answer: str = cursor.fetchone()[0]
        finally:
            if citus.nodes():
                cursor.execute("COMMIT")
        return answer


def is_as_it_was() -> bool:
    """Whether the test has written nothing that is still there."""
    return bool(_Left.state) and _call("state") == _Left.state


def make_way(kind: str | None) -> None:
    """Before a test: the world that is left goes, unless the test wants one of this kind and it is young enough."""
    if _Left.world and not (kind == _Left.kind and time.monotonic() < _Left.made_at + WORLD_SECONDS):
        wipe()


def world_of(kind: str, build: Callable[[], World]) -> World:
    """A world: the one that is left, or a new one. Nothing else of the test's is there yet."""
    if _Left.world is None:
        _Left.world = build()
        _Left.kind, _Left.made_at, _Left.state = kind, time.monotonic(), _call("state")
    return copy.deepcopy(_Left.world)  # its objects are the test's to change


def assert_books_are_right() -> None:
    """Proves the books of every organization that works."""
    connection.set_schema_to_public()
    clean = set()
    with connection.cursor() as cursor:
        for slug, has_books in _HAVE_BOOKS.items():
            cursor.execute(has_books)
            if not cursor.fetchone()[0]:
                clean.add(slug)
    for organization in working_organizations().exclude(slug__in=clean):
        with tenant_context(organization):
            assert find_faults() == [], organization.slug


def wipe() -> None:
    """Deletes all that tests leave: every row but the organizations acme and globex, and every other schema."""
    connection.set_schema_to_public()
    for organization in models.Organization.objects.exclude(slug__in=KEPT):
        with connection.cursor() as cursor:
            schema = sql.Identifier(organization.schema_name)
            cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
        organization.delete()
    with session().cursor() as cursor:
        cursor.execute(_SERVERS_REMEMBER)
        is_remembered = cursor.fetchone()[0]
    _Left.world, _Left.state = None, _call("wipe")
    if is_remembered:
        wait_until_every_process_knows()
