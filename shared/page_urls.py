from django.urls import path

from shared import (
    converters,  # noqa: F401 - for <bigint:…>
    pages,
)
from shared.members import pages as members

urlpatterns = [
    path("sign-in", pages.sign_in, name="sign_in"),
    path("held", pages.held_form, name="held_form"),
    path("sign-out", pages.sign_out, name="sign_out"),
    path("language", pages.set_language, name="set_language"),
    path("account/preferences", pages.preferences, name="preferences"),
    path("account/password", pages.password, name="password"),
    path("password-reset", pages.password_reset, name="password_reset"),
    path("password-reset/<str:uid>/<str:token>", pages.password_reset_confirm, name="password_reset_confirm"),
    path("members", members.members, name="members"),
    path("members/new", members.new_member, name="new_member"),
    path("members/<bigint:user_id>", members.member, name="member"),
    path("members/<bigint:user_id>/switch-off", members.switch_member_off, name="switch_member_off"),
    path("members/<bigint:user_id>/switch-on", members.switch_member_on, name="switch_member_on"),
    path("members/<bigint:user_id>/password", members.reset_member_password, name="reset_member_password"),
    path("invitation/<str:token>", members.invitation, name="invitation"),
]
