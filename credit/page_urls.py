from django.urls import path

from credit import pages, seller_pages, webhook_pages
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("credit-requests", pages.credit_requests, name="credit_requests"),
    path("credit-requests/new", pages.new_credit_request, name="new_credit_request"),
    path("credit-requests/<any_uuid:request_id>", pages.credit_request, name="credit_request"),
    path("credit-requests/<any_uuid:request_id>/approve", pages.approve_credit_request, name="approve_credit_request"),
    path("credit-requests/<any_uuid:request_id>/reject", pages.reject_credit_request, name="reject_credit_request"),
    path("sellers", seller_pages.sellers, name="sellers"),
    path("sellers/new", seller_pages.new_seller, name="new_seller"),
    path("sellers/<bigint:seller_id>/rename", seller_pages.rename_seller, name="rename_seller"),
    path("sellers/<bigint:seller_id>/switch-off", seller_pages.switch_seller_off, name="switch_seller_off"),
    path("sellers/<bigint:seller_id>/switch-on", seller_pages.switch_seller_on, name="switch_seller_on"),
    path("sellers/<bigint:seller_id>/password", seller_pages.reset_seller_password, name="reset_seller_password"),
    path("ledger", pages.entries, name="entries"),
    path("ledger.csv", pages.entries_csv, name="entries_csv"),
    path("ledger.xlsx", pages.entries_xlsx, name="entries_xlsx"),
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
