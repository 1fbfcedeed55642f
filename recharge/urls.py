from django.urls import path

from recharge.api import branch, bulk, commissions, limits, periods, recharges, settings, statements
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("recharges", recharges.RechargesView.as_view()),  # first: it is asked for most
    path("balance", recharges.OwnBalanceView.as_view()),
    path("sellers/<bigint:seller_id>/balance", recharges.SellerBalanceView.as_view()),
    path("recharges/bulk", bulk.RechargesBulkView.as_view()),
    path("recharges/validate", recharges.ValidateView.as_view()),
    path("recharges.csv", recharges.RechargesExportView.as_view()),
    path("recharges/<any_uuid:recharge_id>", recharges.RechargeView.as_view()),
    path("recharges/<any_uuid:recharge_id>/resolve", recharges.ResolveView.as_view()),
    path("periods", periods.PeriodsView.as_view()),
    path("statements", statements.StatementsView.as_view()),
    path("statements/<any_uuid:statement_id>", statements.StatementView.as_view()),
    path("statements/<any_uuid:statement_id>/proof", statements.StatementProofView.as_view()),
    path("statements/<any_uuid:statement_id>.pdf", statements.StatementPDFView.as_view()),
    path("statements/<any_uuid:statement_id>.xlsx", statements.StatementXLSXView.as_view()),
    path("statements/<any_uuid:statement_id>.csv", statements.StatementCSVView.as_view()),
    path("operators", settings.OperatorsView.as_view()),
    path("operators/<slug:operator>", settings.OperatorView.as_view()),
    path("commissions", commissions.CommissionsView.as_view()),
    path("settings", settings.SettingsView.as_view()),
    path("limits", limits.LimitsView.as_view()),
    path("limits/mine", limits.OwnLimitsView.as_view()),
    path("gateways", settings.GatewaysView.as_view()),
    path("gateways/<slug:name>", settings.GatewayView.as_view()),
    path("branch", branch.BranchView.as_view()),
    path("branch/<bigint:child_id>", branch.BranchSellerView.as_view()),
    path("branch/<bigint:child_id>/entries", branch.BranchEntriesView.as_view()),
    path("branch/<bigint:child_id>/recharges", branch.BranchRechargesView.as_view()),
    path("branch/credit-requests", branch.BranchRequestsView.as_view()),
    path("branch/credit-requests/<any_uuid:asked_id>", branch.BranchRequestView.as_view()),
    path("branch/credit-requests/<any_uuid:asked_id>/approve", branch.ApproveBranchRequestView.as_view()),
    path("branch/credit-requests/<any_uuid:asked_id>/reject", branch.RejectBranchRequestView.as_view()),
]
