"""The slug of an organization that was deleted stays reserved."""

import pytest
from django.db import IntegrityError

from tenants.models import FormerSlug
from tenants.models import Organization as OrganizationRow
from tenants.services import OrganizationExists, provision_organization
from tests.schemas import PASSWORD, provision, run_sql
from tests.visitor import Visitor
from tests.world import World

BODY = {"slug": "gone", "name": "Again", "admin": {"username": "boss", "password": PASSWORD}}


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_deleted_organizations_slug_is_given_to_nobody_else(by_hand: bool, world: World) -> None:
    row = provision("gone")
    if by_hand:
        run_sql("DELETE FROM tenants_domain WHERE domain LIKE 'gone.%'")
        run_sql("DELETE FROM tenants_organization WHERE slug = 'gone'")
    else:
        row.delete()
    run_sql("DROP SCHEMA org_gone CASCADE")
    answer = world.platform_admin.client.post("/organizations", BODY)
    assert (answer.status, answer.code) == (409, "organization_exists")
    assert "deleted" in answer.json["detail"]
    with pytest.raises(OrganizationExists):
        provision_organization(slug="gone", name="Again", admin_username="boss", admin_password=PASSWORD)
    with pytest.raises(IntegrityError):
        OrganizationRow.objects.create(slug="gone", name="Again", schema_name="org_gone")
    assert not OrganizationRow.objects.filter(slug="gone").exists()
    page = Visitor.signed_in(world.platform_admin).get("/provision/slug?slug=gone")
    assert b"already" in page.body


def test_a_slug_that_was_changed_stays_reserved_too() -> None:
    provision("gone")
    OrganizationRow.objects.filter(slug="gone").update(slug="moved")
    assert list(FormerSlug.objects.values_list("slug", flat=True)) == ["gone"]


def test_what_was_never_provisioned_leaves_its_slug() -> None:
    OrganizationRow.objects.create(slug="gone", name="Half", schema_name="org_gone").delete()
    provision("gone")
