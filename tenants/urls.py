from django.urls import path

from tenants import api

urlpatterns = [
    path("organizations", api.OrganizationsView.as_view()),
    path("organizations/<slug:slug>", api.OrganizationView.as_view()),
    path("organizations/<slug:slug>/suspend", api.SuspendView.as_view()),
    path("organizations/<slug:slug>/activate", api.ActivateView.as_view()),
    path("audit", api.AuditView.as_view()),
    path("audit.csv", api.AuditExportView.as_view()),
]
