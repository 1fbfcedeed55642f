from django.urls import path

from saas import pages

urlpatterns = [
    path("", pages.start, name="start"),
    path("search", pages.search, name="search"),
    path("organizations", pages.organizations, name="organizations"),
    path("organizations/<slug:slug>", pages.organization, name="organization"),
    path("organizations/<slug:slug>/reconcile", pages.reconcile, name="reconcile"),
    path("organizations/<slug:slug>/suspend", pages.suspend, name="suspend"),
    path("organizations/<slug:slug>/activate", pages.activate, name="activate"),
    path("provision", pages.provision, name="provision"),
    path("provision/slug", pages.check_new_slug, name="check_new_slug"),
    path("provision/progress", pages.progress, name="progress"),
    path("audit", pages.audit, name="audit"),
    path("audit.csv", pages.audit_csv, name="audit_csv"),
]
