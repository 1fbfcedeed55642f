import sys
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credit.chain.verification import NotALedger, Proof, hash_of, known_roots


class Command(BaseCommand):
    help = (
        "Proves an exported ledger (export_ledger) without a database: its sums, the chain of its hashes, its daily "
        "roots; with roots that were kept elsewhere, also that nothing was rewritten since. Exit status 1, and what is "
        "wrong, if anything is; 2 if the file is no ledger."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument(
            "--root",
            action="append",
            default=[],
            metavar="DAY=ROOT",
            help="a root that was kept: 2026-11-25=64 hexadecimal digits; may be given several times",
        )
        parser.add_argument("--roots", metavar="FILE", help="a copy of the file that CHAIN_FILE named")

    def handle(self, *args: Any, **options: Any) -> None:
        proof = Proof()
        faults = 0
        try:
            known = [_given(root) for root in options["root"]]
            with open(options["file"], encoding="utf-8") as lines:
                # The roots are read when the file has said whose ledger it is, and compared after its end.
                for fault in proof.faults(lines, _known(known, options["roots"], proof)):
                    faults += 1
                    self.stdout.write(fault)
        except NotALedger as error:
            raise CommandError(str(error), returncode=2) from None
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"It can't be read: {error}", returncode=2) from None

        self.stdout.write(
            f"{proof.organization}: {proof.entries} entries of {proof.accounts} accounts, {proof.roots} roots."
        )
        if proof.unhashed:
            self.stdout.write(f"{proof.unhashed} entries are older than the chain: their sums alone are proved.")
        if proof.known:
            self.stdout.write(f"{proof.known} of the roots are those that were kept elsewhere.")
        else:
            self.stdout.write("No root that was kept elsewhere was compared: whoever made this file made all of it.")
        self.stdout.write("The ledger is right." if not faults else f"THE LEDGER IS WRONG: {faults} faults.")
        if faults:
            sys.exit(1)


def _given(root: str) -> tuple[date, bytes]:
    day, _, digits = root.partition("=")
    try:
        return date.fromisoformat(day), hash_of(digits, f"--root {root}")
    except ValueError:
        raise NotALedger(f"--root {root} is not like 2026-11-25=64 hexadecimal digits") from None


def _known(given: list[tuple[date, bytes]], file: str | None, proof: Proof) -> Any:
    yield from given
    if file:
        yield from known_roots(Path(file).read_text(encoding="utf-8").splitlines(), proof.organization)
