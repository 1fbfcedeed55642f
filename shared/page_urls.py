from django.urls import path

from shared import (
    converters,  # noqa: F401 - for <bigint:…> and <any_uuid:…>
    pages,
)
from shared.console import installable
from shared.members import pages as members
from shared.second_factor import pages as second_factor

urlpatterns = [
    path("app.webmanifest", installable.manifest, name="manifest"),
    path("worker.js", installable.worker, name="worker"),
    path("offline", installable.offline, name="offline"),
    path("sign-in", pages.sign_in, name="sign_in"),
    path("sign-in/second-step", second_factor.second_step, name="second_step"),
    path("sign-in/passkey", second_factor.passkey_sign_in, name="passkey_sign_in"),
    path("held", pages.held_form, name="held_form"),
    path("sign-out", pages.sign_out, name="sign_out"),
    path("language", pages.set_language, name="set_language"),
    path("account/preferences", pages.preferences, name="preferences"),
    path("account/password", pages.password, name="password"),
    path("account/proof", second_factor.proof, name="proof"),
    path("account/security", second_factor.security, name="security"),
    path("account/security/app", second_factor.set_up_app, name="set_up_app"),
    path("account/security/app/remove", second_factor.remove_app, name="remove_app"),
    path("account/security/passkeys/add", second_factor.add_passkey, name="add_passkey"),
    path("account/security/passkeys/<bigint:passkey_id>/remove", second_factor.remove_passkey, name="remove_passkey"),
    path("account/security/recovery-codes", second_factor.recovery_codes, name="recovery_codes"),
    path("account/security/recovery-codes/new", second_factor.recovery_codes_shown, name="recovery_codes_shown"),
    path("account/sessions", pages.sessions, name="sessions"),
    path("account/sessions/end", pages.end_other_sessions, name="end_other_sessions"),
    path("account/sessions/<any_uuid:session_id>/end", pages.end_session, name="end_session"),
    path("password-reset", pages.password_reset, name="password_reset"),
    path("password-reset/<str:uid>/<str:token>", pages.password_reset_confirm, name="password_reset_confirm"),
    path("members", members.members, name="members"),
    path("members/new", members.new_member, name="new_member"),
    path("members/<bigint:user_id>", members.member, name="member"),
    path("members/<bigint:user_id>/switch-off", members.switch_member_off, name="switch_member_off"),
    path("members/<bigint:user_id>/switch-on", members.switch_member_on, name="switch_member_on"),
    path("members/<bigint:user_id>/password", members.reset_member_password, name="reset_member_password"),
    path("members/<bigint:user_id>/second-factor", members.reset_second_factor, name="reset_second_factor"),
    path("members/<bigint:user_id>/invitation", members.send_again, name="send_invitation"),
    path("invitation/<str:token>", members.invitation, name="invitation"),
]
