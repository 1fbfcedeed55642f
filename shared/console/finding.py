"""Shows what was found by the box in the bar above each page: as lines under it while one types, and as a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.console.forms import FilterForm, SearchField
from shared.console.views import is_fragment, show

LINES, LINES_ON_A_PAGE = 6, 25
"""Of a kind, at most: under the box, and on the page."""
PATIENCE, PATIENCE_OF_PAGE = 300, 2000
"""Milliseconds that a statement may take."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was found: where it is, what it is, and what tells it from others like it."""

    address: str
    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of a kind. ``name`` is its own in the page; ``all_of_it`` the address of a list that has all of
    it, "" where none has."""

    name: str
    heading: str | Promise
    lines: Sequence[Line]
    all_of_it: str = ""
    took_too_long: bool = False


class SearchForm(FilterForm):
    q = SearchField(label=_("Search"), required=False, max_length=200)


Finder = Callable[[str, int, int], Sequence[Group]]
"""Finds what has some characters: these, the most lines of a kind, and the milliseconds that a statement may take."""


def show_found(request: HttpRequest, find: Finder) -> HttpResponse:
    """The answer to what the box asks: the lines under it, or the page."""
    form = SearchForm(request.GET)
    written = form.filters().get("q", "")
    most, patience = (LINES, PATIENCE) if is_fragment(request) else (LINES_ON_A_PAGE, PATIENCE_OF_PAGE)
    groups = find(written, most, patience) if written else ()
    context = {
        "form": form,
        "looked_for": written,
        "groups": groups,
        "found": sum(len(group.lines) for group in groups),
        "took_too_long": any(group.took_too_long for group in groups),
    }
    return show(request, "shared/found.html" if is_fragment(request) else "shared/search.html", context)
