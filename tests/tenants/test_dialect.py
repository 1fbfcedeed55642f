"""The SQL of an organization's schema keeps to what Citus carries out, too, where the schema's tables are on one of
several nodes. See "Many machines" in ARCHITECTURE.md. What is asked here is asked of the files, without a cluster."""

import re
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from tenants.functions import release_of
from tenants.statements import statements_of
from tenants.tables import texts_of_tables

_NAME = re.compile(r"CREATE FUNCTION (\w+)")

_PARTS = re.compile(r";|\bTHEN\n|\bELSE\n|\bLOOP\n|\bBEGIN\b")
"""Between what PL/pgSQL sends to the planner one by one."""

_MAY_WORK_ON_A_TABLE_BESIDE = {
    # Rows that a function gives are written: PostgreSQL's own plan gives them, and Citus writes what it is given.
    "alert_raise": "alert_recipients",
    "alert_test": "alert_recipients",
    "days_sum_up": "day_sales|day_postings",
}


def _bare(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


@cache
def _functions() -> dict[str, str]:
    """The functions of an organization's schema, by their names."""
    found = {}
    for statement in release_of("org_acme").statements:
        if match := _NAME.match(statement):
            found[match[1]] = _bare(statement)
    return found


@cache
def _tables() -> str:
    names = re.findall(r"CREATE TABLE (\w+)", "".join(texts_of_tables().values()))
    return "|".join(sorted(names, key=len, reverse=True))


def _names_a_table(text: str) -> bool:
    return re.search(rf"\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(?:{_tables()})\b", text) is not None


def _body(statement: str) -> str:
    _, found, body = statement.partition("AS $$")
    return body if found else re.split(r"\n(?:RETURN|BEGIN ATOMIC)\b", statement, maxsplit=1)[-1]


@cache
def _readers() -> frozenset[str]:
    """The functions that read or write a table, or call one that does."""
    found = {name for name, statement in _functions().items() if _names_a_table(_body(statement))}
    while True:
        calls = re.compile(rf"\b(?:{'|'.join(found)})\(")
        more = {
            name for name, statement in _functions().items() if name not in found and calls.search(_body(statement))
        }
        if not more:
            return frozenset(found)
        found |= more


def _statements_on_tables() -> list[tuple[str, str]]:
    return [
        (name, part)
        for name, statement in _functions().items()
        for part in _PARTS.split(_body(statement))
        if _names_a_table(part)
    ]


def test_functions_in_sql_name_no_table() -> None:
    """Citus plans no parameters of theirs. (One may call another function that does.)"""
    assert [
        name
        for name, statement in _functions().items()
        if "LANGUAGE sql" in statement and _names_a_table(_body(statement))
    ] == []


def test_no_statement_has_a_table_and_a_function_that_works_on_one() -> None:
    """It would be carried out where the table is, in the middle of the statement, and refused."""
    calls = re.compile(rf"\b({'|'.join(_readers())})\(")
    found = {
        (name, called)
        for name, part in _statements_on_tables()
        for called in calls.findall(part)
        if not re.fullmatch(_MAY_WORK_ON_A_TABLE_BESIDE.get(name, ""), called)
    }
    assert found == set()


def test_no_statement_takes_a_lock_while_it_reads_a_table() -> None:
    """The lock would be taken on the node where the table is, and another's on that where it calls. (Just that is what
    seller_lock_at_node is for.)"""
    takes_a_lock = re.compile(r"\w*(?:_lock\w*|advisory\w*)\(")
    assert {name for name, part in _statements_on_tables() if takes_a_lock.search(part)} <= {"seller_lock_at_node"}


def test_no_update_asks_the_clock() -> None:
    """An UPDATE sets what was looked up before it: volatile functions are refused, and stable ones of a column or in
    CASE."""
    volatile = re.compile(r"\b(?:clock_timestamp|statement_timestamp|uuid7_at|random)\(")
    updates = [(name, part) for name, part in _statements_on_tables() if re.search(r"\bUPDATE\s+\w+[^;]*\bSET\b", part)]
    assert len(updates) > 20
    assert [(name, part) for name, part in updates if volatile.search(part) and "ON CONFLICT" not in part] == []


def test_rows_that_a_query_gives_are_not_asked_for_when_they_are_written() -> None:
    """Of INSERT … SELECT … RETURNING Citus tells PL/pgSQL another number of rows than it gives, which is refused."""
    inserts = [(name, part) for name, part in _statements_on_tables() if re.search(r"\bINSERT INTO\b", part)]
    assert len(inserts) > 20
    assert [(name, part) for name, part in inserts if re.search(r"\)\s+SELECT\b.*\bRETURNING\b", part, re.DOTALL)] == []


def test_a_trigger_against_emptying_a_table_is_one_by_itself() -> None:
    """Citus keeps one for TRUNCATE beside the table alone, and not where its rows are: for UPDATE and DELETE it would
    be gone."""
    triggers = [one for one in release_of("org_acme").statements if one.startswith("CREATE TRIGGER")]
    assert len(triggers) > 20
    assert [one for one in triggers if "TRUNCATE" in one and " OR " in one.split(" ON ", 1)[0]] == []


def test_a_table_whose_rows_stay_can_not_be_emptied_either() -> None:
    triggers = [one for one in release_of("org_acme").statements if one.startswith("CREATE TRIGGER")]

    def tables(event: str) -> set[str]:
        return {
            match[1]
            for one in triggers
            if (match := re.search(rf"BEFORE [^\n]*\b{event}\b[^\n]* ON (\w+)\nFOR EACH STATEMENT", one))
        }

    assert tables("DELETE") == tables("TRUNCATE")


@pytest.mark.parametrize("file", ["reconcile", "report", "report_of_entries"])
def test_what_is_sent_as_one_statement_keeps_to_it(file: str) -> None:
    """A proof sees one snapshot, since it is carried out as a whole where the tables are."""
    sql = Path(apps.get_app_config("recharge").path) / "sql"
    heads = [(sql / f"reconcile_{head}.sql").read_text() for head in ("all", "since")] if file == "reconcile" else [""]
    calls = re.compile(rf"\b(?:{'|'.join(_readers())})\(")
    for head in heads:
        (statement,) = statements_of(_bare(head + (sql / f"{file}.sql").read_text()))
        assert not (_names_a_table(statement) and calls.search(statement)), calls.findall(statement)
        assert not (_names_a_table(statement) and re.search(r"\bpg_(?:trigger|constraint|class|index)\b", statement))


def test_foreign_keys_are_checked_with_the_statement() -> None:
    """Citus alters no constraint: new schemas have them so from the beginning."""
    assert list(texts_of_tables()) == settings.TENANT_APPS
    assert [label for label, text in texts_of_tables().items() if "DEFERRABLE" in text] == []
