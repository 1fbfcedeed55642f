"""Template filters write amounts, numbers and moments for the reader: see shared/console/formats.py."""

import json
import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from django import forms, template
from django.conf import settings
from django.forms import BoundField
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from shared.console import formats
from shared.console.expired import secrets_of
from shared.console.views import is_fragment
from shared.days import today

register = template.Library()

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE_DAY = r'<span class="text-nowrap">\g<0></span>'


@register.filter
def shown_before(field: BoundField) -> SafeString:
    """What a form carries of the value that it was made with (EditForm), where a field is written option by option."""
    return field.as_hidden(only_initial=True) if field.field.show_hidden_initial else mark_safe("")


@register.filter
def number(value: int | None) -> str:
    """A grouped number."""
    return "" if value is None else formats.format_number(value)


@register.filter
def listed(names: Iterable[str]) -> str:
    """Names one after the other, with the comma of the reader's language."""
    return formats.format_list(names)


@register.filter
def tomans(value: int | None) -> str:
    """An amount with its unit."""
    return "" if value is None else _("%(amount)s Tomans") % {"amount": formats.format_number(value)}


@register.filter
def signed(value: int) -> str:
    """An amount with its sign: what is added has a plus."""
    return f"\u200e+{formats.format_number(value)}" if value > 0 else formats.format_number(value)


@register.filter
def signed_tomans(value: int) -> str:
    """An amount with its sign and its unit."""
    return _("%(amount)s Tomans") % {"amount": signed(value)}


@register.filter
def digits(value: Any) -> str:
    """Text with the reader's digits."""
    return formats.in_digits(str(value))


@register.filter
def moment(value: datetime | None) -> str | SafeString:
    """Day and time in the reader's zone, machine-readable beside it."""
    if value is None:
        return ""
    exact, short = formats.format_moment(value)
    whole = _DAY.sub(_WHOLE_DAY, short)
    # By format_html it took 15 µs, which is much where a page has fifty; and nobody writes anything into a moment.
    return mark_safe(f'<time datetime="{value.isoformat()}" title="{exact}" dir="ltr">{whole}</time>')  # noqa: S308


@register.filter
def whole_days(text: str) -> SafeString:
    """A text with days in it, of which none is broken at its hyphens where a line ends. (Slashes break no figures.)"""
    return mark_safe(_DAY.sub(_WHOLE_DAY, escape(text)))  # noqa: S308


@register.filter
def day(value: date | None) -> str:
    return "" if value is None else formats.format_day(value)


@register.filter
def phone(value: str) -> SafeString:
    """An E.164 number as people here write it (0912 123 4567), left to right in any text."""
    national = "0" + value.removeprefix("+98")
    written = f"{national[:4]} {national[4:7]} {national[7:]}"
    return format_html('<bdi dir="ltr" class="text-nowrap">{}</bdi>', formats.in_digits(written))


@register.filter
def percent(part: int, whole: int) -> str:
    """A share: 12.5%; a dash where there is no whole."""
    if not whole:
        return "–"
    share = f"{100 * part / whole:.1f}"
    return formats.in_digits(share.replace(".", "٫")) + "٪" if formats.is_persian() else f"{share}%"


@register.simple_tag
def today_as_iso() -> str:
    """The day that it is in the reader's time zone, as 2026-11-25: for scripts."""
    return today().isoformat()


@register.simple_tag
def version() -> str:
    """The product's version."""
    return settings.VERSION


@register.simple_tag
def querystring_of(**values: Any) -> SafeString:
    """Parameters for a link to another page, as slug=acme&name=Acme; Django's ``querystring`` adds to this page's."""
    return format_html("{}", urlencode(values))


@register.simple_tag(takes_context=True)
def back_to(context: Any, url_name: str) -> str:
    """The address of a list, with the filters and the page from which somebody came to this page, as far as the browser
    says so. (Where it has come by another way, a script knows them: the link has ``data-back``.)"""
    address, request = reverse(url_name), context["request"]
    try:
        came_from = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return address
    is_from_list = came_from.netloc == request.get_host() and came_from.path == address and came_from.query
    return f"{address}?{came_from.query}" if is_from_list else address


@register.simple_tag(takes_context=True)
def own_address(context: Any) -> SafeString:
    """Where a button sends its form that is to come back to this view: of an answer that htmx puts into a page, since
    the browser's address is that page's."""
    request = context["request"]
    if request.method != "POST" or not is_fragment(request):
        return mark_safe("")
    return format_html(' formaction="{}"', request.get_full_path())


@register.simple_tag(takes_context=True)
def sent_again(context: Any) -> SafeString:
    """What the page is the answer to, in one hidden field, for the same page in another language: see
    shared/console/languages.py.

    Passwords that nobody was to see stay out: of a form, those of its fields that hide what is typed; of what is no
    field of the page's form, whatever is named like a secret. ``sent`` in the context takes a file's place.
    """
    request = context["request"]
    fields, is_secret = getattr(context.get("form"), "fields", {}), secrets_of(request)

    def is_unseen(name: str) -> bool:
        return isinstance(fields[name].widget, forms.PasswordInput) if name in fields else is_secret(name)

    instead = context.get("sent", {}).items()
    sent = dict(request.POST.lists()) | {name: value if isinstance(value, list) else [value] for name, value in instead}
    kept = {name: values for name, values in sent.items() if not is_unseen(name) and name != "csrfmiddlewaretoken"}
    return format_html('<input type="hidden" name="sent_again" value="{}">', urlencode(kept, doseq=True))


@register.filter
def indented_json(value: Any) -> str:
    """A JSON document, one member a line."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def pill(look: str, text: str | Promise) -> SafeString:
    """A coloured word for a state; ``look`` is good, bad, wait or plain."""
    return format_html('<span class="state state-{}">{}</span>', look, text)
