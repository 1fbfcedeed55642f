"""The platform's console: organizations and their figures, provisioning, the audit log."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from django.db import connection
from django.utils import timezone

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from recharge.reports.sums import Figures, figures_of
from shared.models import Membership
from tenants import services
from tenants.models import AuditRecord
from tenants.models import Organization as OrganizationRow
from tenants.slugs import schema_name_of
from tests.support.client import Answer
from tests.support.locks import sell_pending
from tests.support.queries import queries_of
from tests.support.visitor import Visitor, shown
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World, database_url, give_credit

MARKUP = '"><img src=x><script>alert(1)</script>'
PAGES = (
    "/organizations",
    "/organizations/acme",
    "/provision",
    "/provision/slug?slug=x",
    "/provision/progress?slug=acme",
    "/audit",
)
NEW = {
    "slug": "new-one",
    "name": "New One",
    "admin_username": "boss",
    "admin_password": PASSWORD,
    "admin_email": "boss@example.com",
}


@pytest.fixture
def root(world: World) -> Visitor:
    """The platform admin at a browser."""
    return Visitor.signed_in(world.platform_admin)


def text(answer: Answer) -> str:
    return answer.body.decode()


def cut_off(slug: str, name: str = "Half") -> OrganizationRow:
    """An organization whose provisioning was killed after its row was there."""
    return OrganizationRow.objects.create(slug=slug, name=name, schema_name=schema_name_of(slug))


def line_of(page: Answer, slug: str) -> str:
    """An organization's row of the list, without its markup."""
    (line,) = [row for row in re.split("</?tr>", text(page)) if f">{slug}</bdi>" in row]
    return " ".join(re.sub(r"<[^>]+>", " ", line).split())


# --- Who --------------------------------------------------------------------------------------------------------------


def test_the_pages_are_for_platform_admins_on_the_platform_alone(world: World, acme: Organization) -> None:
    for path in PAGES:
        assert Visitor.signed_in(world.platform_admin).get(path).status == 200
        assert Visitor(world.platform).get(path).headers["Location"].startswith("/sign-in")
        if path != "/organizations":
            assert Visitor.signed_in(acme.owner).get(path).status == 404
        stranger = Visitor.signed_in(acme.owner)
        stranger.client = world.platform  # the cookie of an organization's admin, replayed here
        assert stranger.get(path).headers["Location"].startswith("/sign-in")
    for action in ("suspend", "activate", "reconcile"):
        nobody = Visitor(world.platform)
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', text(nobody.get("/sign-in")))[0]
        answer = nobody.post(f"/organizations/acme/{action}", {"csrfmiddlewaretoken": token})
        assert answer.headers["Location"].startswith("/sign-in")
    assert OrganizationRow.objects.get(slug="acme").status == "active"
    assert not AuditRecord.objects.exists()


SUSPENSION: dict[str, str | list[str]] = {"slug": "acme", "reason": "Bills are not paid"}


# --- Organizations ----------------------------------------------------------------------------------------------------


def _sell(organization: Organization, *amounts: int) -> None:
    give_credit(organization.row, organization.member.id, 1_000_000)
    for amount in amounts:
        assert organization.member.sell(amount).status == 201


def test_the_list_shows_todays_figures_of_each(root: Visitor, world: World) -> None:
    _sell(world.acme, 7000, 9000)
    for status, failure in ((Recharge.Status.FAILED, "barred"), (Recharge.Status.UNKNOWN, "")):
        recharge_id = sell_pending(world.acme.row, world.acme.member.id)
        with world.acme.context:
            settle_recharge(organization=world.acme.row, recharge_id=recharge_id, status=status, failure=failure)
    _sell(world.globex, 20_000)
    page = root.get("/organizations")
    assert line_of(page, "acme") == (
        "Acme acme Tomans: 21,000 Sellers: 2 Failed: 25.0% Unknown: 25.0% Not reconciled yet "  # on a phone
        "Active 2 3 21,000 25.0% 25.0% Not reconciled yet"
    )
    assert line_of(page, "globex") == (
        "Globex globex Tomans: 20,000 Sellers: 2 Failed: 0.0% Unknown: 0.0% Not reconciled yet "
        "Active 2 1 20,000 0.0% 0.0% Not reconciled yet"
    )


def test_figures_are_of_the_time_that_is_asked_for(world: World) -> None:
    _sell(world.acme, 5000, 7000)
    now, rows = timezone.now(), [world.acme.row, world.globex.row]
    assert figures_of(rows, since=now - timedelta(hours=1)) == {
        world.acme.row.pk: Figures(sellers=2, accepted=2, failed=0, unknown=0, net_amount=12_000),
        world.globex.row.pk: Figures(sellers=2, accepted=0, failed=0, unknown=0, net_amount=0),
    }
    assert figures_of([world.acme.row], since=now + timedelta(seconds=1))[world.acme.row.pk].accepted == 0
    assert figures_of([], since=now) == {}


def test_a_list_of_any_length_takes_the_same_queries(world: World) -> None:
    # The session, the account, the organizations, their hosts, all their figures.
    assert len(queries_of(world.platform_admin, "/organizations")) == 5
    for number in range(3):
        services.provision_organization(
            slug=f"more-{number}", name="More", admin_username="boss", admin_password=PASSWORD
        )
    assert len(queries_of(world.platform_admin, "/organizations")) == 5
    cut_off("half")
    cut_off("half-too")
    # And, within a transaction of its own, which of those that are unfinished is being worked on.
    queries = queries_of(world.platform_admin, "/organizations")
    assert len([query for query in queries if not re.match("BEGIN|COMMIT", query)]) == 7


def test_an_organizations_page_takes_few_queries(world: World) -> None:
    # The session, the account, the organization, its host, today, seven days, its admins, its records.
    assert len(queries_of(world.platform_admin, "/organizations/acme")) == 8
    assert len(queries_of(world.platform_admin, "/provision")) == 2
    for _ in range(5):
        services.suspend_organization(slug="acme")
        services.activate_organization(slug="acme")
    assert len(queries_of(world.platform_admin, "/organizations/acme")) == 8
    assert len(queries_of(world.platform_admin, "/audit")) == 3


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("acm", ["acme"]),
        ("GLOB", ["globex"]),
        ("e", ["acme", "globex"]),
        ("%", []),
        ("_", []),
        ("nosuch", []),
        ("%ED%A0%80", []),
        ("a" * 200, []),
        ("", ["acme", "globex"]),
        # What can't be searched for is said beside the field, and nothing is left out.
        ("%00", ["acme", "globex"]),
        ("a" * 201, ["acme", "globex"]),
    ],
)
def test_organizations_are_searched(root: Visitor, search: str, found: list[str]) -> None:
    search = {"%": "%25"}.get(search, search)
    page = root.get(f"/organizations?search={search}")
    assert page.status == 200
    shown = re.findall(r'href="/organizations/([\w-]+)"', text(page))
    assert sorted(shown) == found
    if not found:
        assert "Show all" in text(page)


def test_an_empty_platform_says_what_to_do(root: Visitor) -> None:
    # Not one without organizations, which the tests need: one where none is found.
    page = text(root.get("/organizations?search=nosuch"))
    assert "No organization matches this" in page
    assert 'href="/organizations"' in page


def test_the_list_is_paged(root: Visitor) -> None:
    for number in range(24):
        cut_off(f"half-{number:02}")
    first = text(root.get("/organizations?search=e"))  # acme and globex too
    assert len(re.findall(r'href="/organizations/[\w-]+"', first)) <= 25
    page = text(root.get("/organizations"))
    assert len(re.findall(r'href="/organizations/[\w-]+"', page)) == 25
    (older,) = re.findall(r'rel="next" href="(\?[^"]+)"', page)
    assert re.findall(r'href="/organizations/([\w-]+)"', text(root.get(f"/organizations{older}"))) == ["acme"]


@pytest.mark.parametrize(
    "cursor", ["x", "%00", "%ED%A0%80", "9" * 5000, "=", "YXVkaXRyZWNvcmQ8OTk5OTk5OTk5OTk5OTk5OTk5OTk"]
)
def test_an_odd_cursor_is_refused(root: Visitor, cursor: str) -> None:
    for path in ("/organizations", "/audit"):
        assert root.get(f"{path}?cursor={cursor}").status == 400


@pytest.mark.parametrize(
    "slug", ["nosuch", "ACME", "acme%00", "acme'", "a" * 1000, "org_acme", "%D8%A7", "%ED%A0%80", "-"]
)
def test_an_odd_organization_is_not_there(root: Visitor, slug: str) -> None:
    assert root.get(f"/organizations/{slug}").status == 404
    for action in ("suspend", "activate", "reconcile"):
        assert root.submit("/organizations/acme", {}, to=f"/organizations/{slug}/{action}").status == 404


def test_an_organizations_page_shows_its_address_admins_and_figures(root: Visitor, acme: Organization) -> None:
    _sell(acme, 5000, 7000)
    Membership.objects.filter(user=acme.neighbour.user).update(is_active=False)
    page = text(root.get("/organizations/acme"))
    assert ">owner</bdi>" in page
    assert ">member</bdi>" not in page
    assert page.count("12,000") == 2  # today, and in seven days


def test_the_address_has_the_port_at_which_the_platform_is_asked(root: Visitor) -> None:
    assert 'href="http://acme.recharge.test/"' in text(root.get("/organizations/acme"))
    assert 'href="http://acme.recharge.test:8443/"' in text(root.get("/organizations/acme", Host="recharge.test:8443"))


def test_an_organization_is_suspended_and_activated(root: Visitor, acme: Organization) -> None:
    page = "/organizations/acme"
    answer = root.submit(f"{page}/suspend", SUSPENSION)
    assert (answer.status, answer.headers["Location"]) == (302, page)
    assert "Acme is suspended." in text(root.get(page))
    member = Visitor.signed_in(acme.member)
    wait_until(lambda: member.get("/account/preferences").status == 403)
    assert root.submit(f"{page}/suspend", SUSPENSION | {"reason": "other"}).status == 302  # again is fine
    assert "Bills are not paid" in shown(root.get(page))
    root.submit(page, {}, to=f"{page}/activate")
    assert "Acme is active." in text(root.get(page))
    wait_until(lambda: member.get("/account/preferences").status == 200)
    records = [(record.action, record.after) for record in AuditRecord.objects.order_by("pk")]
    assert records == [("suspended", {"reason": "Bills are not paid"}), ("activated", None)]
    assert "Bills are not paid" in shown(root.get("/audit"))


def test_who_suspends_writes_which_organization_and_why(root: Visitor, acme: Organization) -> None:
    page = "/organizations/acme/suspend"
    for wrong in (
        {"slug": ""},
        {"slug": "acm"},
        {"slug": "globex"},
        {"reason": ""},
        {"reason": " "},
        {"reason": "x" * 501},
    ):
        refused = root.submit(page, SUSPENSION | wrong)
        assert refused.status == 422, wrong
        assert "field-errors" in text(refused)
    assert OrganizationRow.objects.get(slug="acme").status == "active"
    assert not AuditRecord.objects.exists()
    assert root.submit(page, {"slug": " ACME ", "reason": MARKUP}).status == 302
    assert "&lt;script&gt;alert(1)" in text(root.get("/organizations/acme"))
    OrganizationRow.objects.filter(slug="acme").update(status="active")


def test_a_form_without_its_token_does_nothing(root: Visitor) -> None:
    for path in ("/organizations/acme/suspend", "/organizations/acme/reconcile", "/provision"):
        assert root.post(path, NEW).status == 403
    assert not AuditRecord.objects.exists()
    assert not OrganizationRow.objects.filter(slug="new-one").exists()


# --- Reconciliation ---------------------------------------------------------------------------------------------------


def test_books_that_are_right(root: Visitor, acme: Organization) -> None:
    _sell(acme, 5000)
    answer = root.submit("/organizations/acme", {}, to="/organizations/acme/reconcile")
    assert answer.status == 200
    assert "The accounts are reconciled." in text(answer)
    assert "<h1>Acme</h1>" in text(answer)  # the whole page, without script
    row = OrganizationRow.objects.get(slug="acme")
    assert (row.reconciliation_faults, OrganizationRow.objects.get(slug="globex").reconciled_at) == (0, None)
    assert line_of(root.get("/organizations"), "acme").split("%")[-1].split()[0] == "Reconciled"


@pytest.mark.breaks_the_books
def test_books_that_are_wrong(root: Visitor, acme: Organization) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE org_acme.credit_account SET balance = 7 WHERE seller_id = %s", [acme.member.id])
    page = root.get("/organizations/acme")
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', text(page))[0]
    headers = root._headers({"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true"})
    part = root.client.request(
        "POST",
        "/organizations/acme/reconcile",
        body=f"csrfmiddlewaretoken={token}".encode(),
        headers=headers,
        is_page=True,
    )
    assert part.status == 200
    assert "<h1>" not in text(part)  # a part of the page, for htmx
    assert 'data-announce="The accounts do not reconcile."' in text(part)
    assert "balance_differs_from_entries" in text(part)
    assert "the balance is 7, the entries add up to 0" in text(part)
    faults = OrganizationRow.objects.get(slug="acme").reconciliation_faults
    assert faults
    assert f"{faults} faults" in line_of(root.get("/organizations"), "acme")
    assert f"{faults} faults" in text(root.get("/audit"))


def test_what_is_not_provisioned_has_no_books(root: Visitor) -> None:
    cut_off("half")
    for action in ("reconcile", "suspend", "activate"):
        assert root.submit("/organizations/acme", {}, to=f"/organizations/half/{action}").status == 404
    assert OrganizationRow.objects.get(slug="half").reconciled_at is None


# --- Provisioning -----------------------------------------------------------------------------------------------------


def test_an_organization_is_provisioned(root: Visitor, world: World) -> None:
    answer = root.submit("/provision", NEW)
    assert (answer.status, answer.headers["Location"]) == (302, "/organizations/new-one")
    page = text(root.get("/organizations/new-one"))
    assert "New One is ready. Its admin signs in as boss at http://new-one.recharge.test/" in page
    assert PASSWORD not in page
    boss = Visitor(type(world.platform)(world.platform.address, "new-one.recharge.test"))
    assert boss.sign_in("boss").status == 302
    assert boss.get("/account/preferences").headers["Location"] == "/account/password"  # somebody else knows it


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slug": ""}, "required"),
        ({"slug": "acme"}, "at this address already"),
        ({"slug": "www"}, "reserved for the platform"),
        ({"slug": "North Star"}, "lower-case letters"),
        ({"slug": "ستاره"}, "lower-case letters"),
        ({"slug": "xn--80ak6aa92e"}, "lower-case letters"),
        ({"slug": "a" * 51}, "at most 50"),
        ({"slug": "a\x00"}, "Null characters"),
        ({"slug": MARKUP}, "lower-case letters"),
        ({"name": ""}, "required"),
        ({"name": "n" * 201}, "at most 200"),
        ({"admin_username": "a b"}, "Enter a valid username"),
        ({"admin_username": MARKUP}, "Enter a valid username"),
        ({"admin_password": "short"}, "at least 8 characters"),
        ({"admin_password": "password123"}, "too common"),
        ({"admin_email": "nonsense"}, "valid email"),
    ],
)
def test_a_form_that_is_refused_makes_nothing_and_says_what_to_do(
    root: Visitor, change: dict[str, str], said: str
) -> None:
    answer = root.submit("/provision", NEW | change)
    assert answer.status == 422
    assert said in text(answer)
    assert "<img" not in text(answer)
    assert PASSWORD not in text(answer)
    assert OrganizationRow.objects.count() == 2
    assert not AuditRecord.objects.exists()


def test_a_double_click_provisions_once(root: Visitor) -> None:
    page = root.get("/provision")
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', text(page))[0]
    fields = {"csrfmiddlewaretoken": token, **NEW}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: root.post("/provision", fields), range(2)))
    assert sorted(answer.status for answer in answers) == [302, 422]
    (refused,) = [answer for answer in answers if answer.status == 422]
    assert "An organization at this address already exists" in text(refused)
    assert 'href="/organizations/new-one"' in text(refused)
    assert AuditRecord.objects.filter(action="provisioned").count() == 1
    assert Membership.objects.filter(username="boss").count() == 1


def test_one_that_was_cut_off_is_continued(root: Visitor) -> None:
    cut_off("half", "Half & Half")
    assert "Half &amp; Half half Setup incomplete Continue : Half &amp; Half" in line_of(
        root.get("/organizations"), "half"
    )
    for path in ("/organizations", "/organizations/half"):
        assert 'href="/provision?slug=half&amp;name=Half+%26+Half"' in text(root.get(path))
    form = text(root.get("/provision?slug=half&name=Half+%26+Half"))
    assert 'value="half"' in form
    assert 'value="Half &amp; Half"' in form
    assert root.submit("/provision", NEW | {"slug": "half"}).status == 302
    assert OrganizationRow.objects.get(slug="half").status == "active"


def test_one_that_is_being_provisioned_is_not_taken_for_cut_off(root: Visitor) -> None:
    cut_off("half")
    other = psycopg2.connect(database_url())
    try:  # as the one who provisions holds it
        other.cursor().execute("SELECT FROM tenants_organization WHERE slug = 'half' FOR UPDATE")
        assert "Being provisioned" in line_of(root.get("/organizations"), "half")
        page = text(root.get("/organizations/half"))
        assert "being provisioned now" in page
        assert "/provision?slug=half" not in page
    finally:
        other.rollback()  # a closed connection's locks go a moment later
        other.close()
    assert "Setup incomplete" in line_of(root.get("/organizations"), "half")


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("free-one", "free-one.recharge.test"),
        ("acme", "already"),
        ("half", "Setup incomplete"),
        ("www", "reserved for the platform"),
        ("A", "lower-case letters"),
        ("", "lower-case letters"),
        ("%00", "lower-case letters"),
        ("%ED%A0%80", "lower-case letters"),
        ("%22%3E%3Cimg%3E", "lower-case letters"),
        ("a" * 5000, "at most 50"),
        ("%DB%B1", "lower-case letters"),
    ],
)
def test_an_address_is_checked_while_it_is_typed(root: Visitor, slug: str, said: str) -> None:
    cut_off("half")
    answer = root.get(f"/provision/slug?slug={slug}")
    assert answer.status == 200
    assert said in text(answer)
    assert "<img" not in text(answer)


def _progress(root: Visitor, **known: Any) -> Answer:
    return root.get("/provision/progress?" + "&".join(f"{name}={value}" for name, value in known.items()))


def test_progress_is_shown_step_by_step(root: Visitor) -> None:
    assert "being reserved" in text(_progress(root, slug="half"))
    assert _progress(root, slug="half", step="reserving", at_rest=0).status == 204  # nothing new
    cut_off("half")
    other = psycopg2.connect(database_url())
    try:
        other.cursor().execute("SELECT FROM tenants_organization WHERE slug = 'half' FOR UPDATE")
        news = text(_progress(root, slug="half", step="reserving", at_rest=0))
        assert 'data-announce="Creating its tables and its first admin."' in news
        assert "step=building&amp;at_rest=0" in news
        assert _progress(root, slug="half", step="building", at_rest=0).status == 204
    finally:
        other.close()
    ready = text(_progress(root, slug="acme", step="building", at_rest=0))
    assert "It is ready." in ready
    assert "hx-trigger" not in ready  # it asks no more


def test_progress_says_when_it_was_cut_off(root: Visitor) -> None:
    cut_off("half")
    for at_rest in range(10):
        page = text(_progress(root, slug="half", step="building", at_rest=at_rest))
        assert f"at_rest={at_rest + 1}" in page
        assert "data-announce" not in page  # nothing new for who listens
    page = text(_progress(root, slug="half", step="building", at_rest=10))
    assert "This was interrupted. Send the form again" in page
    assert "hx-trigger" not in page


@pytest.mark.parametrize(
    "query",
    ["", "slug=", "slug=%00", "slug=%ED%A0%80", "slug=" + "a" * 5000, "slug=x&at_rest=999999999999", "at_rest=%DB%B1"],
)
def test_progress_of_anything_odd_is_shown(root: Visitor, query: str) -> None:
    answer = root.get(f"/provision/progress?{query}")
    assert answer.status == 200
    assert "being reserved" in text(answer)


# --- The audit log ----------------------------------------------------------------------------------------------------


def test_the_audit_log_is_filtered_and_paged(root: Visitor, world: World) -> None:
    assert "No actions yet" in text(root.get("/audit"))
    for _ in range(13):
        services.suspend_organization(slug="acme")
        services.activate_organization(slug="acme")
    root.submit("/organizations/globex/suspend", SUSPENSION | {"slug": "globex"})
    page = text(root.get("/audit"))
    assert page.count(">A command<") == 24
    assert page.count(">root</bdi></td>") == 1
    (older,) = re.findall(r'rel="next" href="(\?[^"]+)"', page)
    assert text(root.get(f"/audit{older}")).count(">A command<") == 2
    globex = text(root.get("/audit?organization=globex"))
    assert ">root</bdi></td>" in globex
    assert ">A command<" not in globex
    assert "Write the whole first part" in text(root.get("/audit?organization=glob"))
    filtered = text(root.get("/audit?organization=acme"))
    (older,) = re.findall(r'rel="next" href="(\?[^"]+)"', filtered)
    assert "organization=acme" in older
    for odd in ("%00", "%ED%A0%80", "a" * 5000, "%DB%B1"):
        assert root.get(f"/audit?organization={odd}").status == 200


def test_an_organizations_page_shows_what_was_done_to_it_last(root: Visitor) -> None:
    services.suspend_organization(slug="globex")
    page = text(root.get("/organizations/acme"))
    assert "The audit log of this organization is empty" in page
    root.submit("/organizations/acme/suspend", SUSPENSION)
    assert ">root</bdi></td>" in text(root.get("/organizations/acme"))


# --- Markup -----------------------------------------------------------------------------------------------------------


def test_markup_is_shown_as_text(root: Visitor, world: World) -> None:
    cut_off("half", MARKUP)
    AuditRecord.objects.create(
        action="suspended",
        organization="acme",
        user_id=1,
        username=MARKUP,
        address=MARKUP,
        request_id=MARKUP,
    )
    OrganizationRow.objects.filter(slug="acme").update(name=MARKUP)
    Membership.objects.filter(user=world.acme.owner.user).update(username=MARKUP)
    try:
        for path in ("/organizations", "/organizations/acme", "/organizations/half", "/audit"):
            page = text(root.get(path))
            assert "&lt;script&gt;alert(1)" in page, path
            assert "<script>alert" not in page
            assert "<img" not in page
        answer = root.submit("/organizations/acme/suspend", SUSPENSION)
        page = text(root.get(answer.headers["Location"]))
        assert "&lt;script&gt;alert(1)&lt;/script&gt; is suspended." in page
        assert "<img" not in page
        for field in ("slug", "name"):
            page = text(root.get(f"/provision?{field}=%22%3E%3Cimg%20src=x%3E"))
            assert "<img" not in page
            assert "&lt;img" in page
    finally:
        OrganizationRow.objects.filter(slug="acme").update(name="Acme")
