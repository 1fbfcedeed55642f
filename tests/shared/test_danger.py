"""What is not taken back by another click is asked for first: in one way, with a script and without."""

import re
import uuid

from credit.adjustments import change_policy
from credit.models import AuditRecord
from credit.services import create_api_key
from credit.webhooks.services import create_webhook
from recharge.terms.services import create_gateway
from shared.models import SignIn
from tenants.models import AuditRecord as PlatformRecord
from tests.support.locks import sell_pending
from tests.support.server import ROOT
from tests.support.visitor import Visitor, shown, sign_in_of, text_of
from tests.support.world import Person, World, ask, ask_for_adjustment, give_credit, make_member, place


def dangers(world: World) -> list[tuple[Person, str, str]]:
    """Who does it, from which page, at which address."""
    acme, owner, member = world.acme, world.acme.owner, world.acme.member
    give_credit(acme.row, member.id, 10_000)
    request = f"/credit-requests/{ask(member)}"
    adjustment = f"/adjustments/{ask_for_adjustment(acme.row, member.id)}"
    place(acme.row, acme.neighbour.id, member.id)
    with acme.context:
        change_policy(requests_go_to_parent=True)
    of_branch = f"/branch/requests/{ask(acme.neighbour)}"
    with acme.context:
        change_policy(requests_go_to_parent=False)
        endpoint, _secret = create_webhook(
            organization=acme.row, seller_id=member.id, url="https://x.example/", events=["recharge.succeeded"]
        )
        key, _secret = create_api_key(
            organization=acme.row, seller_id=member.id, name="Till", scopes=["sell"], created_by="member"
        )
        create_gateway(organization=acme.row, by="owner", name="sandbox", kind="simulator")
    recharge = f"/recharges/{sell_pending(acme.row, member.id)}"
    clerk = f"/members/{make_member(acme.row, 'clerk', 'support').user.pk}"
    sign_in_of(owner)
    session = SignIn.objects.filter(user=owner.user).latest("pk")
    return [
        (owner, f"/sellers/{member.id}", f"/sellers/{member.id}/switch-off"),
        (owner, clerk, f"{clerk}/switch-off"),
        (owner, request, f"{request}/reject"),
        (owner, adjustment, f"{adjustment}/reject"),
        (owner, recharge, f"{recharge}/resolve?status=failed"),
        (owner, "/settings/gateways/sandbox", "/settings/gateways/sandbox/delete"),
        (owner, "/settings", "/settings/phone-numbers"),
        (owner, "/account/sessions", "/account/sessions/end"),
        (owner, "/account/sessions", f"/account/sessions/{session.public_id}/end"),
        (member, f"/branch/{acme.neighbour.id}", f"/branch/{acme.neighbour.id}/switch-off"),
        (member, of_branch, f"{of_branch}/reject"),
        (member, f"/api-keys/{key.pk}", f"/api-keys/{key.pk}/end"),
        (member, f"/api-keys/{key.pk}", f"/api-keys/{key.pk}/rotate"),
        (member, f"/webhooks/{endpoint.pk}", f"/webhooks/{endpoint.pk}/delete"),
        (member, f"/webhooks/{endpoint.pk}", f"/webhooks/{endpoint.pk}/disable"),
        (member, f"/webhooks/{endpoint.pk}", f"/webhooks/{endpoint.pk}/rotate-secret"),
        (world.platform_admin, "/organizations/acme", "/organizations/acme/suspend"),
    ]


def test_each_is_asked_for_on_a_page_and_in_a_dialog_with_the_same_words(world: World) -> None:
    for person, page, address in dangers(world):
        visitor = Visitor.signed_in(person)
        assert f'href="{address}" data-asks>' in text_of(visitor.get(page)), address
        asked = visitor.get(address)
        assert asked.status == 200, address
        words = re.findall(r'<div id="danger-meaning"><p>[^<]{15,}</p>', text_of(asked))
        assert len(words) == 1, address
        assert '<dialog id="danger"' in text_of(asked)
        dialog = visitor.get(address, HX_Request="true")
        assert dialog.status == 200
        assert words[0] in text_of(dialog)
        assert "<html" not in text_of(dialog)
        # The way out comes first. Where the focus is, is seen to when the dialog opens (tests/browser/test_dialogs.py).
        first, *_others = re.findall(r"<(?:button|a)[^>]*>", text_of(dialog).partition("dialog-actions")[2])
        assert "data-closes" in first
        assert "autofocus" not in text_of(dialog)
        back, *_others = re.findall(r"<(?:button|a)[^>]*>", shown_actions(text_of(asked)))
        assert f'href="{page}"' in back, address
    assert shown(Visitor.signed_in(world.platform_admin).get("/organizations/acme")).count("Active") >= 1


def shown_actions(page: str) -> str:
    return page.partition("dialog-actions")[2]


def test_nothing_is_done_by_asking(world: World) -> None:
    asked = dangers(world)

    def acts() -> tuple[int, int]:
        with world.acme.context:
            return AuditRecord.objects.count(), PlatformRecord.objects.count()

    before = acts()  # each act leaves a row
    for person, _page, address in asked:
        assert Visitor.signed_in(person).get(address).status == 200
    assert acts() == before


def test_whose_it_is_not_is_not_even_asked(world: World) -> None:
    neighbour = Visitor.signed_in(world.acme.neighbour)
    for person, _page, address in dangers(world):
        if person != world.platform_admin and address != "/account/sessions/end":
            assert neighbour.get(address).status == 404, address


def test_no_template_has_a_way_of_its_own() -> None:
    """A red button that does something stands in the one form that asks."""
    for template in ROOT.glob("*/templates/**/*.html"):
        for button in re.findall(r"<(?:button|a)[^>]*btn-(?:outline-)?danger[^>]*>", template.read_text()):
            # Many at once are asked for in a dialog of their own.
            assert "data-asks>" in button or 'hx-target="#decide"' in button, (template.name, button)


def test_an_id_that_is_not_there_is_404_and_no_dialog(world: World) -> None:
    owner = Visitor.signed_in(world.acme.owner)
    for path in ("/sellers/999999/switch-off", f"/api-keys/{uuid.uuid4()}/end", f"/webhooks/{uuid.uuid4()}/delete"):
        assert owner.get(path).status == 404, path
