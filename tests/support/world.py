"""Who is there in a test: for each of two organizations an owner (its admin), a member (a seller) and a neighbour
(another seller). The other organization's people, with the very same ids, are the strangers. Above them all a platform
admin."""

import os
import uuid
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from urllib.parse import quote

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django_tenants.utils import tenant_context
from PIL import Image

from credit.adjustments import change_policy, create_adjustment
from credit.models import Account, Alert, Seller
from credit.queries import policy
from credit.services import approve_credit_request, create_credit_request, update_seller
from credit.slips.pictures import read_picture
from credit.slips.services import put_slip
from recharge.selling.queries import balance_of
from shared.identity.realm import PLATFORM, Realm
from shared.identity.roles import ADMIN, MEMBER_ROLES, SELLER, works_for_seller
from shared.identity.tokens import AccessToken, name_realm, password_mark
from shared.models import Membership, User
from tenants import models
from tests.support.client import Client

PASSWORD = "correct horse battery"


@cache
def _password_hash() -> str:
    return make_password(PASSWORD)  # once: Argon2 is slow by design


def database_url() -> str:
    """The address of the database that Django is connected to, past a pooler: tests hold sessions of their own."""
    if direct := os.environ.get("DIRECT_DATABASE_URL"):
        return direct
    settings = connection.settings_dict
    host = quote(str(settings["HOST"]), safe="")
    password = f":{quote(settings['PASSWORD'], safe='')}" if settings["PASSWORD"] else ""
    return f"postgres://{settings['USER']}{password}@{host}:{settings['PORT'] or 5432}/{settings['NAME']}"


@dataclass(frozen=True)
class Person:
    """A user of one organization (or of the platform) who is signed in, and the client that speaks for them."""

    username: str
    user: User
    seller_id: int | None
    client: Client
    row: models.Organization | None

    @property
    def id(self) -> int:
        """The seller's id."""
        assert self.seller_id is not None
        return self.seller_id

    def balance(self) -> int:
        """What the database says, in Tomans."""
        assert self.row
        with tenant_context(self.row):
            return balance_of(self.id).balance

    def sell(self, amount: int = 5000, *, key: str | None = None, phone_number: str = "09121234567"):
        """Sells over HTTP."""
        body = {"phone_number": phone_number, "amount": amount}
        return self.client.post("/recharges", body, key=key or uuid.uuid4().hex)


@dataclass(frozen=True)
class Organization:
    """One organization and its people."""

    row: models.Organization
    owner: Person
    member: Person
    neighbour: Person
    anyone: Client
    """Speaks to this organization's host without a token."""

    @property
    def host(self) -> str:
        return self.anyone.host

    @property
    def context(self):
        return tenant_context(self.row)


@dataclass(frozen=True)
class World:
    acme: Organization
    globex: Organization
    platform: Client
    platform_admin: Person

    @classmethod
    @transaction.atomic  # one commit instead of ten
    def build(cls, address: str, member_has: int = 0) -> "World":
        """``member_has``: the credit of acme's member, in Tomans."""
        host = "recharge.test"
        root = User(
            username="root", password=_password_hash(), is_staff=True, is_superuser=True, platform_role="platform_admin"
        )
        root.save()
        admin = Person(
            "root", root, None, Client(address, host, access_token(root, None, "platform_admin", None)), None
        )
        acme, globex = _make_organizations(["acme", "globex"], address)
        if member_has:
            give_credit(acme.row, acme.member.id, member_has)
        return cls(acme, globex, Client(address, host), admin)


_PEOPLE = {"owner": "admin", "member": "seller", "neighbour": "seller"}
"""The names and roles of an organization's people."""


def make_organization(slug: str, address: str) -> Organization:
    """The people of an organization that is provisioned."""
    (organization,) = _make_organizations([slug], address)
    return organization


def _make_organizations(slugs: list[str], address: str) -> list[Organization]:
    """Writes the rows of a table together: one by one they took as long as an average test."""
    rows = {row.slug: row for row in models.Organization.objects.filter(slug__in=slugs)}
    sellers = {slug: _make_sellers(rows[slug]) for slug in slugs}
    users = {
        (slug, name): User(username=f"{slug}/{name}", password=_password_hash()) for slug in slugs for name in _PEOPLE
    }
    User.objects.bulk_create(users.values())
    Membership.objects.bulk_create(
        Membership(
            user=user,
            organization_id=rows[slug].pk,
            username=name,
            role=_PEOPLE[name],
            seller_id=sellers[slug].get(name),
        )
        for (slug, name), user in users.items()
    )

    def person(slug: str, name: str) -> Person:
        user, seller_id = users[slug, name], sellers[slug].get(name)
        token = access_token(user, rows[slug], _PEOPLE[name], seller_id)
        return Person(name, user, seller_id, Client(address, f"{slug}.recharge.test", token), rows[slug])

    return [
        Organization(
            row=rows[slug],
            owner=person(slug, "owner"),
            member=person(slug, "member"),
            neighbour=person(slug, "neighbour"),
            anyone=Client(address, f"{slug}.recharge.test"),
        )
        for slug in slugs
    ]


def _make_sellers(row: models.Organization) -> dict[str, int]:
    """The sellers among an organization's people: their ids."""
    with tenant_context(row):
        sellers = Seller.objects.bulk_create(Seller(name=name) for name, role in _PEOPLE.items() if role == "seller")
        Account.objects.bulk_create(Account(seller=seller) for seller in sellers)
    return {seller.name: seller.pk for seller in sellers}


def make_person(row: models.Organization, username: str, address: str = "", *, is_seller: bool = False) -> Person:
    """An admin or a seller of an organization, whose password is ``PASSWORD``."""
    seller_id = make_seller(row, username).pk if is_seller else None
    return make_member(row, username, "seller" if is_seller else "admin", address, seller_id=seller_id)


def make_member(
    row: models.Organization, username: str, role: str, address: str = "", *, seller_id: int | None = None
) -> Person:
    """A member of an organization with any role, whose password is ``PASSWORD``."""
    user = User(username=f"{row.slug}/{username}", password=_password_hash())
    user.save()
    Membership.objects.create(user=user, organization_id=row.pk, username=username, role=role, seller_id=seller_id)
    token = access_token(user, row, role, seller_id)
    return Person(username, user, seller_id, Client(address, f"{row.slug}.recharge.test", token), row)


def people_of(organization: Organization) -> dict[str, Person]:
    """Somebody of each role, by the role: the owner, the member, and for each other role a new member whose username it
    is. Who works for a seller works for the member's."""
    people = {ADMIN: organization.owner, SELLER: organization.member}
    for role in MEMBER_ROLES:
        if role not in people:
            seller_id = organization.member.id if works_for_seller(role) else None
            address = organization.anyone.address
            people[role] = make_member(organization.row, role, role, address, seller_id=seller_id)
    return people


def make_platform_user(username: str, role: str, address: str = "") -> Person:
    """A user of the platform with any role, whose password is ``PASSWORD``."""
    is_admin = role == "platform_admin"
    user = User(
        username=username, password=_password_hash(), platform_role=role, is_superuser=is_admin, is_staff=is_admin
    )
    user.save()
    return Person(username, user, None, Client(address, "recharge.test", access_token(user, None, role, None)), None)


def raise_low_balance(seller_id: int) -> uuid.UUID:
    """Raises the alert of a seller's low balance, on the organization's schema: the alert's id."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT alert_balance_low(%s, 500, 1000)", [seller_id])
    alert_id: uuid.UUID = Alert.objects.get(subject=str(seller_id), cleared_at=None).pk
    return alert_id


def raise_waiting_requests() -> uuid.UUID:
    """Raises an alert of the organization, on its schema: the alert's id."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT alert_keep('requests_waiting', 1, 120)")
    alert_id: uuid.UUID = Alert.objects.get(kind="requests_waiting", cleared_at=None).pk
    return alert_id


def give_slip(row: models.Organization, seller_id: int, request_id: uuid.UUID | str) -> None:
    """A credit request that waits has the picture of a slip."""
    written = BytesIO()
    Image.new("RGB", (8, 8), "white").save(written, "PNG")
    picture = read_picture(written.getvalue())
    with tenant_context(row):
        put_slip(organization=row, seller_id=seller_id, request_id=uuid.UUID(str(request_id)), picture=picture)


def make_seller(row: models.Organization, name: str, credit: int = 0) -> Seller:
    """A seller with no user, for tests of the services alone."""
    with tenant_context(row):
        seller = Seller.objects.create(name=name)
        Account.objects.create(seller=seller)
    if credit:
        give_credit(row, seller.pk, credit)
    return seller


def give_credit(row: models.Organization, seller_id: int, amount: int) -> None:
    """Credit as the product gives it: a request, and its approval."""
    with tenant_context(row):
        request = create_credit_request(
            organization=row, seller_id=seller_id, idempotency_key=uuid.uuid4().hex, amount=amount, note=""
        ).row
        approve_credit_request(organization=row, request_id=request.pk, decided_by="owner", decided_by_id=1)


def place(row: models.Organization, seller_id: int, parent_id: int | None) -> None:
    """Has a seller sell for another, or for nobody."""
    with tenant_context(row):
        update_seller(organization=row, seller_id=seller_id, parent_id=parent_id)


def ask_for_adjustment(row: models.Organization, seller_id: int, amount: int = 5000) -> str:
    """An adjustment that somebody has asked for who is none of the world's people, and that waits; its id."""
    with tenant_context(row):
        before = policy().four_eyes_from
        change_policy(four_eyes_from=1)
        asked = create_adjustment(
            organization=row,
            seller_id=seller_id,
            idempotency_key=uuid.uuid4().hex,
            amount=amount,
            reason="Paid twice.",
            asked_by="somebody",
            asked_by_id=10**9,
        ).row
        change_policy(four_eyes_from=before)
    return str(asked.pk)


def ask(seller: Person, amount: int = 50_000, note: str = "") -> str:
    """A credit request of this seller; its id."""
    body = {"amount": amount, "note": note}
    return seller.client.post("/credit-requests", body, key=uuid.uuid4().hex).json["id"]


def access_token(user: User, row: models.Organization | None, role: str, seller_id: int | None) -> str:
    """An access token as a sign-in gives it, without the second that Argon2 takes, and of no sign-in's family."""
    token = AccessToken()
    token["sub"] = str(user.pk)
    name_realm(token, Realm(row.pk, row.slug) if row else PLATFORM)
    token["role"], token["seller_id"], token["password"], token["epoch"] = role, seller_id, password_mark(user), 0
    return str(token)
