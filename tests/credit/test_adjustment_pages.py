"""Adjustments, and the second approval, as pages."""

import re

from credit.adjustments import change_policy
from credit.models import Adjustment
from tests.support.visitor import Visitor, shown, text_of, value_of
from tests.support.world import Organization, ask, ask_for_adjustment, give_credit, make_person


def form(**changed: str) -> dict[str, str]:
    return {
        "seller": "member",
        "direction": "more",
        "amount": "۵٬۰۰۰",
        "reason": "Paid twice.",
        "reference": "",
    } | changed


def test_it_is_asked_for_once_and_done_at_once(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    assert "No balance was adjusted yet" in shown(owner.get("/adjustments"))
    page = owner.get(f"/adjustments/new?seller={acme.member.id}")
    assert "The balance changes at once." in shown(page)
    (key,) = re.findall(r'name="key" value="(page-\w+)"', text_of(page))
    for _ in range(2):
        answer = owner.submit("/adjustments/new", form(key=key))
        assert answer.status == 302
    assert acme.member.balance() == 5000
    again = owner.submit("/adjustments/new", form(key=key, amount="6000"))
    assert again.status == 422
    assert (value_of(again, "amount"), value_of(again, "reason")) == ("6000", "Paid twice.")
    assert value_of(again, "key") not in ("", key)
    seen = shown(owner.get(answer.headers["Location"]))
    assert "+5,000 Tomans State Approved Seller member Reason Paid twice." in seen
    less = owner.submit("/adjustments/new", form(direction="less", amount="5001"))
    assert "The balance is 5,000 Tomans: 5,001 can't be taken from it." in shown(less)
    assert owner.submit("/adjustments/new", form(direction="less")).status == 302
    assert acme.member.balance() == 0
    listed = shown(owner.get("/adjustments"))
    assert ("+5,000" in listed, "−5,000" in listed or "-5,000" in listed) == (True, True)
    ledger = text_of(owner.get("/ledger"))
    assert len(set(re.findall(r'<a href="(/adjustments/[^"]+)', ledger))) == 2
    # The seller sees the entries, and no page of theirs.
    statement = text_of(Visitor.signed_in(acme.member).get("/ledger"))
    assert statement.count("Adjustment") >= 2
    assert "/adjustments" not in statement
    assert Visitor.signed_in(acme.member).get(answer.headers["Location"]).status == 404


def test_a_second_person_approves_or_whoever_asked_withdraws(acme: Organization) -> None:
    second = Visitor.signed_in(make_person(acme.row, "second-owner", acme.owner.client.address))
    owner = Visitor.signed_in(acme.owner)
    page = owner.submit("/settings", {"four_eyes_from": "۵٬۰۰۰"}, to="/settings/four-eyes")
    assert page.status == 302
    assert "From 5,000 Tomans, a second person has to approve it." in shown(owner.get("/adjustments/new"))
    answer = owner.submit("/adjustments/new", form())
    path = answer.headers["Location"]
    assert acme.member.balance() == 0
    own = text_of(owner.get(path))
    assert "somebody else has to approve it" in own
    assert f"{path}/approve" not in own
    assert owner.get(f"{path}/approve").headers["Location"] == path
    waits = shown(second.get("/today"))
    assert "Waiting for a second person." in waits
    assert "+5,000" in waits
    assert second.submit(f"{path}/approve", {}).status == 302
    assert "Approved: 5,000 Tomans added to the balance of member." in shown(second.get(path))
    assert acme.member.balance() == 5000
    withdrawn = owner.submit("/adjustments/new", form()).headers["Location"]
    assert owner.submit(f"{withdrawn}/reject", {"reason": ""}).status == 422
    assert owner.submit(f"{withdrawn}/reject", {"reason": "a slip"}).status == 302
    assert "Rejected" in shown(second.get(withdrawn))
    assert second.get(f"{withdrawn}/approve").headers["Location"] == withdrawn
    # What the balance does not bear by now is said, and waits on.
    path = f"/adjustments/{ask_for_adjustment(acme.row, acme.member.id, -5001)}"
    assert "The balance is too low for this now." in shown(owner.get(path))
    owner.submit(f"{path}/approve", {})
    assert "5,001 can't be taken from it. Nothing was done." in text_of(owner.get(path)).replace("&#x27;", "'")
    with acme.context:
        assert Adjustment.objects.get(pk=path.rpartition("/")[2]).status == "pending"


def test_a_large_credit_request_shows_its_first_approval(acme: Organization) -> None:
    second = Visitor.signed_in(make_person(acme.row, "second-owner", acme.owner.client.address))
    owner, member = Visitor.signed_in(acme.owner), Visitor.signed_in(acme.member)
    with acme.context:
        change_policy(four_eyes_from=50_000)
    asked = member.submit("/credit-requests/new", {"amount": "50000", "bank_reference": "۱۲ ۳۴"})
    assert asked.status == 302
    used = member.submit("/credit-requests/new", {"amount": "60000", "bank_reference": "1234"})
    assert used.status == 422
    assert "already has this bank reference" in shown(used)
    with acme.context:
        from credit.models import CreditRequest

        path = f"/credit-requests/{CreditRequest.objects.get().pk}"
    assert "Bank reference 1234" in shown(second.get(path))
    owner.submit(f"{path}/approve", {})
    page = text_of(owner.get(path))
    assert "You have approved this. A second person has to approve it, too." in page
    assert f"{path}/approve" not in page
    assert "Approved once; a second person is needed" in shown(owner.get("/credit-requests"))
    assert acme.member.balance() == 0
    assert "First approval owner" in shown(second.get(f"{path}/approve"))
    second.submit(f"{path}/approve", {})
    assert acme.member.balance() == 50_000
    assert "First approval" in shown(owner.get(path))


def test_a_threshold_is_taken_away_by_an_empty_field(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    with acme.context:
        change_policy(four_eyes_from=50_000)
    assert "50000" in text_of(owner.get("/settings"))
    assert owner.submit("/settings", {"four_eyes_from": "0"}, to="/settings/four-eyes").status == 422
    owner.submit("/settings", {"four_eyes_from": ""}, to="/settings/four-eyes")
    assert acme.owner.client.get("/settings").json["four_eyes_from"] is None
    give_credit(acme.row, acme.member.id, 60_000)
    assert acme.owner.client.post(f"/credit-requests/{ask(acme.member, 60_000)}/approve").json["status"] == "approved"
