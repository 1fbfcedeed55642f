"""A slug belongs to one organization for ever."""

import pytest
from django.db import IntegrityError, connection, transaction

from tenants.models import FormerSlug
from tenants.models import Organization as OrganizationRow
from tests.support.world import PASSWORD, World

NEW = {"slug": "initech", "name": "Initech", "admin": {"username": "boss", "password": PASSWORD}}


@pytest.fixture
def deleted(world: World) -> World:
    """An organization that was there, and is deleted."""
    assert world.platform_admin.client.post("/organizations", NEW).status == 201
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA org_initech CASCADE")
    OrganizationRow.objects.get(slug="initech").delete()
    return world


def test_a_deleted_organizations_slug_is_not_given_again(deleted: World) -> None:
    answer = deleted.platform_admin.client.post("/organizations", NEW)
    assert (answer.status, answer.json["code"]) == (409, "organization_exists")
    assert "not given again" in answer.json["detail"]
    assert not OrganizationRow.objects.filter(slug="initech").exists()


def test_the_database_keeps_it_whoever_asks(deleted: World) -> None:
    with pytest.raises(IntegrityError, match="another organization's"), transaction.atomic():
        OrganizationRow.objects.create(slug="initech", name="Initech", schema_name="org_initech")


def test_the_organization_itself_may_be_put_back(deleted: World) -> None:
    former = FormerSlug.objects.get(slug="initech")
    back = OrganizationRow(pk=former.organization_id, slug="initech", name="Initech", schema_name="org_initech")
    back.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA org_initech")
    assert back.slug == "initech"


def test_a_slug_that_was_changed_is_kept_too(world: World) -> None:
    assert world.platform_admin.client.post("/organizations", NEW).status == 201
    OrganizationRow.objects.filter(slug="initech").update(slug="initrode")
    assert world.platform_admin.client.post("/organizations", NEW).json["code"] == "organization_exists"
