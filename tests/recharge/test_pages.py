"""Recharges as pages: the list and its filters, the exports, one recharge as it changes, settling one by hand."""

import csv
import io
import re
import uuid
from datetime import timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from django.db import connection

from credit.models import Entry, Seller
from recharge.delivery.settlement import settle_recharge
from recharge.models import Attempt, Recharge
from recharge.pages.recharges import ROWS
from shared.models import User
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.locks import holding_lock, sell_pending
from tests.support.queries import queries_of
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor
from tests.support.world import Organization, Person, World, give_credit, make_seller

S, F, U = Recharge.Status.SUCCEEDED, Recharge.Status.FAILED, Recharge.Status.UNKNOWN
MARKUP = '"><script>alert(1)</script><img src=x>'


@pytest.fixture
def supplied(acme: Organization) -> Organization:
    """acme, whose two sellers have 100,000 Tomans each."""
    give_credit(acme.row, acme.member.id, 100_000)
    give_credit(acme.row, acme.neighbour.id, 100_000)
    return acme


def text_of(answer: Answer) -> str:
    """What is read, without the markup."""
    assert answer.status == 200, answer
    body = re.sub(r"(?s)^.*<main", "<main", answer.body.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def ids_on(answer: Answer) -> list[str]:
    """The recharges of a list, in order."""
    assert answer.status == 200, answer
    return re.findall(r'<td[^>]*><a href="/recharges/([0-9a-f-]{36})">', answer.body.decode())


def sold(person: Person, amount: int = 5000, phone_number: str = "09121234567", **key: str) -> str:
    answer = person.sell(amount, phone_number=phone_number, **key)
    assert answer.status == 201, answer
    return str(answer.json["id"])


def tell(organization: Organization, recharge_id: object, status: Recharge.Status) -> None:
    settle_recharge(
        organization=organization.row,
        recharge_id=uuid.UUID(str(recharge_id)),
        status=status,
        failure="number_barred" if status == F else "",
    )


# --- The list ---------------------------------------------------------------------------------------------------------


def test_a_seller_sees_the_own_history_and_an_admin_all(supplied: Organization) -> None:
    own, other = sold(supplied.member), sold(supplied.neighbour)
    assert ids_on(Visitor.signed_in(supplied.member).get("/recharges")) == [own]
    assert ids_on(Visitor.signed_in(supplied.member).get(f"/recharges?seller={supplied.neighbour.id}")) == [own]
    assert ids_on(Visitor.signed_in(supplied.owner).get("/recharges")) == [other, own]


def test_each_filter_narrows(supplied: Organization) -> None:
    plain = sold(supplied.member, 1000, key="a key of it")
    other = sold(supplied.neighbour, 2000, "09351234567")
    failed = str(sell_pending(supplied.row, supplied.member.id, 3000))
    tell(supplied, failed, F)
    late = str(sell_pending(supplied.row, supplied.member.id, 4000))
    tell(supplied, late, F)
    tell(supplied, late, S)
    visitor = Visitor.signed_in(supplied.owner)
    for query, expected in (
        ("", [late, failed, other, plain]),
        ("status=failed", [failed]),
        ("operator=irancell", [other]),
        ("phone_number=0935 123 4567", [other]),
        ("phone_number=۰۹۳۵۱۲۳۴۵۶۷", [other]),
        ("late=any", [late]),
        ("late=charged", [late]),
        ("late=owed", []),
        (f"seller={supplied.neighbour.id}", [other]),
        ("seller=neighbour", [other]),
        ("seller=NEIGH", [other]),
        ("idempotency_key=a key of it", [plain]),
        ("status=succeeded&operator=mci", [plain]),
        ("from_day=2020-01-01", [late, failed, other, plain]),
        ("from_day=2190-01-01", []),
        ("to_day=2020-01-01", []),
        ("from_day=۱۳۹۹/۰۱/۰۱&to_day=1600/01/01", [late, failed, other, plain]),
        ("to_day=9999-12-31", [late, failed, other, plain]),
    ):
        assert ids_on(visitor.get("/recharges?" + quote(query, safe="=&"))) == expected, query


def test_a_day_is_a_day_of_the_readers_zone(supplied: Organization) -> None:
    recharge_id = sold(supplied.member)
    with supplied.context:
        moment = Recharge.objects.get(pk=recharge_id).created_at
    visitor = Visitor.signed_in(supplied.member)
    # Two zones that are never on the same day.
    for name in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        User.objects.filter(pk=supplied.member.user.pk).update(time_zone=name)
        day = moment.astimezone(ZoneInfo(name)).date()
        for first, last, expected in ((0, 0, [recharge_id]), (1, 1, []), (-1, -1, []), (-1, 1, [recharge_id])):
            query = f"from_day={day + timedelta(days=first)}&to_day={day + timedelta(days=last)}"
            assert ids_on(visitor.get(f"/recharges?{query}")) == expected, (name, first, last)


def test_a_wrong_filter_is_said_beside_its_field_and_nothing_is_shown(supplied: Organization) -> None:
    sold(supplied.member)
    make_seller(supplied.row, "Ann 1")
    make_seller(supplied.row, "Ann 2")
    visitor = Visitor.signed_in(supplied.owner)
    for query, said in (
        ("status=nonsense", "Select a valid choice"),
        ("operator=%00", "Select a valid choice"),
        ("late=%ED%A0%80", "Select a valid choice"),
        ("phone_number=hello", "Iranian mobile number"),
        ("phone_number=" + "9" * 5000, "Iranian mobile number"),
        ("from_day=2026-02-30", "Write a day like"),
        ("from_day=%00", "Write a day like"),
        ("to_day=1405/13/01", "Write a day like"),
        ("from_day=2026-02-02&to_day=2026-02-01", "before the first one"),
        ("seller=nobody", "There is no such seller"),
        ("seller=%25", "There is no such seller"),
        ("seller=99999999999999999999", "There is no such seller"),
        ("seller=" + "9" * 200, "There is no such seller"),
        ("seller=%00", "Null characters are not allowed"),
        ("seller=Ann", "Several sellers have this name: Ann 1"),
        ("idempotency_key=%00", "Null characters are not allowed"),
        ("idempotency_key=" + "k" * 256, "at most 255 characters"),
        ("idempotency_key=order-7%20", "without a space at the beginning or the end"),
        ("idempotency_key=%20", "without a space at the beginning or the end"),
    ):
        answer = visitor.get(f"/recharges?{query}")
        assert ids_on(answer) == [], query
        assert said in text_of(answer), query
        assert "recharges.csv" not in answer.body.decode()


def test_a_seller_cannot_filter_by_what_is_an_admins(supplied: Organization) -> None:
    page = Visitor.signed_in(supplied.member).get("/recharges").body.decode()
    assert 'name="phone_number"' in page
    assert 'name="seller"' not in page
    assert 'name="idempotency_key"' not in page


def test_the_list_is_paged_with_its_filters(supplied: Organization) -> None:
    made = [sold(supplied.member, 1000 + number) for number in range(ROWS + 2)][::-1]
    visitor = Visitor.signed_in(supplied.member)
    first = visitor.get("/recharges?status=succeeded&operator=mci")
    assert ids_on(first) == made[:ROWS]
    (older,) = re.findall(r'rel="next" href="([^"]*)"', first.body.decode())
    older = older.replace("&amp;", "&")
    assert "status=succeeded" in older
    second = visitor.get("/recharges" + older)
    assert ids_on(second) == made[ROWS:]
    (newer,) = re.findall(r'rel="prev" href="([^"]*)"', second.body.decode())
    assert ids_on(visitor.get("/recharges" + newer.replace("&amp;", "&"))) == made[:ROWS]


@pytest.mark.parametrize("cursor", ["nonsense", "%00", "é", "A" * 5000, "cmVjaGFyZ2U8MQ"])
def test_a_made_up_cursor_is_a_bad_request(supplied: Organization, cursor: str) -> None:
    assert Visitor.signed_in(supplied.owner).get(f"/recharges?cursor={quote(cursor, safe='%')}").status == 400


def test_an_empty_list_says_what_to_do_next(acme: Organization) -> None:
    seller, admin = Visitor.signed_in(acme.member), Visitor.signed_in(acme.owner)
    assert 'href="/sell"' in seller.get("/recharges").body.decode().split("<main")[1]
    assert 'href="/sellers"' in admin.get("/recharges").body.decode().split("<main")[1]
    assert "Nothing matches" in text_of(admin.get("/recharges?status=failed"))


def test_a_list_costs_few_queries_however_many_rows(supplied: Organization) -> None:
    for _ in range(3):
        sold(supplied.member)
        sold(supplied.neighbour)
    # The session, the account, (the balance of a seller,) the rows with their sellers, the added operators; of an
    # admin also whether the organization trains.
    assert len(queries_of(supplied.member, "/recharges")) == 5
    assert len(queries_of(supplied.owner, "/recharges")) == 5
    assert len(queries_of(supplied.owner, "/recharges?seller=member&status=failed")) == 6


# --- Exports ----------------------------------------------------------------------------------------------------------


def test_the_export_has_all_rows_of_the_filters(supplied: Organization) -> None:
    own = [sold(supplied.member, 1000) for _ in range(ROWS + 1)]
    other = sold(supplied.neighbour, 2000, "09351234567")
    seller, admin = Visitor.signed_in(supplied.member), Visitor.signed_in(supplied.owner)

    def exported(visitor: Visitor, query: str = "") -> list[str]:
        answer = visitor.get(f"/recharges.csv{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert "attachment" in answer.headers["Content-Disposition"]
        return [row["id"] for row in csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig")))]

    assert exported(seller) == own[::-1]
    assert exported(seller, f"?seller={supplied.neighbour.id}") == own[::-1]
    assert exported(admin) == [other, *own[::-1]]
    assert exported(admin, "?operator=irancell") == [other]
    page = admin.get("/recharges?operator=irancell").body.decode()
    assert 'href="/recharges.csv?operator=irancell"' in page
    for query in ("status=nonsense", "seller=nobody"):
        back = admin.get(f"/recharges.csv?{query}")
        assert (back.status, back.headers["Location"]) == (302, f"/recharges?{query}")


def test_a_workbook_says_it_in_words(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    settle_recharge(organization=supplied.row, recharge_id=recharge_id, status=F, failure="=1+1")
    other = sold(supplied.neighbour, 2000, "09351234567")

    def sheet(person: Person, query: str = "") -> list[tuple]:
        answer = Visitor.signed_in(person).get(f"/recharges.xlsx{query}")
        assert answer.status == 200
        assert "recharges.xlsx" in answer.headers["Content-Disposition"]
        return list(openpyxl.load_workbook(io.BytesIO(answer.body)).active.iter_rows(values_only=True))

    titles, first, second = sheet(supplied.owner)
    assert titles[:2] == ("Seller's number", "Seller")
    first, second = dict(zip(titles, first, strict=True)), dict(zip(titles, second, strict=True))
    assert (first["Id"], first["Seller"], first["Operator"], first["State"]) == (
        other,
        "neighbour",
        "Irancell (MTN)",
        "Delivered",
    )
    assert (second["Amount (Tomans)"], second["State"], second["Reason of the failure"]) == (
        4000,
        "Failed, refunded",
        "=1+1",
    )
    titles, *rows = sheet(supplied.member)
    assert "Seller" not in titles
    assert [row[-1] for row in rows] == [str(recharge_id)]
    assert len(sheet(supplied.owner, "?operator=irancell")) == 2
    assert Visitor.signed_in(supplied.owner).get("/recharges.xlsx?operator=nonsense").status == 302


def test_an_export_needs_somebody_signed_in_here(world: World) -> None:
    stranger = Visitor.signed_in(world.globex.owner)
    stranger.client = world.acme.anyone
    for path in ("/recharges.csv", "/recharges.xlsx", "/recharges", "/reports.csv", "/settings"):
        for visitor in (Visitor(world.acme.anyone), stranger):
            answer = visitor.get(path)
            assert answer.status == 302
            assert answer.headers["Location"].startswith("/sign-in")


# --- One recharge -----------------------------------------------------------------------------------------------------


def test_a_seller_sees_the_own_recharge_and_no_others(supplied: Organization, globex: Organization) -> None:
    recharge_id = sold(supplied.member, key="my own key")
    read = text_of(Visitor.signed_in(supplied.member).get(f"/recharges/{recharge_id}"))
    for shown in ("Delivered", "5,000 Tomans", "0912 123 4567", "95,000 Tomans", recharge_id, "my own key"):
        assert shown in read
    assert "Attempts" not in read
    assert "Resolve" not in read
    for person in (supplied.neighbour, globex.owner, globex.member):
        assert Visitor.signed_in(person).get(f"/recharges/{recharge_id}").status == 404


@pytest.mark.parametrize("made_up", ["1", "x", "00000000-0000-0000-0000-000000000000", "%00", "é", "9" * 400])
def test_a_made_up_recharge_is_not_there(acme: Organization, made_up: str) -> None:
    for person in (acme.owner, acme.member):
        assert Visitor.signed_in(person).get(f"/recharges/{quote(made_up, safe='%')}").status == 404
        assert Visitor.signed_in(person).get(f"/recharges/{quote(made_up, safe='%')}/resolve").status == 404


def test_an_admin_sees_the_attempts_and_what_came_late(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    with supplied.context:
        Attempt.objects.create(
            recharge_id=recharge_id,
            number=1,
            action="submit",
            gateway="sandbox",
            started_at="2026-01-01T00:00:00Z",
            latency_ms=1234,
            outcome="failed",
            reason="number_barred",
            operator_reference="their-77",
            answer="they said no",
        )
    tell(supplied, recharge_id, F)
    tell(supplied, recharge_id, S)
    read = text_of(Visitor.signed_in(supplied.owner).get(f"/recharges/{recharge_id}"))
    for shown in (
        "Charged again",
        "charged again",
        "Refund",
        "Late charge",
        "\u200e+4,000",
        "\u200e−4,000",
        "1,234",
        "their-77",
        "they said no",
        "does not allow this number to be recharged",
        "sandbox",
        "member",
    ):
        assert shown in read, shown
    # To its seller, how it was delivered is not shown; that it was charged late is.
    read = text_of(Visitor.signed_in(supplied.member).get(f"/recharges/{recharge_id}"))
    assert "charged again" in read
    for hidden in ("their-77", "they said no", "sandbox", "1,234"):
        assert hidden not in read


def test_stored_markup_is_text(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    settle_recharge(organization=supplied.row, recharge_id=recharge_id, status=F, failure=MARKUP)
    with supplied.context:
        Seller.objects.filter(pk=supplied.member.id).update(name=MARKUP)
        texts = dict.fromkeys(("gateway", "reason", "operator_reference", "answer", "by"), MARKUP)
        Attempt.objects.create(
            recharge_id=recharge_id,
            number=1,
            action="submit",
            started_at="2026-01-01T00:00:00Z",
            outcome="failed",
            **texts,
        )
        with connection.cursor() as cursor:  # no statement changes what a sale was, but for the tables' owner
            cursor.execute("ALTER TABLE recharge_recharge DISABLE TRIGGER USER")
            Recharge.objects.filter(pk=recharge_id).update(idempotency_key=MARKUP, gateway=MARKUP)
            cursor.execute("ALTER TABLE recharge_recharge ENABLE TRIGGER USER")
    for person in (supplied.owner, supplied.member):
        visitor = Visitor.signed_in(person)
        for path in ("/recharges", f"/recharges/{recharge_id}", f"/recharges?seller={quote(MARKUP)}"):
            page = visitor.get(path).body.decode()
            assert "<script>alert" not in page
            assert "<img src=x" not in page
    page = Visitor.signed_in(supplied.owner).get(f"/recharges/{recharge_id}").body.decode()
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 7


def test_it_follows_a_recharge_until_its_end(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    for person in (supplied.member, supplied.owner):
        page = Visitor.signed_in(person).get(f"/recharges/{recharge_id}").body.decode()
        assert 'hx-trigger="every 2s"' in page
    visitor = Visitor.signed_in(supplied.member)
    (address,) = re.findall(r'hx-get="(/recharges/[^"]*)"', page)
    seen = visitor.get(f"/recharges/{recharge_id}?seen=pending.", HX_Request="true")
    assert (seen.status, seen.body) == (204, b"")
    assert Visitor.signed_in(supplied.owner).get(address, HX_Request="true").status == 204
    tell(supplied, recharge_id, U)
    part = visitor.get(f"/recharges/{recharge_id}?seen=pending.", HX_Request="true").body.decode()
    assert 'hx-trigger="every 2s"' in part
    assert 'data-announce="Not known yet"' in part
    assert "<html" not in part
    tell(supplied, recharge_id, F)
    part = visitor.get(f"/recharges/{recharge_id}?seen=unknown.", HX_Request="true").body.decode()
    assert "hx-trigger" not in part
    assert 'data-announce="Failed, refunded"' in part
    assert "Ask your customer to call the operator" in part
    assert 'hx-get="/recharges/' not in visitor.get(f"/recharges/{recharge_id}").body.decode()


def test_what_stays_open_for_long_is_asked_about_less(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    with supplied.context:
        Recharge.objects.filter(pk=recharge_id).update(created_at="2026-01-01T00:00:00Z")
    assert 'hx-trigger="every 15s"' in Visitor.signed_in(supplied.member).get(f"/recharges/{recharge_id}").body.decode()


def test_a_recharge_costs_few_queries(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    # The session, the account, (the balance,) the recharge, its entries, what was asked about it; of an admin also its
    # attempts, its seller and whether the organization trains (which a seller's balance says).
    assert len(queries_of(supplied.member, f"/recharges/{recharge_id}")) == 6
    assert len(queries_of(supplied.owner, f"/recharges/{recharge_id}")) == 8


# --- Settling one by hand ---------------------------------------------------------------------------------------------


def resolve(visitor: Visitor, recharge_id: object, status: str, **fields: str) -> Answer:
    """As an admin does who looks at the recharge, and then says what became of it."""
    path = f"/recharges/{recharge_id}"
    asked = visitor.get(f"{path}/resolve?status={status}").body.decode()
    seen = re.findall(r'name="seen" value="([^"]*)"', asked) or [""]
    return visitor.submit(
        path, {"status": status, "reason": "asked them", "seen": seen[0], **fields}, f"{path}/resolve"
    )


@pytest.mark.parametrize(
    ("before", "spends", "offered", "status", "said", "balance", "kinds"),
    table(
        ("pending, delivered", [], False, [S, F], S, "is recorded", 96_000, ["recharge"]),
        ("pending, not delivered", [], False, [S, F], F, "is recorded", 100_000, ["recharge", "refund"]),
        ("unknown, delivered", [U], False, [S, F], S, "is recorded", 96_000, ["recharge"]),
        ("unknown, not delivered", [U], False, [S, F], F, "is recorded", 100_000, ["recharge", "refund"]),
        (
            "failed, delivered",
            [F],
            False,
            [S],
            S,
            "charged to the seller",
            96_000,
            ["recharge", "refund", "late_charge"],
        ),
        ("failed, without credit", [F], True, [S], S, "the seller owes it", 0, ["recharge", "refund"]),
        ("succeeded, taken back", [S], False, [F], F, "is recorded", 100_000, ["recharge", "reversal"]),
        ("owed, not delivered", [F, "spend", S], False, [S, F], F, "is recorded", 0, ["recharge", "refund"]),
    ),
)
def test_it_is_settled_by_hand(
    supplied: Organization,
    before: list,
    spends: bool,
    offered: list[str],
    status: str,
    said: str,
    balance: int,
    kinds: list[str],
) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    for event in before:
        if event == "spend":
            sold(supplied.member, supplied.member.balance())
        else:
            tell(supplied, recharge_id, event)
    if spends:
        sold(supplied.member, supplied.member.balance())
    visitor = Visitor.signed_in(supplied.owner)
    page = visitor.get(f"/recharges/{recharge_id}").body.decode()
    assert re.findall(r'/resolve\?status=(\w+)" data-asks', page) == offered
    answer = resolve(visitor, recharge_id, status)
    assert (answer.status, answer.headers["Location"]) == (302, f"/recharges/{recharge_id}")
    assert said in text_of(visitor.get(f"/recharges/{recharge_id}"))
    assert supplied.member.balance() == balance
    with supplied.context:
        assert (
            list(Entry.objects.filter(reference=recharge_id).order_by("number").values_list("kind", flat=True)) == kinds
        )
        attempt = Attempt.objects.get(recharge_id=recharge_id, action="resolve")
        assert (attempt.reason, attempt.by) == ("asked them", "owner")


def test_what_was_taken_back_can_not_be_resolved(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    tell(supplied, recharge_id, S)
    tell(supplied, recharge_id, F)
    visitor = Visitor.signed_in(supplied.owner)
    assert "Record final outcome" not in text_of(visitor.get(f"/recharges/{recharge_id}"))
    with nothing_written():
        answer = resolve(visitor, recharge_id, "succeeded", seen="failed.reversed")
    assert answer.status == 302
    for status in ("succeeded", "failed", "pending", "", "%00"):
        assert visitor.get(f"/recharges/{recharge_id}/resolve?status={status}").status == 404


def test_sent_twice_it_is_done_once(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    path = f"/recharges/{recharge_id}"
    visitor = Visitor.signed_in(supplied.owner)
    for said in ("is recorded", "Already done"):
        visitor.submit(path, {"status": "failed", "reason": "no", "seen": "pending."}, f"{path}/resolve")
        assert said in text_of(visitor.get(path))
    assert supplied.member.balance() == 100_000


def test_who_agreed_to_something_else_is_asked_anew(supplied: Organization) -> None:
    """The admin was told that no money moves; meanwhile it failed, and now it would be charged again."""
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    tell(supplied, recharge_id, F)
    path = f"/recharges/{recharge_id}"
    visitor = Visitor.signed_in(supplied.owner)
    with nothing_written():
        visitor.submit(path, {"status": "succeeded", "reason": "yes", "seen": "pending."}, f"{path}/resolve")
    assert "has changed in the meantime" in text_of(visitor.get(path))
    assert supplied.member.balance() == 100_000


def test_a_form_that_is_wrong_comes_back_with_what_it_means(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    visitor = Visitor.signed_in(supplied.owner)
    with nothing_written():
        for reason, said in (
            ("", "Fill this in"),
            (" ", "Fill this in"),
            ("x" * 201, "at most 200"),
            ("\0", "Null char"),
        ):
            answer = resolve(visitor, recharge_id, "failed", reason=reason)
            assert answer.status == 422
            page = answer.body.decode()
            assert said in page
            assert "refunded at once" in page
        for status in ("", "pending", "unknown", "\0"):
            assert resolve(visitor, recharge_id, status).status == 302
        with holding_lock(supplied.row, supplied.member.id):
            answer = resolve(visitor, recharge_id, "failed")
    assert answer.status == 422
    assert "Too many actions of this seller" in answer.body.decode()


def test_the_question_can_be_asked_without_script(supplied: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    path = f"/recharges/{recharge_id}/resolve"
    visitor = Visitor.signed_in(supplied.owner)
    assert "no money moves" in text_of(visitor.get(f"{path}?status=succeeded"))
    fields = {"status": "failed", "reason": "no", "seen": "pending."}
    assert visitor.submit(f"{path}?status=failed", fields, path).status == 302
    assert supplied.member.balance() == 100_000


def test_only_an_admin_of_the_organization_resolves(supplied: Organization, globex: Organization) -> None:
    recharge_id = sell_pending(supplied.row, supplied.member.id, 4000)
    path = f"/recharges/{recharge_id}/resolve"
    fields = {"status": "failed", "reason": "no", "seen": "pending."}
    with nothing_written():
        for person in (supplied.member, supplied.neighbour, globex.owner):
            visitor = Visitor.signed_in(person)
            assert visitor.get(f"{path}?status=failed").status == 404
            assert visitor.submit("/account/preferences", fields, path).status == 404
        assert Visitor(supplied.anyone).get(path).status == 302
        assert Visitor.signed_in(supplied.owner).post(path, fields).status == 403
