"""After a test: proves the books, and deletes what it has left.

Both look first, in one statement, at whether there is anything to do: every test pays for them, and most have sold
nothing.
"""

from django.db import ProgrammingError, connection
from django_tenants.utils import tenant_context
from psycopg2 import errors, sql

from recharge.selling.queries import find_faults
from tenants import models, routing
from tenants.queries import working_organizations

KEPT = {"acme": "org_acme", "globex": "org_globex"}
"""The two organizations that stay, and their schemas."""

_HAVE_BOOKS = " UNION ALL ".join(
    f"""
    SELECT '{slug}' WHERE
        EXISTS (SELECT FROM {schema}.credit_entry)
        OR EXISTS (SELECT FROM {schema}.recharge_recharge)
        OR EXISTS (SELECT FROM {schema}.credit_creditrequest)
        OR EXISTS (SELECT FROM {schema}.credit_account WHERE balance <> 0 OR last_number <> 0)
        OR (SELECT count(*) FROM {schema}.credit_seller) <> (SELECT count(*) FROM {schema}.credit_account)
    """
    for slug, schema in KEPT.items()
)

# In the order that foreign keys ask for.
_OF_ORGANIZATION = (
    "recharge_attempt",
    "recharge_recharge",
    "recharge_operatorsettings",
    "recharge_gatewaysettings",
    "recharge_settings",
    "credit_webhookattempt",
    "credit_webhookmessage",
    "credit_webhookendpoint",
    "credit_creditrequest",
    "credit_account",
    "credit_seller",
)
_OF_PLATFORM = (
    "django_session",
    "django_admin_log",
    "shared_refreshfamily",
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
    """The tables' owner can."""
    return f"""
        IF EXISTS (SELECT FROM {schema}.{table}) THEN
            ALTER TABLE {schema}.{table} DISABLE TRIGGER {trigger};
            DELETE FROM {schema}.{table};
            SET CONSTRAINTS ALL IMMEDIATE;
            ALTER TABLE {schema}.{table} ENABLE TRIGGER {trigger};
        END IF;
    """


def _empties(schema: str) -> str:
    return f"""
        {_deletes_of_append_only(schema, "credit_entry", "credit_entry_append_only")}
        {_deletes(schema, _OF_ORGANIZATION)}
        IF (SELECT is_called FROM {schema}.credit_seller_id_seq) THEN
            PERFORM setval('{schema}.credit_seller_id_seq', 1, false);
        END IF;
    """


# A function of the session, which keeps the plans of its forty statements.
_WIPE = f"""
    CREATE OR REPLACE FUNCTION pg_temp.wipe() RETURNS void LANGUAGE plpgsql AS $function$
    BEGIN
        SET CONSTRAINTS ALL IMMEDIATE;
        {"".join(map(_empties, KEPT.values()))}
        {_deletes_of_append_only("public", "tenants_auditrecord", "tenants_audit_append_only")}
        {_deletes("public", _OF_PLATFORM)}
        UPDATE public.tenants_organization
        SET status = 'active', reconciled_at = NULL, reconciliation_faults = NULL
        WHERE status <> 'active' OR reconciled_at IS NOT NULL;
    END
    $function$
"""


def assert_books_are_right() -> None:
    """Proves the books of every organization that works."""
    connection.set_schema_to_public()
    with connection.cursor() as cursor:
        cursor.execute(_HAVE_BOOKS)
        clean = KEPT.keys() - {slug for (slug,) in cursor.fetchall()}
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
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT pg_temp.wipe()")
        except ProgrammingError as error:
            if not isinstance(error.__cause__, errors.UndefinedFunction | errors.InvalidSchemaName):
                raise
            cursor.execute(_WIPE)
            cursor.execute("SELECT pg_temp.wipe()")
    routing.forget_routes()
