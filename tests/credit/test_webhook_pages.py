"""Webhooks as pages: a seller's own, the organization's, what was sent, and the secret that is shown once."""

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from credit.models import Seller, WebhookAttempt, WebhookEndpoint, WebhookMessage
from credit.webhooks import services
from shared.outbound.secrets import decrypt
from tests.support.client import Answer
from tests.support.queries import queries_of
from tests.support.visitor import Visitor
from tests.support.world import Organization, Person, World

URL = "https://hooks.example.com/recharges"
MARKUP = '"><img src=x><script>alert(1)</script>'
EVENTS = [str(event) for event in services.events_for(1)]


def make(organization: Organization, owner: Person, url: str = URL) -> WebhookEndpoint:
    with organization.context:
        endpoint, _ = services.create_webhook(
            organization=organization.row, seller_id=owner.seller_id, url=url, events=EVENTS
        )
    return endpoint


def deliver(organization: Organization, endpoint: WebhookEndpoint, status: str = "delivered", **attempt) -> uuid.UUID:
    """A message as the worker leaves it."""
    now = timezone.now()
    with organization.context:
        with connection.cursor() as cursor:
            cursor.execute("SELECT uuid7_at(%s)", [now])
            message_id = cursor.fetchone()[0]
        message = WebhookMessage.objects.create(
            id=message_id,
            endpoint=endpoint,
            event="recharge.failed",
            data={"failure": MARKUP},
            status=status,
            attempts=1,
            due_at=now if status == "pending" else None,
            give_up_at=now + timedelta(days=1),
            created_at=now,
            delivered_at=now if status == "delivered" else None,
        )
        values = {"status_code": 200, "answer": MARKUP, "error": ""} | attempt
        WebhookAttempt.objects.create(message=message, attempted_at=now, latency_ms=1234, **values)
    return message.pk


def text(answer: Answer) -> str:
    return answer.body.decode()


def secret_on(page: Answer) -> str | None:
    found = re.search(r'<code id="secret"[^>]*>([^<]+)</code>', text(page))
    return found[1] if found else None


@pytest.fixture(params=["owner", "member"])
def person(request: pytest.FixtureRequest, acme: Organization) -> Person:
    """Each who may have webhooks."""
    found: Person = getattr(acme, request.param)
    return found


def test_a_webhook_is_added_and_its_secret_is_shown_once(acme: Organization, person: Person) -> None:
    visitor = Visitor.signed_in(person)
    assert "No webhooks yet" in text(visitor.get("/webhooks"))
    answer = visitor.submit("/webhooks/new", {"url": URL, "events": ["recharge.failed", "recharge.succeeded"]})
    assert answer.status == 302
    page = visitor.get(answer.headers["Location"])
    with acme.context:
        endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.seller_id, endpoint.url) == (person.seller_id, URL)
    assert sorted(endpoint.events) == ["recharge.failed", "recharge.succeeded"]
    assert secret_on(page) == decrypt(endpoint.secret)
    assert "no-store" in page.headers["Cache-Control"]
    assert secret_on(visitor.get(answer.headers["Location"])) is None
    assert URL in text(visitor.get("/webhooks"))


def test_a_sellers_form_does_not_offer_what_only_the_organization_is_told(acme: Organization) -> None:
    offered = {
        person.username: 'value="chain.root"' in text(Visitor.signed_in(person).get("/webhooks/new"))
        for person in (acme.owner, acme.member)
    }
    assert offered == {"owner": True, "member": False}


def test_a_secret_is_shown_on_no_other_webhooks_page(acme: Organization) -> None:
    other = make(acme, acme.owner)
    visitor = Visitor.signed_in(acme.owner)
    added = visitor.submit("/webhooks/new", {"url": f"{URL}/new", "events": EVENTS}).headers["Location"]
    assert secret_on(visitor.get(f"/webhooks/{other.pk}")) is None
    assert secret_on(Visitor.signed_in(acme.owner).get(added)) is None
    assert secret_on(visitor.get(added)) is not None


def test_a_session_keeps_no_secret_in_the_clear(acme: Organization) -> None:
    from django.contrib.sessions.models import Session

    visitor = Visitor.signed_in(acme.owner)
    visitor.submit("/webhooks/new", {"url": URL, "events": EVENTS})
    kept = Session.objects.get(pk=visitor.cookies["sessionid"]).get_decoded()
    assert "new_webhook_secret" in kept
    assert "whsec_" not in str(kept)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "required"),
        ("http://hooks.example.com/", "must begin with https://"),
        ("https://127.0.0.1/", "private network"),
        ("https://user:pass@example.com/", "URL can&#x27;t be called"),
        ("data:text/html,1", "URL can&#x27;t be called"),
        ("https://example.com/\ud800", "can&#x27;t be kept"),
        ("https://example.com/\x00", "Null characters"),
        ("https://example.com/" + "x" * 2000, "at most 2000"),
        (MARKUP, "URL can&#x27;t be called"),
    ],
)
def test_urls_that_are_refused_say_what_to_do(acme: Organization, url: str, said: str) -> None:
    visitor = Visitor.signed_in(acme.member)
    answer = visitor.submit("/webhooks/new", {"url": url.encode(errors="surrogatepass"), "events": EVENTS})
    assert answer.status == 422
    assert said in text(answer) or "\ud800" in url
    assert "<img" not in text(answer)
    with acme.context:
        assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("events", [[], ["recharge.exploded"], [MARKUP]])
def test_events_that_are_refused(acme: Organization, events: list[str]) -> None:
    answer = Visitor.signed_in(acme.member).submit("/webhooks/new", {"url": URL, "events": events})
    assert answer.status == 422
    assert "<img" not in text(answer)


def test_there_are_ten_at_most(acme: Organization, person: Person) -> None:
    for _ in range(services.MOST_WEBHOOKS):
        make(acme, person)
    answer = Visitor.signed_in(person).submit("/webhooks/new", {"url": f"{URL}/new", "events": EVENTS})
    assert answer.status == 422
    assert "Delete one first" in text(answer)


def test_a_webhook_is_changed_disabled_enabled_and_deleted(acme: Organization, person: Person) -> None:
    endpoint = make(acme, person)
    page, visitor = f"/webhooks/{endpoint.pk}", Visitor.signed_in(person)
    changed = visitor.submit(f"{page}/change", {"url": f"{URL}/new", "events": ["recharge.failed"]})
    assert (changed.status, changed.headers["Location"]) == (302, page)
    with acme.context:
        endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.events) == (f"{URL}/new", ["recharge.failed"])
    assert visitor.submit(f"{page}/change", {"url": "ftp://x", "events": EVENTS}).status == 422

    assert visitor.submit(page, {}, to=f"{page}/disable").status == 302
    assert "Disabled" in text(visitor.get("/webhooks"))
    assert visitor.submit(page, {}, to=f"{page}/enable").status == 302
    with acme.context:
        endpoint.refresh_from_db()
    assert endpoint.disabled == ""

    assert visitor.submit(page, {}, to=f"{page}/delete").headers["Location"] == "/webhooks"
    assert visitor.get(page).status == 404
    assert "The webhook is deleted" in text(visitor.get("/webhooks"))


def test_a_secret_is_rotated(acme: Organization, person: Person) -> None:
    endpoint = make(acme, person)
    old = decrypt(endpoint.secret)
    page, visitor = f"/webhooks/{endpoint.pk}", Visitor.signed_in(person)
    assert visitor.submit(page, {}, to=f"{page}/rotate-secret").status == 302
    new = secret_on(visitor.get(page))
    with acme.context:
        endpoint.refresh_from_db()
    assert new == decrypt(endpoint.secret) != old == decrypt(endpoint.previous_secret)


def test_an_admin_sees_sellers_webhooks_and_changes_none(acme: Organization) -> None:
    endpoint = make(acme, acme.member)
    page, admin = f"/webhooks/{endpoint.pk}", Visitor.signed_in(acme.owner)
    assert "member" in text(admin.get("/webhooks"))
    shown = text(admin.get(page))
    assert "only the seller may change it" in shown
    assert f"{page}/" not in shown  # no link and no form leads to a change
    message_id = deliver(acme, endpoint)
    actions = ("disable", "enable", "rotate-secret", "delete", f"deliveries/{message_id}/resend")
    for action in actions:
        assert admin.submit("/account/preferences", {}, to=f"{page}/{action}").status == 403, action
    assert admin.submit("/account/preferences", {"url": URL, "events": EVENTS}, to=f"{page}/change").status == 403
    with acme.context:
        now = WebhookEndpoint.objects.get()
    assert (now.disabled, now.secret) == ("", endpoint.secret)


def test_anothers_webhook_is_not_there(world: World, acme: Organization) -> None:
    theirs = make(acme, acme.member)
    page = f"/webhooks/{theirs.pk}"
    own = make(acme, acme.neighbour)
    message_id = deliver(acme, theirs)
    neighbour, stranger = Visitor.signed_in(acme.neighbour), Visitor.signed_in(world.globex.member)
    assert URL in text(neighbour.get("/webhooks"))
    assert str(theirs.pk) not in text(neighbour.get("/webhooks"))
    for visitor in (neighbour, stranger):
        for path in (page, f"{page}/change"):
            assert visitor.get(path).status == 404
        for action in ("disable", "enable", "rotate-secret", "delete", f"deliveries/{message_id}/resend"):
            assert visitor.submit("/account/preferences", {}, to=f"{page}/{action}").status == 404, action
    # Nor is another's message one of one's own webhook.
    to = f"/webhooks/{own.pk}/deliveries/{message_id}/resend"
    assert neighbour.submit(page.replace(str(theirs.pk), str(own.pk)), {}, to=to).status == 404
    nobody = Visitor(acme.anyone).get(page)
    assert (nobody.status, nobody.headers["Location"]) == (302, f"/sign-in?next={page.replace('/', '%2F')}")


def test_the_delivery_log_shows_attempts_and_sends_again(acme: Organization, person: Person) -> None:
    endpoint = make(acme, person)
    page, visitor = f"/webhooks/{endpoint.pk}", Visitor.signed_in(person)
    assert "Nothing was sent yet" in text(visitor.get(page))
    arrived = deliver(acme, endpoint)
    deliver(acme, endpoint, "failed", status_code=None, error="The connection was refused.", answer="")
    shown = text(visitor.get(page))
    for expected in ("A recharge failed", "answered 200", "The connection was refused.", "1,234 ms", "Not delivered"):
        assert expected in shown
    answer = visitor.submit(page, {}, to=f"{page}/deliveries/{arrived}/resend")
    assert (answer.status, answer.headers["Location"]) == (302, page)
    assert "Waiting" in text(visitor.get(page))
    with acme.context:
        assert WebhookMessage.objects.get(pk=arrived).status == "pending"


def test_nothing_is_sent_again_to_a_disabled_webhook(acme: Organization) -> None:
    endpoint = make(acme, acme.member)
    message_id = deliver(acme, endpoint)
    page, visitor = f"/webhooks/{endpoint.pk}", Visitor.signed_in(acme.member)
    visitor.submit(page, {}, to=f"{page}/disable")
    assert visitor.submit(page, {}, to=f"{page}/deliveries/{message_id}/resend").status == 302
    assert "Enable it first" in text(visitor.get(page))
    with acme.context:
        assert WebhookMessage.objects.get().status == "delivered"


def test_markup_is_shown_as_text(acme: Organization) -> None:
    endpoint = make(acme, acme.member)
    with acme.context:
        WebhookEndpoint.objects.update(url=f"https://example.com/{MARKUP}")
        Seller.objects.update(name=MARKUP)
    deliver(acme, endpoint)
    deliver(acme, endpoint, "failed", status_code=None, error=MARKUP)
    for person in (acme.member, acme.owner):
        for path in ("/webhooks", f"/webhooks/{endpoint.pk}"):
            shown = text(Visitor.signed_in(person).get(path))
            assert "&lt;script&gt;alert(1)" in shown
            assert "<script>alert" not in shown
            assert "<img" not in shown


def test_the_lists_are_paged(acme: Organization) -> None:
    endpoint = make(acme, acme.owner)
    for _ in range(26):
        deliver(acme, endpoint)
    visitor = Visitor.signed_in(acme.owner)
    first = text(visitor.get(f"/webhooks/{endpoint.pk}"))
    assert first.count("/resend") == 25
    (older,) = re.findall(r'rel="next" href="(\?[^"]+)"', first)
    assert text(visitor.get(f"/webhooks/{endpoint.pk}{older}")).count("/resend") == 1
    for path in ("/webhooks", f"/webhooks/{endpoint.pk}"):
        for cursor in ("x", "%00", "%ED%A0%80", "=" * 5000, older.partition("=")[2] if path == "/webhooks" else "0"):
            assert visitor.get(f"{path}?cursor={cursor}").status == 400, (path, cursor)


@pytest.mark.parametrize("webhook_id", ["0", "x", "%00", "not-a-uuid", "00000000-0000-0000-0000-000000000000"])
def test_an_odd_id_is_not_found(acme: Organization, webhook_id: str) -> None:
    visitor = Visitor.signed_in(acme.owner)
    for path in (f"/webhooks/{webhook_id}", f"/webhooks/{webhook_id}/change"):
        assert visitor.get(path).status == 404


def test_pages_take_few_queries(acme: Organization) -> None:
    # The session and the account, of a seller the balance, of an admin whether it trains; then the list, or the
    # webhook with its messages and their attempts.
    few = make(acme, acme.owner)
    deliver(acme, few)
    for _ in range(8):
        deliver(acme, make(acme, acme.member))
    assert len(queries_of(acme.owner, "/webhooks")) == 4
    assert len(queries_of(acme.owner, f"/webhooks/{few.pk}")) == 6
    own = make(acme, acme.member)
    for _ in range(8):
        deliver(acme, own)
    assert len(queries_of(acme.member, "/webhooks")) == 4
    assert len(queries_of(acme.member, f"/webhooks/{own.pk}")) == 6
    assert len(queries_of(acme.owner, f"/webhooks/{own.pk}")) == 7  # and the seller's name
