"""What a good textbook would write: a REST framework serializer, the ORM, ``select_for_update`` in a transaction.

On the same tables, over the same server, and right: it is here to be measured against. Tokens are looked at as
simplejwt does it by itself: verified, and their user fetched, with each request. :class:`QuickTextbookView` has the
product's own authentication instead, which remembers what it has verified.
"""

import time
import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credit.models import Account, Entry, Seller
from recharge.models import Recharge
from shared.errors import NotAuthenticated
from shared.identity.realm import realm_of
from shared.identity.tokens import AccessToken, Principal, read_token
from shared.models import User


class SaleSerializer(serializers.Serializer[Any]):
    phone_number = serializers.RegexField(r"^09\d{9}$")
    amount = serializers.IntegerField(min_value=1, max_value=10**12)


class RechargeSerializer(serializers.ModelSerializer[Recharge]):
    class Meta:
        model = Recharge
        exclude = ("idempotency_key",)


class UsualAuthentication(BaseAuthentication):
    """What simplejwt's JWTAuthentication does, with the product's claims."""

    def authenticate(self, request: Request) -> tuple[Principal, None]:
        raw = request.META["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        token = read_token(AccessToken, raw, realm_of(request._request))
        user = User.objects.get(pk=token["sub"])
        if not user.is_active:
            raise NotAuthenticated
        return Principal(user.pk, token["role"], token["seller_id"]), None


class QuickTextbookView(APIView):
    renderer_classes = (JSONRenderer,)

    def post(self, request: Request) -> Response:
        sale = SaleSerializer(data=request.data)
        sale.is_valid(raise_exception=True)
        seller_id, key = request.user.seller_id, request.headers["Idempotency-Key"]
        amount = sale.validated_data["amount"]
        with transaction.atomic():
            account = Account.objects.select_for_update().get(seller_id=seller_id)
            if not Seller.objects.get(pk=seller_id).is_active:
                return Response({"code": "seller_inactive"}, status=403)
            sold = Recharge.objects.filter(seller_id=seller_id, idempotency_key=key).first()
            if sold is not None:
                return Response(RechargeSerializer(sold).data)
            if account.balance < amount:
                return Response({"code": "insufficient_credit", "balance": account.balance}, status=402)
            account.balance -= amount
            account.last_number += 1
            account.save()
            now = timezone.now()
            recharge = Recharge.objects.create(
                id=_uuid7(),
                seller_id=seller_id,
                idempotency_key=key,
                phone_number="+98" + sale.validated_data["phone_number"][1:],
                operator="mci",
                amount=amount,
                status="succeeded",
                balance_after=account.balance,
                created_at=now,
                completed_at=now,
            )
            Entry.objects.create(
                id=_uuid7(),
                seller_id=seller_id,
                number=account.last_number,
                kind="recharge",
                amount=-amount,
                balance_after=account.balance,
                reference=recharge.id,
                created_at=now,
            )
        return Response(RechargeSerializer(recharge).data, status=201)


class TextbookView(QuickTextbookView):
    authentication_classes = (UsualAuthentication,)


def _uuid7() -> uuid.UUID:
    random = uuid.uuid4().int & ((1 << 80) - 1)
    return uuid.UUID(
        int=(time.time_ns() // 1_000_000 << 80) | random & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    )
