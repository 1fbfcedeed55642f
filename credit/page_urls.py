from django.urls import path

from credit import pages, webhook_pages

urlpatterns = [
    path("credit-requests", pages.credit_requests, name="credit_requests"),
    path("sellers", pages.sellers, name="sellers"),
    path("ledger", pages.entries, name="entries"),
    path("webhooks", webhook_pages.webhooks, name="webhooks"),
]
