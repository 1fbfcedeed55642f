from django.urls import path

from credit import pages, webhook_pages

urlpatterns = [
    path("credit-requests", pages.credit_requests, name="credit_requests"),
    path("sellers", pages.sellers, name="sellers"),
    path("ledger", pages.entries, name="entries"),
    path("webhooks", webhook_pages.webhooks, name="webhooks"),
    path("webhooks/new", webhook_pages.add, name="add_webhook"),
    path("webhooks/<uuid:webhook_id>", webhook_pages.webhook, name="webhook"),
    path("webhooks/<uuid:webhook_id>/change", webhook_pages.change, name="change_webhook"),
    path("webhooks/<uuid:webhook_id>/enable", webhook_pages.enable, name="enable_webhook"),
    path("webhooks/<uuid:webhook_id>/disable", webhook_pages.disable, name="disable_webhook"),
    path("webhooks/<uuid:webhook_id>/rotate-secret", webhook_pages.rotate_secret, name="rotate_webhook_secret"),
    path("webhooks/<uuid:webhook_id>/delete", webhook_pages.delete, name="delete_webhook"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/resend", webhook_pages.resend, name="resend_delivery"
    ),
]
