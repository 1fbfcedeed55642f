"""Selling one recharge on the pages: the form, a look at it, the sale, its outcome, its receipt."""

import re
import threading
import uuid
from html import unescape
from urllib.parse import quote, urlencode

import pytest

from recharge.commissions.services import set_commission
from recharge.delivery.gateways.simulator import ENDINGS
from recharge.delivery.settlement import settle_recharge
from recharge.models import OperatorSettings, Recharge, Settings
from recharge.pages.sell import SANDBOX, stored_key
from recharge.pages.words import FAILURES, FAILURES_TO_SELLERS
from shared.models import Membership, User
from tests.support.client import Answer
from tests.support.locks import holding_lock
from tests.support.queries import queries_of
from tests.support.visitor import Visitor, text_of, words_of
from tests.support.world import Organization, World, give_credit

CREDIT = 1_000_000


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    give_credit(acme.row, acme.member.id, CREDIT)
    return Visitor.signed_in(acme.member)


def sale(**changes: str) -> dict[str, str]:
    """The fields of a form that was just shown."""
    return {"phone_number": "0912 123 4567", "amount": "50,000", "operator": "", "key": uuid.uuid4().hex, **changes}


def look(fields: dict[str, str]) -> str:
    return "/sell/confirm?" + urlencode(fields)


def sell(visitor: Visitor, fields: dict[str, str]) -> Answer:
    return visitor.submit("/account/preferences", fields, to="/sell/confirm")


def in_place(visitor: Visitor, fields: dict[str, str], *, sells: bool = False) -> Answer:
    """The look at a sale, or the sale, as the one page to sell asks for it."""
    if not sells:
        return visitor.get(look(fields), HX_Request="true", HX_Target="sale")
    (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', text_of(visitor.get("/account/preferences")))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true", "HX-Target": "sale"}
    body = urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
    return visitor.client.request("POST", "/sell/confirm", body=body, headers=visitor._headers(headers), is_page=True)


def sold(acme: Organization) -> list[Recharge]:
    with acme.context:
        return list(Recharge.objects.order_by("pk"))


def outcome_of(answer: Answer) -> str:
    assert answer.status == 303, answer
    return answer.headers["Location"]


def hidden(text: str) -> dict[str, str]:
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
    fields.pop("csrfmiddlewaretoken", None)
    return fields


def test_a_sale_from_the_form_to_the_receipt(seller: Visitor, acme: Organization) -> None:
    form = seller.get("/sell").body.decode()
    key = hidden(form)["key"]
    confirm = seller.get(look(sale(key=key, phone_number="۰۹۱۲ ۱۲۳ ۴۵۶۷", amount="۵۰٬۰۰۰"))).body.decode()
    assert "0912 123 4567" in confirm
    assert "Hamrah-e Aval (MCI)" in confirm
    assert "50,000 Tomans" in confirm
    assert "1,000,000 Tomans" in confirm
    assert "950,000 Tomans" in confirm
    assert sold(acme) == []
    fields = hidden(confirm)
    assert fields == {"phone_number": "+989121234567", "operator": "mci", "amount": "50000", "key": key}
    outcome = outcome_of(seller.submit(look(fields), fields, to="/sell/confirm"))
    (recharge,) = sold(acme)
    assert outcome == f"/recharges/{recharge.pk}/outcome"
    assert (recharge.phone_number, recharge.operator, recharge.amount) == ("+989121234567", "mci", 50_000)
    assert acme.member.balance() == 950_000
    page = seller.get(outcome).body.decode()
    assert "Delivered" in page
    assert "950,000 Tomans" in page
    receipt = seller.get(f"/recharges/{recharge.pk}/receipt").body.decode()
    for shown in ("Acme", "0912 123 4567", "50,000 Tomans", "Delivered", str(recharge.pk), "data-prints"):
        assert shown in receipt


def test_sending_it_again_sells_nothing_and_leads_to_the_same_outcome(seller: Visitor, acme: Organization) -> None:
    fields = sale()
    outcomes = {outcome_of(sell(seller, fields)) for _ in range(3)}
    assert len(outcomes) == 1
    assert len(sold(acme)) == 1
    # Back, or a reload of what was looked at:
    page = seller.get(look(fields)).body.decode()
    assert "Already sold" in page
    assert outcomes.pop() in page
    assert 'action="/sell/confirm"' not in page
    assert acme.member.balance() == CREDIT - 50_000


def test_a_double_click_sells_once(seller: Visitor, acme: Organization) -> None:
    fields = sale()
    token = seller.submit("/account/preferences", {}, to="/sell/confirm")
    assert token.status == 422
    answers: list[str] = []

    def click() -> None:
        visitor = Visitor(seller.client)
        visitor.cookies = dict(seller.cookies)
        answers.append(outcome_of(sell(visitor, fields)))

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1
    assert len(sold(acme)) == 1


def test_a_new_form_sells_the_same_once_more_only_if_that_is_meant(seller: Visitor, acme: Organization) -> None:
    """After a lost answer, people begin anew."""
    first, again = outcome_of(sell(seller, sale())), sale()
    asked = seller.get(look(again))
    assert "Sell it again" in asked.body.decode()
    refused = sell(seller, again)  # without having been asked: it was looked at before the other was sold
    assert (refused.status, len(sold(acme))) == (422, 1)
    assert "Sell it again" in refused.body.decode()
    assert outcome_of(sell(seller, again | {"allow_duplicate": "on"})) != first
    assert len(sold(acme)) == 2
    # Another amount or number is another sale; and what failed was not sold.
    assert "Sell it again" not in seller.get(look(sale(amount="60000"))).body.decode()
    with acme.context:
        for one in sold(acme):
            settle_recharge(organization=acme.row, recharge_id=one.pk, status=Recharge.Status.FAILED, failure="x")
    assert "Sell it again" not in seller.get(look(sale())).body.decode()


def test_who_comes_back_to_the_form_has_its_key(seller: Visitor) -> None:
    fields = sale()
    change = re.search(r'href="(/sell\?[^"]*)"', seller.get(look(fields)).body.decode())
    assert change
    assert hidden(seller.get(unescape(change[1])).body.decode())["key"] == fields["key"]
    assert hidden(seller.get("/sell?key=nonsense").body.decode())["key"] != "nonsense"


def test_a_number_comes_back_as_it_is_dialled(seller: Visitor) -> None:
    """After Change, after a refusal, from a link, in filters and in settings; else as it was typed."""

    def field(answer: Answer) -> str:
        (found,) = re.findall(r'<input type="text" name="phone_number" value="([^"]*)"', answer.body.decode())
        return unescape(found)

    fields = sale()
    change = re.search(r'href="(/sell\?[^"]*)"', seller.get(look(fields)).body.decode())
    assert change
    assert field(seller.get(unescape(change[1]))) == "09121234567"
    e164 = sale(phone_number="+989121234567", operator="nobody")
    assert field(seller.get(look(e164))) == field(sell(seller, e164)) == "09121234567"
    assert field(seller.get("/recharges?phone_number=%2B989121234567")) == "09121234567"
    refused = sale(phone_number="+98 21 1234", amount="")
    assert field(seller.get(look(refused))) == "+98 21 1234"
    assert seller.submit("/alerts/threshold", {"alert_below": "", "phone_number": "0912 123 4567"}).status == 302
    assert field(seller.get("/alerts/threshold")) == "09121234567"


def test_every_form_has_a_key_of_its_own(seller: Visitor) -> None:
    assert hidden(seller.get("/sell").body.decode()) != hidden(seller.get("/sell").body.decode())


@pytest.mark.parametrize(
    "changes", [{"amount": "60000"}, {"phone_number": "09129999999"}, {"operator": "irancell"}], ids=str
)
def test_a_form_that_had_sold_something_else_sells_nothing(
    seller: Visitor, acme: Organization, changes: dict[str, str]
) -> None:
    fields = sale()
    outcome = outcome_of(sell(seller, fields))
    for answer in (sell(seller, fields | changes), seller.get(look(fields | changes))):
        assert answer.status == 422
        page = answer.body.decode()
        assert "Nothing was sold now" in page
        assert outcome in page
        assert hidden(page)["key"] != fields["key"]  # a fresh form, with what was written
        assert (changes.get("amount") or "50,000") in page
    assert len(sold(acme)) == 1


def test_htmx_is_led_to_the_outcome_by_a_header(seller: Visitor, acme: Organization) -> None:
    seller.cookies |= {}
    fields = sale()
    page = seller.get(look(fields)).body.decode()
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
    headers = seller._headers({"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true"})
    body = urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
    answer = seller.client.request("POST", "/sell/confirm", body=body, headers=headers, is_page=True)
    assert answer.status == 204
    assert answer.headers["HX-Redirect"] == f"/recharges/{sold(acme)[0].pk}/outcome"


def test_on_one_page_form_look_and_sale_take_each_others_place(seller: Visitor, acme: Organization) -> None:
    fields = sale()
    seen = in_place(seller, fields)
    assert (seen.status, "<html" in text_of(seen)) == (200, False)
    assert hidden(text_of(seen).replace("/>", ">"))["key"] == fields["key"]
    for said in ("0912 123 4567", "50,000 Tomans", "950,000 Tomans"):
        assert said in text_of(seen)
    change = re.search(r'hx-get="(/sell\?[^"]*)"', text_of(seen))
    assert change
    form = seller.get(unescape(change[1]), HX_Request="true", HX_Target="sale")
    assert "<html" not in text_of(form)
    assert hidden(text_of(form)) == {"key": fields["key"]}
    # Who corrects the number means the operator of the new one.
    assert 'value="mci" selected' not in text_of(form)
    ported = text_of(in_place(seller, fields | {"operator": "irancell"}))
    assert "operator=irancell" in ported
    assert sold(acme) == []

    answers = [in_place(seller, fields, sells=True) for _ in range(2)]
    answers.append(in_place(seller, fields))  # Back, or a reload
    (recharge,) = sold(acme)
    for answer in answers:
        assert answer.status == 200
        assert answer.headers["HX-Trigger"] == "balance-changed"
        page = text_of(answer)
        assert f'href="/recharges/{recharge.pk}/receipt"' in page
        assert "Delivered" in page
        assert hidden(page)["key"] != fields["key"]  # the form of the next sale, empty
        assert 'value="0912 123 4567"' not in page
    assert ["not sold again" in text_of(answer) for answer in answers] == [False, False, True]
    # Its outcome is asked for in short.
    part = seller.get(f"/recharges/{recharge.pk}/outcome", HX_Request="true", HX_Target="last-outcome")
    assert 'id="last-outcome"' in text_of(part)


def test_on_one_page_what_is_refused_is_said_in_place(seller: Visitor, acme: Organization) -> None:
    sell(seller, sale())
    again = in_place(seller, sale(), sells=True)
    assert (again.status, "Sell it again" in text_of(again)) == (422, True)
    too_much = in_place(seller, sale(amount="1,000,001"), sells=True)
    assert (too_much.status, "Not enough credit" in text_of(too_much)) == (422, True)
    # What may not be wanted is not where Enter goes.
    for answer in (again, too_much):
        assert re.search(r"<a [^>]*sale-change[^>]* autofocus", text_of(answer))
        assert not re.search(r"<button[^>]* autofocus", text_of(answer))
    with holding_lock(acme.row, acme.member.id):
        busy = in_place(seller, sale(amount="7000"), sells=True)
    assert (busy.status, "Other sales of yours" in text_of(busy)) == (422, True)
    wrong = in_place(seller, sale(amount=""))
    assert wrong.status == 422
    assert re.search(r'name="amount"[^>]* autofocus', text_of(wrong))
    assert not re.search(r'name="phone_number"[^>]* autofocus', text_of(wrong))
    assert len(sold(acme)) == 1


def test_beside_the_form_are_the_day_and_the_last_sales(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        set_commission(organization=acme.row, by="owner", seller_id=None, operator=None, basis_points=200, fixed=None)
    for amount in range(1000, 7001, 1000):
        sell(seller, sale(amount=str(amount)))
    with acme.context:
        failed = sold(acme)[-1]
        settle_recharge(
            organization=acme.row, recharge_id=failed.pk, status=Recharge.Status.FAILED, failure="reversed_by_operator"
        )
    for part in (seller.get("/sell/day", HX_Request="true"), seller.get("/sell")):
        read = words_of(text_of(part))
        assert "Sold today 21,000 Tomans 6 recharges" in read
        assert "Earned today 420 Tomans" in read
        assert re.findall(r'id="sold-([^"]+)"', text_of(part)) == [str(one.pk) for one in sold(acme)[:-6:-1]]
        assert "Failed" in read
    assert "Sold today 0 Tomans" in words_of(text_of(Visitor.signed_in(acme.neighbour).get("/sell/day")))


def test_who_is_signed_out_comes_back_to_the_page_with_what_was_typed(acme: Organization) -> None:
    typed = "/sell?phone_number=09121234567&amount=5000"

    def led_to(page: str) -> str:
        seen = Visitor(acme.anyone).get(look(sale()), HX_Request="true", HX_Target="sale", HX_Current_URL=page)
        assert seen.status == 204
        return seen.headers["HX-Redirect"]

    assert led_to(f"http://{acme.anyone.host}{typed}") == "/sign-in?" + urlencode({"next": typed})
    for elsewhere in ("https://evil.test/sell", "//evil.test", "http://[", "javascript:alert(1)", ""):
        assert led_to(elsewhere) == "/sign-in"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phone_number": ""}, "Write the number"),
        ({"phone_number": "0912"}, "Iranian mobile number"),
        ({"phone_number": "02188776655"}, "Only mobile numbers"),
        ({"phone_number": "+4915112345678"}, "Only Iranian numbers"),
        ({"phone_number": "9" * 5000}, "Iranian mobile number"),
        ({"phone_number": "\x000912"}, "Iranian mobile number"),
        ({"phone_number": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")}, "Iranian mobile number"),
        ({"phone_number": "09951000000"}, "is not detected"),
        ({"amount": ""}, "Write an amount"),
        ({"amount": "0"}, "at least 1 Toman"),
        ({"amount": "-5"}, "whole Tomans"),
        ({"amount": "5000.5"}, "no decimals"),
        ({"amount": "1" * 19}, "more than can be sold"),
        ({"amount": "9" * 5000}, "whole Tomans"),
        ({"operator": "vodafone"}, "not one of the available choices"),
        ({"operator": "\x00"}, "not one of the available choices"),
        ({"key": ""}, "not complete"),
        ({"key": "x" * 32}, "not complete"),
        ({"key": "\x00" * 32}, "not complete"),
        ({"key": "a" * 5000}, "not complete"),
    ],
)
def test_what_is_wrong_is_said_at_the_form(
    seller: Visitor, acme: Organization, changes: dict[str, str], said: str
) -> None:
    fields = sale(**changes)
    for answer in (seller.get(look(fields)), sell(seller, fields)):
        assert answer.status == 422
        assert said in answer.body.decode().replace("&#x27;", "'")
        assert re.fullmatch("[0-9a-f]{32}", hidden(answer.body.decode())["key"])
    assert sold(acme) == []


def test_a_ported_number_goes_to_the_operator_that_was_chosen(seller: Visitor, acme: Organization) -> None:
    fields = sale(operator="irancell")
    assert "not the detected one" in seller.get(look(fields)).body.decode()
    sell(seller, fields)
    assert sold(acme)[0].operator == "irancell"
    assert "not the detected one" not in seller.get(look(sale(operator="mci"))).body.decode()


def test_an_operator_that_had_to_be_chosen_is_not_another_than_the_numbers_own(seller: Visitor) -> None:
    page = seller.get(look(sale(phone_number="09951000000", operator="rightel"))).body.decode()
    assert "RighTel" in page
    assert "not the detected one" not in page


def test_that_an_operator_must_be_chosen_is_said_once(seller: Visitor) -> None:
    said = "The operator of this number is not detected. Choose it."
    assert seller.get(look(sale(phone_number="09951000000"))).body.decode().count(said) == 1
    assert seller.get("/sell?phone_number=09951000000").body.decode().count(said) == 1


def test_too_little_credit_is_said_before_and_when_it_is_sold(seller: Visitor, acme: Organization) -> None:
    fields = sale(amount="1,000,001")
    page = seller.get(look(fields)).body.decode()
    assert "Not enough credit" in page
    assert "/credit-requests" in page
    assert 'action="/sell/confirm"' not in page
    refused = sell(seller, fields)
    assert refused.status == 422
    assert "Not enough credit" in refused.body.decode()
    assert sold(acme) == []
    # The key is still good.
    outcome_of(sell(seller, fields | {"amount": "1000000"}))
    assert acme.member.balance() == 0


def test_an_amount_that_is_not_sold_is_refused_with_those_that_are(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        OperatorSettings.objects.create(operator="mci", amounts=[12_000, 34_000])
    for answer in (seller.get(look(sale())), sell(seller, sale())):
        assert answer.status == 422
        assert "not sold for this operator" in answer.body.decode()
        assert 'value="34000"' in answer.body.decode()
    assert sold(acme) == []


def test_a_repetition_must_be_meant(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        Settings.objects.create(pk=1, duplicate_window=600)
    outcome_of(sell(seller, sale()))
    fields = sale()
    refused = sell(seller, fields)  # one that was looked at before the other was sold
    assert refused.status == 422
    for page in (refused.body.decode(), seller.get(look(fields)).body.decode()):
        assert "a moment ago" in page
        assert "Sell it again" in page
        assert hidden(page)["allow_duplicate"] == "on"
        assert hidden(page)["key"] == fields["key"]
    assert len(sold(acme)) == 1
    outcome_of(sell(seller, hidden(refused.body.decode())))
    assert len(sold(acme)) == 2


def test_a_busy_seller_is_told_what_the_sale_waits_for(seller: Visitor, acme: Organization) -> None:
    with holding_lock(acme.row, acme.member.id):
        answer = sell(seller, sale())
    assert answer.status == 422
    assert "Other sales of yours are still in progress, and nothing was done." in answer.body.decode()


@pytest.mark.parametrize(("language", "name"), [("en", "Hamrah-e Aval (MCI)"), ("fa", "همراه اول")])
def test_operators_are_named_in_the_readers_language(
    seller: Visitor, acme: Organization, language: str, name: str
) -> None:
    User.objects.filter(pk=acme.member.user.pk).update(language=language)
    outcome = outcome_of(sell(seller, sale()))
    (recharge,) = sold(acme)
    rows = {"text": "09121234567,1000", "batch": "0" * 32}
    for page in (
        seller.get("/sell"),
        seller.get("/sell/number?phone_number=09121234567"),
        seller.get(look(sale())),
        in_place(seller, sale(amount="60000")),
        seller.get(outcome),
        seller.get(f"/recharges/{recharge.pk}"),
        seller.get(f"/recharges/{recharge.pk}/receipt"),
        seller.get("/recharges"),
        seller.submit("/bulk", rows),
    ):
        assert page.status == 200
        shown = page.body.decode()
        assert name in shown
        assert language == "en" or "Hamrah" not in shown


def test_the_number_is_read_while_it_is_typed(seller: Visitor, acme: Organization) -> None:
    def hint(**given: str) -> str:
        answer = seller.get("/sell/number?" + urlencode(given))
        assert answer.status == 200
        return answer.body.decode()

    assert "0935 123 4567" in hint(phone_number="+98 935 123-4567")
    assert "Irancell" in hint(phone_number="۰۹۳۵۱۲۳۴۵۶۷")
    assert "RighTel" in hint(phone_number="09351234567", operator="rightel")
    assert "Choose it" in hint(phone_number="09951000000")
    assert "Iranian mobile number" in hint(phone_number="091")
    assert "Iranian mobile" not in hint(phone_number=" ")
    assert "Iranian mobile number" in hint(phone_number="\x00", operator="\x00" * 100)
    assert re.findall(r'value="(\d+)"', hint()) == ["10000", "20000", "50000", "100000", "200000"]
    with acme.context:
        OperatorSettings.objects.create(operator="mci", least_amount=20_000, most_amount=60_000)
        OperatorSettings.objects.create(operator="irancell", amounts=[7_000, 9_000])
    assert re.findall(r'value="(\d+)"', hint(phone_number="09121234567")) == ["20000", "50000"]
    assert re.findall(r'value="(\d+)"', hint(phone_number="09121234567", operator="irancell")) == ["7000", "9000"]


@pytest.mark.usefixtures("slow")
def test_the_outcome_is_asked_for_until_there_is_one(seller: Visitor, acme: Organization) -> None:
    address = outcome_of(sell(seller, sale()))
    (recharge,) = sold(acme)
    page = seller.get(address).body.decode()
    assert 'data-announce="Being sent"' in page
    assert 'hx-trigger="every 1s"' in page
    assert "awaiting outcome: 50,000 Tomans" in page

    def part() -> Answer:
        answer = seller.get(address, HX_Request="true")
        assert "<html" not in answer.body.decode()
        return answer

    assert "HX-Trigger" not in part().headers
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=recharge.pk, status=Recharge.Status.UNKNOWN)
    unknown = part().body.decode()
    assert 'data-announce="Not known yet"' in unknown
    assert "every 1s" in unknown
    with acme.context:
        settle_recharge(
            organization=acme.row, recharge_id=recharge.pk, status=Recharge.Status.FAILED, failure="number_barred"
        )
    ended = part()
    text = ended.body.decode()
    assert "hx-trigger" not in text
    assert ended.headers["HX-Trigger"] == "balance-changed"
    assert str(FAILURES_TO_SELLERS["number_barred"]) in text
    assert 'data-announce="Failed, refunded"' in text
    assert "1,000,000 Tomans" in text


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("told", "spent", "said"),
    [
        ([("failed", "x"), ("succeeded", "")], 0, "charged again"),
        ([("failed", "x"), ("succeeded", "")], CREDIT, "you owe its amount"),
        ([("succeeded", ""), ("failed", "reversed_by_operator")], 0, "reversed it"),
    ],
)
def test_what_came_after_the_end_is_told(
    seller: Visitor, acme: Organization, told: list[tuple[str, str]], spent: int, said: str
) -> None:
    address = outcome_of(sell(seller, sale()))
    (recharge,) = sold(acme)
    for status, failure in told:
        with acme.context:
            settle_recharge(
                organization=acme.row, recharge_id=recharge.pk, status=Recharge.Status(status), failure=failure
            )
        if spent:
            spent = not sell(seller, sale(amount=str(spent), phone_number="09351234567"))
    assert said in seller.get(address).body.decode()


def test_another_sellers_recharge_is_nobodys(seller: Visitor, world: World) -> None:
    acme = world.acme
    address = outcome_of(sell(seller, sale()))
    receipt = address.replace("outcome", "receipt")
    for person in (acme.neighbour, world.globex.member):
        other = Visitor.signed_in(person)
        assert {other.get(address).status, other.get(receipt).status} == {404}
    owner = Visitor.signed_in(acme.owner)
    assert owner.get(address).status == 404
    assert owner.get(receipt).status == 200  # an admin may print one
    # The same key is another seller's own.
    give_credit(acme.row, acme.neighbour.id, CREDIT)
    fields = sale(amount="60000")
    one = outcome_of(sell(seller, fields))
    assert one not in Visitor.signed_in(acme.neighbour).get(look(fields)).body.decode()
    assert outcome_of(sell(Visitor.signed_in(acme.neighbour), fields)) != one


@pytest.mark.parametrize(
    "path",
    [
        "/sell",
        "/sell/number",
        "/sell/day",
        "/sell/confirm",
        "/sell/balance",
        "/recharges/6f1c2a9e-0b7d-4c55-9a53-1f0e7d2b8c11/outcome",
    ],
)
def test_the_pages_are_sellers_alone(world: World, path: str) -> None:
    assert Visitor.signed_in(world.acme.owner).get(path).status == 404
    assert Visitor(world.acme.anyone).get(path).headers["Location"].startswith("/sign-in")
    assert Visitor(world.platform).get(path).status == 404
    stranger = Visitor.signed_in(world.globex.member)
    stranger.client = world.acme.anyone
    assert stranger.get(path).status == 302


def test_a_part_of_a_page_leads_who_is_signed_out_to_the_sign_in(acme: Organization) -> None:
    answer = Visitor(acme.anyone).get("/sell/balance", HX_Request="true")
    assert answer.status == 204
    assert answer.headers["HX-Redirect"].startswith("/sign-in")


@pytest.mark.parametrize("address", ["00000000-0000-0000-0000-000000000000", "x", "%00", "..", "9" * 400, quote("۱")])
def test_an_odd_id_is_not_there(seller: Visitor, address: str) -> None:
    for page in ("outcome", "receipt"):
        assert seller.get(f"/recharges/{address}/{page}").status in (400, 404)


def test_who_was_switched_off_sells_nothing(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        from credit.models import Seller

        Seller.objects.filter(pk=acme.member.id).update(is_active=False)
    answer = sell(seller, sale())
    assert answer.status in (302, 422)
    assert sold(acme) == []


def test_without_the_forms_token_nothing_is_sold(seller: Visitor, acme: Organization) -> None:
    assert seller.post("/sell/confirm", sale()).status == 403
    assert sold(acme) == []


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("markup", ["<script>alert(1)</script>", '"><img src=x>'])
def test_markup_is_shown_as_text(seller: Visitor, acme: Organization, markup: str) -> None:
    User.objects.filter(pk=acme.member.user.pk).update(username=f"acme/{markup}")
    Membership.objects.filter(user=acme.member.user).update(username=markup)
    address = outcome_of(sell(seller, sale()))
    with acme.context:
        settle_recharge(
            organization=acme.row, recharge_id=sold(acme)[0].pk, status=Recharge.Status.FAILED, failure=markup
        )
    for path in (
        address,
        address.replace("outcome", "receipt"),
        "/api-access",
        "/sell?" + urlencode({"phone_number": markup, "amount": markup, "operator": markup}),
        look(sale(phone_number=markup, amount=markup, operator=markup, key=markup)),
        "/sell/number?" + urlencode({"phone_number": markup, "operator": markup}),
    ):
        page = seller.get(path).body.decode()
        assert markup not in page, path
    assert "&lt;" in seller.get(address).body.decode()


def test_the_sandbox_is_described_as_it_is() -> None:
    told = [ending for endings, _ in SANDBOX for ending in endings or ["others"]]
    assert sorted(told) == sorted([*ENDINGS, "others"])


def test_every_way_of_the_sandbox_to_fail_is_said_in_words() -> None:
    reasons = {end.submit(0).reason for end in ENDINGS.values() if end.submit(0).reason}
    assert len(reasons) > 5
    assert reasons <= set(FAILURES) == set(FAILURES_TO_SELLERS)


def test_api_access_names_this_host_and_how_a_program_signs_in(acme: Organization) -> None:
    page = Visitor.signed_in(acme.member).get("/api-access").body.decode()
    assert "http://acme.recharge.test/api/v1/recharges" in page
    assert "client_credentials" in page
    assert "/api-keys" in page
    assert "/api/docs" in page
    assert "/webhooks" in page


def test_the_balance_is_told_only_when_it_is_another(seller: Visitor) -> None:
    part = seller.get("/sell/balance", HX_Request="true").body.decode()
    assert "1,000,000 Tomans" in part
    assert re.search(r'data-announce="[^"]*1,000,000 Tomans"', part)


def test_the_pages_cost_few_queries(seller: Visitor, acme: Organization) -> None:
    address = outcome_of(sell(seller, sale()))
    most = {
        # The session, the account, the balance, alerts, the limits, the operators that were added; what was sold today,
        # and what last.
        "/sell": 8,
        "/sell?phone_number=09121234567": 10,  # and what is sold of the operator, and whether
        "/sell/day": 5,
        "/sell/number?phone_number=09121234567": 4,
        "/sell/balance": 3,
        look(sale()): 5,  # what would become of the sale
        address: 4,
        address.replace("outcome", "receipt"): 7,  # and the shop, the short number, whether it was sent
        "/api-access": 3,
    }
    assert {path: len(queries_of(acme.member, path)) for path in most} == most


def test_a_key_of_a_page_is_kept_with_the_recharge(seller: Visitor, acme: Organization) -> None:
    fields = sale()
    sell(seller, fields)
    assert sold(acme)[0].idempotency_key == stored_key(fields["key"]) == f"page-{fields['key']}"
