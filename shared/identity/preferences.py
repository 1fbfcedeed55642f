"""How an account's pages are shown, and where its mail goes."""

from django.db import transaction

from shared.errors import PasswordChanged
from shared.identity.signing_in import wrong_password
from shared.models import User


def set_language(*, user: User, language: str) -> None:
    """Sets the language in which an account's pages are shown."""
    user.language = language
    user.save(update_fields=["language"])


def set_preferences(*, user: User, language: str, time_zone: str, email: str, is_proved: bool) -> None:
    """How an account's pages are shown, and where a reset of its password is sent to; checked by the form.

    ``is_proved``: whether the password of now was asked for, which is ``user``'s as it was read then. Without it the
    email address stays.

    Raises:
        InvalidRequest: the email address was to be changed, and the password was not asked for.
        PasswordChanged: it was asked for, and changed since.
    """
    with transaction.atomic():
        stored = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if email != stored.email:
            if not is_proved:
                raise wrong_password("password")
            if stored.password != user.password:
                raise PasswordChanged("The password was changed meanwhile.")
        user.language, user.time_zone, user.email = language, time_zone, email
        user.save(update_fields=["language", "time_zone", "email"])
