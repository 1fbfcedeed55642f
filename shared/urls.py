from django.urls import path

from shared import (
    api,
    converters,  # noqa: F401 - for <any_uuid:…>
)
from shared.members import api as members
from shared.second_factor import api as second_factor

urlpatterns = [
    path("auth/token", api.TokenView.as_view()),
    path("auth/token/refresh", api.TokenRefreshView.as_view()),
    path("auth/token/revoke", api.TokenRevokeView.as_view()),
    path("second-factor", second_factor.SecondFactorView.as_view()),
    path("second-factor/totp", second_factor.TotpView.as_view()),
    path("second-factor/totp/confirm", second_factor.TotpConfirmView.as_view()),
    path("second-factor/recovery-codes", second_factor.RecoveryCodesView.as_view()),
    path("me", api.MeView.as_view()),
    path("members", members.MembersView.as_view()),
    path("members/<str:username>", members.MemberView.as_view()),
    path("members/<str:username>/invitation", members.InvitationView.as_view()),
    path("sessions", api.SessionsView.as_view()),
    path("sessions/<any_uuid:session_id>", api.SessionView.as_view()),
]
