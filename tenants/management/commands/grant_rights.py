from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction
from psycopg2 import errorcodes, sql

from shared.identity.passwords import read_password
from shared.sick import sqlstate_of
from tenants.functions import PUBLIC
from tenants.one_by_one import OneByOne
from tenants.queries import working_organizations
from tenants.working_role import GROUP, grant_rights

_BY_HAND = f"""This role may not make roles. As a superuser of the database server:

    CREATE ROLE {GROUP} NOLOGIN;
    CREATE ROLE recharge_web LOGIN PASSWORD '…' IN ROLE {GROUP};

Then run this again."""


class Command(BaseCommand):
    help = (
        "Gives the role that web processes and workers sign in as its rights on all schemas: it reads, sells, and can "
        "neither change tables nor move money but through the functions. Run it as the tables' owner; it may be "
        "repeated. (migrate_schemas keeps the rights up to date.)"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--create-role",
            metavar="NAME",
            help="make this role, too, which signs in by a password (RECHARGE_ROLE_PASSWORD, or a prompt)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._make_roles(cursor, options["create_role"])
        except DatabaseError as error:
            if sqlstate_of(error) != errorcodes.INSUFFICIENT_PRIVILEGE:
                raise
            raise CommandError(_BY_HAND) from None
        with transaction.atomic():
            grant_rights(PUBLIC)
        one_by_one, done = OneByOne(self.stderr), 1
        for schema in working_organizations().values_list("schema_name", flat=True):
            with one_by_one.of(schema), transaction.atomic():
                grant_rights(schema)
                done += 1
        self.stdout.write(f"The members of {GROUP} have their rights on {done} schemas.")
        one_by_one.end()

    def _make_roles(self, cursor: Any, name: str | None) -> None:
        group = sql.Identifier(GROUP)
        if not _exists(cursor, GROUP):
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(group))
        if name is None:
            return
        if name == connection.settings_dict["USER"]:
            raise CommandError(f"{name} owns the tables; the role that works with them is another.")
        if _exists(cursor, name):
            cursor.execute(sql.SQL("GRANT {} TO {}").format(group, sql.Identifier(name)))
            self.stdout.write(f"{name} is there; its password stays as it is.")
            return
        password = read_password(None, variable="RECHARGE_ROLE_PASSWORD")
        cursor.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s IN ROLE {}").format(sql.Identifier(name), group), [password]
        )


def _exists(cursor: Any, role: str) -> bool:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return cursor.fetchone() is not None
