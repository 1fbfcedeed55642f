"""The box in the bar above each page: what it finds, for whom, and how."""

import re
import uuid
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from django.db import connection

from credit.models import Seller
from recharge.search import queries
from recharge.selling.short_numbers import short_number
from shared.console.finding import LINES, LINES_ON_A_PAGE
from shared.database import TookTooLong, within
from shared.identity.accounts import Account
from shared.identity.permissions import Permission
from tests.support.client import Answer
from tests.support.visitor import Visitor, shown
from tests.support.world import (
    Organization,
    Person,
    World,
    ask,
    ask_for_adjustment,
    give_credit,
    make_member,
    make_platform_user,
    make_seller,
    place,
)


@dataclass(frozen=True)
class Things:
    """What there is to be found in acme: addresses of pages, by name."""

    acme: Organization
    child: Person
    pages: dict[str, str]
    roles: dict[str, Person]

    def named(self, paths: set[str]) -> set[str]:
        names = {path: name for name, path in self.pages.items()}
        return {names.get(path, path) for path in paths}


@pytest.fixture
def things(world: World) -> Things:
    acme, address = world.acme, world.acme.owner.client.address
    child_id = make_seller(acme.row, "كيوسك\u200cهاي آريا").pk
    child = make_member(acme.row, "arya", "seller", address, seller_id=child_id)
    with acme.context:
        Seller.objects.filter(pk=acme.neighbour.id).update(name="علی رضا")
    for seller_id in (acme.member.id, acme.neighbour.id, child_id):
        give_credit(acme.row, seller_id, 100_000)
    place(acme.row, child_id, acme.member.id)
    roles = {role: make_member(acme.row, f"an-{role}", role, address) for role in ("accountant", "support", "auditor")}
    roles["cashier"] = make_member(acme.row, "a-cashier", "cashier", address, seller_id=acme.member.id)
    roles |= {"admin": acme.owner, "seller": acme.member, "neighbour": acme.neighbour, "child": child}
    recharges = {
        "own": acme.member.sell(5000, phone_number="09121234567", key="till-7/first").json["id"],
        "neighbours": acme.neighbour.sell(6000, phone_number="09361234567", key="till-8/first").json["id"],
        "childs": child.sell(7000, phone_number="09351204567").json["id"],
    }
    body = {"amount": 250_000, "bank_reference": "FT-9981"}
    request = acme.member.client.post("/credit-requests", body, key=uuid.uuid4().hex).json["id"]
    assert acme.owner.client.patch("/settings", {"requests_go_to_parent": True}).status == 200
    asked = ask(child, 340_000)
    adjustment = ask_for_adjustment(acme.row, acme.neighbour.id)
    transfer = acme.member.client.post("/transfers", {"to": child_id, "amount": 1000}, key=uuid.uuid4().hex).json["id"]
    # globex has the same: a stranger's things have the very same digits and names.
    give_credit(world.globex.row, world.globex.member.id, 100_000)
    assert world.globex.member.sell(5000, phone_number="09121234567", key="till-7/first").status == 201
    pages = {name: f"/recharges/{one}" for name, one in recharges.items()}
    pages |= {
        "request": f"/credit-requests/{request}",
        "asked": f"/credit-requests/{asked}",
        "asked of the dealer": f"/branch/requests/{asked}",
        "adjustment": f"/adjustments/{adjustment}",
        "transfer": f"/transfers/{transfer}",
        "member": f"/sellers/{acme.member.id}",
        "neighbour": f"/sellers/{acme.neighbour.id}",
        "child": f"/sellers/{child_id}",
        "child below": f"/branch/{child_id}",
        "accountant": f"/members/{roles['accountant'].user.pk}",
    }
    return Things(acme, child, pages, roles)


def found_by(person: Person, written: str, *, is_typed: bool = True) -> set[str]:
    """The addresses that the box leads to: while one types, or on the page."""
    headers = {"HX_Request": "true"} if is_typed else {}
    answer = Visitor.signed_in(person).get(f"/search?q={quote(written)}", **headers)
    return set(addresses_on(answer))


def addresses_on(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    body = answer.body.decode().partition('<main id="main"')[2] or answer.body.decode()
    return re.findall(r'<a (?:role="option" aria-selected="false" tabindex="-1" )?href="(/[^"]+)"', body)


FOUND = {
    # By an admin: a number, however it is written.
    "4567": "own neighbours childs",
    "۴۵۶۷": "own neighbours childs",
    "\u202a٤٥٦٧\u202c": "own neighbours childs",
    "34567": "own neighbours",
    "0912": "own",
    "+98912": "own",
    "۰۰۹۸ ۹۱۲": "own",
    "+98 9361": "neighbours",
    "6123": "neighbours",
    "09121234567": "own",
    "0912-123 45 67": "own",
    "+98 912 123 4567": "own",
    "00989121234567": "own",
    "989121234567": "own",
    "9999": "",
    # A key, and how it begins.
    "till-7/first": "own",
    "till-": "own neighbours",
    # A seller: letters, joiners, vowels and blanks as anybody types them.
    "کیوسکهای": "child",
    "كيوسك هاي اریا": "child",
    "آریا": "child",
    "عَلی‌رضا": "neighbour",
    "علي رضا": "neighbour",
    "MEMB": "member",
    # A seller and an amount.
    "memb 250000": "request",
    "۲۵۰٬۰۰۰ memb": "request",
    "اریا ۳۴۰۰۰۰": "asked",
    "memb 340000": "",
    "FT-99": "request",
    "an-acc": "accountant",
    '"><script>': "",
    "%": "",
    "____": "",
}


def test_an_admin_finds_whatever_there_is_however_it_is_written(things: Things) -> None:
    found = {written: things.named(found_by(things.acme.owner, written)) for written in FOUND}
    assert found == {written: set(names.split()) for written, names in FOUND.items()}


def test_each_is_found_by_its_id_and_by_the_beginning_of_that(things: Things) -> None:
    for name in ("own", "request", "adjustment", "transfer"):
        row_id = things.pages[name][-36:]
        for written in (row_id, row_id.upper(), row_id[:14], row_id.replace("-", "")):
            assert name in things.named(found_by(things.acme.owner, written)), (name, written)
    # The four characters with which each id of some months begins: of each kind the newest.
    assert {"own", "neighbours", "childs"} <= things.named(found_by(things.acme.owner, things.pages["own"][-36:-32]))


def test_a_recharge_is_found_by_its_short_number(things: Things) -> None:
    with things.acme.context:
        written = short_number(uuid.UUID(things.pages["own"][-36:]), seller_id=things.acme.member.id)
    assert things.named(found_by(things.acme.owner, written)) == {"own"}
    assert things.named(found_by(things.acme.member, written)) == {"own"}
    assert found_by(things.acme.neighbour, written) == set()


def test_nobody_finds_what_is_not_theirs_to_see(things: Things, world: World) -> None:
    """Each thing by its own words, as everybody: who finds it, and the page that it leads to opens."""
    searched = {
        "own": ("till-7/first", "admin accountant support auditor seller cashier"),
        "neighbours": ("6123", "admin accountant support auditor neighbour"),
        "childs": ("5120", "admin accountant support auditor child"),
        "request": (things.pages["request"][-36:], "admin accountant auditor seller"),
        "asked": (things.pages["asked"][-36:], "admin accountant auditor child"),
        "asked of the dealer": (things.pages["asked"][-36:], "seller"),
        "adjustment": (things.pages["adjustment"][-36:], "admin accountant auditor"),
        "transfer": (things.pages["transfer"][-36:], "admin accountant auditor seller child"),
        "member": ("member", "admin accountant support auditor"),
        "child": ("arya", "admin accountant support auditor"),
        "child below": ("arya", "seller"),
        "accountant": ("an-accountant", "admin"),
    }
    for name, (written, who) in searched.items():
        finders = set()
        for role, person in things.roles.items():
            if things.pages[name] in found_by(person, written, is_typed=False):
                finders.add(role)
                assert Visitor.signed_in(person).get(things.pages[name]).status == 200, (name, role)
        assert finders == set(who.split()), name
        if len(written) > 4 and name not in ("member", "accountant"):  # globex has such people, too
            for stranger in (world.globex.owner, world.globex.member):
                assert things.pages[name] not in found_by(stranger, written), name


def test_who_may_not_open_a_members_page_is_led_to_the_list(things: Things) -> None:
    (address,) = found_by(things.roles["auditor"], "an-accountant")
    page = Visitor.signed_in(things.roles["auditor"]).get(address)
    assert address == "/members?search=an-accountant"
    assert "an-accountant" in shown(page)
    assert "an-support" not in shown(page)


def test_the_list_of_recharges_takes_the_last_digits_too(things: Things) -> None:
    admin = Visitor.signed_in(things.acme.owner)
    for written, names in (("4567", "own neighbours childs"), ("۳۴۵۶۷", "own neighbours"), ("09121234567", "own")):
        listed = set(
            re.findall(
                r'href="(/recharges/[0-9a-f-]{36})"',
                admin.get(f"/recharges?phone_number={quote(written)}").body.decode(),
            )
        )
        assert things.named(listed) == set(names.split()), written
    assert "last four digits" in shown(admin.get("/recharges?phone_number=567"))
    assert admin.get("/recharges.csv?phone_number=4567").body.count(b"+98") == 3


def test_more_than_a_line_holds_is_said_and_led_to(things: Things) -> None:
    acme = things.acme
    for _ in range(LINES):
        acme.member.sell(1000, phone_number="09121234567")
    assert len(found_by(acme.member, "4567")) == LINES
    page = found_by(acme.member, "4567", is_typed=False)
    assert len(page) == LINES + 1
    for _ in range(LINES_ON_A_PAGE - LINES):
        acme.member.sell(1000, phone_number="09121234567")
    assert "/recharges?phone_number=4567" in found_by(acme.member, "4567", is_typed=False)


def test_what_takes_too_long_is_given_up_and_the_rest_is_shown(things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "SELECT pg_sleep(60)"
    with things.acme.context:
        with pytest.raises(TookTooLong), within(20), connection.cursor() as cursor:
            cursor.execute(slow)
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)  # as before
        kinds = (queries.Kind.RECHARGES, Permission.VIEW_RECHARGES, lambda _search: iter([_Sleeping()]))
        monkeypatch.setattr(queries, "_KINDS", (kinds, *queries._KINDS[1:]))
        account = Account(things.acme.owner.user, "owner", "admin", None)
        found = queries.find("member", somebody=account, organization=things.acme.row, most=5, patience=20)
    assert [(one.kind, len(one.rows), one.took_too_long) for one in found] == [
        (queries.Kind.RECHARGES, 0, True),
        (queries.Kind.SELLERS, 1, False),
    ]


class _Sleeping:
    def __iter__(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return iter(())


@pytest.mark.parametrize("written", ["\u0000", "x" * 201, "a\u0007b"])
def test_what_nobody_can_look_for_is_said(acme: Organization, written: str) -> None:
    visitor = Visitor.signed_in(acme.owner)
    assert 'class="field-errors"' in visitor.get(f"/search?q={quote(written)}").body.decode()
    assert visitor.get(f"/search?q={quote(written)}", HX_Request="true").status == 200


def test_too_little_or_too_much_finds_nothing_and_breaks_nothing(things: Things) -> None:
    acme = things.acme
    for written in ("", " ", "\u200c", "ً", "1", "-", "0", "+98", "+9891", "9" * 200, "1-" * 90, "۰" * 39, "f" * 40):
        assert things.named(found_by(acme.owner, written)) <= {"member", "neighbour", "child"}, written
        assert found_by(acme.member, written) == set(), written


def test_the_platform_finds_organizations_and_its_own_people(world: World) -> None:
    body = {"slug": "new-one", "name": "شرکت\u200cهای ۷", "admin": {"username": "boss", "password": "tall blue tree"}}
    assert world.platform_admin.client.post("/organizations", body).status == 201
    address = world.platform.address
    clerk = make_platform_user("a-clerk", "platform_operator", address)
    auditor = make_platform_user("eye", "platform_auditor", address)
    assert found_by(world.platform_admin, "شركت هاي 7") == {"/organizations/new-one"}
    assert found_by(world.platform_admin, "new-") == {"/organizations/new-one"}
    assert found_by(world.platform_admin, "a-cle") == {f"/members/{clerk.user.pk}"}
    assert found_by(auditor, "a-cle") == {"/members?search=a-cle"}
    assert found_by(clerk, "a-cle") == set()
    assert found_by(world.platform_admin, "owner") == set()  # the organizations' people are theirs


def test_who_is_signed_out_is_told_so_and_keeps_the_page(acme: Organization) -> None:
    stranger = Visitor(acme.anyone)
    assert stranger.get("/search?q=4567", HX_Request="true", Polls="yes").status == 401
    answer = stranger.get("/search?q=4567")
    assert (answer.status, answer.headers["Location"]) == (302, "/sign-in?next=%2Fsearch%3Fq%3D4567")
