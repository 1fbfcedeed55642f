"""How many queries a page takes."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from shared import database
from tests.support.visitor import session_of
from tests.support.world import Person


def queries_of(person: Person, path: str) -> list[str]:
    """The queries of one page, asked for by this person.

    Without those that only set the search path, and without the look at the host, which a process makes anew every few
    seconds.
    """
    client = Client(headers={"host": person.client.host, "accept": "text/html"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    client.get(path)  # what a process remembers, it remembers now
    with captured_queries() as captured:
        response = client.get(path)
    assert response.status_code == 200, response
    return counted(captured)


@contextmanager
def captured_queries() -> Iterator[CaptureQueriesContext]:
    """The queries within the block; calls of SQL functions, which go beside Django's cursors, are among them."""
    fetch = database._fetch

    def log_and_fetch(current: Any, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection.queries_log.append({"sql": statement, "time": "0"})  # also of what goes to a cluster's node
        return fetch(current, statement, arguments)

    database._fetch = log_and_fetch
    try:
        with CaptureQueriesContext(connection) as captured:
            yield captured
    finally:
        database._fetch = fetch


def counted(captured: CaptureQueriesContext) -> list[str]:
    """The queries that a page's cost is counted in."""
    statements = (_HEAD.sub("", one["sql"]) for one in captured)
    return [statement for statement in statements if not _PASSED_OVER.match(statement)]


_HEAD = re.compile(r"(?:SET (?:TRANSACTION|LOCAL) [^;]*;)+")
"""What a statement behind a pooler brings with it."""

_PASSED_OVER = re.compile(r'SET search_path|SELECT "tenants_domain".* INNER JOIN "tenants_organization" ', re.I | re.S)
