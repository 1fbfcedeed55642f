"""The audit log: everything that platform admins do to organizations, and nothing that was refused; for good."""

import csv
import io
import json

import psycopg2
import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from shared import audit
from shared.identity.acting import Actor, acting_as
from tenants import services
from tenants.models import AuditRecord
from tenants.models import Organization as OrganizationRow
from tests.support import commands
from tests.support.visitor import Visitor, shown
from tests.support.world import PASSWORD, Organization, World, database_url

NEW = {"slug": "new-one", "name": "New", "admin": {"username": "boss", "password": PASSWORD}}


def records() -> list[tuple[str, str, int | None, str]]:
    """What was done to which, by whom, newest last."""
    return list(AuditRecord.objects.order_by("pk").values_list("action", "organization", "user_id", "username"))


def test_what_is_done_over_the_api_is_recorded(world: World) -> None:
    root, client = world.platform_admin.user, world.platform_admin.client
    for path, body in (
        ("/organizations", NEW),
        ("/organizations/acme/suspend", None),
        ("/organizations/acme/activate", None),
    ):
        answer = client.request("POST", path, json=body, headers={"X-Request-ID": f"asked-{path.count('/')}"})
        assert answer.status in (200, 201)
    assert records() == [
        ("provisioned", "new-one", root.pk, "root"),
        ("suspended", "acme", root.pk, "root"),
        ("activated", "acme", root.pk, "root"),
    ]
    first = AuditRecord.objects.earliest("pk")
    assert (first.address, first.request_id) == ("127.0.0.1", "asked-1")


def test_what_is_done_in_the_admin_site_is_recorded(world: World, acme: Organization) -> None:
    """There an organization is activated alone: nobody is asked for a reason to suspend it."""
    visitor = Visitor.signed_in(world.platform_admin)
    assert world.platform_admin.client.post("/organizations/acme/suspend").status == 200
    fields: dict[str, str | list[str]] = {"action": "activate", "_selected_action": [str(acme.row.pk)]}
    assert visitor.submit("/admin/tenants/organization/", fields).status == 302
    root = world.platform_admin.user
    assert records() == [("suspended", "acme", root.pk, "root"), ("activated", "acme", root.pk, "root")]
    assert AuditRecord.objects.latest("pk").address == "127.0.0.1"


def test_what_is_done_in_the_pages_is_recorded(world: World) -> None:
    visitor = Visitor.signed_in(world.platform_admin)
    visitor.submit("/organizations/acme/suspend", {"slug": "acme", "reason": "Bills are not paid"})
    visitor.submit("/organizations/acme/activate", {})
    visitor.submit("/organizations/acme", {}, to="/organizations/acme/reconcile")
    root = world.platform_admin.user
    done = ("suspended", "activated", "reconciled")
    assert records() == [(action, "acme", root.pk, "root") for action in done]
    last = AuditRecord.objects.latest("pk")
    assert (last.faults, last.address) == (0, "127.0.0.1")
    assert len(last.request_id) == 32


def test_what_a_command_does_is_recorded(world: World) -> None:
    done = commands.run(
        "create_organization", "new-one", "--name=N", "--admin-username=b", f"--admin-password={PASSWORD}"
    )
    assert done.returncode == 0, done.stderr
    assert records() == [("provisioned", "new-one", None, "")]


def test_what_was_refused_or_changed_nothing_is_not_recorded(world: World) -> None:
    client = world.platform_admin.client
    assert client.post("/organizations", NEW | {"slug": "acme"}).status == 409
    assert client.post("/organizations", NEW | {"slug": "www"}).status == 400
    assert client.post("/organizations/acme/activate").status == 200
    assert client.post("/organizations/nosuch/suspend").status == 404
    assert world.acme.owner.client.post("/organizations/acme/suspend").status == 404
    assert records() == []


def test_nothing_is_done_that_can_not_be_recorded(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_auditrecord ADD CONSTRAINT full_up CHECK (organization = '') NOT VALID")
    try:
        with pytest.raises(DatabaseError):
            services.suspend_organization(slug="acme")
        with pytest.raises(DatabaseError):
            services.record_reconciliation(organization=world.acme.row, faults=1)
        with pytest.raises(DatabaseError):
            services.provision_organization(slug="new-one", name="N", admin_username="b", admin_password=PASSWORD)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE tenants_auditrecord DROP CONSTRAINT full_up")
    row = OrganizationRow.objects.get(slug="acme")
    assert (row.status, row.reconciled_at) == ("active", None)
    assert OrganizationRow.objects.get(slug="new-one").status == "provisioning"
    assert records() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_auditrecord SET username = 'somebody else'",
        "DELETE FROM tenants_auditrecord",
        "TRUNCATE tenants_auditrecord",
    ],
)
def test_the_database_refuses_to_change_it(world: World, statement: str) -> None:
    services.suspend_organization(slug="acme")
    before = records()
    other = psycopg2.connect(database_url())
    try:
        with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only"):
            other.cursor().execute(statement)
    finally:
        other.close()
    assert records() == before != []


def test_a_record_outlives_its_user_and_keeps_the_name_of_then(world: World) -> None:
    user = world.platform_admin.user
    with acting_as(Actor(user_id=user.pk, address="203.0.113.7", request_id="a-request")):
        services.suspend_organization(slug="acme")
    user.username = "renamed"
    user.save()
    user.delete()
    assert [record[3] for record in records()] == ["root"]


def test_an_address_that_is_too_long_is_cut(world: World) -> None:
    with acting_as(Actor(address="x" * 5000)):
        services.suspend_organization(slug="acme")
    assert AuditRecord.objects.get().address == "x" * audit.LONGEST_ADDRESS


@pytest.mark.breaks_the_books
def test_the_command_keeps_what_it_found_and_records_only_what_is_wrong(world: World, acme: Organization) -> None:
    assert commands.run("reconcile").returncode == 0
    for row in OrganizationRow.objects.all():
        assert row.reconciled_at is not None
        assert row.reconciliation_faults == 0
    assert records() == []

    with connection.cursor() as cursor:
        cursor.execute("UPDATE org_acme.credit_account SET balance = 7 WHERE seller_id = %s", [acme.member.id])
    done = commands.run("reconcile", "--json")
    found = len(json.loads(done.stdout)["organizations"]["acme"])
    assert done.returncode == 1
    assert found > 0
    assert OrganizationRow.objects.get(slug="acme").reconciliation_faults == found
    assert OrganizationRow.objects.get(slug="globex").reconciliation_faults == 0
    assert [(record.organization, record.faults) for record in AuditRecord.objects.all()] == [("acme", found)]


def test_its_list_and_its_file_have_the_organization_s_columns_and_filters(world: World) -> None:
    """What is done to the platform's own people stands beside what is done to organizations."""
    client = world.platform_admin.client
    with transaction.atomic(), acting_as(Actor(user_id=world.platform_admin.user.pk, address="203.0.113.7")):
        audit.record(
            "member.role_changed", "olga", before={"role": "platform_operator"}, after={"role": "platform_auditor"}
        )
    services.suspend_organization(slug="acme")
    newest, oldest = client.get("/audit").json["results"]
    assert (newest["action"], newest["organization"], newest["actor"]) == ("suspended", "acme", "")
    assert (oldest["action"], oldest["object"], oldest["actor"]) == ("member.role_changed", "olga", "root")
    assert (oldest["before"], oldest["after"]) == ({"role": "platform_operator"}, {"role": "platform_auditor"})
    for query, found in {
        "actor=root": oldest,
        "action=suspended": newest,
        "organization=acme": newest,
        f"created_to={newest['at']}": oldest,
        f"created_from={newest['at']}": newest,
    }.items():
        assert [row["id"] for row in client.get(f"/audit?{query}").json["results"]] == [found["id"]], query
    for path in ("/audit", "/audit.csv"):
        answer = client.get(f"{path}?action=suspend")
        assert (answer.status, answer.json["errors"][0]["field"]) == (400, "action")
    (row,) = csv.DictReader(io.StringIO(client.get("/audit.csv?actor=root").body.decode()))
    assert json.loads(row["after"]) == {"role": "platform_auditor"}
    assert records()[-1] == ("list.exported", "", world.platform_admin.user.pk, "root")
    visitor = Visitor.signed_in(world.platform_admin)
    page = shown(visitor.get("/audit?action=member.role_changed"))
    assert "Role: Platform operator → Auditor" in page
    assert visitor.get("/audit.csv?actor=root").status == 200
