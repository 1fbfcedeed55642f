from django.urls import path

from shared import api
from shared.members import api as members

urlpatterns = [
    path("auth/token", api.TokenView.as_view()),
    path("auth/token/refresh", api.TokenRefreshView.as_view()),
    path("auth/token/revoke", api.TokenRevokeView.as_view()),
    path("me", api.MeView.as_view()),
    path("members", members.MembersView.as_view()),
    path("members/<str:username>", members.MemberView.as_view()),
]
