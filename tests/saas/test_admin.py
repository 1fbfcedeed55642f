"""Django's admin site: for platform admins, on the platform's host, and nowhere else for nobody else."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from shared.errors import PermissionDenied
from shared.identity.accounts import account_of
from shared.identity.lockout import ATTEMPTS_FROM_ONE_ADDRESS, count_attempt
from shared.identity.realm import PLATFORM
from shared.models import Membership, User
from tenants.models import AuditRecord
from tenants.models import Organization as OrganizationRow
from tenants.services import provision_organization, suspend_organization
from tests.support.client import Answer
from tests.support.sessions import somebody_waits
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, Person, World, access_token, make_platform_user


@pytest.fixture
def browser(world: World) -> Visitor:
    return Visitor(world.platform)


@pytest.fixture
def root(browser: Visitor) -> Visitor:
    """The browser of the platform admin, who has signed in."""
    assert browser.sign_in_to_admin("root").status == 302
    return browser


def test_a_platform_admin_signs_in_and_out(browser: Visitor) -> None:
    assert browser.get("/admin/").headers["Location"] == "/admin/login/?next=/admin/"
    answer = browser.sign_in_to_admin("root")
    assert (answer.status, answer.headers["Location"]) == (302, "/admin/")
    cookie = next(cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("sessionid="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Domain" not in cookie  # for this very host: no organization's host gets it
    home = browser.get("/admin/")
    assert home.status == 200
    assert b"Recharge platform" in home.body
    for model in (b"/admin/tenants/organization/", b"/admin/shared/user/"):
        assert model in home.body

    session = browser.cookies["sessionid"]
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', home.body.decode())[0]
    assert browser.post("/admin/logout/", {"csrfmiddlewaretoken": token}).status == 200
    browser.cookies["sessionid"] = session
    assert browser.get("/admin/").status == 302


@pytest.mark.parametrize("who", ["owner", "acme/owner", "acme/member", "staff", "former", "nobody"])
def test_nobody_else_signs_in(who: str, browser: Visitor, acme: Organization) -> None:
    User.objects.create_user("staff", PASSWORD, is_staff=True)
    User.objects.create_user(
        "former", PASSWORD, is_staff=True, is_superuser=True, platform_role="platform_admin", is_active=False
    )
    User.objects.filter(pk=acme.owner.user.pk).update(is_staff=True)
    answer = browser.sign_in_to_admin(who)
    assert answer.status == 200
    assert b"Please enter the correct" in answer.body
    assert "sessionid" not in browser.cookies
    assert browser.get("/admin/").status == 302


def test_who_is_platform_admin_no_longer_is_shown_out_at_once(root: Visitor) -> None:
    assert root.get("/admin/").status == 200
    User.objects.filter(username="root").update(is_superuser=False, platform_role="")
    assert root.get("/admin/").status == 302
    User.objects.filter(username="root").update(is_superuser=True, platform_role="platform_admin", is_active=False)
    assert root.get("/admin/").status == 302


def test_a_form_without_its_token_is_refused(browser: Visitor) -> None:
    answer = browser.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert answer.status == 403


def test_guessing_is_locked_out_and_counted_with_the_apis(browser: Visitor, world: World) -> None:
    for _ in range(ATTEMPTS_FROM_ONE_ADDRESS - 1):
        count_attempt(realm=PLATFORM, username="root", address="127.0.0.1")
    assert browser.sign_in_to_admin("root", "wrong").status == 200
    answer = browser.sign_in_to_admin("root")
    assert answer.status == 200
    assert "sessionid" not in browser.cookies
    assert world.platform.post("/auth/token", {"username": "root", "password": PASSWORD}).code == "throttled"


def test_it_is_not_there_on_an_organizations_host(root: Visitor, acme: Organization) -> None:
    at_acme = Visitor(acme.anyone)
    at_acme.cookies = dict(root.cookies)
    for path in ("/admin/", "/admin/login/", "/admin/shared/user/", "/admin/jsi18n/"):
        answer = at_acme.get(path)
        assert answer.status == 404, path


def test_its_pages_open(root: Visitor) -> None:
    for path in (
        "/admin/",
        "/admin/tenants/organization/",
        "/admin/tenants/organization/?q=acme&status__exact=active",
        "/admin/shared/user/",
        "/admin/shared/user/?q=owner&is_active__exact=1",
        "/admin/shared/user/add/",
        "/admin/password_change/",
        "/admin/jsi18n/",
    ):
        assert root.get(path).status == 200, path


def test_an_organization_is_looked_at_but_its_slug_and_status_are_not_typed(root: Visitor, acme: Organization) -> None:
    assert b"globex" in root.get("/admin/tenants/organization/").body
    page = root.get(f"/admin/tenants/organization/{acme.row.pk}/change/")
    assert page.status == 200
    fields = set(re.findall(r'name="(\w+)"', page.body.decode()))
    assert "name" in fields
    assert not fields & {"slug", "schema_name", "status"}
    assert root.get("/admin/tenants/organization/add/").status == 403
    assert root.get(f"/admin/tenants/organization/{acme.row.pk}/delete/").status == 403


def test_organizations_are_activated_by_an_action_and_suspended_by_none(root: Visitor) -> None:
    slug = f"third-{uuid.uuid4().hex[:12]}"
    third = provision_organization(slug=slug, name="Third", admin_username="first", admin_password=PASSWORD)
    half = OrganizationRow.objects.create(slug=f"{slug}-half", name="Half", schema_name="org_half_made")
    suspend_organization(slug=slug)
    for action, status in (("suspend", "suspended"), ("activate", "active"), ("suspend", "active")):
        fields: dict[str, str | list[str]] = {"action": action, "_selected_action": [str(third.pk), str(half.pk)]}
        assert root.submit("/admin/tenants/organization/", fields).status == 302
        third.refresh_from_db()
        half.refresh_from_db()
        assert (third.status, half.status) == (status, "provisioning")


NEW_USER: dict[str, str | list[str]] = {
    "username": "second",
    "usable_password": "true",
    "password1": PASSWORD,
    "password2": PASSWORD,
}
_NO_INLINES: dict[str, str | list[str]] = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def test_a_platform_user_is_added_and_made_an_admin(root: Visitor, world: World) -> None:
    answer = root.submit("/admin/shared/user/add/", NEW_USER | _NO_INLINES)
    assert answer.status == 302
    second = User.objects.get(username="second")
    assert not second.is_superuser
    assert Visitor(world.platform).sign_in_to_admin("second").status == 200  # not yet an admin
    path = f"/admin/shared/user/{second.pk}/change/"
    fields: dict[str, str | list[str]] = {"username": "second", "is_active": "on", "platform_role": "platform_admin"}
    assert root.submit(path, fields | _NO_INLINES).status == 302
    line = AuditRecord.objects.latest("pk")
    assert (line.organization, line.object) == ("", "second")
    assert (line.before, line.after) == ({"platform_role": ""}, {"platform_role": "platform_admin"})
    assert second.must_change_password
    assert Visitor(world.platform).sign_in_to_admin("second").status == 302
    assert world.platform.post("/auth/token", {"username": "second", "password": PASSWORD}).status == 200


@pytest.mark.parametrize(
    "change",
    [{"username": "acme/second"}, {"username": "root"}, {"password2": "another"}, {"password1": "x", "password2": "x"}],
    ids=["a member's name", "a taken name", "two passwords", "a weak password"],
)
def test_a_user_that_will_not_do_is_not_added(change: dict[str, str | list[str]], root: Visitor) -> None:
    before = User.objects.count()
    answer = root.submit("/admin/shared/user/add/", NEW_USER | _NO_INLINES | change)
    assert answer.status == 200
    assert b"errorlist" in answer.body
    assert User.objects.count() == before


NEW = "a password of today"


def test_a_members_password_is_not_set_there_and_a_platform_users_is(root: Visitor, acme: Organization) -> None:
    user = acme.owner.user
    second = User.objects.create_user("second", PASSWORD)
    fields: dict[str, str | list[str]] = {"usable_password": "true", "password1": NEW, "password2": NEW}
    path = f"/admin/shared/user/{second.pk}/password/"
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', root.get(path).body.decode())[0]
    assert root.post(path, {"csrfmiddlewaretoken": token, **fields}).status == 302
    assert User.objects.get(pk=second.pk).check_password(NEW)
    path = f"/admin/shared/user/{user.pk}/password/"
    assert root.get(path).status == 403
    assert root.post(path, {"csrfmiddlewaretoken": token, **fields}).status == 403
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)


@pytest.mark.parametrize("who", ["owner", "member", "a member without a slash"])
def test_a_member_is_not_made_to_rule_the_platform_there(who: str, root: Visitor, acme: Organization) -> None:
    user = acme.member.user if who == "member" else acme.owner.user
    if who == "a member without a slash":
        User.objects.filter(pk=user.pk).update(username="nobody-would-think-so")
        user.refresh_from_db()
    path = f"/admin/shared/user/{user.pk}/change/"
    page = root.get(path)
    assert page.status == 200
    assert not set(re.findall(r'name="(\w+)"', page.body.decode())) & (
        {"is_superuser", "platform_role", "is_staff", "groups", "user_permissions", "password", "username", "email"}
    )
    asked: dict[str, str | list[str]] = {
        "username": "ruler",
        "email": "evil@example.com",
        "password": "plain",
        "is_active": "on",
        "is_superuser": "on",
        "is_staff": "on",
        "groups": "1",
        "user_permissions": "1",
    }
    root.submit(path, asked | inline_of(Membership.objects.get(user=user)))
    now = User.objects.get(pk=user.pk)
    assert (now.username, now.email, now.password) == (user.username, user.email, user.password)
    assert (now.is_superuser, now.is_staff) == (False, False)
    assert not now.groups.exists()
    assert not now.user_permissions.exists()


def test_a_platform_user_is_not_renamed_into_an_organization(root: Visitor) -> None:
    second = User.objects.create_user("second", PASSWORD)
    fields: dict[str, str | list[str]] = {"username": "acme/second", "is_active": "on"}
    answer = root.submit(f"/admin/shared/user/{second.pk}/change/", fields | _NO_INLINES)
    assert answer.status == 200
    assert b"errorlist" in answer.body
    assert User.objects.get(pk=second.pk).username == "second"


def test_the_database_refuses_a_member_that_rules_the_platform(acme: Organization) -> None:
    rows = User.objects.filter(pk=acme.owner.user.pk)
    with pytest.raises(IntegrityError, match="user_member_is_no_platform_admin"):
        rows.update(is_superuser=True)
    with pytest.raises(IntegrityError, match="user_member_has_no_platform_role"):
        User.objects.create_superuser("acme/ruler", PASSWORD)
    with pytest.raises(IntegrityError, match="user_member_is_no_platform_admin"):
        User.objects.filter(username="root").update(username="acme/root", platform_role="")
    with pytest.raises(IntegrityError, match="user_member_has_no_platform_role"):
        User.objects.filter(username="root").update(username="acme/root", is_superuser=False)


def test_the_platform_refuses_a_member_whatever_its_row_says(world: World, acme: Organization) -> None:
    """Of one without a slash in its name the database can't know."""
    user = acme.owner.user
    User.objects.filter(pk=user.pk).update(
        username="ruler", is_superuser=True, is_staff=True, platform_role="platform_admin"
    )
    user.refresh_from_db()
    assert world.platform.post("/auth/token", {"username": "ruler", "password": PASSWORD}).code == "bad_credentials"
    assert b"Please enter the correct" in Visitor(world.platform).sign_in_to_admin("ruler").body
    session = Visitor.signed_in(Person("ruler", user, None, world.platform, None))
    assert session.get("/admin/").status == 302
    assert session.get("/organizations").status == 302
    token = access_token(user, None, "platform_admin", None)
    answer = replace(world.platform, token=token).get("/organizations")
    assert (answer.status, answer.code) == (403, "permission_denied")
    with pytest.raises(PermissionDenied):
        account_of(realm=PLATFORM, user_id=user.pk)


def test_guessing_ones_own_password_there_is_locked_out(root: Visitor, world: World) -> None:
    def change(old: str) -> Answer:
        return root.submit("/admin/password_change/", {"old_password": old, "new_password1": NEW, "new_password2": NEW})

    for number in range(ATTEMPTS_FROM_ONE_ADDRESS):
        page = change(f"guess {number}")
        assert page.status == 200
        assert "This is not your current password" in page.body.decode()
    page = change(PASSWORD)  # which is not looked at any more
    assert "Too many attempts" in page.body.decode()
    assert User.objects.get(username="root").check_password(PASSWORD)
    # Counted for open sessions alone: neither locks the other out, nor frees it.
    assert world.platform.post("/auth/token", {"username": "root", "password": PASSWORD}).status == 200
    assert "Too many attempts" in change(PASSWORD).body.decode()


def test_a_platform_admin_changes_the_own_password_there(root: Visitor) -> None:
    fields: dict[str, str | list[str]] = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert root.submit("/admin/password_change/", fields).headers["Location"] == "/admin/password_change/done/"
    assert root.get("/admin/").status == 200  # this session goes on
    assert User.objects.get(username="root").check_password(NEW)


def test_a_member_is_switched_off(root: Visitor, acme: Organization) -> None:
    user = acme.owner.user
    page = root.get(f"/admin/shared/user/{user.pk}/change/")
    assert page.status == 200
    membership = Membership.objects.get(user=user)
    fields: dict[str, str | list[str]] = {"username": user.username}  # is_active is not ticked
    assert root.submit(f"/admin/shared/user/{user.pk}/change/", fields | inline_of(membership)).status == 302
    assert acme.owner.client.get("/sellers").code == "permission_denied"
    line = AuditRecord.objects.latest("pk")
    assert (line.organization, line.object, line.address) == ("acme", "acme/owner", "127.0.0.1")
    assert (line.before, line.after) == ({"is_active": True}, {"is_active": False})
    assert Membership.objects.get(user=user).epoch == membership.epoch + 1


def test_the_last_platform_admin_is_not_switched_off_there(root: Visitor, world: World) -> None:
    path = f"/admin/shared/user/{world.platform_admin.user.pk}/change/"
    for fields in ({"platform_role": "platform_admin"}, {"is_active": "on", "platform_role": "platform_auditor"}):
        answer = root.submit(path, {"username": "root", **fields} | _NO_INLINES)
        assert (answer.status, b"last active admin" in answer.body) == (200, True)


def test_of_platform_admins_who_are_switched_off_at_once_one_stays(root: Visitor, world: World) -> None:
    second = make_platform_user("second", "platform_admin").user
    path = f"/admin/shared/user/{world.platform_admin.user.pk}/change/"
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            User.objects.filter(pk=second.pk).update(is_active=False)  # under way: nobody sees it yet
            answer = pool.submit(
                root.submit, path, {"username": "root", "platform_role": "platform_admin"} | _NO_INLINES
            )
            wait_until(lambda: answer.done() or somebody_waits("transactionid"), "the form waits")
        assert (answer.result(10).status, b"last active admin" in answer.result().body) == (200, True)
    assert User.objects.get(username="root").is_active


def inline_of(membership: Membership) -> dict[str, str | list[str]]:
    return {
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": str(membership.pk),
        "memberships-0-user": str(membership.user_id),
    }


def test_what_is_done_there_is_in_the_audit_log(root: Visitor, world: World) -> None:
    path = f"/admin/tenants/organization/{world.acme.row.pk}/change/"
    fields: dict[str, str | list[str]] = {
        "name": "Acme Renamed",
        "domains-TOTAL_FORMS": "0",
        "domains-INITIAL_FORMS": "0",
    }
    try:
        assert root.submit(path, fields).status == 302
        line = AuditRecord.objects.latest("pk")
        assert (line.action, line.username) == (AuditRecord.Action.ADMIN_SITE, "root")
        assert "acme" in line.detail
        assert "Name" in line.detail or "name" in line.detail
        assert (line.organization, line.before, line.after) == ("acme", {"name": "Acme"}, {"name": "Acme Renamed"})
        assert line.address == "127.0.0.1"
        assert line.request_id
        assert "acme" in root.get("/audit").body.decode()
    finally:
        OrganizationRow.objects.filter(slug="acme").update(name="Acme")
