from django.urls import path

from shared import api

urlpatterns = [
    path("auth/token", api.TokenView.as_view()),
    path("auth/token/refresh", api.TokenRefreshView.as_view()),
    path("auth/token/revoke", api.TokenRevokeView.as_view()),
    path("me", api.MeView.as_view()),
]
