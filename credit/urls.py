from django.urls import path

from credit.alerts import api as alerts
from credit.api import adjustments, api_keys, audit, credit, transfers
from credit.webhooks import api
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("sellers", credit.SellersView.as_view()),
    path("sellers/<bigint:seller_id>", credit.SellerView.as_view()),
    path("entries", credit.EntriesView.as_view()),
    path("entries.csv", credit.EntriesExportView.as_view()),
    path("credit-requests", credit.CreditRequestsView.as_view()),
    path("credit-requests/<any_uuid:request_id>", credit.CreditRequestView.as_view()),
    path("credit-requests/<any_uuid:request_id>/slip", credit.SlipView.as_view()),
    path("credit-requests/<any_uuid:request_id>/approve", credit.ApproveView.as_view()),
    path("credit-requests/<any_uuid:request_id>/reject", credit.RejectView.as_view()),
    path("adjustments", adjustments.AdjustmentsView.as_view()),
    path("adjustments/<any_uuid:adjustment_id>", adjustments.AdjustmentView.as_view()),
    path("adjustments/<any_uuid:adjustment_id>/approve", adjustments.ApproveAdjustmentView.as_view()),
    path("adjustments/<any_uuid:adjustment_id>/reject", adjustments.RejectAdjustmentView.as_view()),
    path("transfers", transfers.TransfersView.as_view()),
    path("transfers/<any_uuid:transfer_id>", transfers.TransferView.as_view()),
    path("api-keys", api_keys.ApiKeysView.as_view()),
    path("api-keys/<any_uuid:key_id>", api_keys.ApiKeyView.as_view()),
    path("api-keys/<any_uuid:key_id>/rotate", api_keys.RotateApiKeyView.as_view()),
    path("audit", audit.AuditView.as_view()),
    path("audit.csv", audit.AuditExportView.as_view()),
    path("alerts", alerts.AlertsView.as_view()),
    path("alerts/threshold", alerts.ThresholdView.as_view()),
    path("alerts/settings", alerts.AlertSettingsView.as_view()),
    path("alerts/test", alerts.AlertTestView.as_view()),
    path("alerts/<any_uuid:alert_id>/read", alerts.ReadAlertView.as_view()),
    path("webhooks", api.WebhooksView.as_view()),
    path("webhooks/<any_uuid:webhook_id>", api.WebhookView.as_view()),
    path("webhooks/<any_uuid:webhook_id>/rotate-secret", api.RotateSecretView.as_view()),
    path("webhooks/<any_uuid:webhook_id>/deliveries", api.DeliveriesView.as_view()),
    path(
        "webhooks/<any_uuid:webhook_id>/deliveries/<any_uuid:delivery_id>/resend",
        api.ResendView.as_view(),
    ),
]
