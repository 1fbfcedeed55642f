"""Receipts: what they say, on which paper, and that one goes by SMS, once, to the number that was recharged."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from credit.alerts.sending import AlertWork
from credit.alerts.services import change_alert_settings
from credit.models import AlertMessage, AuditRecord
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge, SentReceipt
from recharge.receipts.errors import ReceiptNotSent, ReceiptsNotAllowed
from recharge.receipts.services import send_receipt
from recharge.selling.short_numbers import short_number
from recharge.terms.services import change_settings
from shared.database import call_set_function
from shared.errors import NotAuthenticated, NotFound
from shared.identity.epochs import OF_COMMAND, Access
from tenants.errors import OrganizationSuspended
from tenants.worker import Worker
from tests.support.crowd import together
from tests.support.locks import sell_pending
from tests.support.sms_gateway import Gateway, sms_gateway
from tests.support.visitor import MARKUP, Visitor, shown, text_of
from tests.support.world import Organization, make_member

S, F = Recharge.Status.SUCCEEDED, Recharge.Status.FAILED


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with sms_gateway() as running:
        yield running


def delivered(acme: Organization, status: Recharge.Status | None = S) -> uuid.UUID:
    sold = sell_pending(acme.row, acme.member.id, 50_000)
    if status:
        settle_recharge(organization=acme.row, recharge_id=sold, status=status, failure="barred" if status == F else "")
    return sold


def allow(acme: Organization, url: str = "https://sms.example.com/") -> None:
    with acme.context:
        change_settings(organization=acme.row, by="owner", receipts_by_sms=True)
        change_alert_settings(organization=acme.row, sms_url="https://sms.example.com/", sms_body='["{to}", "{text}"]')
        with connection.cursor() as cursor:  # a test's own server, whose address the service would refuse
            cursor.execute("UPDATE credit_alertsettings SET sms_url = %s", [url])


def send(acme: Organization, recharge: uuid.UUID, seller_id: int | None = None, access: Access = OF_COMMAND) -> Any:
    with acme.context:
        return send_receipt(
            organization=acme.row,
            recharge_id=recharge,
            seller_id=seller_id or acme.member.id,
            by="member",
            access=access,
        )


def test_it_says_whose_it_is_and_what_was_sold(funded: Organization) -> None:
    seller, recharge = Visitor.signed_in(funded.member), delivered(funded)
    with funded.context:
        number = short_number(recharge, seller_id=funded.member.id)
    page = shown(seller.get(f"/recharges/{recharge}/receipt"))
    for words in ("member", "Acme", "50,000 Tomans", "Delivered", number, "0912 123 4567"):
        assert words in page, words
    assert seller.submit("/shop", {"shop_name": f"کیوسک {MARKUP}"}).status == 302
    page = text_of(seller.get(f"/recharges/{recharge}/receipt"))
    assert "کیوسک" in page
    assert MARKUP not in page
    assert seller.submit("/shop", {"shop_name": "x" * 61}).status == 422
    assert seller.submit("/shop", {"shop_name": ""}).status == 302
    assert "کیوسک" not in text_of(seller.get(f"/recharges/{recharge}/receipt"))
    with funded.context:
        assert AuditRecord.objects.filter(action="seller.changed", after__has_key="shop_name").count() == 2
    text = re.search(r'id="receipt-text"[^>]*>([^<]*)<', text_of(seller.get(f"/recharges/{recharge}/receipt")))
    assert text is not None
    assert text[1].splitlines()[:3] == ["member", "Recharge of 09121234567", "TeleKish, 50,000 Tomans"]
    cashier = make_member(funded.row, "till", "cashier", funded.anyone.address, seller_id=funded.member.id)
    assert Visitor.signed_in(cashier).get("/shop").status == 404
    assert "/shop" not in text_of(Visitor.signed_in(cashier).get(f"/recharges/{recharge}/receipt"))


def test_the_paper_is_remembered_and_nothing_else_is_believed(funded: Organization) -> None:
    seller, recharge = Visitor.signed_in(funded.member), delivered(funded)
    address = f"/recharges/{recharge}/receipt"

    def sheet(path: str = address) -> str:
        found = re.search(r"/recharge/receipt-(\w+)[.\w]*\.css", text_of(seller.get(path)))
        assert found is not None
        return found[1]

    assert sheet() == "80"
    assert sheet(f"{address}?paper=58") == "58"
    assert sheet() == "58"
    assert sheet(f"{address}?paper=../../x") == "80"
    seller.cookies["receipt_paper"] = "x%00"
    assert sheet() == "80"


def test_it_is_sent_once_to_the_number_that_was_recharged(
    funded: Organization, gateway: Gateway, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    allow(funded, f"{gateway.url}/send")
    seller, recharge = Visitor.signed_in(funded.member), delivered(funded)
    address = f"/recharges/{recharge}/receipt"
    assert "Send it to the number" in shown(seller.get(address))
    for _ in range(2):
        assert seller.submit(address, {}, to=f"{address}/sms").status == 302
    assert "being sent to the number" in shown(seller.get(address))
    results = together([lambda: send(funded, recharge).is_replay] * 6)
    assert Counter(results) == {True: 6}
    Worker([AlertWork()]).run_once()
    Worker([AlertWork()]).run_once()
    (asked,) = gateway.asked
    to, text = json.loads(asked.body)
    assert to == "09121234567"
    with funded.context:
        number = short_number(recharge, seller_id=funded.member.id)
        assert AuditRecord.objects.filter(action="receipt.sent", object=str(recharge)).count() == 1
        assert AlertMessage.objects.get().text == text
    persian = number.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
    assert text == f"member: شارژ تله\u200cکیش به مبلغ ۵۰٬۰۰۰ تومان برای ۰۹۱۲۱۲۳۴۵۶۷. شماره رسید {persian}"
    assert "was sent to the number" in shown(seller.get(address))
    assert "Send it to the number" not in shown(seller.get(address))


def test_of_two_clicks_at_once_one_sends(funded: Organization) -> None:
    allow(funded)
    recharge = delivered(funded)
    assert Counter(together([lambda: send(funded, recharge).is_replay] * 8)) == {False: 1, True: 7}
    with funded.context:
        assert AlertMessage.objects.count() == SentReceipt.objects.count() == 1
        for statement in ("DELETE FROM recharge_sentreceipt", "UPDATE recharge_sentreceipt SET sent_by = 'x'"):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_when_none_is_sent(funded: Organization, globex: Organization) -> None:
    done, failed, pending = delivered(funded), delivered(funded, F), delivered(funded, None)
    trained = uuid.UUID(funded.member.sell().json["id"])
    over = Access(user_id=7, epoch=0)
    allow(funded)
    with funded.context:
        change_settings(organization=funded.row, by="owner", receipts_by_sms=False)
    with pytest.raises(ReceiptsNotAllowed):  # the organization does not allow it
        send(funded, done)
    with funded.context:
        change_settings(organization=funded.row, by="owner", receipts_by_sms=True)
        change_alert_settings(organization=funded.row, sms_url="")
    with pytest.raises(ReceiptsNotAllowed):  # it has no gateway
        send(funded, done)
    allow(funded)
    with funded.context, connection.cursor() as cursor:
        cursor.execute("SELECT access_end('7', 1)")
    for recharge, how, refusal in (
        (failed, {}, ReceiptNotSent),
        (pending, {}, ReceiptNotSent),
        (trained, {}, ReceiptNotSent),
        (done, {"seller_id": funded.neighbour.id}, NotFound),
        (uuid.uuid4(), {}, NotFound),
        (done, {"access": over}, NotAuthenticated),
    ):
        with pytest.raises(refusal):
            send(funded, recharge, **how)
    with globex.context, pytest.raises(NotFound):
        send(globex, done)
    funded.row.status = "suspended"
    with pytest.raises(OrganizationSuspended):
        send(funded, done)
    funded.row.status = "active"
    with funded.context:
        assert not SentReceipt.objects.exists()
        assert not AlertMessage.objects.exists()
    seller = Visitor.signed_in(funded.member)
    assert "Send it to the number" not in shown(seller.get(f"/recharges/{failed}/receipt"))
    assert Visitor.signed_in(funded.owner).submit("/today", {}, to=f"/recharges/{done}/receipt/sms").status == 404


def test_a_worker_of_the_release_before_leaves_it_alone(funded: Organization) -> None:
    """It would send the words of a test to a customer."""
    allow(funded)
    send(funded, delivered(funded))
    claim = [funded.row.schema_name, "alert_claim", "id"]
    assert call_set_function(*claim, [10, "1 minute"]) == []  # type: ignore[arg-type]
    with funded.context, connection.cursor() as cursor:
        cursor.execute("SELECT alert_next_due(), alert_next_due(true) IS NOT NULL")
        assert cursor.fetchone() == (None, True)
    assert len(call_set_function(*claim, [10, "1 minute", True])) == 1  # type: ignore[arg-type]


def test_the_organization_lets_its_sellers(funded: Organization) -> None:
    owner = Visitor.signed_in(funded.owner)
    for wanted, allowed in (("on", True), ("on", True), ("off", False), ("maybe", False)):
        assert owner.submit("/settings", {"receipts_by_sms": wanted}, to="/settings/receipts-by-sms").status == 302
        assert funded.owner.client.get("/settings").json["receipts_by_sms"] is allowed
