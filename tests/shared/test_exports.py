"""CSV exports: the rows of the list, all of them, streamed, and harmless in a spreadsheet."""

import csv
import io
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import urllib3
from django.db import connection

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from shared import turn
from shared.aside import write_aside
from shared.console import xlsx
from shared.database import call_function
from tenants import exports
from tenants.exports import neutralize_formula
from tenants.working_role import GROUP
from tests.recharge.test_workbooks import HEADING
from tests.support.client import Answer
from tests.support.logs import ServerLog
from tests.support.waiting import wait_until
from tests.support.world import Organization, Person, give_credit

RECHARGES_HEADER = (
    "id,seller_id,phone_number,operator,amount,status,failure,balance_after,created_at,completed_at,late,commission\r\n"
)
ENTRIES_HEADER = "seller_id,number,kind,amount,balance_after,reference,created_at,commission\r\n"


@pytest.fixture
def funded(funded: Organization) -> Organization:
    """acme, whose two sellers have 1,000,000 Tomans each."""
    give_credit(funded.row, funded.neighbour.id, 1_000_000)
    return funded


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200
    return list(csv.DictReader(io.StringIO(answer.body.decode("utf-8"), newline="")))


def as_csv(row: dict[str, object]) -> dict[str, str]:
    """A row of the list as a spreadsheet shows it."""
    return {name: "" if value is None else str(value) for name, value in row.items()}


def sell_pending(seller: Person, phone_number: str = "+989121234567", amount: int = 5000) -> uuid.UUID:
    """A sale through a gateway that has not answered yet."""
    arguments = [seller.row.pk, seller.id, uuid.uuid4().hex, phone_number, "mci", amount, False]
    return call_function(seller.row.schema_name, "recharge_sell", "(sold).id", arguments)[0]


def sell_many(seller: Person, count: int) -> None:
    """``count`` sales of 1 Toman, each as the product makes it, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT sale.outcome, count(*) FROM generate_series(1, %s) AS number, LATERAL {seller.row.schema_name}."
            "recharge_sell(%s, %s, 'many-' || number, '+989121234567', 'mci', 1, true) AS sale GROUP BY 1",
            [count, seller.row.pk, seller.id],
        )
        assert cursor.fetchall() == [("created", count)]


@pytest.mark.parametrize(
    ("path", "header"), [("/recharges", RECHARGES_HEADER), ("/entries", ENTRIES_HEADER)], ids=["recharges", "entries"]
)
class TestEveryExport:
    def test_it_has_the_rows_of_the_list_in_its_order(self, funded: Organization, path: str, header: str) -> None:
        for amount in (5000, 7000, 11000):
            funded.member.sell(amount)
            funded.neighbour.sell(amount + 1)
        for asking, count in ((funded.member, 3), (funded.owner, 6)):
            listed = asking.client.get(path).json["results"]
            exported = asking.client.get(f"{path}.csv")
            assert rows_of(exported) == [as_csv(row) for row in listed]
            # Each seller's credit is an entry too.
            assert len(listed) == count + (0 if path == "/recharges" else count // 3)

    def test_its_first_line_names_the_columns(self, funded: Organization, path: str, header: str) -> None:
        answer = funded.member.client.get(f"{path}.csv")
        assert answer.body.decode().startswith(header)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{path[1:]}.csv"'

    def test_nothing_to_export_is_the_header_alone(self, acme: Organization, path: str, header: str) -> None:
        assert acme.member.client.get(f"{path}.csv").body.decode() == header

    def test_it_takes_the_filters_of_the_list(self, funded: Organization, path: str, header: str) -> None:
        funded.member.sell(5000)
        funded.neighbour.sell(7000)
        query = f"?seller_id={funded.neighbour.id}" + ("&kind=recharge" if path == "/entries" else "")
        exported = rows_of(funded.owner.client.get(f"{path}.csv{query}"))
        assert [(row["seller_id"], abs(int(row["amount"]))) for row in exported] == [(str(funded.neighbour.id), 7000)]

    @pytest.mark.parametrize(
        ("query", "fault"),
        [
            ("limit=5", ("limit", "unknown_parameter")),  # an export has no pages
            ("cursor=abc", ("cursor", "unknown_parameter")),
            ("seller=5", ("seller", "unknown_parameter")),
            ("created_from=yesterday", ("created_from", "invalid")),
        ],
    )
    def test_it_refuses_what_is_no_filter(
        self, acme: Organization, path: str, header: str, query: str, fault: tuple[str, str]
    ) -> None:
        answer = acme.member.client.get(f"{path}.csv?{query}")
        assert (answer.status, answer.code, answer.faults) == (400, "invalid_request", {fault})

    def test_a_seller_gets_own_rows_only(self, funded: Organization, path: str, header: str) -> None:
        funded.member.sell()
        funded.neighbour.sell()
        assert {row["seller_id"] for row in rows_of(funded.member.client.get(f"{path}.csv"))} == {str(funded.member.id)}
        refused = funded.member.client.get(f"{path}.csv?seller_id={funded.neighbour.id}")
        assert (refused.status, refused.faults) == (400, {("seller_id", "unknown_parameter")})

    def test_it_leaves_the_connection_to_whoever_comes_next(
        self, funded: Organization, globex: Organization, path: str, header: str
    ) -> None:
        """More downloads than the server has threads, of two organizations at once: none has a row of the other."""
        give_credit(globex.row, globex.member.id, 1_000_000)
        sell_many(funded.member, 2500)  # more than one page of the export
        globex.member.sell(77)
        own = {"acme": 2500, "globex": 1}

        def download(organization: Organization) -> tuple[str, int]:
            rows = rows_of(organization.owner.client.get(f"{path}.csv"))
            return organization.row.slug, sum(1 for row in rows if row.get("kind", "recharge") == "recharge")

        with ThreadPoolExecutor(12) as threads:
            counted = list(threads.map(download, [funded, globex] * 6))
            balances = list(threads.map(lambda one: one.member.client.get("/balance").json["balance"], [globex] * 12))
        assert counted == [("acme", own["acme"]), ("globex", own["globex"])] * 6
        assert balances == [999_923] * 12


def test_five_thousand_rows_come_whole_and_in_pieces(funded: Organization) -> None:
    sell_many(funded.member, 5000)
    client = funded.member.client
    newest_first = list(range(995_000, 1_000_000))
    for path, expected in (("/recharges", newest_first), ("/entries", [*newest_first, 1_000_000])):
        response = urllib3.request(
            "GET",
            f"http://{client.address}/api/v1{path}.csv",
            headers={"Host": client.host, "Authorization": f"Bearer {client.token}"},
            preload_content=False,
        )
        assert response.status == 200
        assert "Content-Length" not in response.headers, "it was put together in memory before it was sent"
        text = b"".join(response.stream(65536)).decode()
        assert [int(row["balance_after"]) for row in csv.DictReader(io.StringIO(text, newline=""))] == expected


def test_a_failure_text_that_looks_like_a_formula_is_neutralised(funded: Organization) -> None:
    recharge = sell_pending(funded.member)
    formula = '=HYPERLINK("http://evil.example","click, me")'
    settle_recharge(organization=funded.row, recharge_id=recharge, status=Recharge.Status.FAILED, failure=formula)
    listed = funded.member.client.get("/recharges").json["results"][0]
    exported = rows_of(funded.member.client.get("/recharges.csv"))[0]
    assert listed["failure"] == formula
    assert exported["failure"] == "'" + formula
    assert exported["phone_number"] == "+989121234567", "a phone number is no formula"
    entry = rows_of(funded.member.client.get("/entries.csv?kind=recharge"))[0]
    assert entry["amount"] == "-5000", "a negative amount is no formula"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=cmd()", "'=cmd()"),
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+cmd()", "'-1+cmd()"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=cmd()", "'\t=cmd()"),
        ("\r=cmd()", "'\r=cmd()"),
        ("\n=cmd()", "'\n=cmd()"),
        ("＝cmd()", "'＝cmd()"),
        ("+", "'+"),
        ("+98912۱234567", "'+98912۱234567"),  # other scripts' digits make no number in a spreadsheet
        ("-5000", "-5000"),
        ("+989121234567", "+989121234567"),
        ("plain = text", "plain = text"),
        ("", ""),
        (-5000, -5000),
        (None, None),
    ],
    ids=repr,
)
def test_formulas_are_neutralised_and_numbers_are_not(text: object, safe: object) -> None:
    assert neutralize_formula(text) == safe


@contextmanager
def unreadable_sale(organization: Organization, key: str) -> Iterator[None]:
    """While this lasts, reading the sale with this key is an error of the database that quotes its phone number."""
    schema = organization.row.schema_name
    columns = (
        "id, seller_id, idempotency_key, phone_number, operator, status, failure, balance_after, created_at, "
        "completed_at, gateway, late, due_at, submitted_at, attempts, delivered_at, submitted_through, training, "
        "user_id, key_id, commission, basis_points, dealers, margin_due"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {schema}.recharge_recharge RENAME TO recharge_moved")
        # Its COST has the planner call it for the rows of a page only, after sorting and cutting.
        cursor.execute(
            f"CREATE FUNCTION {schema}.spoilt(phone_number text) RETURNS bigint LANGUAGE plpgsql STABLE COST 10000 "
            "AS $$ BEGIN RETURN ('x' || phone_number)::bigint; END $$"
        )
        cursor.execute(
            f"CREATE VIEW {schema}.recharge_recharge AS SELECT {columns}, CASE WHEN idempotency_key = %s "
            f"THEN {schema}.spoilt(phone_number) ELSE amount END AS amount FROM {schema}.recharge_moved",
            [key],
        )
        cursor.execute(f"GRANT SELECT ON {schema}.recharge_recharge TO {GROUP}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP VIEW {schema}.recharge_recharge")
            cursor.execute(f"DROP FUNCTION {schema}.spoilt(text)")
            cursor.execute(f"ALTER TABLE {schema}.recharge_moved RENAME TO recharge_recharge")


def test_one_that_breaks_off_says_so_in_its_last_line_and_in_the_log(funded: Organization, log: Path) -> None:
    sell_many(funded.member, 2500)
    server_log = ServerLog(log)
    with unreadable_sale(funded, "many-100"):  # an old one, and so on the second page
        answer = funded.member.client.get("/recharges.csv?phone_number=09121234567")
    request_id = answer.headers["X-Request-ID"]
    *rows, last = answer.body.decode().splitlines()
    assert len(rows) == 1 + 2000
    assert last == f"This export broke off here: rows are missing. Request id: {request_id}"
    logged = server_log.wait_for("export_broken_off", request_id)
    assert "DataError" in logged["exception"]
    assert "9121234567" not in server_log.text()


def test_one_that_fails_at_once_is_a_problem_document(funded: Organization) -> None:
    funded.member.sell(key="only")
    with unreadable_sale(funded, "only"):
        answer = funded.member.client.get("/recharges.csv")
    assert (answer.status, answer.code) == (500, "internal_error")


class Download:
    """One of two pages on a thread of its own, which comes to a stop in its first page until ``may_go_on``."""

    def __init__(self, *, is_workbook: bool = False) -> None:
        self.is_at_work, self.may_go_on = Event(), Event()
        self.texts: list[str] = []
        self.is_workbook = is_workbook
        self.thread = Thread(target=self.write)
        self.thread.start()

    def write(self) -> None:
        if self.is_workbook:
            rows = ([list(row.values()) for row in page] for page in self.pages())
            write_aside(Path(xlsx.__file__), HEADING, rows, too_long="").close()
        else:
            self.texts.extend(exports.texts_of(self.pages(), ["row"]))

    def pages(self) -> Iterator[list[dict[str, str]]]:
        self.is_at_work.set()
        assert self.may_go_on.wait(60)
        yield [{"row": "first"}]
        yield [{"row": "second"}]

    def waits_for_its_turn(self) -> bool:
        frame = sys._current_frames()[self.thread.ident or 0]
        return "in_turn" in (frame.f_code.co_name, frame.f_back and frame.f_back.f_code.co_name)

    def finish(self) -> None:
        self.may_go_on.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert self.texts == ([] if self.is_workbook else ["first\r\n", "second\r\n"])


@pytest.mark.parametrize("is_workbook", [False, True])
def test_one_download_of_a_process_is_at_work_at_a_time(is_workbook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "TURN_SECONDS", 60.0)
    first = Download(is_workbook=not is_workbook)
    assert first.is_at_work.wait(60)
    second = Download(is_workbook=is_workbook)
    wait_until(second.waits_for_its_turn)
    assert not second.is_at_work.is_set()
    first.may_go_on.set()  # it may end after the second one, which may have its turn between the two pages
    assert second.is_at_work.wait(60)
    second.finish()
    first.finish()


def test_a_download_that_is_stuck_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "TURN_SECONDS", 0.01)
    first = Download()
    assert first.is_at_work.wait(60)
    second = Download()
    second.finish()
    first.finish()
