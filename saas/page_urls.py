from django.urls import path

from saas import pages

urlpatterns = [
    path("", pages.start, name="start"),
    path("organizations", pages.organizations, name="organizations"),
    path("provision", pages.provision, name="provision"),
    path("audit", pages.audit, name="audit"),
]
