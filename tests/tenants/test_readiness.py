"""Looking at the schemas costs the same few statements however many there are, and one look is under way at a time."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants import readiness, schemas
from tenants.schemas import states_of
from tests.support.schemas import provision


def statements_for(names: list[str]) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert all(state.is_current for state in states_of(names).values())
    return len(captured)


def test_a_look_at_more_schemas_takes_no_more_statements() -> None:
    names = ["org_acme", "org_globex"]
    states_of(names)
    before = statements_for(names)
    for slug in ("more-1", "more-2"):
        provision(slug)
    assert statements_for([*names, "org_more_1", "org_more_2"]) == before


def test_whoever_asks_while_the_schemas_are_looked_at_is_answered_at_once() -> None:
    readiness.forget()
    with readiness._looking, CaptureQueriesContext(connection) as captured:
        assert readiness.hindrance() is not None, "nothing has been looked at yet"
    assert readiness.hindrance() is None
    with readiness._looking:
        assert readiness.hindrance() is None, "as it was found before"
    assert len(captured) == 0


def test_a_process_that_is_ready_rests_between_two_looks() -> None:
    readiness.forget()
    assert readiness.hindrance() is None
    with CaptureQueriesContext(connection) as captured:
        assert readiness.hindrance() is None
    assert len(captured) == 0


def test_a_process_that_was_ready_stays_so_when_a_later_release_installs_its_functions(monkeypatch) -> None:
    readiness.forget()
    assert readiness.hindrance() is None
    behind = schemas.State(schemas.Condition.BEHIND, "the functions are those of another release")
    monkeypatch.setattr(readiness, "states_of", lambda names: dict.fromkeys(names, behind))
    monkeypatch.setattr(readiness, "_rest_until", 0.0)
    assert readiness.hindrance() is None
    readiness.forget()
    assert readiness.hindrance() is not None
