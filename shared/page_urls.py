from django.urls import path

from shared import pages

urlpatterns = [
    path("sign-in", pages.sign_in, name="sign_in"),
    path("held", pages.held_form, name="held_form"),
    path("sign-out", pages.sign_out, name="sign_out"),
    path("language", pages.set_language, name="set_language"),
    path("account/preferences", pages.preferences, name="preferences"),
    path("account/password", pages.password, name="password"),
    path("password-reset", pages.password_reset, name="password_reset"),
    path("password-reset/<str:uid>/<str:token>", pages.password_reset_confirm, name="password_reset_confirm"),
]
