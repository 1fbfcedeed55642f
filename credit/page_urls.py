from django.urls import path

from credit.pages import adjustments, api_keys, audit, credit, sellers, transfers
from credit.pages.exports import FORMATS
from credit.webhooks import pages
from shared import converters  # noqa: F401 - for <bigint:…> and <any_uuid:…>

urlpatterns = [
    path("credit-requests", credit.credit_requests, name="credit_requests"),
    path("credit-requests/new", credit.new_credit_request, name="new_credit_request"),
    path("credit-requests/<any_uuid:request_id>", credit.credit_request, name="credit_request"),
    path("credit-requests/<any_uuid:request_id>/approve", credit.approve_credit_request, name="approve_credit_request"),
    path("credit-requests/<any_uuid:request_id>/reject", credit.reject_credit_request, name="reject_credit_request"),
    path("adjustments", adjustments.adjustments, name="adjustments"),
    path("adjustments/new", adjustments.new_adjustment, name="new_adjustment"),
    path("adjustments/<any_uuid:adjustment_id>", adjustments.adjustment, name="adjustment"),
    path("adjustments/<any_uuid:adjustment_id>/approve", adjustments.approve_adjustment, name="approve_adjustment"),
    path("adjustments/<any_uuid:adjustment_id>/reject", adjustments.reject_adjustment, name="reject_adjustment"),
    path("transfers", transfers.transfer_list, name="transfers"),
    path("transfers/new", transfers.new_transfer, name="new_transfer"),
    path("transfers/confirm", transfers.confirm_transfer, name="confirm_transfer"),
    path("transfers/<any_uuid:transfer_id>", transfers.transfer, name="transfer"),
    path("sellers", sellers.sellers, name="sellers"),
    path("sellers/new", sellers.new_seller, name="new_seller"),
    path("sellers/<bigint:seller_id>/parent", sellers.place_seller, name="place_seller"),
    path("sellers/<bigint:seller_id>/rename", sellers.rename_seller, name="rename_seller"),
    path("sellers/<bigint:seller_id>/switch-off", sellers.switch_seller_off, name="switch_seller_off"),
    path("sellers/<bigint:seller_id>/switch-on", sellers.switch_seller_on, name="switch_seller_on"),
    path("sellers/<bigint:seller_id>/password", sellers.reset_seller_password, name="reset_seller_password"),
    path("ledger", credit.entries, name="entries"),
    *(path(f"ledger.{one}", credit.entries_file, {"ending": one}, name=f"entries_{one}") for one in FORMATS),
    path("api-keys", api_keys.api_keys, name="api_keys"),
    path("api-keys/new", api_keys.make_api_key, name="make_api_key"),
    path("api-keys/<uuid:key_id>", api_keys.api_key, name="api_key"),
    path("api-keys/<uuid:key_id>/rotate", api_keys.rotate_api_key, name="rotate_api_key"),
    path("api-keys/<uuid:key_id>/end", api_keys.end_api_key, name="end_api_key"),
    path("audit-log", audit.audit_log, name="audit_log"),
    path("audit-log.csv", audit.audit_log_csv, name="audit_log_csv"),
    path("webhooks", pages.webhooks, name="webhooks"),
    path("webhooks/new", pages.add, name="add_webhook"),
    path("webhooks/<uuid:webhook_id>", pages.webhook, name="webhook"),
    path("webhooks/<uuid:webhook_id>/change", pages.change, name="change_webhook"),
    path("webhooks/<uuid:webhook_id>/enable", pages.enable, name="enable_webhook"),
    path("webhooks/<uuid:webhook_id>/disable", pages.disable, name="disable_webhook"),
    path("webhooks/<uuid:webhook_id>/rotate-secret", pages.rotate_secret, name="rotate_webhook_secret"),
    path("webhooks/<uuid:webhook_id>/delete", pages.delete, name="delete_webhook"),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/resend", pages.resend, name="resend_delivery"),
]
