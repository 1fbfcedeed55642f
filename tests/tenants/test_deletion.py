"""An organization is deleted: suspended first, and gone for good when its time is over."""

import re
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from shared.models import ApiKey, Membership, SignIn, User
from tenants.keeping.deletion import delete_organization, due_for_deletion, plan_deletion
from tenants.keeping.errors import CanNotDelete
from tenants.models import AuditRecord, FormerSlug
from tenants.models import Organization as OrganizationRow
from tenants.services import reserve_organization
from tests.support import commands
from tests.support.client import Client
from tests.support.schemas import PASSWORD, provision
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import Person, World, database_url, give_credit, make_person

NEW = {"slug": "leaving", "name": "Somebody else", "admin": {"username": "boss", "password": PASSWORD}}


@pytest.fixture
def leaving(world: World) -> Person:
    """The admin of an organization that has had some business, whose host the server knows."""
    row = provision("leaving")
    boss = make_person(row, "chief", world.platform.address)
    kiosk = make_person(row, "kiosk", world.platform.address, is_seller=True)
    give_credit(row, kiosk.id, 5000)
    wait_until(lambda: boss.client.get("/me").status == 200, "the server knows the host")
    assert kiosk.sell(1000).status == 201
    assert kiosk.client.post("/api-keys", {"name": "till", "scopes": ["read"]}).status == 201
    assert boss.client.post("/auth/token", {"username": "chief", "password": PASSWORD}).status == 200
    return boss


def end_the_time(slug: str) -> None:
    OrganizationRow.objects.filter(slug=slug).update(delete_after=timezone.now() - timedelta(seconds=1))


def rows_that_name(organization_id: int) -> dict[str, int]:
    """How many rows of each table of the public schema name an organization that is not there."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT relname, attname FROM pg_class
            INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attname IN ('organization_id', 'tenant_id')
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            """
        )
        for table, column in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM public.{table} WHERE {column} = %s", [organization_id])
            found[table] = cursor.fetchone()[0]
    return found


def test_it_is_suspended_with_a_date_and_whoever_activates_it_has_it_back(leaving: Person, world: World) -> None:
    done = commands.run("organization", "delete", "leaving", "--yes")
    assert done.returncode == 0, done.stderr
    assert "leaving is suspended, and can be deleted from 20" in done.stdout
    row = OrganizationRow.objects.get(slug="leaving")
    assert row.delete_after is not None
    assert timedelta(days=29) < row.delete_after - timezone.now() <= timedelta(days=30)
    wait_until(lambda: leaving.client.get("/me").code == "organization_suspended", "it is suspended")
    record = AuditRecord.objects.filter(organization="leaving").latest("pk")
    assert (record.action, record.username) == ("deletion_planned", "")

    again = commands.run("organization", "delete", "leaving", "--yes")
    assert again.stdout == done.stdout, "the date stays"
    listed = commands.run("organization", "list")
    assert re.search(r"^leaving\tsuspended \(may be deleted from 20.*\)\tleaving\.\S+\tLeaving", listed.stdout, re.M)
    assert re.search(r"^globex\tactive\tglobex\.", listed.stdout, re.M)
    with pytest.raises(CanNotDelete, match="not over"):
        delete_organization(slug="leaving")
    assert due_for_deletion() == []

    page = Visitor.signed_in(world.platform_admin).get("/organizations/leaving").body.decode()
    assert "Deletion planned" in page
    assert "From then on all its data can be deleted for good" in page
    assert world.platform_admin.client.post("/organizations/leaving/activate").status == 200
    wait_until(lambda: leaving.client.get("/me").status == 200, "it is active")
    assert OrganizationRow.objects.get(slug="leaving").delete_after is None


def test_when_its_time_is_over_all_of_it_goes_and_nothing_else(leaving: Person, world: World) -> None:
    assert leaving.row
    sessions = Session.objects.count()
    Visitor.signed_in(leaving)
    Visitor.signed_in(world.acme.owner)
    assert Session.objects.count() == sessions + 2
    others = {model: model.objects.exclude(organization_id=leaving.row.pk).count() for model in (Membership, SignIn)}
    plan_deletion(slug="leaving")
    end_the_time("leaving")

    done = commands.run("organization", "delete", "leaving", "--yes")
    assert done.returncode == 0, done.stderr
    assert "leaving is deleted, with its schema, 3 members, 1 api keys" in done.stdout
    assert set(rows_that_name(leaving.row.pk).values()) == {0}
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('org_leaving') IS NULL")
        assert cursor.fetchone() == (True,)
    assert not User.objects.filter(username__startswith="leaving/").exists()
    assert not FormerSlug.objects.filter(slug="leaving").exists()
    assert Session.objects.count() == sessions + 1, "acme's stays"
    assert {model: model.objects.count() for model in others} == others
    record = AuditRecord.objects.filter(organization="leaving").latest("pk")
    assert (record.action, record.before["name"], record.before["members"]) == ("deleted", "Leaving", 3)
    wait_until(lambda: leaving.client.get("/me").status == 404, "its host leads nowhere")
    assert world.acme.owner.client.get("/me").status == 200

    # The slug is somebody else's then, whom nothing of the first reaches.
    assert world.platform_admin.client.post("/organizations", NEW).status == 201
    stranger = Client(world.platform.address, "leaving.recharge.test", leaving.client.token)
    wait_until(lambda: stranger.get("/me").status == 401, "the host is known, and the token is not")
    answer = stranger.post("/auth/token", {"username": "chief", "password": PASSWORD})
    assert answer.status == 401
    assert AuditRecord.objects.filter(organization="leaving", action="deleted").count() == 1


def test_a_timer_deletes_those_whose_time_is_over(world: World) -> None:
    for slug in ("first", "second", "third"):
        provision(slug)
        plan_deletion(slug=slug)
    for slug in ("first", "third"):
        end_the_time(slug)
    assert due_for_deletion() == ["first", "third"]
    asked = commands.run("organization", "delete", "--due")
    assert (asked.returncode, "Due: first, third." in asked.stderr) == (1, True)
    done = commands.run("organization", "delete", "--due")
    assert (done.returncode, "--yes" in done.stderr) == (1, True)
    done = commands.run("organization", "delete", "--due", "--yes")
    assert (done.returncode, done.stdout.count("is deleted")) == (0, 2)
    there = OrganizationRow.objects.values_list("slug", flat=True)
    assert set(there) == {"acme", "globex", "second"}


def test_who_belongs_to_another_organization_too_stays(leaving: Person, world: World) -> None:
    user = world.acme.owner.user
    Membership.objects.create(user=user, organization_id=leaving.row.pk, username="owner", role="admin")
    plan_deletion(slug="leaving")
    end_the_time("leaving")
    delete_organization(slug="leaving")
    assert User.objects.filter(pk=user.pk).exists()
    assert world.acme.owner.client.get("/me").status == 200
    assert not ApiKey.objects.exists()


def test_a_command_suspends_and_activates_as_the_page_does(world: World) -> None:
    """Where no page is served, as before a restored database is let out."""
    owner = world.globex.owner
    done = commands.run("organization", "suspend", "globex", "--reason", "it is compared with the operators")
    assert (done.returncode, done.stdout) == (0, "globex is suspended.\n"), done.stderr
    wait_until(lambda: owner.client.get("/me").code == "organization_suspended", "it is suspended")
    record = AuditRecord.objects.filter(organization="globex").latest("pk")
    assert (record.action, record.username) == ("suspended", "")
    assert record.after == {"reason": "it is compared with the operators"}

    plan_deletion(slug="globex")
    done = commands.run("organization", "activate", "globex")
    assert (done.returncode, done.stdout) == (0, "globex is active.\n"), done.stderr
    wait_until(lambda: owner.client.get("/me").status == 200, "it is active")
    assert OrganizationRow.objects.get(slug="globex").delete_after is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suspend", "nosuch"), "no organization 'nosuch'"),
        (("activate", "nosuch"), "no organization 'nosuch'"),
        (("delete", "nosuch", "--yes"), "no organization 'nosuch'"),
        (("suspend", "globex", "--reason", "x" * 501), "500 characters"),
    ],
)
def test_a_command_that_names_none_or_says_too_much_is_refused(
    world: World, arguments: tuple[str, ...], words: str
) -> None:
    refused = commands.run("organization", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr
    assert OrganizationRow.objects.get(slug="globex").status == "active"


def test_what_was_never_complete_goes_at_once(world: World) -> None:
    reserve_organization(slug="half", name="Half")
    done = commands.run("organization", "delete", "half", "--yes")
    assert (done.returncode, done.stdout) == (0, "half was never complete; it is removed.\n")
    assert not OrganizationRow.objects.filter(slug="half").exists()
    assert not FormerSlug.objects.exists()


def test_one_that_is_active_again_is_not_deleted(world: World) -> None:
    provision("leaving")
    plan_deletion(slug="leaving")
    end_the_time("leaving")
    OrganizationRow.objects.filter(slug="leaving").update(status="active")
    with pytest.raises(CanNotDelete, match="not suspended"):
        delete_organization(slug="leaving")


def test_one_that_can_not_be_deleted_now_keeps_none_of_the_others(world: World) -> None:
    for slug in ("first", "second"):
        provision(slug)
        plan_deletion(slug=slug)
        end_the_time(slug)
    with closing(psycopg2.connect(database_url())) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE org_first.credit_entry IN ACCESS SHARE MODE")  # as a dump does
        done = commands.run("organization", "delete", "--due", "--yes")
    assert done.returncode == 1
    assert "first is not deleted: " in done.stderr
    assert "Somebody works with first's tables at this moment. Try again." in done.stderr
    assert "second is deleted" in done.stdout
    assert due_for_deletion() == ["first"]
    assert OrganizationRow.objects.get(slug="first").status == "suspended"
