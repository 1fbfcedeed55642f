import sys
from argparse import ArgumentParser
from collections import defaultdict
from contextlib import closing
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.db import Error, ProgrammingError
from django_tenants.management.commands import SyncCommon
from django_tenants.management.commands.migrate_schemas import MigrateSchemasCommand

from tenants.collation import changed_collation
from tenants.functions import PUBLIC
from tenants.queries import wait_for_provisioning, working_organizations
from tenants.schemas import AT_ONCE, CanNotUpdate, Condition, states_of, update_schema, update_schemas

DJANGOS_OWN = ("app_label", "plan", "fake", "fake_initial", "prune", "executor")
"""Options with which this does what django-tenants' command does, and installs no functions."""

PATIENCE = 60
"""Seconds for organizations that are being provisioned when the others are done."""

_BAR = 40
"""Its characters."""


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


class Command(MigrateSchemasCommand):  # type: ignore[misc]
    help = (
        "Brings the public schema and every organization's up to date: applies migrations, and installs the functions "
        "of this release. Looks at all of them first, and changes only those where something is to be done; cut off "
        "and run again, it goes on. Goes on after one where it can't, says at the end which and why, and ends with "
        "exit status 1 then. With --check it changes nothing, names what is to be done, and ends with exit status 1 if "
        "there is anything."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--at-once",
            type=_count,
            default=AT_ONCE,
            metavar="N",
            help=f"organizations that are brought up to date at once, over a connection each (default: {AT_ONCE})",
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
            public = states_of([PUBLIC])[PUBLIC]
            if public.condition is Condition.AHEAD:
                self.stderr.write("A later release has migrated the public schema; it is left as it is.")
            elif not public.is_current:
                update_schema(PUBLIC, verbosity=verbosity)
            elif verbosity:
                self.stdout.write("The public schema is up to date.")
        if not self.sync_tenant:
            return
        self._update(verbosity, options["at_once"])

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

    def _update(self, verbosity: int, at_once: int) -> None:
        progress = _Progress(self.stdout, self.stderr, verbosity)
        looked_at: set[str] = set()
        # An organization may be provisioned meanwhile by a process of the release before.
        while schemas := [name for name in self._organizations() if name not in looked_at]:
            looked_at.update(schemas)
            states = states_of(schemas, thorough=True)
            # The functions of this code would take the place of a later release's, whose processes call those.
            ahead = [name for name, state in states.items() if state.condition is Condition.AHEAD]
            if ahead:
                self.stderr.write(f"A later release has migrated these; they are left as they are: {', '.join(ahead)}")
            behind = [name for name, state in states.items() if not state.is_current and name not in ahead]
            progress.begin(len(behind))
            with closing(update_schemas(behind, at_once=at_once, verbosity=max(0, verbosity - 1))) as updates:
                for schema, error in updates:
                    progress.tell(schema, error)
            if not (self.schema_name or wait_for_provisioning(seconds=PATIENCE)):
                self.stderr.write(
                    "WARNING: an organization is still being provisioned or imported. Run this again then."
                )
                break
        progress.end(len(looked_at))
        if progress.failed:
            if len(looked_at) == 1:
                raise CommandError(f"{next(iter(looked_at))} could not be brought up to date.")
            sys.exit(1)


class _Progress:
    """Says how far it is: on a terminal in a bar, elsewhere in a line for each schema; and at the end what failed."""

    def __init__(self, out: OutputWrapper, errors: OutputWrapper, verbosity: int) -> None:
        self._out, self._errors, self._verbosity = out, errors, verbosity
        self._has_bar = bool(verbosity) and out.isatty()
        self._of = self._done = 0
        self.failed: dict[str, str] = {}
        """Why, of each schema that is not up to date."""

    def begin(self, count: int) -> None:
        """So many more are to be brought up to date."""
        self._of += count

    def tell(self, schema: str, error: BaseException | None) -> None:
        self._done += 1
        if error is not None:
            is_known = isinstance(error, CanNotUpdate | Error)
            self.failed[schema] = str(error).strip() if is_known else f"{type(error).__name__}: {error}"
            if not self._has_bar:
                self._errors.write(f"{schema}: NOT up to date: {self.failed[schema]}")
        elif self._verbosity and not self._has_bar:
            self._out.write(f"{schema} is up to date now ({self._done} of {self._of}).")
        if self._has_bar:
            full = self._done * _BAR // self._of
            failed = f", {len(self.failed)} failed" if self.failed else ""
            bar = "#" * full + "." * (_BAR - full)
            self._out.write(
                f"\r[{bar}] {self._done} of {self._of}{failed}", ending="" if self._done < self._of else "\n"
            )
            self._out.flush()

    def end(self, count: int) -> None:
        if self._verbosity and not count:
            self._out.write("There are no organizations yet.")
        elif self._verbosity:
            self._out.write(f"{count - len(self.failed)} of {count} organizations' schemas are up to date.")
        if len(self.failed) > 1 or (self.failed and self._has_bar):
            self._errors.write(f"NOT up to date ({len(self.failed)}):")
            why = defaultdict(list)
            for schema, reason in self.failed.items():
                why[reason.replace(schema, "the schema")].append(schema)
            for reason, schemas in sorted(why.items(), key=lambda item: -len(item[1])):
                self._errors.write(f"  {', '.join(sorted(schemas))}: {reason}")
            self._errors.write("The same command, run again, goes on with these.")
