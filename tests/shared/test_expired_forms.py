"""Forms that outlived their session: nothing is lost, nothing is done that was not meant, and no secret comes back."""

import re
import uuid
from html import unescape

import pytest

from credit.models import CreditRequest, Seller
from recharge.models import Recharge
from tests.support.client import Answer
from tests.support.visitor import MARKUP, Visitor, session_of, shown, text_of, value_of
from tests.support.world import PASSWORD, Organization, World, give_credit

SALE = {"phone_number": "09121234567", "amount": "5000", "operator": "mci"}


def fields_of(page: Answer) -> dict[str, str]:
    """The hidden fields of the form that is shown again."""
    form = (
        text_of(page).partition("<main")[2].partition("</main>")[0].partition("data-once>")[2].partition("</form>")[0]
    )
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    return {name: unescape(value) for name, value in pairs}


def action_of(page: Answer) -> str:
    return unescape(re.findall(r'<form method="post" action="([^"]*)"[^>]* data-once>', text_of(page))[0])


def send_again(visitor: Visitor, page: Answer, **typed: str) -> Answer:
    return visitor.post(action_of(page), fields_of(page) | typed)


def recharges(organization: Organization) -> int:
    with organization.context:
        return Recharge.objects.count()


# --- Two tabs at sign-in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "start"), [("/sign-in", "/"), ("/sign-in?next=%2Faccount%2Fpassword", None)])
def test_who_signs_in_in_two_tabs_gets_to_the_start_page_in_both(
    acme: Organization, path: str, start: str | None
) -> None:
    browser = Visitor(acme.anyone)
    tabs = [value_of(browser.get(path), "csrfmiddlewaretoken") for _ in range(2)]
    credentials = {"username": "member", "password": PASSWORD}
    for token in tabs:
        answer = browser.post(path, credentials | {"csrfmiddlewaretoken": token})
        assert (answer.status, answer.headers["Location"]) == (302, start or "/account/password")
    assert browser.get("/account/preferences").status == 200


def test_it_is_the_same_at_the_admin_sites_own_sign_in(world: World) -> None:
    browser = Visitor(world.platform)
    tabs = [value_of(browser.get("/admin/login/?next=/admin/"), "csrfmiddlewaretoken") for _ in range(2)]
    for token in tabs:
        fields = {"username": "root", "password": PASSWORD, "next": "/admin/", "csrfmiddlewaretoken": token}
        answer = browser.post("/admin/login/", fields)
        assert (answer.status, answer.headers["Location"]) == (302, "/admin/")


def test_a_sign_in_whose_token_is_spoiled_is_asked_for_again_and_looks_at_no_password(acme: Organization) -> None:
    browser = Visitor(acme.anyone)
    browser.get("/sign-in")
    page = browser.post("/sign-in", {"username": "member", "password": PASSWORD, "csrfmiddlewaretoken": "x" * 64})
    assert page.status == 403
    assert PASSWORD not in text_of(page)
    assert browser.get("/account/preferences").status == 302
    answer = send_again(browser, page, password=PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (302, "/")


def test_another_sites_form_at_sign_in_is_refused(acme: Organization) -> None:
    browser = Visitor.signed_in(acme.member)
    browser.cookies["csrftoken"] = "x" * 32
    for headers in (
        {"Origin": "https://evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Referer": "https://evil.test/"},
    ):
        answer = acme.anyone.request(
            "POST",
            "/sign-in",
            body=b"username=member&password=x",
            headers=browser._headers({"Content-Type": "application/x-www-form-urlencoded", **headers}),
            is_page=True,
        )
        assert answer.status == 403
        assert "data-once" not in text_of(answer)


def test_a_form_from_before_says_what_its_figures_are(acme: Organization) -> None:
    admin = Visitor.signed_in(acme.owner)
    spoiled = {"csrfmiddlewaretoken": "x" * 64}
    adjustment = {"seller": str(acme.member.id), "direction": "less", "amount": "77", "reason": "counted", "key": "k"}
    page = shown(admin.post("/adjustments/new", adjustment | spoiled))
    for said in (
        f"Seller: {acme.member.id}",
        "Type of adjustment: Take from the balance",
        "Amount: 77",
        "Reason: counted",
    ):
        assert said in page, said
    member = shown(admin.post("/members/new", {"role": "of nobody", "name": "A", "unheard": "<b>of</b>"} | spoiled))
    assert "Role: of nobody" in member
    assert "&lt;b&gt;of" in text_of(admin.post("/members/new", {"unheard": "<b>of</b>"} | spoiled))


# --- A form from before -----------------------------------------------------------------------------------------------


def test_a_sale_from_before_a_new_session_is_shown_again_and_sold_once_it_is_sent_again(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    seller = Visitor.signed_in(acme.member)
    fields = SALE | {"key": uuid.uuid4().hex}
    old = value_of(seller.get("/account/preferences"), "csrfmiddlewaretoken")
    assert seller.submit("/account/preferences", {}, to="/sign-out").status == 302
    assert seller.sign_in("member").status == 302

    page = seller.post("/sell/confirm", fields | {"csrfmiddlewaretoken": old})
    assert page.status == 403
    assert recharges(acme) == 0
    assert "no-store" in page.headers["Cache-Control"]
    assert {"09121234567", "5000"} <= set(shown(page).split())
    assert "Phone number: 09121234567" in shown(page)  # said what each is: nobody sends a sum on that he can't read
    assert "You are signed in as member." in shown(page)
    assert fields.items() <= fields_of(page).items()
    assert action_of(page) == "/sell/confirm"
    for _ in range(2):
        assert send_again(seller, page).status == 303
        assert recharges(acme) == 1


@pytest.mark.parametrize(
    ("who", "path", "fields"),
    [
        ("member", "/credit-requests/new", {"amount": "70000", "note": "for the weekend", "key": "1" * 32}),
        ("member", "/account/preferences", {"language": "fa", "time_zone": "UTC", "email": "a@example.com"}),
        ("member", "/bulk", {"text": "09121234567,1000\n09351234567,2000", "batch": "2" * 32}),
        ("member", "/webhooks/new", {"url": "https://hooks.example.com/x", "events": "recharge.succeeded"}),
        ("owner", "/sellers/new", {"name": "کیوسک", "username": "kiosk", "email": "k@example.com"}),
        ("owner", "/settings/gateways/new?kind=http", {"name": "mine", "url": "https://example.com/x"}),
        ("root", "/provision", {"slug": "third", "name": "Third & <b>Sons</b>", "admin_username": "first"}),
    ],
)
def test_what_any_form_held_is_there_when_its_token_is_spoiled(
    world: World, who: str, path: str, fields: dict[str, str]
) -> None:
    acme = world.acme
    person = {"member": acme.member, "owner": acme.owner, "root": world.platform_admin}[who]
    visitor = Visitor.signed_in(person)
    visitor.get("/account/preferences")
    secrets = {"password": "s3cret-1", "secret": "s3cret-2", "admin_password": "s3cret-3", "old": "s3cret-4"}
    for token in ({}, {"csrfmiddlewaretoken": ""}, {"csrfmiddlewaretoken": "x" * 64}):
        page = visitor.post(path, fields | secrets | token)
        assert page.status == 403
        kept = fields_of(page)
        del kept["csrfmiddlewaretoken"]
        assert kept == fields
        assert "s3cret" not in text_of(page)
        for name in secrets:
            assert f'type="password" id="held-{name}"' in text_of(page)
    with acme.context:
        assert not CreditRequest.objects.exists()
        assert not Seller.objects.filter(name="کیوسک").exists()


def test_what_is_shown_again_is_no_markup(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    page = visitor.post(f"/nothing?q={'%22%3E%3Cscript%3E'}", {"note": MARKUP, MARKUP: "x"})
    assert MARKUP not in text_of(page)
    page = visitor.post("/credit-requests/new", {"note": MARKUP, MARKUP: "x"})
    assert page.status == 403
    assert MARKUP not in text_of(page)


def test_a_program_is_told_as_before(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    headers = visitor._headers({"Content-Type": "application/x-www-form-urlencoded"}) | {"Accept": "application/json"}
    answer = acme.anyone.request("POST", "/credit-requests/new", body=b"amount=1", headers=headers, is_page=True)
    assert (answer.status, answer.code) == (403, "permission_denied")


def test_a_part_of_a_page_is_put_in_the_place_of_the_page(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    headers = visitor._headers({"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true"})
    body = b"phone_number=09121234567&amount=5000"
    answer = acme.anyone.request("POST", "/sell/confirm", body=body, headers=headers | {"Accept": "*/*"}, is_page=True)
    assert answer.status == 403
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reselect"]) == ("#main", "#main")
    assert fields_of(answer)["phone_number"] == "09121234567"


# --- A form that is sent when the session is over ---------------------------------------------------------------------


def test_what_is_sent_when_the_session_is_over_is_there_after_signing_in(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    seller = Visitor.signed_in(acme.member)
    fields = SALE | {"key": uuid.uuid4().hex}
    token = value_of(seller.get("/account/preferences"), "csrfmiddlewaretoken")
    del seller.cookies["sessionid"]
    answer = seller.post("/sell/confirm", fields | {"csrfmiddlewaretoken": token, "password": "s3cret"})
    assert (answer.status, answer.headers["Location"]) == (302, "/sign-in")
    answer = seller.sign_in("member")
    assert (answer.status, answer.headers["Location"]) == (302, "/held")
    page = seller.get("/held")
    assert page.status == 200
    assert fields.items() <= fields_of(page).items()
    assert "s3cret" not in text_of(page)
    assert recharges(acme) == 0
    assert send_again(seller, page).status == 303
    assert recharges(acme) == 1
    # It is shown once.
    assert seller.get("/held").headers["Location"] == "/"


def test_what_is_held_is_held_for_its_own_host_and_not_for_the_next_person(world: World) -> None:
    acme = world.acme
    visitor = Visitor(acme.anyone)
    token = value_of(visitor.get("/sign-in"), "csrfmiddlewaretoken")
    visitor.post("/credit-requests/new", {"csrfmiddlewaretoken": token, "amount": "77777"})
    cookie = visitor.cookies["held"]
    stranger = Visitor.signed_in(world.globex.member)
    stranger.cookies["held"] = cookie
    assert stranger.get("/held").headers["Location"] == "/"
    for made_up in ("", "x", cookie[:-1], cookie + "x"):
        visitor.cookies |= {"held": made_up, "sessionid": session_of(acme.member)}
        assert visitor.get("/held").headers["Location"] == "/"
    visitor.cookies["held"] = cookie
    visitor.submit("/account/preferences", {}, to="/sign-out")
    assert visitor.cookies["held"] in ("", '""')


def test_nothing_is_held_of_what_is_empty_or_too_long(acme: Organization) -> None:
    visitor = Visitor(acme.anyone)
    token = value_of(visitor.get("/sign-in"), "csrfmiddlewaretoken")
    for fields in ({}, {"amount": " "}, {"text": "".join(uuid.uuid4().hex for _ in range(500))}):
        answer = visitor.post("/bulk", fields | {"csrfmiddlewaretoken": token})
        assert answer.headers["Location"] == "/sign-in"
        assert "held" not in visitor.cookies
