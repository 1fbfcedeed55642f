"""One act for one proof: a reset link, an old password and a known password are each good once, however many use them
at the same moment."""

import re
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from credit.services import reset_seller_password
from shared.errors import InvalidRequest, PasswordChanged, Throttled
from shared.identity.lockout import ATTEMPTS_FROM_ONE_ADDRESS
from shared.identity.password_changes import password_state
from shared.identity.preferences import set_language, set_preferences
from shared.models import User
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.visitor import Visitor
from tests.support.world import PASSWORD, Organization

NEW = [f"tall green lamp {number}" for number in range(4)]


def form_of(visitor: Visitor, path: str) -> dict[str, str]:
    """The form's own fields, without which it is not taken."""
    page = visitor.get(path).body.decode()
    return {"csrfmiddlewaretoken": re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]}


def at_once(visitors: list[Visitor], path: str, fields: list[dict[str, Any]]) -> list[Answer]:
    """Each of them sends the form, with its own fields, at the same moment, having loaded it before."""
    forms = [form_of(visitor, path) for visitor in visitors]
    return together(
        [partial(visitor.post, path, form | own) for visitor, form, own in zip(visitors, forms, fields, strict=True)]
    )


def password_now(acme: Organization) -> str:
    user = User.objects.get(pk=acme.member.user.pk)
    (found,) = [password for password in (PASSWORD, *NEW) if user.check_password(password)]
    return found


def link_for(user: User) -> str:
    return f"/password-reset/{urlsafe_base64_encode(force_bytes(user.pk))}/{default_token_generator.make_token(user)}"


def test_of_four_at_once_with_one_reset_link_one_sets_its_password(acme: Organization) -> None:
    link = link_for(acme.member.user)
    visitors = [Visitor(acme.anyone) for _ in NEW]
    answers = at_once(visitors, link, [{"new": new, "again": new} for new in NEW])
    assert sorted(answer.status for answer in answers) == [302, 404, 404, 404]
    (won,) = [number for number, answer in enumerate(answers) if answer.status == 302]
    assert password_now(acme) == NEW[won]
    assert visitors[0].get(link).status == 404


def test_of_four_at_once_with_one_old_password_one_changes_it(acme: Organization) -> None:
    visitors = [Visitor.signed_in(acme.member) for _ in NEW]
    fields = [{"old": PASSWORD, "new": new, "again": new} for new in NEW]
    answers = at_once(visitors, "/account/password", fields)
    # Who comes when it is over is shown out to the sign-in.
    done = [number for number, answer in enumerate(answers) if answer.headers.get("Location") == "/account/password"]
    assert len(done) == 1
    assert password_now(acme) == NEW[done[0]]


def test_a_reset_link_is_not_good_after_the_email_address_or_the_password_changed(acme: Organization) -> None:
    visitor, rows = Visitor(acme.anyone), User.objects.filter(pk=acme.member.user.pk)
    for change in ({"email": "other@example.com"}, {"password": "argon2$nothing"}):
        link = link_for(rows.get())
        form = form_of(visitor, link)
        rows.update(**change)
        assert visitor.post(link, form | {"new": NEW[0], "again": NEW[0]}).status == 404
    assert rows.get().password == "argon2$nothing"


def test_a_language_that_is_switched_changes_nothing_else_of_the_account(acme: Organization) -> None:
    """From a page that was loaded before the email address was changed elsewhere."""
    stale = User.objects.get(pk=acme.member.user.pk)
    User.objects.filter(pk=stale.pk).update(email="new@example.com", time_zone="UTC")
    set_language(user=stale, language="fa")
    now = User.objects.get(pk=stale.pk)
    assert (now.language, now.email, now.time_zone) == ("fa", "new@example.com", "UTC")


def test_an_email_address_is_changed_by_the_password_that_is_good_when_it_changes(acme: Organization) -> None:
    stale = User.objects.get(pk=acme.member.user.pk)
    wanted = {"language": "fa", "time_zone": "UTC", "email": "a@example.com"}
    with pytest.raises(InvalidRequest):  # it was not asked for: the address was thought to be the same
        set_preferences(user=stale, **wanted, is_proved=False)
    User.objects.filter(pk=stale.pk).update(password="argon2$another")
    with pytest.raises(PasswordChanged):
        set_preferences(user=stale, **wanted, is_proved=True)
    assert User.objects.get(pk=stale.pk).email == ""


def test_an_admin_does_not_guess_a_sellers_password_by_resetting_it_with_an_old_form(acme: Organization) -> None:
    def reset(password: str, state: str) -> Any:
        try:
            with acme.context:
                return reset_seller_password(
                    organization=acme.row, seller_id=acme.member.id, password=password, state=state, address="192.0.2.7"
                )
        except (PasswordChanged, Throttled) as problem:
            return type(problem)

    state = password_state(User.objects.get(pk=acme.member.user.pk))
    assert reset(NEW[0], state) is None
    assert reset(NEW[0], state) is None  # the same again
    for number in range(ATTEMPTS_FROM_ONE_ADDRESS):
        assert reset(f"a guess, number {number}", state) is PasswordChanged
    assert reset(NEW[0], state) is Throttled
