"""Databases on a server that says it is Citus: the coordinator of a cluster, whose nodes all have one of each name.

CI runs without one. ``TEST_DATABASE_URL`` names a database with the extension, and the nodes added to it, in which the
owner is a superuser (nobody else may create the extension)::

    TEST_DATABASE_URL=postgres://recharge@127.0.0.1:5432/recharge
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import psycopg2
from psycopg2 import sql

_ONE_ROLE = "One role does everything: see deploy/README.md."

ASKS_FOR_ONE_SERVER = {
    "tests/credit/test_chain.py::test_the_web_processes_role_makes_a_root_of_no_other_day": _ONE_ROLE,
    "tests/credit/test_ledger.py::test_the_application_is_no_superuser": "The tests' role is one, for the extension.",
    "tests/credit/test_tree.py::test_the_working_role_places_nobody_by_itself": _ONE_ROLE,
    "tests/tenants/test_nodes.py": "It stands in for a cluster. On one: tests/faults/test_cluster.py.",
    "tests/tenants/test_pooler.py": "DATABASE_CLUSTER and DATABASE_POOLER exclude each other.",
    **{
        f"tests/tenants/test_working_role.py::{name}": _ONE_ROLE
        for name in (
            "test_a_process_that_does_not_know_the_owner_makes_no_organization",
            "test_it_can_neither_forge_an_approval_nor_rewrite_what_was_decided",
            "test_it_can_t_change_how_anything_is_made",
            "test_it_neither_places_sellers_nor_switches_limits_off_beside_the_functions",
            "test_the_check_of_the_database_signs_in_by_each_address",
            "test_the_command_makes_the_role_and_its_rights",
            "test_the_deployment_check_says_that_one_role_does_everything",
        )
    },
}
"""What is left out on a cluster, by the beginning of its name, and why."""


def is_left_out(test: str) -> bool:
    """Whether a test can't be run here, by its name (``file::test``)."""
    return bool(nodes()) and test.startswith(tuple(ASKS_FOR_ONE_SERVER))


@cache
def nodes() -> Sequence[tuple[str, int]]:
    """The hosts and ports of the cluster's nodes, the coordinator first; none: the server is plain PostgreSQL."""
    with _cursor() as cursor:
        cursor.execute("SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return ()
        cursor.execute("SELECT nodename, nodeport FROM pg_dist_node WHERE isactive ORDER BY groupid")
        return tuple(cursor.fetchall())


def make_database(name: str) -> None:
    """Makes it on all nodes, in place of what a run that was killed left, with the extension and its nodes."""
    drop_database(name)
    for host, port in nodes():
        with _cursor(host=host, port=port) as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with _cursor(host=host, port=port, dbname=name) as cursor:
            cursor.execute("CREATE EXTENSION citus")
    coordinator, *workers = nodes()
    with _cursor(dbname=name) as cursor:
        cursor.execute("SELECT citus_set_coordinator_host(%s, %s)", coordinator)
        for node in workers:
            cursor.execute("SELECT citus_add_node(%s, %s)", node)


def drop_database(name: str) -> None:
    """Drops it on all nodes, whoever is in it."""
    for host, port in nodes():
        with _cursor(host=host, port=port) as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _cursor(**address: Any) -> Iterator[Any]:
    with closing(psycopg2.connect(os.environ["TEST_DATABASE_URL"], **address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
