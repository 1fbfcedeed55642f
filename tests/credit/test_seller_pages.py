"""Sellers, as an admin's pages: added, renamed, switched off, given a new password, found."""

import re
from typing import Any
from urllib.parse import quote

import pytest

from credit.models import Seller
from credit.pages.sellers import MOST_BY_USERNAME
from shared.models import User
from tests.support.visitor import Visitor, in_process, shown, text_of, value_of
from tests.support.world import PASSWORD, Organization, give_credit, make_seller

NEW_PASSWORD = "tall green lamp"


def test_a_seller_is_added_and_can_sign_in_with_what_is_shown(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    suggested = [value_of(visitor.get("/sellers/new"), "password") for _ in range(2)]
    assert suggested[0] != suggested[1]
    fields = {"name": "Tehran Kiosk", "username": "kiosk", "password": suggested[0], "email": "kiosk@example.com"}
    answer = visitor.submit("/sellers/new", fields)
    assert answer.status == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert f"Username kiosk Password {suggested[0]}" in shown(answer)
    assert Visitor(acme.anyone).sign_in("kiosk", suggested[0]).status == 302
    assert User.objects.get(username="acme/kiosk").email == "kiosk@example.com"
    # Once more (a reload, a second click): nothing more.
    again = visitor.submit("/sellers/new", fields)
    assert again.status == 422
    assert "This username is taken" in shown(again)
    with acme.context:
        assert Seller.objects.filter(name="Tehran Kiosk").count() == 1
    page = shown(visitor.get("/sellers"))
    assert "Tehran Kiosk 0 Tomans Active kiosk" in page
    assert suggested[0] not in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "Fill this in."),
        ({"name": "a\x00b"}, "Null characters"),
        ({"username": "two words"}, "valid username"),
        ({"username": "member"}, "This username is taken"),
        ({"password": "short"}, "too short"),
        ({"password": "password123"}, "too common"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_a_seller_that_won_t_do_is_refused_and_the_form_kept(
    acme: Organization, wrong: dict[str, str], said: str
) -> None:
    fields = {"name": "Kiosk", "username": "kiosk", "password": NEW_PASSWORD} | wrong
    answer = Visitor.signed_in(acme.owner).submit("/sellers/new", fields)
    assert answer.status == 422
    assert said in shown(answer)
    with acme.context:
        assert not Seller.objects.filter(name="Kiosk").exists()


def test_a_seller_is_renamed(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/rename"
    assert visitor.submit(path, {"name": " "}).status == 422
    answer = visitor.submit(path, {"name": "فروشگاه بهار"})
    assert (answer.status, answer.headers["Location"]) == (302, f"/sellers/{acme.member.id}")
    assert "فروشگاه بهار" in shown(visitor.get(answer.headers["Location"]))


def test_a_seller_is_switched_off_and_on(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    visitor, seller = Visitor.signed_in(acme.owner), Visitor.signed_in(acme.member)
    path = f"/sellers/{acme.member.id}"
    for _ in range(2):  # once more is the same
        answer = visitor.submit(f"{path}/switch-off", {})
        assert (answer.status, answer.headers["Location"]) == (302, path)
    assert "member is deactivated" in shown(visitor.get(path))
    assert seller.get("/ledger").status == 302
    assert Visitor(acme.anyone).sign_in("member").status == 422
    assert acme.member.sell().code == "seller_inactive"
    assert visitor.submit(f"{path}/switch-on", {}).status == 302
    assert "member may sell and sign in again" in shown(visitor.get(path))
    assert Visitor(acme.anyone).sign_in("member").status == 302
    assert acme.member.sell().status == 201


def test_a_reset_password_ends_all_sessions_and_tokens_of_the_seller(acme: Organization) -> None:
    tokens = acme.anyone.post("/auth/token", {"username": "member", "password": PASSWORD}).json
    seller, neighbour = Visitor.signed_in(acme.member), Visitor.signed_in(acme.neighbour)
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/password"
    form = visitor.get(path)
    fields = {
        "csrfmiddlewaretoken": value_of(form, "csrfmiddlewaretoken"),
        "state": value_of(form, "state"),
        "password": "short",
    }
    assert visitor.post(path, fields).status == 422
    assert seller.get("/ledger").status == 200
    fields["password"] = NEW_PASSWORD
    answer = visitor.post(path, fields)
    assert answer.status == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert f"Username member Password {NEW_PASSWORD}" in shown(answer)
    assert seller.get("/ledger").status == 302
    assert neighbour.get("/ledger").status == 200
    assert acme.anyone.post("/auth/token/refresh", {"refresh": tokens["refresh"]}).status == 401
    assert Visitor(acme.anyone).sign_in("member").status == 422
    assert Visitor(acme.anyone).sign_in("member", NEW_PASSWORD).status == 302
    # The same form again, as a reload sends it, shows the same and ends nothing.
    seller = Visitor(acme.anyone)
    seller.sign_in("member", NEW_PASSWORD)
    assert seller.get("/ledger").headers["Location"] == "/account/password"  # first of all, another one
    assert visitor.post(path, fields).status == 200
    assert seller.get("/account/password").status == 200


def test_a_password_that_was_changed_meanwhile_stays(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/password"
    form = visitor.get(path)
    user = User.objects.get(pk=acme.member.user.pk)
    user.set_password("the seller's own")
    user.save()
    answer = visitor.post(
        path,
        {
            "csrfmiddlewaretoken": value_of(form, "csrfmiddlewaretoken"),
            "state": value_of(form, "state"),
            "password": NEW_PASSWORD,
        },
    )
    assert (answer.status, answer.headers["Location"]) == (302, f"/sellers/{acme.member.id}")
    assert "The password was changed in the meantime" in shown(visitor.get(answer.headers["Location"]))
    user.refresh_from_db()
    assert user.check_password("the seller's own")


@pytest.mark.parametrize("state", ["", "nonsense", "\x00"])
def test_a_password_is_not_reset_by_a_form_that_nobody_was_shown(acme: Organization, state: str) -> None:
    path = f"/sellers/{acme.member.id}/password"
    answer = Visitor.signed_in(acme.owner).submit(path, {"password": NEW_PASSWORD, "state": state})
    assert answer.status in (302, 422)
    assert User.objects.get(pk=acme.member.user.pk).check_password(PASSWORD)


def test_an_admins_password_is_nobodys_to_reset_here(acme: Organization, globex: Organization) -> None:
    for seller_id in (999, 2**63 - 1):
        for page in ("", "/rename", "/switch-off", "/switch-on", "/password"):
            assert Visitor.signed_in(acme.owner).get(f"/sellers/{seller_id}{page}").status == 404
    # The other organization has a seller of the same number, who is not touched.
    assert globex.member.id == acme.member.id
    visitor = Visitor.signed_in(acme.owner)
    path = f"/sellers/{acme.member.id}/password"
    state = value_of(visitor.get(path), "state")
    assert visitor.submit(path, {"password": NEW_PASSWORD, "state": state}).status == 200
    assert Visitor(globex.anyone).sign_in("member").status == 302


def test_sellers_are_found_by_name_and_by_username(acme: Organization) -> None:
    make_seller(acme.row, "Tehran Kiosk")
    make_seller(acme.row, "100% Mobile")
    with acme.context:
        Seller.objects.filter(pk=acme.neighbour.id).update(name="Somebody")
    visitor = Visitor.signed_in(acme.owner)

    def found(search: str) -> set[str]:
        page = text_of(visitor.get(f"/sellers?search={quote(search)}"))
        return set(re.findall(r'<a href="/sellers/\d+"><bdi>([^<]*)</bdi>', page))

    assert found("") == {"member", "Somebody", "Tehran Kiosk", "100% Mobile"}
    assert found("kiosk") == {"Tehran Kiosk"}
    assert found("NEIGH") == {"Somebody"}  # by the username
    assert found("%") == {"100% Mobile"}
    assert found("_") == set()
    assert found("owner") == set()  # an admin is no seller
    assert "No seller matches this." in shown(visitor.get("/sellers?search=nobody"))


def test_a_search_that_finds_too_many_usernames_says_so(acme: Organization, monkeypatch: Any) -> None:
    monkeypatch.setattr("credit.pages.sellers.MOST_BY_USERNAME", 1)
    assert MOST_BY_USERNAME > 1
    page = in_process(acme.owner, "/sellers?search=e").content.decode()
    assert "Write more of it" in page


def test_a_new_seller_may_begin_below_a_dealer(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    fields = {"name": "Below", "username": "below", "password": PASSWORD}
    for wrong in ("nobody of this name", "999999"):
        assert visitor.submit("/sellers/new", fields | {"parent": wrong}).status == 422
    with acme.context:
        assert not Seller.objects.filter(name="Below").exists()
    assert visitor.submit("/sellers/new", fields | {"parent": str(acme.neighbour.id)}).status == 200
    assert visitor.submit("/sellers/new", fields | {"username": "alone", "parent": ""}).status == 200
    with acme.context:
        placed = Seller.objects.filter(name="Below").order_by("pk").values_list("parent_id", flat=True)
        assert list(placed) == [acme.neighbour.id, None]
