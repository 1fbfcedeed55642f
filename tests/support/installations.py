"""Embedded databases for tests of whoever starts one: each in a directory of its own.

One that is ``installed`` has organizations acme and globex below ``localhost``, each with an admin ``admin``. It is a
copy of files: making it anew takes six seconds of CPU.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saas import embedded
from tests.support import citus, forking
from tests.support.database import BARE, INSTALLATION, address_of_template, alone
from tests.support.disks import small_disk
from tests.support.schemas import PASSWORD, postgres


def environment_of(data: Path) -> dict[str, str]:
    """That of a process which has an embedded database of its own in this directory."""
    return BARE | {"DJANGO_SETTINGS_MODULE": "tests.support.settings", "RECHARGE_DATA_DIR": str(data)}


@contextmanager
def directory(*, installed: bool = False, megabytes: int | None = None) -> Iterator[Path]:
    """A directory for an embedded database: empty, or ``installed``; on a disk of its own, if that is to have so many
    ``megabytes``. Whatever server is left on it is stopped."""
    with small_disk(megabytes=megabytes) if megabytes else _temporary() as place:
        try:
            if installed:
                _install(place)
            yield place
        finally:
            embedded._Cluster(place).stop()


@contextmanager
def _temporary() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="recharge-data-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def start(place: Path) -> str:
    """Starts the server of this directory; its database's address."""
    cluster = embedded._Cluster(place)
    cluster.ensure_running()
    return cluster.url(embedded.ROLE, embedded.DATABASE)


def superuser_of(place: Path) -> str:
    """The address by which a superuser signs in to this directory's database."""
    return embedded._Cluster(place).url("postgres", embedded.DATABASE)


def manage(place: Path, *arguments: str) -> None:
    """Runs a command there to its end, which must be a good one."""
    process = forking.start([*arguments], environment=environment_of(place))
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors


def _install(place: Path) -> None:
    with alone():
        if not INSTALLATION.exists():
            building = INSTALLATION.with_suffix(".new")
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            if citus.nodes():  # there is no template, nor would it be one for a database of one server
                _fill_by_commands(building)
            else:
                _fill(start(building))
            embedded._Cluster(building).stop()
            building.rename(INSTALLATION)
    # Whose files they are is kept: PostgreSQL's are another user's where this runs as root.
    subprocess.run(["cp", "-a", f"{INSTALLATION}/.", str(place)], check=True)


def _fill(address: str) -> None:
    dump = postgres("pg_dump", "--no-owner", address_of_template())
    dump += b"UPDATE public.tenants_domain SET domain = replace(domain, 'recharge.test', 'localhost');"
    postgres("psql", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", address, given=dump)


def _fill_by_commands(place: Path) -> None:
    manage(place, "migrate_schemas")
    for slug in ("acme", "globex"):
        admin = ("--admin-username", "admin", "--admin-password", PASSWORD)
        manage(place, "create_organization", slug, "--name", slug.title(), *admin)
