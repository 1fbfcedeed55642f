"""A dealer's day at the console: a new seller, credit for him, what he sells, and off with him."""

import re
from urllib.parse import urlencode

from credit.models import Transfer
from tests.credit.test_slips import picture, put
from tests.recharge.test_branch import asks
from tests.recharge.test_commissions import set_rate
from tests.support.visitor import Visitor, shown, text_of, value_of
from tests.support.world import Organization, give_credit, make_person, place

PASSWORD = "an unusual password"


def test_who_has_nobody_below_and_nobody_above_has_no_line_of_it(acme: Organization) -> None:
    member, neighbour = Visitor.signed_in(acme.member), Visitor.signed_in(acme.neighbour)
    for visitor in (member, neighbour):
        menu = text_of(visitor.get("/ledger"))
        assert 'href="/branch"' not in menu
        assert 'href="/transfers"' not in menu
        assert visitor.get("/transfers/new").status == 404
    place(acme.row, acme.neighbour.id, acme.member.id)
    for visitor, has_branch in ((member, True), (neighbour, False)):
        menu = text_of(visitor.get("/ledger"))
        assert ('href="/branch"' in menu, 'href="/transfers"' in menu) == (has_branch, True)


def test_a_seller_is_made_gets_credit_sells_and_gives_back(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    place(acme.row, acme.neighbour.id, acme.member.id)
    dealer = Visitor.signed_in(acme.member)
    made = dealer.submit("/branch/new", {"name": "Kiosk 1", "username": "kiosk", "password": PASSWORD, "email": ""})
    assert "Kiosk 1 signs in with the following" in shown(made)
    (address,) = set(re.findall(r"/branch/\d+", text_of(made)))
    seller_id = int(address.rsplit("/", 1)[1])
    assert "Kiosk 1" in shown(dealer.get("/branch"))

    form = dealer.get(f"/transfers/new?to={seller_id}")
    assert "which is 100,000 Tomans" in shown(form)
    (key,) = re.findall(r'name="key" value="(page-\w+)"', text_of(form))
    given = {"to": str(seller_id), "amount": "۳۰٬۰۰۰", "note": "For the week", "key": key}
    confirm = dealer.get("/transfers/confirm?" + urlencode(given))
    assert "Receiver Kiosk 1 Note For the week Current balance 100,000 Tomans Balance after 70,000 Tomans" in shown(
        confirm
    )
    assert acme.member.balance() == 100_000
    for _ in range(2):  # however often it is sent
        sent = dealer.post("/transfers/confirm", given | {"amount": "30000"} | _token(confirm))
        assert sent.status == 302
    assert acme.member.balance() == 70_000
    receipt = shown(dealer.get(sent.headers["Location"]))
    assert "30,000 Tomans" in receipt
    assert "Balance after the transfer 70,000 Tomans" in receipt
    again = dealer.post("/transfers/confirm", given | {"amount": "31000"} | _token(confirm))
    assert again.status == 422
    assert (value_of(again, "amount"), value_of(again, "note")) == ("31000", "For the week")
    assert value_of(again, "key") not in ("", key)
    too_much = dealer.post("/transfers/confirm", given | {"amount": "70001", "key": ""} | _token(confirm))
    assert (too_much.status, "Your balance is 70,000 Tomans: 70,001 can't be transferred" in shown(too_much)) == (
        422,
        True,
    )
    for wrong in ({"to": str(acme.member.id)}, {"to": "999"}, {"to": "x"}, {"amount": "0"}, {"amount": "5.5"}):
        assert dealer.get("/transfers/confirm?" + urlencode(given | wrong)).status == 422, wrong
    with acme.context:
        assert Transfer.objects.count() == 1

    page = shown(dealer.get(address))
    assert "Balance 30,000 Tomans" in page
    assert "Transfer received" in page
    assert dealer.get(f"{address}/sales").status == dealer.get(f"{address}/entries").status == 200
    ledger = text_of(dealer.get("/ledger"))
    assert 'href="/transfers/' in ledger
    assert "Transfer given" in ledger
    listed = shown(Visitor.signed_in(acme.owner).get("/transfers"))
    assert "Kiosk 1" in listed

    assert dealer.submit(f"{address}/switch-off", {}).status == 302
    assert "Inactive" in shown(dealer.get(address))
    assert dealer.submit(f"{address}/switch-on", {}).status == 302
    acme.owner.client.patch(f"/sellers/{seller_id}", {"is_active": False})
    assert "Your organization deactivated this seller" in shown(dealer.get(address))
    refused = dealer.submit(f"{address}/switch-on", {})
    assert "ask an admin to activate them" in shown(dealer.get(refused.headers["Location"]))


def test_what_a_child_asks_for_is_decided_on_the_dealer_s_pages(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    place(acme.row, acme.neighbour.id, acme.member.id)
    dealer, child = Visitor.signed_in(acme.member), Visitor.signed_in(acme.neighbour)
    owner = Visitor.signed_in(acme.owner)
    assert owner.submit("/settings", {"requests_go_to_parent": "on"}, to="/settings/requests-to-parent").status == 302
    assert "who gives it from their own" in shown(owner.get("/settings"))
    assert "Your dealer member decides, and gives the credit from their own." in shown(
        child.get("/credit-requests/new")
    )
    assert "An admin of your organization decides." in shown(dealer.get("/credit-requests/new"))
    first, second, third = (asks(acme, acme.neighbour, amount) for amount in (4000, 3000, 20_000))
    assert "member decides, and gives the credit from their own" in shown(child.get(f"/credit-requests/{first}"))
    assert "the credit is the organization's" in shown(owner.get(f"/credit-requests/{first}"))
    assert "Credit requests to you" in shown(dealer.get("/branch"))
    assert "3 credit requests of your sellers are waiting for you." in shown(dealer.get("/sell"))
    assert "of your sellers" not in shown(child.get("/sell"))
    image = f'src="/credit-requests/{first}/slip"'
    assert image not in text_of(dealer.get(f"/branch/requests/{first}"))
    assert put(acme.neighbour, first, picture()).status == 200
    for path in ("", "/approve", "/reject"):
        assert image in text_of(dealer.get(f"/branch/requests/{first}{path}")), path
    assert dealer.get(f"/credit-requests/{first}/slip").headers["Content-Type"] == "image/jpeg"
    assert "Your balance after 6,000 Tomans" in shown(dealer.get(f"/branch/requests/{first}/approve"))
    assert dealer.submit(f"/branch/requests/{first}/approve", {}).status == 302
    assert (acme.member.balance(), acme.neighbour.balance()) == (6000, 4000)
    assert dealer.submit(f"/branch/requests/{second}/reject", {"reason": ""}).status == 422
    assert dealer.submit(f"/branch/requests/{second}/reject", {"reason": "Not now"}).status == 302
    assert "Not now" in shown(child.get(f"/credit-requests/{second}"))
    assert "Not enough credit for this." in shown(dealer.get(f"/branch/requests/{third}"))
    refused = dealer.submit(f"/branch/requests/{third}/approve", {})
    assert "20,000 can't be transferred" in shown(dealer.get(refused.headers["Location"]))
    assert (acme.member.balance(), acme.neighbour.balance()) == (6000, 4000)


def test_a_dealer_reads_why_a_balance_below_him_changed_by_another_sum(acme: Organization) -> None:
    place(acme.row, acme.neighbour.id, acme.member.id)
    give_credit(acme.row, acme.neighbour.id, 10_000)
    dealer, path = Visitor.signed_in(acme.member), f"/branch/{acme.neighbour.id}"
    below = make_person(acme.row, "below", is_seller=True)
    assert "without those of their sub-sellers" not in shown(dealer.get("/branch"))
    place(acme.row, below.id, acme.neighbour.id)
    assert "without those of their sub-sellers" in shown(dealer.get("/branch"))
    assert "Commission" not in shown(dealer.get(path))
    set_rate(acme, basis_points=200)
    assert (
        acme.neighbour.client.post("/recharges", {"phone_number": "09121234567", "amount": 5000}, key="k").status == 201
    )
    for listed in (path, f"{path}/entries"):
        assert "\u200e−5,000 \u200e+100 5,100" in shown(dealer.get(listed)), listed


def test_an_admin_places_a_seller(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.neighbour.id}/parent"
    assert owner.submit(path, {"parent": "member"}).status == 302
    assert "Dealer member" in shown(owner.get(f"/sellers/{acme.neighbour.id}"))
    above = owner.get(f"/sellers/{acme.member.id}")
    assert "Sub-sellers 1" in shown(above)
    (link,) = re.findall(r'href="(/sellers\?dealer=\d+)"', text_of(above))
    (table,) = re.findall(r"<tbody>.*?</tbody>", text_of(owner.get(link)), re.DOTALL)
    assert re.findall(r'href="/sellers/(\d+)"', table) == [
        str(acme.neighbour.id),
        str(acme.member.id),
        str(acme.member.id),
    ]
    assert "There is no such seller" in shown(owner.get("/sellers?dealer=nobody"))
    circle = owner.submit(f"/sellers/{acme.member.id}/parent", {"parent": "neighbour"})
    assert (circle.status, "at most 5 levels" in shown(circle)) == (422, True)
    assert owner.submit(path, {"parent": "nobody of this name"}).status == 422
    off = make_person(acme.row, "off", is_seller=True)
    acme.owner.client.patch(f"/sellers/{off.id}", {"is_active": False})
    assert owner.submit(path, {"parent": str(off.id)}).status == 422
    assert owner.submit(path, {"parent": ""}).status == 302
    assert "Dealer None" in shown(owner.get(f"/sellers/{acme.neighbour.id}"))


def _token(page: object) -> dict[str, str]:
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', text_of(page)))  # type: ignore[arg-type]
    return {"csrfmiddlewaretoken": token}
