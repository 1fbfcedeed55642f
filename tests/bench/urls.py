from django.urls import path

from saas.urls_organization import *  # noqa: F403
from saas.urls_organization import urlpatterns as product
from tests.bench.textbook import TextbookView

urlpatterns = [*product, path("bench/recharges", TextbookView.as_view())]
