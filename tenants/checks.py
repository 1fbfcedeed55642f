"""What `manage.py check --deploy` says of the database, and with `--database default` of the way there."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection, connections

from shared.identity.accounts import platform_users
from shared.identity.realm import PLATFORM
from shared.second_factor.services import is_required, users_with_second_factor
from tenants.direct import connection_elsewhere
from tenants.working_role import GROUP, owns_the_tables


@register(Tags.database, deploy=True)  # so that `migrate`, which asks what is of the database, does not ask this
def addresses(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Whether each address of the database lets us in. Django asks it only where ``--database`` is given."""
    if not databases:
        return []
    others = {
        "OWNER_DATABASE_URL": settings.OWNER_DATABASE,
        "DIRECT_DATABASE_URL": settings.DIRECT_DATABASE,
        "REPLICA_DATABASE_URL": settings.REPLICA_DATABASE,
    }
    ways = {"DATABASE_URL": connections[DEFAULT_DB_ALIAS]}
    ways |= {name: connection_elsewhere(database) for name, database in others.items() if database is not None}
    said: list[CheckMessage] = []
    for name, way in ways.items():
        try:
            way.ensure_connection()
        except DatabaseError as error:
            said.append(Error(f"{name} does not lead to a database: {str(error).strip()}", id="recharge.E001"))
        finally:
            way.close()
    return said


@register("recharge", deploy=True)
def pooler(**_: Any) -> list[CheckMessage]:
    """Whether there seems to be a pooler that nobody has told us of."""
    if settings.DIRECT_DATABASE is None or settings.DATABASE_POOLER:
        return []
    return [
        Warning(
            "DIRECT_DATABASE_URL is set and DATABASE_POOLER is not.",
            hint="If DATABASE_URL leads to a pooler, say which: session or transaction. Through one of transactions"
            " that is not named, an organization reads another one's rows (deploy/pgbouncer.ini). Else leave"
            " DIRECT_DATABASE_URL empty.",
            id="recharge.W003",
        )
    ]


@register("recharge", deploy=True)
def two_roles(**_: Any) -> list[CheckMessage]:
    """Whether web processes could change how tables are made. It says nothing of a database that does not answer."""
    try:
        is_owner = owns_the_tables()
    except (DatabaseError, InterfaceError):
        return []
    finally:
        connection.close()
    if not is_owner:
        return []
    return [
        Warning(
            "DATABASE_URL names the tables' owner: whoever takes over a web process could rewrite the past.",
            hint="On a cluster one role does everything: have somebody else keep the ledger's roots (deploy/README.md)."
            if settings.DATABASE_CLUSTER
            else f"manage.py grant_rights --create-role recharge_web makes another one, a member of {GROUP}. Then put "
            "that one into DATABASE_URL, and this one into OWNER_DATABASE_URL (see deploy/README.md).",
            id="recharge.W001",
        )
    ]


@register("recharge", deploy=True)
def second_factors(**_: Any) -> list[CheckMessage]:
    """Which of the platform's active users have no second factor, where one is required. It says nothing of a
    database that does not answer."""
    if not is_required(PLATFORM):
        return []
    try:
        names = dict(platform_users().filter(is_active=True).order_by("pk").values_list("pk", "username"))
        without = names.keys() - users_with_second_factor(names)
    except (DatabaseError, InterfaceError):
        return []
    finally:
        connection.close()
    if not without:
        return []
    return [
        Warning(
            f"Platform users without a second factor: {', '.join(names[pk] for pk in sorted(without))}.",
            hint="Until one is enrolled, the password alone signs in to the API. Each enrols an app or a passkey"
            " on the page Security; who is not needed any longer is switched off on the page Members.",
            id="recharge.W002",
        )
    ]
