from django.urls import path

from credit.pages.exports import FORMATS
from recharge.pages import (
    bulk,
    commissions,
    home,
    margins,
    periods,
    recharges,
    reports,
    sell,
    seller,
    settings,
    statements,
)
from recharge.papers.files import FORMATS as STATEMENT_FORMATS
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("", home.start, name="start"),
    path("today", home.home, name="home"),
    path("sell", sell.sell, name="sell"),
    path("sell/number", sell.number, name="sell_number"),
    path("sell/confirm", sell.confirm, name="sell_confirm"),
    path("recharges/<any_uuid:recharge_id>/outcome", sell.outcome, name="recharge_outcome"),
    path("recharges/<any_uuid:recharge_id>/receipt", sell.receipt, name="recharge_receipt"),
    path("sell/balance", sell.balance_now, name="balance_now"),
    path("api-access", sell.api_access, name="api_access"),
    path("bulk", bulk.bulk, name="bulk"),
    path("bulk/sell", bulk.sell, name="bulk_sell"),
    path("bulk/states", bulk.states, name="bulk_states"),
    path("bulk/results.csv", bulk.results, name="bulk_results"),
    path("sellers/<bigint:seller_id>", seller.seller, name="seller"),
    path("recharges", recharges.recharges, name="recharges"),
    *(path(f"recharges.{one}", recharges.recharges_file, {"ending": one}, name=f"recharges_{one}") for one in FORMATS),
    path("recharges/<any_uuid:recharge_id>", recharges.recharge, name="recharge"),
    path("recharges/<any_uuid:recharge_id>/resolve", recharges.resolve, name="resolve"),
    path("margins/<any_uuid:batch_id>", margins.margin_batch, name="margin_batch"),
    path("reports", reports.reports, name="reports"),
    path("reports.csv", reports.reports_csv, name="reports_csv"),
    path("reports/chart.svg", reports.chart, name="report_chart"),
    path("periods", periods.periods, name="periods"),
    path("periods/<slug:month>/close", periods.close_period, name="close_period"),
    path("commissions", commissions.commissions, name="commissions"),
    path("commissions/set", commissions.set_commission, name="set_commission"),
    path("earnings", commissions.earnings, name="earnings"),
    path("statements", statements.statements, name="statements"),
    path("statements/new", statements.new_statement, name="new_statement"),
    path("statements/<any_uuid:statement_id>", statements.statement, name="statement"),
    path("statements/<any_uuid:statement_id>/proof", statements.statement_proof, name="statement_proof"),
    *(
        path(
            f"statements/<any_uuid:statement_id>.{one}",
            statements.statement_as_file,
            {"ending": one},
            name=f"statement_{one}",
        )
        for one in STATEMENT_FORMATS
    ),
    path("settings", settings.settings, name="settings"),
    path("settings/duplicate-window", settings.duplicate_window, name="duplicate_window"),
    path("settings/send-within", settings.send_within, name="send_within"),
    path("settings/four-eyes", settings.four_eyes, name="four_eyes"),
    path("settings/training", settings.training, name="training"),
    path("settings/second-factor", settings.require_second_factor, name="require_second_factor"),
    path("settings/new-gateway", settings.new_gateway, name="new_gateway"),
    path("settings/gateways/<slug:name>", settings.gateway, name="gateway"),
    path("settings/gateways/<slug:name>/delete", settings.delete_gateway, name="delete_gateway"),
    path("settings/new-operator", settings.new_operator, name="new_operator"),
    path("settings/operators/<slug:operator>", settings.operator, name="operator"),
]
