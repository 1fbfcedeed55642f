"""Django's connection on a cluster of databases (Citus; ``DATABASE_CLUSTER``), where each organization's schema lives
at one of many nodes, and the platform's tables at the coordinator.

It is a connection to the coordinator, which reaches everything: pages, sign-ins and whatever else reads or writes both
the platform's tables and the organization's, in one transaction, go that way. Beside it there is one to each node that
was entered: a call of a money function, and all else that names its schema and stands in a statement of its own, goes
straight to the node that holds the schema (:func:`shared.database.entered`). So a sale meets nothing but that node, and
goes on while the coordinator is away.

Both ways lead to the same rows under the same locks: who serializes a seller's sales is the node that has them
(``seller_lock`` in credit/sql/ledger.sql), wherever a statement came in.
"""

from typing import Any

import psycopg2
from django.db import InterfaceError, OperationalError
from django_tenants.postgresql_backend import base
from psycopg2 import errorcodes

from shared.database import set_parameter
from shared.sick import sqlstate_of
from tenants.nodes import Node, answered, look_again_soon, may_be_tried, node_of, rest

CLOCKS_APART_SECONDS = 1.0
"""How much the clocks of the cluster's machines may differ: what came in at the coordinator has moments of its own."""

_SHARD = """
    (
        SELECT to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(%(table)s || '_' || shard.shardid))
        FROM pg_dist_shard AS shard
        WHERE shard.logicalrelid = to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(%(table)s))
    )
"""
"""For shared/horizon.py: the table itself, which is locked wherever a statement came in."""

_SHARDS = """
    SELECT shell.relname::text, '_' || shard.shardid
    FROM pg_depend AS own
    INNER JOIN pg_class AS shell ON shell.oid = own.objid
    INNER JOIN pg_dist_shard AS shard ON shard.logicalrelid = shell.oid
    WHERE own.classid = 'pg_class'::regclass AND own.refclassid = 'pg_namespace'::regclass
        AND own.refobjid = to_regnamespace(quote_ident(%(schema)s))
        AND to_regclass(
            quote_ident(%(schema)s) || '.' || quote_ident(shell.relname || '_' || shard.shardid)
        ) IS NOT NULL
"""
"""For recharge/reports/books.py: the schema's tables that have their rows here in another one, and what is behind its
name. (Of a schema that has moved away a moment ago there are none.)"""

_NOT_THERE = {errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_FUNCTION, errorcodes.INVALID_SCHEMA_NAME}
"""What a server says that was taken out of the cluster."""


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-tenants has no types
    """The coordinator's, with those to the nodes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._nodes: dict[Node, NodeWrapper] = {}
        super().__init__(*args, **kwargs)

    def at_node_of(self, schema: str) -> "DatabaseWrapper | NodeWrapper":
        """The connection (perhaps not open yet) for a statement about this schema, in autocommit; this one itself where
        the schema is no organization's.

        Raises:
            django.db.OperationalError: it is not known where the schema is, and the coordinator does not answer.
        """
        node = node_of(self, schema)
        if node is None:
            return self
        if node not in self._nodes:
            self._nodes[node] = NodeWrapper(self.settings_dict, self.alias, node)
        return self._nodes[node]

    def init_connection_state(self) -> None:
        super().init_connection_state()
        # SET LOCAL is for the transaction at the node, too: how long it waits for a lock, how it plans a proof.
        set_parameter(self, "citus.propagate_set_commands", "local")

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()
        self.close_own()

    def close_own(self) -> None:
        """Closes the one to the coordinator alone."""
        super().close()


class NodeWrapper(base.DatabaseWrapper):  # type: ignore[misc]
    """A connection to one node. It differs from the coordinator's in the server alone."""

    def __init__(self, settings: dict[str, Any], alias: str, node: Node) -> None:
        options = {name: value for name, value in settings["OPTIONS"].items() if name != "hostaddr"}
        super().__init__({**settings, "HOST": node.host, "PORT": str(node.port), "OPTIONS": options}, alias)
        self._node = node
        self.relation_written = _SHARD
        self.tables_with_rows = _SHARDS
        self.clocks_apart = CLOCKS_APART_SECONDS
        self.inc_thread_sharing()  # it is used by whoever uses the coordinator's

    def connect(self) -> None:
        if not may_be_tried(self._node):
            raise psycopg2.OperationalError(f"The node {self._node} did not answer a moment ago.")
        try:
            super().connect()
        except psycopg2.OperationalError:
            rest(self._node)
            raise
        answered(self._node)

    def has_left(self, error: Exception) -> bool:
        """Whether this error says that this server is away, or has not what it is asked for. Then the connection is
        closed, and whoever enters next looks up where that is."""
        is_dead = isinstance(error, OperationalError | InterfaceError) and not self.is_usable()
        if not is_dead and sqlstate_of(error) not in _NOT_THERE:
            return False
        look_again_soon()
        self.close()
        return True
