"""A kind of entry is one row of ENTRY_KINDS, which the database, the ledger's page and the sums of sales go by."""

import re
import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from credit.models import ENTRY_KINDS, Entry, kinds_of_document
from credit.pages.words import KINDS
from tests.support.server import ROOT
from tests.support.world import Organization, give_credit


def test_each_kind_has_its_row_and_its_words() -> None:
    assert list(ENTRY_KINDS) == list(Entry.Kind)
    assert set(KINDS) == set(Entry.Kind)
    assert kinds_of_document("recharge") == ("recharge", "refund", "late_charge", "reversal")
    for kind in ENTRY_KINDS.values():
        assert not kind.document or reverse(kind.document, "saas.urls_organization", args=[uuid.uuid4()])


def test_the_database_knows_the_kinds_of_each_document(acme: Organization) -> None:
    documents = {kind.document for kind in ENTRY_KINDS.values() if kind.document}
    with acme.context, connection.cursor() as cursor:
        for document in documents:
            cursor.execute("SELECT entry_kinds_of(%s)", [document])
            assert tuple(cursor.fetchone()[0]) == kinds_of_document(document)


def test_a_report_of_entries_has_each_kind_that_is_posted_for_recharges() -> None:
    report = (ROOT / "recharge" / "sql" / "report_of_entries.sql").read_text()
    named = {
        kind
        for one, many in re.findall(r"kind (?:= ('\w+')|IN \((.*?)\))", report)
        for kind in re.findall(r"\w+", one + many)
    }
    assert named == {*kinds_of_document("recharge"), *kinds_of_document("margin_batch")}


@pytest.mark.parametrize("kind", Entry.Kind.values)
@pytest.mark.parametrize("amount", [1, -1, 0])
def test_the_database_knows_its_sign(acme: Organization, kind: str, amount: int) -> None:
    sign = ENTRY_KINDS[Entry.Kind(kind)].sign
    give_credit(acme.row, acme.member.id, 1000)

    class Undone(Exception):
        pass

    def post() -> None:
        with acme.context, transaction.atomic(), connection.cursor() as cursor:
            arguments = [acme.row.pk, acme.member.id, kind, amount, str(uuid.uuid4())]
            cursor.execute("SELECT ledger_post(%s, %s, %s, %s, %s)", arguments)
            raise Undone

    with pytest.raises(Undone if amount and sign in (amount, 0) else IntegrityError):
        post()
