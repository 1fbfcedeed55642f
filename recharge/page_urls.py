from django.urls import path

from recharge import bulk_pages, home_pages, pages, report_pages, sell_pages, seller_pages, settings_pages
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("", home_pages.start, name="start"),
    path("today", home_pages.home, name="home"),
    path("sell", sell_pages.sell, name="sell"),
    path("sell/number", sell_pages.number, name="sell_number"),
    path("sell/confirm", sell_pages.confirm, name="sell_confirm"),
    path("recharges/<any_uuid:recharge_id>/outcome", sell_pages.outcome, name="recharge_outcome"),
    path("recharges/<any_uuid:recharge_id>/receipt", sell_pages.receipt, name="recharge_receipt"),
    path("sell/balance", sell_pages.balance_now, name="balance_now"),
    path("api-access", sell_pages.api_access, name="api_access"),
    path("bulk", bulk_pages.bulk, name="bulk"),
    path("bulk/sell", bulk_pages.sell, name="bulk_sell"),
    path("bulk/states", bulk_pages.states, name="bulk_states"),
    path("bulk/results.csv", bulk_pages.results, name="bulk_results"),
    path("sellers/<bigint:seller_id>", seller_pages.seller, name="seller"),
    path("recharges", pages.recharges, name="recharges"),
    path("recharges.csv", pages.recharges_csv, name="recharges_csv"),
    path("recharges.xlsx", pages.recharges_xlsx, name="recharges_xlsx"),
    path("recharges/<any_uuid:recharge_id>", pages.recharge, name="recharge"),
    path("recharges/<any_uuid:recharge_id>/resolve", pages.resolve, name="resolve"),
    path("reports", report_pages.reports, name="reports"),
    path("reports.csv", report_pages.reports_csv, name="reports_csv"),
    path("reports/chart.svg", report_pages.chart, name="report_chart"),
    path("settings", settings_pages.settings, name="settings"),
    path("settings/duplicate-window", settings_pages.duplicate_window, name="duplicate_window"),
    path("settings/send-within", settings_pages.send_within, name="send_within"),
    path("settings/training", settings_pages.training, name="training"),
    path("settings/new-gateway", settings_pages.new_gateway, name="new_gateway"),
    path("settings/gateways/<slug:name>", settings_pages.gateway, name="gateway"),
    path("settings/gateways/<slug:name>/delete", settings_pages.delete_gateway, name="delete_gateway"),
    path("settings/new-operator", settings_pages.new_operator, name="new_operator"),
    path("settings/operators/<slug:operator>", settings_pages.operator, name="operator"),
]
