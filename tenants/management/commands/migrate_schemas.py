import sys
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, ProgrammingError, connection
from django_tenants.management.commands import SyncCommon
from django_tenants.management.commands.migrate_schemas import MigrateSchemasCommand

from tenants.collation import changed_collation
from tenants.functions import PUBLIC
from tenants.queries import working_organizations
from tenants.schemas import CanNotUpdate, states_of, update_schema

DJANGOS_OWN = ("app_label", "plan", "fake", "fake_initial", "prune", "executor")
"""Options with which this does what django-tenants' command does, and installs no functions."""


class Command(MigrateSchemasCommand):  # type: ignore[misc]
    help = (
        "Brings the public schema and every organization's up to date: applies migrations, and installs the functions "
        "of this release. Looks at all of them first, and changes only those where something is to be done. Goes on "
        "after one where it can't, and ends with exit status 1 then. With --check it changes nothing, names what is to "
        "be done, and ends with exit status 1 if there is anything."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if any(options.get(name) for name in DJANGOS_OWN):
            super().handle(*args, **options)
            return
        SyncCommon.handle(self, *args, **options)
        verbosity = int(options["verbosity"])
        if verbosity and (changed := changed_collation()):
            self.stderr.write(f"WARNING: the database {': '.join(changed)}")
        has_public = self.schema_name == PUBLIC or (self.sync_public and not self.schema_name)
        if options.get("check_unapplied"):
            self._check(has_public, verbosity)
            return
        if has_public:
            if not states_of([PUBLIC])[PUBLIC].is_current:
                update_schema(PUBLIC, verbosity=verbosity)
            elif verbosity:
                self.stdout.write("The public schema is up to date.")
        if not self.sync_tenant:
            return
        self._update(self._organizations(), verbosity)

    def _organizations(self) -> list[str]:
        if self.schema_name:
            return [self.schema_name]
        return list(working_organizations().values_list("schema_name", flat=True))

    def _check(self, has_public: bool, verbosity: int) -> None:
        """Says of each schema what migrations it lacks, or in what its functions, triggers, types or storage settings
        are not those of this code's files. Changes nothing.
        """
        states = states_of([PUBLIC], thorough=True) if has_public else {}
        if self.sync_tenant:
            try:
                organizations = self._organizations()
            except ProgrammingError:
                if not has_public:
                    raise
                organizations = []  # the public schema lacks the table that names them, and that is said
            states |= states_of(organizations, thorough=True)
        behind = {schema: state for schema, state in states.items() if not state.is_current}
        for schema, state in behind.items():
            self.stdout.write(f"{schema}: {state.describe()}")
        if behind:
            sys.exit(1)
        if verbosity:
            self.stdout.write(f"Nothing is to be done (schemas looked at: {len(states)}).")

    def _update(self, schemas: list[str], verbosity: int) -> None:
        behind = [name for name, state in states_of(schemas, thorough=True).items() if not state.is_current]
        failed = 0
        for number, schema in enumerate(behind, 1):
            try:
                update_schema(schema, verbosity=max(0, verbosity - 1))
            except (CanNotUpdate, DatabaseError) as error:
                if connection.in_atomic_block:
                    raise  # provisioning, which happens whole or not at all
                failed += 1
                self.stderr.write(f"{schema}: NOT up to date: {str(error).strip()}")
                if not connection.is_usable():
                    connection.close()
            else:
                if verbosity:
                    self.stdout.write(f"{schema} is up to date now ({number} of {len(behind)}).")
        if verbosity and not schemas:
            self.stdout.write("There are no organizations yet.")
        elif verbosity:
            self.stdout.write(f"{len(schemas) - failed} of {len(schemas)} organizations' schemas are up to date.")
        if failed:
            if len(schemas) == 1:
                raise CommandError(f"{schemas[0]} could not be brought up to date.")
            sys.exit(1)
