"""Some days of business in one organization, for whoever wants to see the pages with something on them."""

import os
import random
import uuid
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

NAMES = ["Tehran Kiosk", "Maryam Ahmadi", "فروشگاه بهار", "Kaveh Mobile", "Shiraz Telecom", "نگین همراه"]


def prepare(directory: Path) -> None:
    """An embedded database of its own, and Django on it."""
    from saas import embedded

    for name in ("DATABASE_URL", "SECRET_KEY", "BASE_DOMAIN", "LOG_LEVEL", "HTTPS"):
        os.environ.pop(name, None)
    embedded.start(directory)
    os.environ["DATABASE_URL"] = os.environ.pop("OWNER_DATABASE_URL")  # it writes what an application may not
    os.environ |= {"DJANGO_SETTINGS_MODULE": "saas.settings", "BASE_DOMAIN": "recharge.test", "LOG_LEVEL": "WARNING"}
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate_schemas", interactive=False, verbosity=0)


def set_up(address: str):
    """Provisions the organizations and furnishes them: see :func:`furnish`."""
    from tenants.services import provision_organization
    from tests.support.world import World

    for slug, name in (("acme", "Acme Top-ups"), ("globex", "Globex Mobile")):
        provision_organization(slug=slug, name=name, admin_username="first", admin_password="correct horse battery")
    return furnish(World.build(address))


def _slip():
    """A picture with some lines on it."""
    from io import BytesIO

    from PIL import Image, ImageDraw

    from credit.slips.pictures import read_picture

    image, written = Image.new("RGB", (480, 640), "white"), BytesIO()
    draw = ImageDraw.Draw(image)
    for line in range(6):
        draw.text((40, 60 + 90 * line), f"RECEIPT 1405/09/0{line + 1}  2,000,000", fill="black")
    image.save(written, "PNG")
    return read_picture(written.getvalue())


def furnish(world):
    """Some days of business for acme. Gives people by username and by role, and the ids that paths are filled
    in with."""
    from django.db import connection
    from django_tenants.utils import tenant_context

    from credit.adjustments import change_policy, create_adjustment
    from credit.alerts.services import change_alert_settings, change_threshold, send_test
    from credit.services import (
        approve_credit_request,
        create_api_key,
        create_credit_request,
        reject_credit_request,
        update_seller,
    )
    from credit.slips.services import put_slip
    from credit.webhooks.services import create_webhook, events_for, update_webhook
    from recharge.commissions.services import set_commission
    from recharge.delivery.settlement import settle_recharge
    from recharge.models import GatewaySettings, OperatorSettings, Recharge
    from recharge.selling.sale import Item
    from recharge.selling.services import sell_recharge
    from recharge.statements.services import make_statement
    from recharge.terms.services import create_gateway
    from shared.days import days_before, today
    from shared.identity.keys import end_key
    from tests.support import commands
    from tests.support.world import give_credit, make_seller

    rng = random.Random(7)
    acme = world.acme.row
    sellers = [world.acme.member.id, world.acme.neighbour.id] + [make_seller(acme, name).pk for name in NAMES]
    with tenant_context(acme):
        webhooks = [
            create_webhook(organization=acme, seller_id=seller_id, url=url, events=events_for(seller_id))[0]
            for seller_id, url in (
                (sellers[0], "https://hooks.kiosk.example/recharges"),  # where nobody is: its deliveries fail
                (sellers[0], "https://old.kiosk.example/a/rather/long/path/to/where/nobody/listens/any/more"),
                (None, "https://books.acme.example/hooks"),
            )
        ]
        update_webhook(webhook_id=webhooks[1].pk, seller_id=sellers[0], is_active=False)
        api_keys = [
            create_api_key(
                organization=acme,
                seller_id=seller_id,
                name=name,
                scopes=scopes,
                created_by="member",
                allowed_addresses=addresses,
            )[0]
            for seller_id, name, scopes, addresses in (
                (sellers[0], "Till at the door", ["sell", "read"], ["203.0.113.7", "2001:db8::/32"]),
                (sellers[0], "The tablet that was lost", ["sell"], []),
                (None, "Bookkeeping", ["read"], ["198.51.100.0/24"]),
            )
        ]
        end_key(organization_id=acme.pk, key_id=api_keys[1].pk, seller_id=sellers[0])
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        for operator in ("mci", "irancell"):
            OperatorSettings.objects.create(operator=operator, gateway=gateway)
        create_gateway(
            organization=acme,
            by="owner",
            name="direct",
            kind="http",
            url="https://topup.operator.example/v2",
            key_id="acme-1",
            secret="never shown",
        )
        OperatorSettings.objects.create(operator="rightel", amounts=[10_000, 20_000, 50_000, 100_000])
        for rate in (
            {"basis_points": 200},
            {"basis_points": 250},
            {"operator": "irancell", "basis_points": 300},
            {"operator": "rightel", "fixed": 700},
            {"seller_id": sellers[0], "basis_points": 350},
            {"seller_id": sellers[2], "operator": "mci", "basis_points": 275},
        ):
            set_commission(organization=acme, by="owner", **rate)
    for seller_id in sellers:
        give_credit(acme, seller_id, 5_000_000)
    endings = ["00", "01", "02", "03", "04", "05", "10", "20", "12", "40"]
    with tenant_context(acme):
        for seller_id in sellers:
            for _ in range(30 if seller_id == sellers[0] else 8):
                prefix, operator = rng.choice([("+98912", "mci"), ("+98935", "irancell"), ("+98921", "rightel")])
                sell_recharge(
                    organization=acme,
                    seller_id=seller_id,
                    item=Item(
                        f"{prefix}{rng.randrange(10**5):05}{rng.choice(endings)}",
                        operator,
                        rng.choice([10_000, 20_000, 50_000]),
                        uuid.uuid4().hex,
                    ),
                )
    commands.run("deliver", "--once").check_returncode()
    with tenant_context(acme):
        for ending, status in (("34", "unknown"), ("12", "failed")):
            odd = sell_recharge(
                organization=acme,
                seller_id=sellers[0],
                item=Item(f"+989121112{ending}9", "mci", 20_000, uuid.uuid4().hex),
            ).row
            settle_recharge(
                organization=acme,
                recharge_id=uuid.UUID(odd.id),
                status=Recharge.Status(status),
                failure="operator_unavailable" if status == "failed" else "",
            )
        settle_recharge(organization=acme, recharge_id=uuid.UUID(odd.id), status=Recharge.Status.SUCCEEDED)
        requests = [
            create_credit_request(
                organization=acme, seller_id=seller_id, idempotency_key=uuid.uuid4().hex, amount=amount, note=note
            ).row
            for seller_id, amount, note in (
                (sellers[0], 2_000_000, "for the weekend"),
                (sellers[1], 750_000, ""),
                (sellers[4], 10_000_000, "برای عید"),
            )
        ]
        put_slip(organization=acme, seller_id=sellers[0], request_id=requests[0].pk, picture=_slip())
        change_threshold(organization=acme, seller_id=sellers[0], alert_below=10_000_000, phone_number="+989121234567")
        change_alert_settings(
            organization=acme,
            mail_to=["desk@acme.example"],
            sms_to=["+989121234567"],
            sms_url="https://sms.example.com/send",
            sms_body='{"receptor": "{to}", "message": "{text}"}',
        )
        send_test(organization=acme)
        with connection.cursor() as cursor:
            cursor.execute("SELECT alert_balance_low(%s, 9250000, 10000000)", [sellers[0]])
            cursor.execute("SELECT alert_keep('requests_waiting', 3, 120), alert_keep('unknown_outcomes', 1, 60)")
            cursor.execute("SELECT alert_clear('requests_waiting', '')")
            cursor.execute("SELECT alert_keep('claims_overdue', 1, 90)")
        rejected = create_credit_request(
            organization=acme, seller_id=sellers[0], idempotency_key=uuid.uuid4().hex, amount=9_000_000, note="loan"
        ).row
        reject_credit_request(
            organization=acme,
            request_id=rejected.pk,
            reason="Pay the last one first",
            decided_by="owner",
            decided_by_id=1,
        )
        change_policy(four_eyes_from=5_000_000)
        approve_credit_request(
            organization=acme, request_id=requests[2].pk, decided_by="accountant", decided_by_id=10**9
        )
        by = {"asked_by": "accountant", "asked_by_id": 10**9}
        for seller_id, amount, reason in (
            (sellers[0], -250_000, "credited twice on the 12th"),
            (sellers[2], 6_000_000, "واریز به حساب فروشنده دیگر ثبت شده بود"),
        ):
            adjustment = create_adjustment(
                organization=acme,
                seller_id=seller_id,
                idempotency_key=uuid.uuid4().hex,
                amount=amount,
                reason=reason,
                reference="letter 1405/112",
                **by,
            ).row
        month = _begin_last_month(sellers[2])  # before a statement: it unmakes the chain
        days = {"first_day": days_before(today(), 29), "last_day": today()}  # UTC's: never in the future
        statement = make_statement(
            organization=acme, seller_id=sellers[0], made_by="owner", made_by_id=by["asked_by_id"], **days
        ).row
        pending = list(Recharge.objects.filter(status="pending").order_by("pk")[:3])
        for recharge in pending:
            settle_recharge(organization=acme, recharge_id=recharge.pk, status=Recharge.Status.UNKNOWN)
        came_late = Recharge.objects.filter(status="failed").order_by("pk")[0]
        taken_back = Recharge.objects.filter(status="succeeded").order_by("pk")[0]
        for recharge, status in (
            (came_late, Recharge.Status.SUCCEEDED),
            (taken_back, Recharge.Status.FAILED),
        ):
            settle_recharge(organization=acme, recharge_id=recharge.pk, status=status, failure="taken back")
        update_seller(organization=acme, seller_id=sellers[-1], is_active=False)
        margin_batch = _earn_margins(acme, dealer=sellers[1], child=sellers[3])
        of_dealer = _a_dealers_day(acme, dealer=sellers[1], child=sellers[3], below=sellers[4])
        ids = (
            of_dealer
            | _not_received(acme, sellers[0], people=("member", "owner"))
            | {
                "batch": _a_batch(acme, seller_id=sellers[0]),
                "margin_batch": margin_batch,
                "month": month,
                "webhook": webhooks[0].pk,
                "api_key": api_keys[0].pk,
                "request": requests[0].pk,
                "rejected": rejected.pk,
                "first_approved": requests[2].pk,
                "adjustment": adjustment.pk,
                "statement": statement.pk,
                "seller": sellers[0],
                "switched_off": sellers[-1],
                "recharge": Recharge.objects.filter(seller_id=sellers[0], status="succeeded", late="").latest("pk").pk,
                "own_failed": Recharge.objects.filter(seller_id=sellers[0], status="failed").latest("pk").pk,
                "key": uuid.uuid4().hex,
                "unknown": Recharge.objects.filter(status="unknown").latest("pk").pk,
                "late": uuid.UUID(odd.id),
                "failed": Recharge.objects.filter(status="failed").latest("pk").pk,
            }
        )
    people, of_members = _members(world)
    _platform_history(world.platform_admin.user.pk)
    _second_factors(world, people["support"].user)
    people |= {
        "owner": world.acme.owner,
        "member": world.acme.member,
        "neighbour": world.acme.neighbour,
        "root": world.platform_admin,
    }
    return people, ids | of_members


def _not_received(acme, seller_id: int, *, people: tuple[str, str]):
    """A seller has asked about three of his recharges: one question waits and is overdue, one has an answer, one is
    closed. Their ids, and that of a recharge that nobody has asked about."""
    from recharge.claims.services import answer_claim, close_claim, open_claim
    from recharge.models import Claim, Recharge
    from shared.identity.epochs import OF_COMMAND
    from tests.support.claims import make_older

    seller, desk = ({"by": name, "access": OF_COMMAND} for name in people)
    delivered = Recharge.objects.filter(seller_id=seller_id, status="succeeded", late="").order_by("pk")
    sold = [one.pk for one in delivered[:4]]
    messages = ("", "مشتری می‌گوید اعتبار سیم‌کارت تغییر نکرده است", "The balance is as it was before")
    claims = [
        open_claim(organization=acme, recharge_id=one, seller_id=seller_id, message=message, **seller).row.pk
        for one, message in zip(sold, messages, strict=False)
    ]
    answer_claim(organization=acme, claim_id=claims[1], seller_id=None, text="Is the SIM on prepaid?", key="1", **desk)
    answer_claim(organization=acme, claim_id=claims[1], seller_id=seller_id, text="بله، اعتباری است", key="2", **seller)
    close_claim(
        organization=acme,
        claim_id=claims[2],
        state=Claim.State.DELIVERED,
        text="The operator shows it at 10:15.",
        reference="MCI-99817263",
        **desk,
    )
    make_older(claims[0], hours=26)
    return {"overdue_claim": claims[0], "claim": claims[1], "closed_claim": claims[2], "unclaimed": sold[3]}


def _begin_last_month(seller_id: int):
    """As if a seller's first entry had been posted last month, which so can be closed; gives the month's code."""
    from django.utils import timezone

    from shared.console.months import month_of
    from tests.support.earlier import move_entries_back

    first = month_of(month_of(timezone.localdate()).first_day - timedelta(days=1))
    day = datetime.combine(first.first_day, time(12), UTC)
    move_entries_back(timezone.now() - day, which=f"entry.seller_id = {seller_id} AND entry.number = 1")
    return first.code


def _a_batch(acme: Any, *, seller_id: int) -> uuid.UUID:
    """Rows sold at once, of which some failed, and more than the credit bears."""
    from recharge.batches.rows import BatchRow, keys_of, with_keys
    from recharge.batches.services import begin_batch, note_refusals
    from recharge.delivery.settlement import settle_recharge
    from recharge.selling.sale import Item
    from recharge.selling.services import sell_recharges
    from shared.errors import Problem

    key = uuid.uuid4()
    amounts = (20_000, 50_000, 10_000, 20_000, 900_000_000)
    items = with_keys((Item(f"+98912300000{n}", "mci", amount) for n, amount in enumerate(amounts)), key)
    rows = [BatchRow(line, item, f"فروشگاه {line}") for line, item in enumerate(items, start=2)]
    batch = begin_batch(
        seller_id=seller_id, key=key, rows=rows, made_by="member", user_id=None, file_name="فروش آذر.xlsx",
        left_out="9.12E+09\t50000", mistakes=1,
    )  # fmt: skip
    sold = sell_recharges(
        organization=acme, seller_id=seller_id, items=items, atomic=False, own_keys=keys_of(key)
    ).results
    refused = {
        item.idempotency_key: one.code for item, one in zip(items, sold, strict=True) if isinstance(one, Problem)
    }
    note_refusals(batch=batch, refused=refused, sold=())
    for place, one in enumerate(sold):
        if not isinstance(one, Problem) and one.row.completed_at is None:
            status, why = ("failed", "number_barred") if place == 1 else ("succeeded", "")
            settle_recharge(organization=acme, recharge_id=uuid.UUID(one.row.id), status=status, failure=why)
    return key


def _earn_margins(acme, *, dealer: int, child: int):
    """A dealer's batch of margins, of what another has sold for him; its id."""
    from recharge.margins.services import post_margins
    from recharge.models import MarginBatch
    from recharge.selling.sale import Item
    from recharge.selling.services import sell_recharge
    from tests.support.dealers import place, set_rate

    place(acme, child, dealer)
    set_rate(acme, dealer, 350)
    set_rate(acme, child, 200)
    for number in range(12):
        item = Item(f"+9892112345{number:02}", "rightel", 20_000, uuid.uuid4().hex)
        sell_recharge(organization=acme, seller_id=child, item=item)
    post_margins(organization=acme)
    return MarginBatch.objects.get(seller_id=dealer).pk


def _a_dealers_day(acme, *, dealer: int, child: int, below: int):
    """Somebody below the child, a transfer, and a credit request that was asked of the dealer; their ids."""
    from credit.adjustments import change_policy
    from credit.services import create_credit_request
    from credit.transfers import transfer_credit
    from tests.support.world import place

    place(acme, below, child)
    given = transfer_credit(
        organization=acme,
        giver_id=dealer,
        receiver_id=child,
        idempotency_key=uuid.uuid4().hex,
        amount=750_000,
        note="برای آخر هفته",
    )
    change_policy(requests_go_to_parent=True)
    asked = create_credit_request(
        organization=acme, seller_id=child, idempotency_key=uuid.uuid4().hex, amount=400_000, note="for tomorrow"
    )
    change_policy(requests_go_to_parent=False)
    return {"child": child, "transfer": given.row.row.pk, "asked": asked.row.pk}


def _members(world):
    """Somebody of each role (by the role), somebody whose password an admin has set, and an invitation."""
    from shared.identity.realm import Realm
    from shared.members.services import add_member, invitation_to
    from shared.models import User
    from tests.support.world import make_member, people_of

    acme, people = world.acme.row, people_of(world.acme)
    people["newcomer"] = make_member(acme, "newcomer", "support", world.acme.anyone.address)
    newcomer = people["newcomer"].user
    newcomer.must_change_password = True
    newcomer.save()
    invited = add_member(
        realm=Realm(acme.pk, acme.slug), username="invited", role="accountant", email="invited@example.com"
    )
    of_members = {
        "clerk": people["cashier"].user.pk,
        "invited": invited.user_id,
        "invitation": invitation_to(User.objects.get(pk=invited.user_id)),
    }
    return people, of_members


def _second_factors(world, of_desk):
    """Somebody at the desk has an app and passkeys; the member has begun to set up an app."""
    from django.utils import timezone

    from shared.models import Passkey, RecoveryCode, Totp
    from shared.outbound.secrets import encrypt

    key = encrypt("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    Totp.objects.create(user=world.acme.member.user, secret=key)
    Totp.objects.create(user=of_desk, secret=key, confirmed_at=timezone.now())
    for number, name in enumerate(("Work laptop", "A security key with a rather long name in the safe")):
        Passkey.objects.create(
            user=of_desk,
            credential_id=bytes([number] * 32),
            public_key=b"",
            host="acme.recharge.test",
            name=name,
            last_used_at=None if number else timezone.now(),
        )
    RecoveryCode.objects.bulk_create(RecoveryCode(user=of_desk, code_hash=f"{number:064}") for number in range(8))


def _platform_history(admin_id: int) -> None:
    """What a platform admin did, and an organization that was cut off while it was provisioned."""
    from shared.identity.acting import Actor, acting_as
    from tenants.models import Organization
    from tenants.services import (
        activate_organization,
        provision_organization,
        record_reconciliation,
        schema_name_of,
        suspend_organization,
    )

    acme, globex = (Organization.objects.get(slug=slug) for slug in ("acme", "globex"))
    with acting_as(Actor(user_id=admin_id, address="203.0.113.7", request_id=uuid.uuid4().hex)):
        record_reconciliation(organization=acme, faults=0)
        record_reconciliation(organization=globex, faults=2)
        suspend_organization(slug="acme")
        activate_organization(slug="acme")
        provision_organization(
            slug="north-star", name="ستاره شمال", admin_username="first", admin_password="correct horse battery"
        )
        suspend_organization(slug="north-star")
    Organization.objects.create(slug="half-made", name="Half Made", schema_name=schema_name_of("half-made"))
