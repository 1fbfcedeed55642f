"""Access that was ended moves no money, also by a token that has not expired: the epoch is compared in the statement
that moves it (shared/identity/epochs.py)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F

from credit.models import AccessEpoch
from credit.services import approve_credit_request, create_credit_request, reject_credit_request
from recharge.delivery.settlement import resolve_recharge, settle_recharge
from recharge.models import Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge, sell_recharges
from shared.errors import TokenExpired, TokenInvalid
from shared.identity.epochs import Access, end_access
from shared.identity.realm import Realm
from shared.identity.sign_ins import end_session
from shared.models import ApiKey, Membership, SignIn
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit

KEY = uuid4()
NEVER = datetime(2100, 1, 1, tzinfo=UTC)


def end(organization: Organization, subject: str, epoch: int) -> None:
    with organization.context, transaction.atomic():
        end_access(subject, epoch)


@pytest.fixture
def seller(acme: Organization) -> Person:
    give_credit(acme.row, acme.member.id, 20_000)
    assert acme.member.sell(5000, key="used").status == 201
    return acme.member


def test_a_recharge_keeps_who_sold_it(seller: Person, acme: Organization) -> None:
    by_key = Access(None, KEY, 3)
    who: dict[str, Any] = {"organization": acme.row, "seller_id": seller.id}
    with acme.context:
        sell_recharge(**who, item=Item("+989121234568", "mci", 1000, "k1"), access=by_key)
        sell_recharges(**who, items=[Item("+989121234568", "mci", 1001, "k2")], atomic=True, access=by_key)
        sell_recharge(**who, item=Item("+989121234568", "mci", 1002, "k3"))
        kept = Recharge.objects.order_by("pk").values_list("user_id", "key_id")
        assert list(kept) == [(seller.user.pk, None), (None, KEY), (None, KEY), (None, None)]


def acts(acme: Organization, seller: Person) -> dict[str, Any]:
    """Everything that moves money, by name; each takes whose access it is by."""
    who: dict[str, Any] = {"organization": acme.row, "seller_id": seller.id}
    used, new = Item("+989121234567", "mci", 5000, "used"), Item("+989121234568", "mci", 1000, "new")
    asked = {"idempotency_key": "asked", "amount": 5, "note": ""}
    request = create_credit_request(**who, **asked).row
    sold = Recharge.objects.get(idempotency_key="used")
    settle_recharge(organization=acme.row, recharge_id=sold.pk, status=Recharge.Status.SUCCEEDED)
    decided = {"organization": acme.row, "request_id": request.pk, "decided_by": "owner", "decided_by_id": 1}
    resolved = {"organization": acme.row, "recharge_id": sold.pk, "status": Recharge.Status.FAILED, "by": "owner"}
    return {
        "a sale": lambda access: sell_recharge(**who, item=new, access=access),
        "a sale that was made before": lambda access: sell_recharge(**who, item=used, access=access),
        "many": lambda access: sell_recharges(**who, items=[used, new], atomic=False, access=access),
        "all or none": lambda access: sell_recharges(**who, items=[new], atomic=True, access=access),
        "asking": lambda access: create_credit_request(**who, **asked | {"idempotency_key": "2"}, access=access),
        "asking again": lambda access: create_credit_request(**who, **asked, access=access),
        "approving": lambda access: approve_credit_request(**decided, access=access),
        "rejecting": lambda access: reject_credit_request(**decided, reason="no", access=access),
        "resolving": lambda access: resolve_recharge(**resolved, reason="no", access=access),
        "resolving what is shown": lambda access: resolve_recharge(
            **resolved, reason="no", expected=("succeeded", ""), access=access
        ),
    }


def test_ended_access_moves_no_money_and_its_owner_is_told_whether_to_sign_in_again(
    seller: Person, acme: Organization
) -> None:
    member = Membership.objects.get(user=seller.user)
    ApiKey.objects.create(
        id=KEY,
        organization_id=acme.row.pk,
        seller_id=seller.id,
        name="till",
        scopes=["sell"],
        created_at=member.created_at,
    )
    of_user, of_key = Access(seller.user.pk, None, 1), Access(None, KEY, 1)
    assert replace(of_user, family=9).subject == f"{seller.user.pk}/9"
    with acme.context:
        doing = acts(acme, seller)
    for access in (of_user, of_key):
        assert access.subject
        end(acme, access.subject, 2)
    cases = (
        (of_user, TokenExpired),  # refreshes and goes on
        (of_key, TokenExpired),
        (replace(of_user, password="that of yesterday"), TokenInvalid),
        (replace(of_user, family=2**40), TokenInvalid),
        (replace(of_user, epoch=-1), TokenExpired),
    )
    with acme.context:
        for act in doing.values():
            for access, error in cases:
                with nothing_written(), pytest.raises(error):
                    act(access)
        Membership.objects.filter(user=seller.user).update(is_active=False)
        ApiKey.objects.update(ended_at=member.created_at)
        for access in (of_user, of_key):
            with nothing_written(), pytest.raises(TokenInvalid):
                doing["a sale"](access)
        doing["a sale"](replace(of_user, epoch=2))  # of the epoch that there is now
        doing["approving"](Access(seller.user.pk + 1, None, 0))  # of somebody else


def test_access_by_one_sign_in_ends_without_the_others(seller: Person, acme: Organization) -> None:
    families = [SignIn.objects.create(user=seller.user, organization_id=acme.row.pk, expires_at=NEVER) for _ in "ab"]
    ended, other = (Access(seller.user.pk, None, 0, family.pk) for family in families)
    item = Item("+989121234568", "mci", 1000, "new")
    with acme.context:
        end_session(realm=Realm(acme.row.pk, "acme"), user_id=seller.user.pk, session_id=families[0].public_id)
    with acme.context:
        with nothing_written(), pytest.raises(TokenInvalid):
            sell_recharge(organization=acme.row, seller_id=seller.id, item=item, access=ended)
        sell_recharge(organization=acme.row, seller_id=seller.id, item=item, access=other)
        # What no token can outlive goes when the next is ended.
        AccessEpoch.objects.update(epoch=F("epoch") - 2 * 60 * 60)
    with acme.context:
        end_session(realm=Realm(acme.row.pk, "acme"), user_id=seller.user.pk, session_id=families[1].public_id)
    with acme.context:
        assert [row.subject for row in AccessEpoch.objects.all()] == [other.subject]


def test_an_epoch_never_goes_back(acme: Organization) -> None:
    for epoch in (5, 3):
        end(acme, "7", epoch)
    with acme.context, connection.cursor() as cursor:
        for asked, over in ((4, 1), (5, 0), (None, 0)):
            cursor.execute("SELECT count(*) FROM access_over('7', %s)", [asked])
            assert cursor.fetchone() == (over,)
