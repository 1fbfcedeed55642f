"""What a person is told of a problem stands once, with the problem's class."""

import importlib
from collections import defaultdict
from collections.abc import Iterator
from types import MappingProxyType

import pytest
from django.utils import translation
from django.utils.functional import Promise

from credit.errors import InsufficientCredit
from shared.console.messages import field_message_for, message_for
from shared.errors import InvalidRequest, PermissionDenied, Problem, SellerBusy
from tests.support.server import ROOT

APPS = ("saas", "tenants", "shared", "credit", "recharge")

FOR_PROGRAMS = {
    "not_authenticated",
    "token_wrong_organization",
    "key_refused",
    "not_acceptable",
    "unsupported_media_type",
    "idempotency_key_missing",
    "not_sold",
    "second_factor_required",
}
"""Codes that no page meets: their classes have no words for people, and say so."""

OF_ANOTHER = {"BulkRefused"}
"""Classes whose problems have the code of another one, each time."""


SAID_MORE_CLOSELY = {
    "SlipTooLarge",
    "TooManyPixels",
    "OtherSellerInactive",
    "GiverOwes",
    "SwitchedOffByOthers",
    "SentFromElsewhere",
    "FormExpired",
    "AccountInactive",
    "AccessChanged",
    "SellersWebhook",
    "ProvisionedOnServer",
}
"""Classes of a code that says to a program all it needs to know, and to a person who has to mend it too little."""


def problems() -> list[type[Problem]]:
    """Every class of the product."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if path.name != "wsgi.py":  # which is the application, and not only says what it is
                importlib.import_module(
                    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                )
    return [one for one in _below(Problem) if one.__module__.partition(".")[0] in APPS]


def _below(parent: type[Problem]) -> Iterator[type[Problem]]:
    for one in parent.__subclasses__():
        yield one
        yield from _below(one)


PROBLEMS = problems()


def _id(one: type[Problem]) -> str:
    return one.__name__


def test_they_are_found() -> None:
    assert len({one.code for one in PROBLEMS if hasattr(one, "code")}) > 30
    assert {"SellerBusy", "NothingHere", "InvalidTerms", "TooManyWebhooks", "BulkRefused"} <= set(map(_id, PROBLEMS))


@pytest.mark.parametrize("one", PROBLEMS, ids=_id)
def test_a_code_has_words_of_its_own(one: type[Problem]) -> None:
    """Who gives a class a code says in the same place what a person is told, or that none is."""
    if not hasattr(one, "code"):
        assert one.__name__ in OF_ANOTHER
        return
    if "code" in vars(one):
        assert "message" in vars(one), f"{one.__name__}: what is a person told of {one.code}?"
    if one.message is None:
        assert one.code in FOR_PROGRAMS, f"{one.__name__}: what is a person told of {one.code}?"
    else:
        assert one.code not in FOR_PROGRAMS
        assert isinstance(one.message, Promise)  # translated when it is shown, not when it is imported


def test_a_code_has_one_text() -> None:
    texts = defaultdict(set)
    for one in PROBLEMS:
        if hasattr(one, "code") and one.__name__ not in SAID_MORE_CLOSELY:
            texts[one.code].add(str(one.message))
    assert {code: found for code, found in texts.items() if len(found) > 1} == {}


def test_each_refusal_says_its_own_reason() -> None:
    """Who lacks a permission does something else next than whose page has expired: no text stands for several."""
    texts = [str(one.message) for one in (PermissionDenied, *_below(PermissionDenied)) if one.message is not None]
    assert len(texts) > 10
    assert sorted(texts) == sorted(set(texts))


def test_a_fields_code_has_one_text() -> None:
    texts = defaultdict(set)
    for one in (InvalidRequest, *_below(InvalidRequest)):
        assert InvalidRequest.field_messages.items() <= one.field_messages.items()
        for code, text in one.field_messages.items():
            assert isinstance(text, Promise)
            texts[code].add(str(text))
    assert {code: found for code, found in texts.items() if len(found) > 1} == {}


def test_what_is_told_names_its_amounts() -> None:
    problem = InsufficientCredit(balance=1234, required=50_000)
    assert "this needs 50,000 Tomans, and you have 1,234." in message_for(problem)
    with translation.override("fa"):
        assert "۵۰٬۰۰۰" in message_for(problem)


def test_a_page_may_say_it_otherwise() -> None:
    assert message_for(SellerBusy(), instead={SellerBusy: "Wait."}) == "Wait."
    assert message_for(SellerBusy(), instead={Problem: "Wait."}) == str(SellerBusy.message)
    assert message_for(SellerBusy(), instead=MappingProxyType({})) == str(SellerBusy.message)


def test_a_field_without_words_is_told_its_detail() -> None:
    problem = InvalidRequest.of_field("slug", "reserved_slug", "This name is reserved.")
    (error,) = problem.members["errors"]
    assert field_message_for(problem, error) == "This name is reserved."  # of another class, it has words
