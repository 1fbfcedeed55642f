"""Places organizations at the nodes of a cluster (see tenants/placed/base.py): a new one where there is room, and one
that sells at another one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from psycopg2 import sql

from shared.errors import NotFound
from tenants.models import Organization
from tenants.nodes import Node, places_now
from tenants.queries import working_organizations

_log = structlog.get_logger("recharge.tenants")


class CanNotPlace(Exception):
    """The organization can't be moved there; the message says why. It is where it was."""


class NoSuchNode(CanNotPlace):
    """The cluster has no node of this name that organizations may live at; the message names those that it has."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an organization lives, and where it lived before."""

    node: Node
    before: Node


def place_of(*, slug: str) -> Node:
    """The node that this organization lives at.

    Raises:
        NotFound: there is no such organization, or it is not provisioned yet.
        CanNotPlace: the installation is no cluster, or the organization is not at a node of it.
    """
    return _place_of(_organization(slug))


def place_organization(*, slug: str, node: str) -> Placed:
    """Moves an organization's schema to a node of the cluster (its host, and its port unless it is PostgreSQL's own).
    May be repeated. Rows are copied while it sells; in the end its writes wait for a moment, some in vain, with nothing
    done. Not in a transaction.

    Raises:
        NotFound: there is no such organization, or it is not provisioned yet.
        NoSuchNode: the cluster has no such node, or it is being drained.
        CanNotPlace: the installation is no cluster, or the cluster could not do it.
    """
    organization = _organization(slug)
    before = _place_of(organization)
    wanted, nodes = _read(node), _nodes()
    if wanted not in nodes:
        raise NoSuchNode(f"No organization may live at {node!r}. The nodes are: {', '.join(map(str, nodes))}.")
    if wanted != before:
        try:
            _move(organization.schema_name, wanted, "auto")
        except DatabaseError as error:
            raise CanNotPlace(f"{slug} is at {before}, as before: {str(error).strip()}") from error
        _log.info("organization_placed", slug=slug, node=str(wanted), before=str(before))
    return Placed(wanted, before)


# What the nodes' databases take of their disks, with what they keep of organizations that live elsewhere. The sizes of
# all tables, which Citus knows, too, take seconds where there are many.
_EMPTIEST = """
    SELECT node.nodename, node.nodeport
    FROM run_command_on_workers('SELECT pg_database_size(current_database())') AS answer
    INNER JOIN pg_dist_node AS node ON (node.nodename, node.nodeport) = (answer.nodename, answer.nodeport)
    WHERE answer.success AND node.isactive AND node.shouldhaveshards AND node.noderole = 'primary' AND node.groupid <> 0
    ORDER BY answer.result::bigint, node.groupid
    LIMIT 1
"""


def place_where_there_is_room(schema: str) -> None:
    """Sends a new organization's schema, in which the table of migrations is and nothing else, to the node that has the
    fewest bytes. Where that fails it stays at the one that the cluster has chosen, the next in turn. In a transaction
    of the caller's that has written nothing yet. Where there is no cluster nothing is done.
    """
    if not settings.DATABASE_CLUSTER:
        return
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_EMPTIEST)
                emptiest = cursor.fetchone()
            before = places_now([schema]).get(schema)
            if emptiest and before and before != (node := Node(*emptiest)):
                # It is empty: nobody's writes are blocked.
                _move(schema, node, "block_writes")
    except DatabaseError as error:
        _log.warning("organization_not_placed", schema=schema, exc_info=error)


@contextmanager
def gathered(schema: str) -> Iterator[None]:
    """In this block a new organization's schema, in which nothing is yet, is the coordinator's own; then it lives at
    the node whose turn it is, with all that has come into it. For migrations: those of earlier releases say what Citus
    carries out at no node. In a transaction of the caller's. Where there is no cluster nothing is done.
    """
    if not settings.DATABASE_CLUSTER:
        yield
        return
    with connection.cursor() as cursor:
        name = sql.Identifier(schema)
        # Citus takes no table back whose rows number themselves: so the schema is made anew.
        cursor.execute("SET LOCAL citus.enable_schema_based_sharding = off")
        cursor.execute(sql.SQL("DROP SCHEMA {0} CASCADE").format(name))
        cursor.execute(sql.SQL("CREATE SCHEMA {0}").format(name))
        yield
        cursor.execute("SELECT citus_schema_distribute(quote_ident(%s)::regnamespace)", [schema])
        # Nobody sees any more what the coordinator had, and it would stay there.
        cursor.execute(
            "SELECT truncate_local_data_after_distributing_table(oid) FROM pg_class"
            " WHERE relnamespace = quote_ident(%s)::regnamespace AND relkind = 'r'",
            [schema],
        )


def _move(schema: str, node: Node, way: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT citus_schema_move(quote_ident(%s)::regnamespace, %s, %s, %s)", [schema, node.host, node.port, way]
        )


def _organization(slug: str) -> Organization:
    if not settings.DATABASE_CLUSTER:
        raise CanNotPlace("This installation has one database (DATABASE_CLUSTER is not set), and no nodes.")
    organization = working_organizations().filter(slug=slug).first()
    if organization is None:
        raise NotFound(f"There is no organization {slug!r}.")
    return organization


def _place_of(organization: Organization) -> Node:
    node = places_now([organization.schema_name]).get(organization.schema_name)
    if node is None:
        raise CanNotPlace(
            f"{organization.slug} is not at a node: it was made before this was a cluster, or is with it."
        )
    return node


def _nodes() -> list[Node]:
    """Those that organizations may live at. The coordinator is none, whatever Citus is told: nobody is found there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nodename, nodeport FROM pg_dist_node"
            " WHERE isactive AND shouldhaveshards AND noderole = 'primary' AND groupid <> 0 ORDER BY groupid"
        )
        return [Node(host, port) for host, port in cursor.fetchall()]


def _read(node: str) -> Node | None:
    """``host`` or ``host:port``, an IPv6 address in brackets where a port follows."""
    found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]{1,5}))?|(?P<bare>.+)", node)
    if found is None:
        return None
    return Node(found["v6"] or found["host"] or found["bare"], int(found["port"] or 5432))
