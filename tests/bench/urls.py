from django.urls import path

from saas.urls_organization import *  # noqa: F403
from saas.urls_organization import urlpatterns as product
from tests.bench.textbook import QuickTextbookView, TextbookView

# Below /api/, where the middleware is the short list's, as the product's own sale has it.
urlpatterns = [
    *product,
    path("api/bench/recharges", TextbookView.as_view()),
    path("api/bench/quick-recharges", QuickTextbookView.as_view()),
]
