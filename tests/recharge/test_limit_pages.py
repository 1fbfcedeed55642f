"""Limits as pages: what an admin settles, and what a seller sees before selling."""

import re

from recharge.models import Limit
from tests.recharge.test_settings_pages import errors_of
from tests.support.visitor import Visitor
from tests.support.visitor import shown as words_on
from tests.support.world import Organization, give_credit


def test_limits_are_settled_on_their_pages(acme: Organization) -> None:
    admin = Visitor.signed_in(acme.owner)
    assert "No seller has limits of their own." in words_on(admin.get("/settings/limits"))
    saved = admin.submit("/settings/limits", {"per_sale": "۵۰٬۰۰۰", "per_day": "900,000", "to_hour": "24"})
    assert (saved.status, saved.headers["Location"]) == (302, "/settings/limits")
    path = f"/sellers/{acme.member.id}/limits"
    assert 'placeholder="50000"' in admin.get(path).body.decode()
    saved = admin.submit(path, {"sales_per_day": "7", "from_hour": "8", "to_hour": "22"})
    assert (saved.status, saved.headers["Location"]) == (302, f"/sellers/{acme.member.id}")
    read = words_on(admin.get("/settings/limits"))
    assert "member" in read
    assert "8–22" in read
    read = words_on(admin.get(f"/sellers/{acme.member.id}"))
    assert "Sales left today: 7 of 7" in read
    assert "Hours of sale: 8 to 22" in read
    assert admin.submit(path, {"sales_per_day": "", "from_hour": "", "to_hour": ""}).status == 302
    assert "No seller has limits of their own." in words_on(admin.get("/settings/limits"))
    with acme.context:
        assert Limit.objects.get(seller=None).per_day == 900_000
    assert admin.get("/sellers/999999/limits").status == 404


def test_what_can_be_no_limit_is_said_at_its_field(acme: Organization) -> None:
    admin = Visitor.signed_in(acme.owner)
    wrong = {"per_sale": "0", "per_day": "12.5", "sales_per_day": "-1", "from_hour": "24", "to_hour": "x"}
    assert set(errors_of(admin.submit("/settings/limits", wrong))) == set(wrong)
    refused = admin.submit("/settings/limits", {"from_hour": "22", "to_hour": "6"})
    assert "Selling must begin before it ends, on the same day." in words_on(refused)
    assert Visitor.signed_in(acme.member).get("/settings/limits").status == 404


def test_a_seller_sees_what_is_left_and_is_refused_before_the_confirmation(acme: Organization) -> None:
    admin, seller = Visitor.signed_in(acme.owner), Visitor.signed_in(acme.member)
    give_credit(acme.row, acme.member.id, 100_000)
    assert "Left to sell today" not in words_on(seller.get("/sell"))
    limits = {"per_day": "20000", "sales_per_day": "5", "per_number_per_day": "15000"}
    assert admin.submit("/settings/limits", limits).status == 302
    assert acme.member.sell(12_000).status == 201
    read = words_on(seller.get("/sell"))
    for said in (
        "Left to sell today: 8,000 Tomans of 20,000 Tomans",
        "Sales left today: 4 of 5",
        "One number: at most 15,000 Tomans a day",
        "The next day begins: ",
    ):
        assert said in read
    key = re.findall(r'name="key" value="(\w+)"', seller.get("/sell").body.decode())[0]
    sale = f"/sell/confirm?phone_number=09351234567&operator=irancell&key={key}&amount="
    refused = seller.get(sale + "8001")
    said = "Your daily limit is 20,000 Tomans, and you have sold 12,000 today. Sell less, or go on tomorrow."
    assert (refused.status, said in words_on(refused)) == (422, True)
    assert seller.get(sale + "8000").status == 200
    rows = seller.submit("/bulk", {"text": "09351234567,8000,irancell\n09351234568,1,irancell"})
    assert said.replace("12,000", "20,000") in words_on(rows)


def test_the_time_zone_and_who_owes_are_settled(acme: Organization) -> None:
    admin = Visitor.signed_in(acme.owner)
    assert admin.submit("/settings", {"time_zone": "Asia/Kabul"}, to="/settings/time-zone").status == 302
    assert admin.submit("/settings", {"owing": "sells nothing"}, to="/settings/owing").status == 302
    settled = acme.owner.client.get("/settings").json
    assert (settled["time_zone"], settled["refuses_owing"]) == ("Asia/Kabul", True)
    assert set(errors_of(admin.submit("/settings", {"time_zone": "Asia/X"}, to="/settings/time-zone"))) == {"time_zone"}
    assert 'value="Asia/Kabul" selected' in admin.get("/settings").body.decode()
