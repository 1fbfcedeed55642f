"""Moves an organization to another node of a cluster, while it sells (see tenants/placed/base.py)."""

import re
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from shared.errors import NotFound
from tenants.models import Organization
from tenants.nodes import Node, places_of
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
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT citus_schema_move(quote_ident(%s)::regnamespace, %s, %s)",
                    [organization.schema_name, wanted.host, wanted.port],
                )
        except DatabaseError as error:
            raise CanNotPlace(f"{slug} is at {before}, as before: {str(error).strip()}") from error
        _log.info("organization_placed", slug=slug, node=str(wanted), before=str(before))
    return Placed(wanted, before)


def _organization(slug: str) -> Organization:
    if not settings.DATABASE_CLUSTER:
        raise CanNotPlace("This installation has one database (DATABASE_CLUSTER is not set), and no nodes.")
    organization = working_organizations().filter(slug=slug).first()
    if organization is None:
        raise NotFound(f"There is no organization {slug!r}.")
    return organization


def _place_of(organization: Organization) -> Node:
    current: Any = connection
    node = places_of(current, [organization.schema_name]).get(organization.schema_name)
    if node is None:
        raise CanNotPlace(
            f"{organization.slug} is not at a node: it was made before this was a cluster, or is with it."
        )
    return node


def _nodes() -> list[Node]:
    """Those that organizations may live at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nodename, nodeport FROM pg_dist_node"
            " WHERE isactive AND shouldhaveshards AND noderole = 'primary' ORDER BY groupid"
        )
        return [Node(host, port) for host, port in cursor.fetchall()]


def _read(node: str) -> Node | None:
    """``host`` or ``host:port``, an IPv6 address in brackets where a port follows."""
    found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]{1,5}))?|(?P<bare>.+)", node)
    if found is None:
        return None
    return Node(found["v6"] or found["host"] or found["bare"], int(found["port"] or 5432))
