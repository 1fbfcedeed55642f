"""Statements as pages: made by month or by days, read, proved, and taken away as files."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from recharge.models import Statement
from shared.console.months import month_of
from tests.recharge.test_statements import tamper, today
from tests.support.visitor import MARKUP, Visitor, shown, text_of, words_of
from tests.support.world import Organization, give_credit

CREDIT = 1_000_000


def feet_of(page: str) -> list[list[str]]:
    """What stands below the columns of each table."""
    feet = re.findall(r"(?s)<tfoot.*?</tfoot>", page)
    return [[words_of(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", foot)] for foot in feet]


@pytest.mark.breaks_the_books
def test_a_seller_makes_reads_proves_and_takes_one(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    assert acme.member.sell(5000).status == 201
    member = Visitor.signed_in(acme.member)
    assert "No statement yet." in shown(member.get("/statements"))
    form = text_of(member.get("/statements/new"))
    assert f'<option value="{month_of(today()).code}" selected>{month_of(today())}</option>' in form
    assert 'name="seller"' not in form

    answers = [member.submit("/statements/new", {"month": month_of(today()).code}) for _ in range(2)]
    assert [answer.status for answer in answers] == [302, 302]
    path = urlsplit(answers[0].headers["Location"]).path
    assert path == urlsplit(answers[1].headers["Location"]).path
    with acme.context:
        row = Statement.objects.get()
    assert (row.first_day, row.last_day) == (month_of(today()).first_day, today())

    seen = shown(member.get(path))
    assert "was already created; there are no new entries since" in seen
    assert "Closing balance 995,000 Tomans" in seen
    assert bytes(row.digest).hex() in seen
    assert "Recharge Number of entries: 1 1 5,000 0 0" in seen  # of the totals
    of_kinds, of_rows = feet_of(text_of(member.get(path)))
    assert of_kinds == ["Total Number of entries: 2", "2", "5,000", "1,000,000", "0"]
    on_phones = "Debit (−): 5,000 Credit (+): 1,000,000"
    assert of_rows == [
        "",
        "",
        f"Sum of all 2 rows {on_phones}",
        "",
        "\u200e+995,000",
        "5,000",
        "1,000,000",
        "0",
        "995,000",
    ]
    assert "995,000" in shown(member.get("/statements"))
    links = re.findall(r'href="(/statements/[^"]+\.\w+)"', text_of(member.get(path)))
    assert [link.rpartition(".")[2] for link in links] == ["pdf", "xlsx", "csv"]
    for link, begins in zip(links, (b"%PDF-", b"PK", "\ufeffnumber".encode()), strict=True):
        answer = member.get(link)
        assert answer.status == 200
        assert answer.body.startswith(begins)

    assert "Valid:" in shown(member.get(f"{path}/proof"))
    neighbour = Visitor.signed_in(acme.neighbour)
    for hidden in (path, f"{path}/proof", *links):
        assert neighbour.get(hidden).status == 404
    tamper(acme, "UPDATE credit_entry SET amount = amount + 1")
    assert "Not valid:" in shown(member.get(f"{path}/proof"))


def test_an_admin_makes_one_of_any_seller_and_is_told_what_can_t_be(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    for fields, said in (
        ({"seller": "member"}, "Choose a month, or enter both days."),
        ({"seller": "member", "from_day": "2026-01-01"}, "Choose a month, or enter both days."),
        ({"seller": "member", "month": month_of(today()).code, "from_day": "2026-01-01"}, "not both"),
        ({"seller": "member", "from_day": "2026-02-01", "to_day": "2026-01-01"}, "The last day is before the first."),
        ({"seller": "member", "from_day": "2020-01-01", "to_day": "2026-01-01"}, "at most 366 days"),
        ({"seller": "member", "from_day": "1900-01-01", "to_day": "1900-01-02"}, "too long ago"),
        ({"seller": "member", "from_day": "2026-01-01", "to_day": str(today() + timedelta(1))}, "not begun yet"),
        ({"seller": "nobody", "month": month_of(today()).code}, "There is no such seller."),
        ({"seller": "member", "month": "1399-01"}, "Select a valid choice."),
    ):
        answer = owner.submit("/statements/new", fields)
        assert (answer.status, said in shown(answer)) == (422, True), fields
    with acme.context:
        assert not Statement.objects.exists()
    answer = owner.submit("/statements/new", {"seller": "member", "from_day": "۱۴۰۵/۰۱/۰۱", "to_day": "1405/01/31"})
    seen = shown(owner.get(urlsplit(answer.headers["Location"]).path))
    assert "2026-03-21 to 2026-04-20" in seen
    assert "No entries on these days." in seen


def test_many_rows_are_shown_in_parts_and_names_are_text(
    acme: Organization,
) -> None:
    assert acme.owner.client.patch(f"/sellers/{acme.member.id}", {"name": MARKUP}).status == 200
    give_credit(acme.row, acme.member.id, CREDIT)
    items = [{"idempotency_key": f"k{n}", "phone_number": f"0912123{n:04}", "amount": 1000} for n in range(150)]
    assert acme.member.client.post("/recharges/bulk", {"items": items}).status == 200
    member = Visitor.signed_in(acme.member)
    made = member.submit("/statements/new", {"from_day": str(today()), "to_day": str(today())})
    path = urlsplit(made.headers["Location"]).path
    first = text_of(member.get(path))
    assert "Only some of the entries" in first
    assert "<script>alert" not in first
    assert [foot[1] for foot in feet_of(first)] == ["151"]  # a part of the rows has no sum
    assert '<a class="btn btn-outline-secondary" rel="next" href="?entry=101">' in first
    rest = text_of(member.get(f"{path}?entry=101"))
    assert (rest.count("<tr>") > 50, 'rel="next"' in rest, 'href="?entry=1"' in rest) == (True, False, True)
    for entry in ("0", "152", "-1", "x", "۱", "9" * 30):
        assert member.get(f"{path}?entry={entry}").status == 404
