"""Whatever markup somebody has stored in whatever field a page shows: it is shown as text."""

import pytest
from django.db import connection
from django_tenants.utils import schema_context, tenant_context

from shared.models import Membership
from tenants.models import Organization
from tests.browser.pictures import PICTURES
from tests.browser.scenery import furnish
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import World

MARKUP = """'\"><svg/onload=a()><script>alert</script>"""

# By who may write them: a seller, an admin, a platform admin, an operator's or a receiver's program.
_FIELDS = {
    "credit_seller": ("name",),
    "credit_creditrequest": ("note", "reason", "decided_by"),
    "credit_webhookendpoint": ("url",),
    "credit_webhookattempt": ("error", "answer"),
    "recharge_recharge": ("failure", "gateway"),
    "recharge_attempt": ("gateway", "reason", "operator_reference", "answer", "by"),
    "recharge_gatewaysettings": ("url", "key_id"),
}
_KEPT_EMPTY = {"failure": "status = 'failed'", "reason": "true"}


@pytest.mark.slow
def test_stored_markup_is_shown_as_text(world: World) -> None:
    people, ids = furnish(world)
    acme = world.acme.row
    with tenant_context(acme), connection.cursor() as cursor:
        for table, columns in _FIELDS.items():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")  # some keep what was decided
            for number, column in enumerate(columns):
                marked = f"{MARKUP}{table[-6:]}{number}"
                where = _KEPT_EMPTY.get(column, "true")
                cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {where}", [marked])
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    with schema_context("public"):
        Organization.objects.filter(pk=acme.pk).update(name=MARKUP)
        Membership.objects.filter(user=people["neighbour"].user).update(username=MARKUP)

    try:
        shown = set()
        for picture in PICTURES:
            visitor = Visitor.signed_in(people[picture.who]) if picture.who else Visitor(world.acme.anyone)
            page = visitor.get(picture.path.format(**ids))  # which looks for scripts and handlers, too
            text = page.body.decode()
            assert "<svg/onload" not in text, picture
            assert "<script>alert" not in text, picture
            if "&lt;svg/onload" in text:
                shown.add(picture.name)
        # It was there to be shown: the organization's name is on every page of its own.
        assert len(shown) > len(PICTURES) * 3 / 4, sorted({picture.name for picture in PICTURES} - shown)
    finally:
        Organization.objects.filter(pk=acme.pk).update(name=acme.name)
        # Each process knows it within two seconds.
        anyone = Visitor(world.acme.anyone)
        wait_until(lambda: all("svg/onload" not in anyone.get("/sign-in").body.decode() for _ in range(20)))
