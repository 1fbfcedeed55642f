from django.urls import path

from credit import api, webhook_api
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("sellers", api.SellersView.as_view()),
    path("sellers/<bigint:seller_id>", api.SellerView.as_view()),
    path("entries", api.EntriesView.as_view()),
    path("entries.csv", api.EntriesExportView.as_view()),
    path("credit-requests", api.CreditRequestsView.as_view()),
    path("credit-requests/<any_uuid:request_id>", api.CreditRequestView.as_view()),
    path("credit-requests/<any_uuid:request_id>/approve", api.ApproveView.as_view()),
    path("credit-requests/<any_uuid:request_id>/reject", api.RejectView.as_view()),
    path("webhooks", webhook_api.WebhooksView.as_view()),
    path("webhooks/<any_uuid:webhook_id>", webhook_api.WebhookView.as_view()),
    path("webhooks/<any_uuid:webhook_id>/rotate-secret", webhook_api.RotateSecretView.as_view()),
    path("webhooks/<any_uuid:webhook_id>/deliveries", webhook_api.DeliveriesView.as_view()),
    path(
        "webhooks/<any_uuid:webhook_id>/deliveries/<any_uuid:delivery_id>/resend",
        webhook_api.ResendView.as_view(),
    ),
]
