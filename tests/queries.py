"""How many queries a page takes."""

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.visitor import session_of
from tests.world import Person


def queries_of(person: Person, path: str) -> list[str]:
    """The queries of one page, asked for by this person; without those that only set the search path."""
    client = Client(headers={"host": person.client.host, "accept": "text/html"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    client.get(path)  # what a process remembers, it remembers now
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
    assert response.status_code == 200, response
    return [one["sql"] for one in captured if not one["sql"].upper().startswith("SET SEARCH_PATH")]
