"""The language is switched on a page that is the answer to a form: the same page, and nothing is done."""

from html import unescape
from urllib.parse import parse_qs, urlencode

import pytest

from credit.models import CreditRequest, Seller
from recharge.models import BulkBatch, Recharge
from shared.models import User
from tests.recharge.test_bulk_pages import form_of, preview
from tests.support.visitor import Visitor, shown, text_of
from tests.support.world import Organization, World, give_credit

PASSWORD = "a password for omid"


@pytest.fixture
def admin(acme: Organization) -> Visitor:
    return Visitor.signed_in(acme.owner)


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    return Visitor.signed_in(acme.member)


def switch(visitor: Visitor, answer, path: str, fields: dict, language: str = "fa", *, page_has_switch: bool = True):
    """Presses the button of the other language on this page; ``fields`` stand in for those of its form."""
    page = text_of(answer)
    assert not page_has_switch or 'name="switch_language"' in page
    token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    own = parse_qs(unescape(page.partition('name="sent_again" value="')[2].partition('"')[0]), keep_blank_values=True)
    return visitor.post(
        path,
        {
            "csrfmiddlewaretoken": token,
            "sent_again": urlencode(own | fields, doseq=True),
            "switch_language": language,
        },
    )


def test_a_new_sellers_password_is_still_there(admin: Visitor, acme: Organization) -> None:
    fields = {"name": "Omid", "username": "omid", "password": PASSWORD}
    answer = admin.submit("/sellers/new", fields)
    assert PASSWORD in text_of(answer)
    again = switch(admin, answer, "/sellers/new", fields)
    assert (again.status, 'lang="fa"' in text_of(again)) == (200, True)
    assert PASSWORD in text_of(again)
    assert "omid" in text_of(again)
    with acme.context:
        assert Seller.objects.filter(name="Omid").count() == 1


def test_so_is_a_password_that_was_reset(admin: Visitor, acme: Organization) -> None:
    path = f"/sellers/{acme.member.id}/password"
    state = text_of(admin.get(path)).partition('name="state" value="')[2].partition('"')[0]
    answer = admin.submit(path, {"password": PASSWORD, "state": state})
    assert PASSWORD in text_of(answer)
    assert PASSWORD in text_of(switch(admin, answer, path, {"password": PASSWORD, "state": state}))


def test_a_password_that_another_page_has_shown_is_not_taken_for_this_ones(admin: Visitor, acme: Organization) -> None:
    added = {"name": "Omid", "username": "omid", "password": PASSWORD}
    assert PASSWORD in text_of(admin.submit("/sellers/new", added))
    refused = {"name": "Mina", "username": "omid", "password": "another password for mina"}
    answer = admin.submit("/sellers/new", refused)
    assert answer.status == 422
    assert PASSWORD not in text_of(switch(admin, answer, "/sellers/new", refused))
    path = f"/sellers/{acme.member.id}/password"
    answer = admin.submit(path, {"password": "short", "state": ""})
    assert answer.status == 422
    assert PASSWORD not in text_of(switch(admin, answer, path, {"password": "short", "state": ""}))


def test_no_password_of_ones_own_is_written_into_the_page(seller: Visitor) -> None:
    answer = seller.submit("/account/password", {"old": "not this one", "new": PASSWORD, "again": PASSWORD})
    assert answer.status == 422
    assert PASSWORD not in text_of(answer)
    assert urlencode({"x": PASSWORD})[2:] not in text_of(answer)
    assert "not this one" not in text_of(answer)


def test_a_webhooks_secret_is_still_there_and_only_then(admin: Visitor) -> None:
    path = admin.submit("/webhooks/new", {"url": "https://hooks.example.com/x", "events": ["recharge.failed"]}).headers[
        "Location"
    ]
    page = admin.get(path)
    secret = text_of(page).partition('id="secret"')[2].partition(">")[2].partition("<")[0]
    assert secret
    token = text_of(page).partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    referer = f"http://{admin.client.host}{path}"
    for _ in range(2):
        switched = admin.client.request(
            "POST",
            "/language",
            body=f"csrfmiddlewaretoken={token}&language=fa".encode(),
            headers=admin._headers({"Content-Type": "application/x-www-form-urlencoded", "Referer": referer}),
            is_page=True,
        )
        assert switched.headers["Location"] == path
        again = admin.get(path)
        assert 'lang="fa"' in text_of(again)
        assert secret in text_of(again)
    assert secret not in text_of(admin.get(path))


def test_what_was_typed_into_a_refused_form_is_still_there(seller: Visitor) -> None:
    fields = {"amount": "5000,00", "note": "paid at the counter"}
    answer = seller.submit("/credit-requests/new", fields)
    assert answer.status == 422
    again = switch(seller, answer, "/credit-requests/new", fields)
    assert (again.status, 'dir="rtl"' in text_of(again)) == (422, True)
    assert "paid at the counter" in text_of(again)
    assert "5000,00" in text_of(again)


def test_a_form_that_would_do_now_what_it_could_not_do_before_does_nothing(seller: Visitor, acme: Organization) -> None:
    answer = seller.submit("/credit-requests/new", {"amount": "x", "note": ""})
    again = switch(seller, answer, "/credit-requests/new", {"amount": "5000", "note": ""})
    assert again.status == 302
    with acme.context:
        assert CreditRequest.objects.count() == 0


def test_a_sale_that_was_refused_is_not_sold_by_that(seller: Visitor, acme: Organization) -> None:
    fields = {"phone_number": "09121234567", "amount": "5000", "operator": "", "key": "0" * 32}
    answer = seller.submit("/sell", fields, to="/sell/confirm")
    assert answer.status == 422
    give_credit(acme.row, acme.member.id, 10_000)
    again = switch(seller, answer, "/sell/confirm", fields)
    assert again.status == 200
    assert "۰۹۱۲ ۱۲۳ ۴۵۶۷" in shown(again)
    with acme.context:
        assert Recharge.objects.count() == 0


def test_a_batch_that_was_not_begun_is_not_sold_by_the_switch(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, "09121234567,1000\n09121234568,2000"))
    again = switch(seller, seller.get("/bulk"), "/bulk/sell", fields, page_has_switch=False)
    assert again.status == 200
    assert 'name="start" value="0"' in text_of(again)
    assert 'name="items" value="1:+989121234567' in text_of(again)
    assert 'hx-trigger="submit"' in text_of(again)
    with acme.context:
        assert Recharge.objects.count() == 0
        assert not BulkBatch.objects.exists()


def test_rows_that_were_looked_at_are_still_there(seller: Visitor) -> None:
    fields = {"text": "09121234567,1000\n09121234568,2000", "batch": "1" * 32}
    answer = seller.submit("/bulk", fields)
    again = switch(seller, answer, "/bulk", fields)
    assert again.status == 200
    assert "۲٬۰۰۰" in shown(again)


def test_a_password_that_was_refused_is_not_written_into_the_page(acme: Organization) -> None:
    nobody = Visitor(acme.anyone)
    fields = {"username": "member", "password": "not this one at all"}
    answer = nobody.submit("/sign-in", fields)
    assert answer.status == 422
    assert "not this one at all" not in text_of(answer)
    again = switch(nobody, answer, "/sign-in", {"username": "member"})
    assert "member" in text_of(again)
    assert nobody.cookies["language"] == "fa"


def test_the_choice_is_kept(admin: Visitor, acme: Organization) -> None:
    answer = admin.submit("/sellers/new", {"name": "", "username": "", "password": ""})
    switch(admin, answer, "/sellers/new", {"name": "", "username": "", "password": ""})
    assert User.objects.get(pk=acme.owner.user.pk).language == "fa"
    assert 'lang="fa"' in text_of(admin.get("/sellers"))


def test_a_language_that_there_is_not_is_404(admin: Visitor) -> None:
    answer = admin.submit("/sellers/new", {"name": "", "username": "", "password": ""})
    assert switch(admin, answer, "/sellers/new", {"name": ""}, language="xx").status == 404


def test_an_organization_that_could_not_be_provisioned_is_not_by_that(world: World) -> None:
    boss = Visitor.signed_in(world.platform_admin)
    fields = {"slug": "Initech", "name": "Initech", "admin_username": "boss", "admin_password": "short"}
    answer = boss.submit("/provision", fields)
    assert answer.status == 422
    assert "Initech" in text_of(switch(boss, answer, "/provision", fields))
