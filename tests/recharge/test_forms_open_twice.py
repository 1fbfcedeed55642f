"""Forms of one thing that two have open at once: each saves what it changed, and what both changed is said."""

from html.parser import HTMLParser
from typing import Any

import pytest

from tests.support.visitor import Visitor, shown, text_of
from tests.support.world import Organization, Person


class Fields(HTMLParser):
    """What a browser would send of the forms in a page's main part."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._select = self._textarea = ""
        self.feed(markup.partition("<main")[2].partition("</main>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given:
            self.values[self._select] = [given.get("value") or ""]
        elif tag == "textarea":
            self._textarea = name
            self.values[name] = [""]
        elif tag == "input" and name:
            is_choice = given.get("type") in ("radio", "checkbox")
            if not is_choice or "checked" in given:
                self.values.setdefault(name, []).append(given.get("value") or "")

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea] = [data.removeprefix("\r\n").removeprefix("\n")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""


class Tab:
    """A page with a form, as it was when it was opened."""

    def __init__(self, person: Person, path: str, to: str = "") -> None:
        self.visitor = Visitor.signed_in(person)
        self.path, self.to = path, to or path
        self.fields = Fields(text_of(self.visitor.get(path))).values

    def save(self, **changes: Any) -> Any:
        answer = self.visitor.post(self.to, self.fields | changes)
        if answer.status != 302:
            self.fields = Fields(text_of(answer)).values
        return answer


def test_one_saves_an_operator_s_amounts_and_the_other_its_gateway(acme: Organization) -> None:
    assert acme.owner.client.post("/gateways", {"name": "sandbox", "kind": "simulator"}).status == 201
    one, other = Tab(acme.owner, "/settings/operators/mci"), Tab(acme.owner, "/settings/operators/mci")
    assert one.save(sold="list", amounts="5000\n10000").status == 302
    assert other.save(gateway="sandbox").status == 302
    terms = acme.owner.client.get("/operators/mci").json
    assert (terms["gateway"], terms["amounts"]) == ("sandbox", [5000, 10_000])


def test_two_save_different_amounts_and_the_second_is_told(acme: Organization) -> None:
    one, other = Tab(acme.owner, "/settings/operators/mci"), Tab(acme.owner, "/settings/operators/mci")
    assert one.save(sold="list", amounts="5000").status == 302
    told = other.save(sold="list", amounts="7000")
    assert "Somebody else changed this" in shown(told)
    assert acme.owner.client.get("/operators/mci").json["amounts"] == [5000]
    assert other.save().status == 302  # now it is meant
    assert acme.owner.client.get("/operators/mci").json["amounts"] == [7000]


def test_a_list_over_a_range_that_another_has_saved_is_told(acme: Organization) -> None:
    one, other = Tab(acme.owner, "/settings/operators/mci"), Tab(acme.owner, "/settings/operators/mci")
    assert one.save(least_amount="1000").status == 302
    assert "Somebody else changed this" in shown(other.save(most_amount="9000"))
    assert acme.owner.client.get("/operators/mci").json["least_amount"] == 1000


def test_one_saves_a_gateway_s_address_and_the_other_its_time(acme: Organization) -> None:
    body = {"name": "direct", "kind": "http", "url": "https://a.example", "key_id": "k", "secret": "s"}
    assert acme.owner.client.post("/gateways", body).status == 201
    one, other = Tab(acme.owner, "/settings/gateways/direct"), Tab(acme.owner, "/settings/gateways/direct")
    assert one.save(url="https://b.example").status == 302
    assert other.save(read_timeout_ms="500").status == 302
    gateway = acme.owner.client.get("/gateways/direct").json
    assert (gateway["url"], gateway["read_timeout_ms"]) == ("https://b.example", 500)


@pytest.mark.parametrize(
    ("path", "to", "field"),
    [
        ("/settings", "/settings/duplicate-window", "duplicate_window"),
        ("/settings", "/settings/send-within", "send_within"),
    ],
)
def test_two_save_one_setting_and_the_second_is_told(acme: Organization, path: str, to: str, field: str) -> None:
    one, other, idle = Tab(acme.owner, path, to), Tab(acme.owner, path, to), Tab(acme.owner, path, to)
    assert one.save(**{field: "120"}).status == 302
    assert "Somebody else changed this" in shown(other.save(**{field: "240"}))
    assert idle.save().status == 302
    assert acme.owner.client.get("/settings").json[field] == 120


def test_a_seller_s_name(acme: Organization) -> None:
    path = f"/sellers/{acme.member.id}/rename"
    one, other = Tab(acme.owner, path), Tab(acme.owner, path)
    assert one.save(name="One").status == 302
    assert "It is now: One" in shown(other.save(name="Other"))
    assert other.save().status == 302
    assert acme.owner.client.get(f"/sellers/{acme.member.id}").json["name"] == "Other"


def test_one_saves_a_language_and_the_other_a_time_zone(acme: Organization) -> None:
    one, other = Tab(acme.owner, "/account/preferences"), Tab(acme.owner, "/account/preferences")
    assert one.save(time_zone="Asia/Dubai").status == 302
    assert other.save(language="en").status == 302
    acme.owner.user.refresh_from_db()
    assert acme.owner.user.time_zone == "Asia/Dubai"
