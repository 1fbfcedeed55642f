"""Acts that are not taken back by another click: each is asked for in words before it is done.

One page and one dialog ask for all of them (shared/templates/shared/danger.html, danger_dialog.html). A link with
``data-asks`` opens the dialog, with what its own page has; without script it leads to that page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.console.views import is_fragment, show, status_of_form

CANCEL = _("Cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Danger:
    """What is asked."""

    question: str | Promise
    meaning: Sequence[str | Promise]
    """What will happen, a paragraph each."""
    act: str | Promise
    """The button that does it."""
    back: str
    """The address of the page that it was asked from."""
    keep: str | Promise = CANCEL
    """The button that leaves everything as it is: the first one. In a dialog it has the focus, unless something has to
    be written."""
    details: str = ""
    """A template that shows what it is about, of the context that is given beside."""
    form: Form | None = None
    """What has to be written for it, a reason for instance."""
    looks: str = "danger"
    """``primary`` where it does no harm: the undoing of such an act."""


def ask(request: HttpRequest, danger: Danger, context: dict[str, Any] | None = None) -> HttpResponse:
    """Asks, and where the form was refused asks again."""
    template = "shared/danger_dialog.html" if is_fragment(request) else "shared/danger.html"
    status = status_of_form(danger.form) if danger.form else 200
    return show(request, template, {**(context or {}), "danger": danger, "form": danger.form}, status=status)
