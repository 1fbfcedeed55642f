from django.urls import path

from recharge import api, bulk_api, lean
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("recharges", lean.recharges),  # first: it is asked for most
    path("balance", api.OwnBalanceView.as_view()),
    path("sellers/<bigint:seller_id>/balance", api.SellerBalanceView.as_view()),
    path("recharges/bulk", bulk_api.RechargesBulkView.as_view()),
    path("recharges.csv", api.RechargesExportView.as_view()),
    path("recharges/<any_uuid:recharge_id>", api.RechargeView.as_view()),
]
