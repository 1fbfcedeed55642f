"""Members as pages: adding, inviting, changing, and the first password that must be changed."""

import re

import pytest
from django.core import mail
from django.utils import timezone

from credit.models import AuditRecord
from shared.members.services import invitation_to
from shared.models import Membership, Totp, User
from tests.support.visitor import MARKUP, Visitor, shown, text_of
from tests.support.world import PASSWORD, Organization, World, make_member

NEW = "an unusual password"


def add(browser: Visitor, **fields: str) -> str:
    """Adds a member by the form; the address of its page."""
    answer = browser.submit("/members/new", {"username": "nima", "role": "accountant", "password": NEW, **fields})
    assert answer.status == 302, text_of(answer)
    return answer.headers["Location"]


def test_an_admin_adds_a_member_and_hands_over_the_first_password_once(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    address = add(owner)
    assert NEW in shown(owner.get(address))
    assert NEW not in shown(owner.get(address))
    nima = Visitor(acme.anyone)
    assert nima.sign_in("nima", NEW).status == 302
    for path in ("/", "/today", "/credit-requests", "/account/preferences"):
        answer = nima.get(path)
        assert (answer.status, answer.headers["Location"]) == (302, "/account/password"), path
    page = nima.get("/account/password")
    assert "Somebody else set your password" in shown(page)
    assert not re.search(r'nav-link|id="menu"|popovertarget="menu"', text_of(page))
    same = nima.submit("/account/password", {"old": NEW, "new": NEW, "again": NEW})
    assert (same.status, "Choose another one" in shown(same)) == (422, True)
    assert nima.get("/today").status == 302
    own = "another unusual password"
    assert nima.submit("/account/password", {"old": NEW, "new": own, "again": own}).headers["Location"] == "/"
    assert nima.get("/today").status == 200
    assert "nav-link" in text_of(nima.get("/account/password"))
    assert not User.objects.get(username="acme/nima").must_change_password
    assert "nima" in shown(owner.get("/members"))
    assert Membership.objects.get(username="nima").last_sign_in_at


def test_a_password_that_an_admin_sets_anew_ends_everything_and_must_be_changed(acme: Organization) -> None:
    owner, address = Visitor.signed_in(acme.owner), ""
    clerk = make_member(acme.row, "clerk", "support", acme.anyone.address)
    browser = Visitor.signed_in(clerk)
    assert browser.get("/today").status == 200
    address = f"/members/{clerk.user.pk}"
    answer = owner.submit(f"{address}/password", {"password": NEW, "state": state_in(owner, f"{address}/password")})
    assert answer.headers["Location"] == address
    assert NEW in shown(owner.get(address))
    assert browser.get("/today").status == 302
    assert browser.sign_in("clerk", NEW).status == 302
    assert browser.get("/today").headers["Location"] == "/account/password"
    # And of a seller, likewise.
    path = f"/sellers/{acme.member.id}/password"
    assert owner.submit(path, {"password": NEW, "state": state_in(owner, path)}).status == 200
    assert User.objects.get(pk=acme.member.user.pk).must_change_password
    seller = Visitor(acme.anyone)
    assert seller.sign_in("member", NEW).status == 302
    page = seller.get("/account/password")
    assert page.status == 200
    assert "data-polls" not in text_of(page)  # what asks by itself would be led back here, over what is typed
    assert seller.get("/sell/balance", HX_Request="true").headers["HX-Redirect"] == "/account/password"


def state_in(browser: Visitor, path: str) -> str:
    found = re.search(r'name="state" value="(\w+)"', text_of(browser.get(path)))
    assert found
    return found[1]


def test_an_invitation_is_good_once_here_and_for_seven_days(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.members import services

    for answer in (
        Visitor.signed_in(acme.owner).submit("/members/new", {"username": "nima", "role": "auditor", "password": ""}),
    ):
        assert answer.status == 422
    add(Visitor.signed_in(acme.owner), password="", email="nima@example.com")
    user = User.objects.get(username="acme/nima")
    assert not user.has_usable_password()
    path = f"/invitation/{services.invitation_to(user)}"
    assert Visitor(globex.anyone).get(path).status == 404
    assert Visitor(acme.anyone).get(path[:-1] + "x").status == 404
    guest = Visitor(acme.anyone)
    assert guest.submit(path, {"new": NEW, "again": "different"}).status == 422
    assert guest.submit(path, {"new": NEW, "again": NEW}).headers["Location"] == "/sign-in"
    assert guest.get(path).status == 404
    assert guest.sign_in("nima", NEW).status == 302
    assert guest.get("/today").status == 200

    add(Visitor.signed_in(acme.owner), username="late", password="", email="late@example.com")
    token = services.invitation_to(User.objects.get(username="acme/late"))
    realm = services.Realm(acme.row.pk, "acme")
    assert services.invited_by(realm=realm, token=token)
    monkeypatch.setattr(services, "INVITATION_DAYS", -1)
    assert services.invited_by(realm=realm, token=token) is None
    monkeypatch.undo()
    Membership.objects.filter(username="late").update(is_active=False, withdrawn_at=timezone.now())
    assert services.invited_by(realm=realm, token=token) is None


def test_no_role_is_chosen_beforehand(acme: Organization) -> None:
    owner = Visitor.signed_in(acme.owner)
    assert '<option value="" selected>' in text_of(owner.get("/members/new"))
    refused = owner.submit("/members/new", {"username": "nima", "role": "", "password": NEW})
    assert refused.status == 422
    assert not Membership.objects.filter(username="nima").exists()


def test_the_mail_of_an_invitation_has_the_link(acme: Organization, rf: object) -> None:
    from shared.identity.realm import Realm
    from shared.members import services
    from shared.members.mail import send_invitation

    realm = Realm(acme.row.pk, "acme")
    member = services.add_member(realm=realm, username="nima", role="auditor", email="nima@example.com")
    request = rf.get("/", headers={"host": "acme.recharge.test"})  # type: ignore[attr-defined]
    send_invitation(request, member).join()
    (sent,) = mail.outbox
    assert sent.to == ["nima@example.com"]
    assert "acme.recharge.test" in sent.subject
    assert "\n" not in sent.subject
    (link,) = re.findall(r"http://acme\.recharge\.test(/invitation/\S+)", sent.body)
    assert Visitor(acme.anyone).get(link).status == 200


def link_to(user: User) -> str:
    return f"/invitation/{invitation_to(user)}"


def test_an_invitation_is_sent_again_also_to_another_address(acme: Organization, world: World) -> None:
    owner, nima = Visitor.signed_in(acme.owner), {"username": "nima", "role": "auditor", "email": "nmia@example.com"}
    for admin, body in ((acme.owner, nima), (world.platform_admin, nima | {"role": "platform_auditor"})):
        assert admin.client.post("/members", body).status == 201
        sent = admin.client.post("/members/nima/invitation")
        assert (sent.status, sent.json["username"]) == (200, "nima")
    user = User.objects.get(username="acme/nima")
    address = f"/members/{user.pk}"
    assert f"{address}/invitation" in text_of(owner.get(address))
    first = link_to(user)
    assert "nmia@example.com" in text_of(owner.get(f"{address}/invitation"))
    assert owner.submit(f"{address}/invitation", {"email": "nmia@example.com"}).status == 302
    assert Visitor(acme.anyone).get(first).status == 200  # the same is good
    for wrong in ("nobody", "", "a@b"):
        assert owner.submit(f"{address}/invitation", {"email": wrong}).status == 422
    assert owner.submit(f"{address}/invitation", {"email": "nima@example.com"}).headers["Location"] == address
    assert "nima@example.com" in shown(owner.get(address))
    assert Visitor(acme.anyone).get(first).status == 404  # whoever got that one is not meant
    user.refresh_from_db()
    assert Visitor(acme.anyone).submit(link_to(user), {"new": NEW, "again": NEW}).status == 302
    with acme.context:
        assert AuditRecord.objects.filter(action="member.invited", actor="owner", object="nima").count() == 3

    # Now there is a password, which no invitation takes away.
    assert f"{address}/invitation" not in text_of(owner.get(address))
    answer = acme.owner.client.post("/members/nima/invitation", {"email": "owner@example.com"})
    assert (answer.status, answer.code) == (409, "not_invited")
    assert owner.submit("/account/preferences", {"email": "x@example.com"}, to=f"{address}/invitation").status == 302
    assert User.objects.get(pk=user.pk).email == "nima@example.com"
    assert Visitor(acme.anyone).sign_in("nima", NEW).status == 302
    for name in ("nobody", "%00", "x" * 200):
        assert acme.owner.client.post(f"/members/{name}/invitation").status == 404
    for body in ({"email": "nobody"}, {"email": None}, {"emial": "a@example.com"}, []):
        assert acme.owner.client.post("/members/nima/invitation", body).status == 400


def test_nobodys_mailbox_is_filled_by_invitations(acme: Organization) -> None:
    body = {"username": "nima", "role": "auditor", "email": "nima@example.com"}
    assert acme.owner.client.post("/members", body).status == 201
    answers = [acme.owner.client.post("/members/nima/invitation") for _ in range(11)]
    assert [answer.status for answer in answers] == [200] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 60
    acme.owner.client.patch("/members/nima", {"is_active": False})
    assert acme.owner.client.post("/members/nima/invitation").code == "not_invited"


def test_roles_and_states_are_changed_by_forms(acme: Organization) -> None:
    owner, clerk = Visitor.signed_in(acme.owner), make_member(acme.row, "clerk", "support")
    address = f"/members/{clerk.user.pk}"
    assert owner.submit(address, {"role": "cashier", "seller": ""}).status == 422
    assert owner.submit(address, {"role": "cashier", "seller": "nobody"}).status == 422
    assert owner.submit(address, {"role": "cashier", "seller": "member"}).status == 302
    assert Membership.objects.get(user=clerk.user).seller_id == acme.member.id
    assert "member" in shown(owner.get(address))
    assert owner.submit(address, {"role": "auditor", "seller": "member"}).status == 302
    assert Membership.objects.get(user=clerk.user).role == "auditor"
    assert owner.submit(f"{address}/switch-off", {}).status == 302
    assert not Membership.objects.get(user=clerk.user).is_active
    assert "Inactive" in shown(owner.get("/members"))
    assert owner.submit(f"{address}/switch-on", {}).status == 302
    assert Membership.objects.get(user=clerk.user).is_active
    own = f"/members/{acme.owner.user.pk}"
    refused = owner.submit(own, {"role": "auditor", "seller": ""})
    assert (refused.status, "last active admin" in shown(refused)) == (422, True)
    owner.submit(f"{own}/switch-off", {})
    assert "last active admin" in shown(owner.get(own))
    of_seller = f"/members/{acme.member.user.pk}"
    assert "own account" in shown(owner.get(of_seller))
    assert [owner.get(f"{of_seller}/{end}").status for end in ("switch-off", "switch-on", "password")] == [404] * 3


def test_another_organizations_member_is_nobody(acme: Organization, globex: Organization, world: World) -> None:
    owner, root = Visitor.signed_in(acme.owner), Visitor.signed_in(world.platform_admin)
    for end in ("", "/switch-off", "/switch-on", "/password", "/second-factor"):
        assert owner.get(f"/members/{globex.owner.user.pk}{end}").status == 404
        assert owner.get(f"/members/{world.platform_admin.user.pk}{end}").status == 404
        assert root.get(f"/members/{acme.owner.user.pk}{end}").status == 404
    for odd in ("0", "99999999999999999999", "x", "%00", "۱"):
        assert owner.get(f"/members/{odd}").status == 404


def test_an_auditor_looks_at_members_and_finds_no_button(acme: Organization, world: World) -> None:
    auditor = Visitor.signed_in(make_member(acme.row, "watcher", "auditor", acme.anyone.address))
    page = auditor.get("/members")
    assert page.status == 200
    assert "owner" in shown(page)
    assert "/members/" not in text_of(page)
    assert auditor.get("/members/new").status == 404
    assert Visitor.signed_in(acme.member).get("/members").status == 404
    User.objects.filter(pk=world.platform_admin.user.pk).update(email="root@example.com")
    root = Visitor.signed_in(world.platform_admin)
    answer = root.submit("/members/new", {"username": "second", "role": "platform_operator", "password": NEW})
    page = root.get(answer.headers["Location"])
    assert NEW in shown(page)
    assert "Platform operator" in shown(page)
    second = Visitor(world.platform)
    assert second.sign_in("second", NEW).status == 302
    assert second.get("/organizations").headers["Location"] == "/account/password"


def test_a_platform_admin_with_anothers_password_opens_no_admin_site(world: World) -> None:
    User.objects.filter(pk=world.platform_admin.user.pk).update(must_change_password=True)
    root = Visitor.signed_in(world.platform_admin)
    assert root.get("/admin/").status == 302
    assert root.get("/admin/shared/user/").status == 302
    assert root.get("/admin/login/").headers["Location"] == "/account/password"
    own = "another unusual password"
    assert root.submit("/account/password", {"old": PASSWORD, "new": own, "again": own}).status == 302
    assert root.get("/admin/").status == 200


def test_markup_in_an_email_address_or_a_name_is_text(acme: Organization) -> None:
    clerk = make_member(acme.row, "clerk", "support")
    User.objects.filter(pk=clerk.user.pk).update(email=MARKUP)
    Membership.objects.filter(user=clerk.user).update(username=MARKUP)
    owner = Visitor.signed_in(acme.owner)
    for path in ("/members", f"/members/{clerk.user.pk}", f"/members/{clerk.user.pk}/switch-off"):
        page = text_of(owner.get(path))
        assert "<img src=x" not in page
        assert "alert(1)</script>" not in page


def test_lost_second_factors_are_taken_away_by_a_form_that_asks(acme: Organization) -> None:
    clerk = make_member(acme.row, "clerk", "support")
    owner = Visitor.signed_in(acme.owner)
    for user in (clerk.user, acme.member.user):
        path = f"/members/{user.pk}/second-factor"
        assert path not in text_of(owner.get(f"/members/{user.pk}"))
        Totp.objects.create(user=user, secret="x", confirmed_at=timezone.now())
        assert path in text_of(owner.get(f"/members/{user.pk}"))
        assert "Reset the second factors of" in shown(owner.get(path))
        assert Totp.objects.filter(user=user).exists()
        assert owner.submit(path, {}).headers["Location"] == f"/members/{user.pk}"
        assert not Totp.objects.filter(user=user).exists()
    own = f"/members/{acme.owner.user.pk}"
    owner.submit(f"{own}/second-factor", {})
    assert "Remove them on the page Security" in shown(owner.get(own))
