from django.urls import path

from recharge import api, bulk_api, lean, settings_api
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("recharges", lean.recharges),  # first: it is asked for most
    path("balance", api.OwnBalanceView.as_view()),
    path("sellers/<bigint:seller_id>/balance", api.SellerBalanceView.as_view()),
    path("recharges/bulk", bulk_api.RechargesBulkView.as_view()),
    path("recharges/validate", api.ValidateView.as_view()),
    path("recharges.csv", api.RechargesExportView.as_view()),
    path("recharges/<any_uuid:recharge_id>", api.RechargeView.as_view()),
    path("recharges/<any_uuid:recharge_id>/resolve", api.ResolveView.as_view()),
    path("operators", settings_api.OperatorsView.as_view()),
    path("operators/<slug:operator>", settings_api.OperatorView.as_view()),
    path("settings", settings_api.SettingsView.as_view()),
    path("gateways", settings_api.GatewaysView.as_view()),
    path("gateways/<slug:name>", settings_api.GatewayView.as_view()),
]
