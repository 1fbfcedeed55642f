"""Form fields read what people write (Persian digits, grouped amounts, Jalali dates); their looks are here, too."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.forms.utils import flatatt
from django.http import QueryDict
from django.utils.functional import Promise, cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from shared.console.formats import format_day, format_number, read_day
from shared.console.spans import Span, month_spans, usual_spans
from shared.days import end_of_day, start_of_day, today
from shared.errors import FIELD_MESSAGES
from shared.money import LARGEST_AMOUNT
from shared.phones import InvalidPhoneNumber, is_e164, national, normalize_phone_number
from shared.texts import UnreadableNumber, read_whole_number, unfit_character, without_marks

AS_WRITTEN = {"dir": "ltr", "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
"""Attributes of a field for a name or an address: from the left, and no keyboard "corrects" it."""


class Form(forms.Form):
    """Bootstrap's looks; each field's errors and help belong to it for screen readers too (Django sees to that)."""

    template_name = "shared/form.html"
    use_required_attribute = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if field.required and field.error_messages["required"] is forms.Field.default_error_messages["required"]:
                field.error_messages["required"] = str(FIELD_MESSAGES["required"])
            widget = field.widget
            if isinstance(widget, forms.CheckboxInput | forms.CheckboxSelectMultiple | forms.RadioSelect):
                looks = "form-check-input"
            elif isinstance(widget, forms.Select):
                looks = "form-select"
            else:
                looks = "form-control"
            widget.attrs["class"] = f"{widget.attrs.get('class', '')} {looks}".strip()

    @property
    def has_days(self) -> bool:
        """Whether a field is a day: beside it there is a calendar to choose from (shared/day_picker.html)."""
        return any(isinstance(field, DayField) for field in self.fields.values())


class EditForm(Form):
    """A form of something that others may edit at the same time. ``initial`` is what is stored now.

    It carries what it was made with, field by field. So what somebody left alone is not written over what another has
    saved meanwhile (:meth:`edits`), and what both have changed is said, and asked again."""

    together: ClassVar[tuple[str, ...]] = ()
    """Fields that are one thing: who changes one of them, changes all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = not isinstance(field.widget, forms.PasswordInput)

    @cached_property
    def changed_data(self) -> list[str]:
        """The fields that are not as they were shown, or (where the form does not say how) as they are stored."""
        changed = []
        for name, field in self.fields.items():
            says = field.show_hidden_initial and self[name].html_initial_name in self.data
            before = field.to_python(self._shown(name)) if says and self._reads(name) else self.initial.get(name)
            if field.has_changed(before, self._given(name)):
                changed.append(name)
        return changed

    def _reads(self, name: str) -> bool:
        try:
            self.fields[name].to_python(self._shown(name))
        except forms.ValidationError:
            return False
        return True

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        moved = self._with_those_together({name for name in self.fields if self._has_moved(name)})
        for name in sorted(moved & self._with_those_together(set(self.changed_data))):
            if self._has_moved(name) and self.fields[name].has_changed(self.initial.get(name), self._given(name)):
                self.add_error(name, self._conflict(name))
        if self.errors:
            self._take_what_is_stored_for_shown(moved)
        return cleaned

    def edits(self) -> dict[str, Any]:
        """What was changed in it, cleaned: by name of the field."""
        changed = self._with_those_together(set(self.changed_data))
        return {name: value for name, value in self.cleaned_data.items() if name in changed}

    def _with_those_together(self, names: set[str]) -> set[str]:
        return names | set(self.together) if names & set(self.together) else names

    def _given(self, name: str) -> Any:
        return self[name].data

    def _shown(self, name: str) -> Any:
        widget = self.fields[name].hidden_widget()
        return widget.value_from_datadict(self.data, self.files, self[name].html_initial_name)

    def _has_moved(self, name: str) -> bool:
        """Whether what is stored is no longer what the form was made with (as far as it says that)."""
        field = self.fields[name]
        if not field.show_hidden_initial or self[name].html_initial_name not in self.data:
            return False
        try:
            stored = field.to_python(self.initial.get(name))
        except forms.ValidationError:
            return False
        return field.has_changed(stored, self._shown(name))

    def _conflict(self, name: str) -> str:
        stored = self.initial.get(name)
        written = ", ".join(map(str, stored)) if isinstance(stored, list) else str(stored or "–")
        return str(_("Somebody else changed this after you opened the form. It is now: %(now)s") % {"now": written})

    def _take_what_is_stored_for_shown(self, names: set[str]) -> None:
        """Who sends it again has seen what is said."""
        data: Any = self.data  # a QueryDict
        data = data.copy()
        for name in names:
            stored, of_name = self.initial.get(name), self[name].html_initial_name
            if of_name in data:
                values = [str(one) for one in stored] if isinstance(stored, list) else [str(stored or "")]
                data.setlist(of_name, values)
        self.data = data


class TextInput(forms.TextInput):
    """Django's, written by a function, since each page of a list has several in its filters."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        given = "" if widget["value"] is None else format_html(' value="{}"', widget["value"])
        attributes = flatatt(widget["attrs"])
        return format_html('<input type="{}" name="{}"{}{}>', self.input_type, name, given, attributes)


class Select(forms.Select):
    """Django's for options without groups, written by a function: its templates take 60 µs for each option."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        options = [option for _group, members, _index in widget["optgroups"] for option in members]
        return format_html(
            '<select name="{}"{}>{}</select>',
            name,
            flatatt(widget["attrs"]),
            format_html_join(
                "",
                '<option value="{}"{}>{}</option>',
                ((option["value"], flatatt(option["attrs"]), option["label"]) for option in options),
            ),
        )


class ChoiceField(forms.ChoiceField):
    """One of several, as a list to choose from."""

    widget = Select


class TextField(forms.CharField):
    """One line of text, without characters that nobody sees or that no document may hold."""

    widget = TextInput

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value))
        if "\x00" not in text and unfit_character(text):  # NUL: Django's own words
            raise forms.ValidationError(str(FIELD_MESSAGES["unfit_character"]), code="unfit_character")
        return text


class FileInput(forms.FileInput):
    """Where a file is chosen. One of more than ``most`` bytes is refused as soon as it is chosen (console.js), and not
    after it was sent, by a page that knows nothing of the form."""

    def __init__(self, *, accept: str, most: int, too_large: str | Promise) -> None:
        super().__init__(attrs={"accept": accept, "data-most-bytes": most, "data-too-large": too_large})


class SearchField(TextField):
    """What something is found by: marks that came along with it from elsewhere are passed over."""

    def to_python(self, value: Any) -> str:
        return super().to_python(without_marks(value) if isinstance(value, str) else value)


class TomansFormField(forms.Field):
    """An amount of 1 to 1,000,000,000,000 Tomans, with any digits and grouping that people use."""

    default_error_messages = {
        "required": _("Write an amount in Tomans."),
        "invalid": _("Write an amount in whole Tomans, in digits alone."),
        "grouped": _("Only separate groups of three digits, like 50,000; no decimals."),
        "shortened": _("A spreadsheet has shortened this amount (like 5E+05). Format the column as a number there."),
        "too_small": _("This must be at least 1 Toman."),
        "too_large": _("This is more than can be sold or credited at once."),
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Amount (Tomans)"))
        kwargs.setdefault(
            "widget",
            TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "dir": "ltr", "maxlength": 30}),
        )
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        try:
            amount = read_whole_number(str(value))
        except UnreadableNumber as error:
            raise forms.ValidationError(self.error_messages[error.code], code=error.code) from None
        if amount < 1:
            raise forms.ValidationError(self.error_messages["too_small"], code="too_small")
        if amount > LARGEST_AMOUNT:
            raise forms.ValidationError(self.error_messages["too_large"], code="too_large")
        return amount


class WholeNumberFormField(forms.IntegerField):
    """A whole number of a range, in any digits."""

    def __init__(self, *, least: int, most: int, **kwargs: Any) -> None:
        widget = TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "dir": "ltr", "maxlength": 10})
        super().__init__(min_value=least, max_value=most, widget=widget, **kwargs)
        said = _("Write a whole number from %(least)s to %(most)s.")
        self._said = said
        self._least, self._most = least, most

    def clean(self, value: Any) -> Any:
        try:
            return super().clean(str(read_whole_number(value)) if str(value or "").strip() else "")
        except (UnreadableNumber, forms.ValidationError) as error:
            if isinstance(error, forms.ValidationError) and {one.code for one in error.error_list} == {"required"}:
                raise
            numbers = {"least": format_number(self._least), "most": format_number(self._most)}
            raise forms.ValidationError(self._said, code="invalid", params=numbers) from None


class PhoneNumberFormField(forms.Field):
    """An Iranian mobile number in any usual writing; E.164 comes out. A form that comes back with that shows it as
    it is dialled in the country."""

    default_error_messages = {"required": _("Write the number to recharge.")}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Phone number"))
        kwargs.setdefault(
            "widget", TextInput(attrs={"inputmode": "tel", "autocomplete": "off", "dir": "ltr", "maxlength": 40})
        )
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> str | None:
        if value in self.empty_values:
            return None
        try:
            return normalize_phone_number(str(value))
        except InvalidPhoneNumber as error:
            raise forms.ValidationError(str(FIELD_MESSAGES[error.code]), code=error.code) from None

    def prepare_value(self, value: Any) -> Any:
        return national(value) if isinstance(value, str) and is_e164(value) else value


class DayField(forms.Field):
    """A day: 2026-11-25, or Jalali ۱۴۰۵/۰۹/۰۴."""

    default_error_messages = {"invalid": _("Write a day like 2026-11-25 or 1405/09/04.")}

    def __init__(self, **kwargs: Any) -> None:
        looks = {"dir": "ltr", "autocomplete": "off", "maxlength": 10, "data-day": True}
        kwargs.setdefault("widget", TextInput(attrs=looks))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> date | None:
        if value in self.empty_values:
            return None
        try:
            return read_day(str(value))
        except ValueError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


class PasswordFormField(forms.CharField):
    """A new or an old password."""

    def __init__(self, *, autocomplete: str, **kwargs: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": autocomplete, "dir": "ltr"})
        super().__init__(strip=False, max_length=1000, widget=widget, **kwargs)


# --- Filters of a list ------------------------------------------------------------------------------------------------


class GivenPasswordField(forms.CharField):
    """A password that an admin gives to somebody else, and so must be able to read."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Password"))
        kwargs.setdefault(
            "help_text", _("This is a strong suggestion. You can write another one of at least 8 characters.")
        )
        super().__init__(strip=False, max_length=1000, widget=TextInput(attrs=AS_WRITTEN), **kwargs)


class FilterForm(Form):
    """Filters, bound to what the address has of them; see shared/filters.html."""

    template_name = "shared/filter_fields.html"

    def filters(self) -> dict[str, Any]:
        """What was chosen, as a query takes it, or nothing where something can't be read: its field says so."""
        if not self.is_valid():
            return {}
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}

    @property
    def cache_key(self) -> str:
        """The key under which the fields as they are now are kept for the next who sees them; "" keeps nothing."""
        return ""

    @property
    def query(self) -> str:
        """The filters as they were given, for a link: ``?kind=credit``; nothing if there are none."""
        given = {name: self.data[name] for name in self.fields if self.data.get(name)}
        return "?" + urlencode(given) if given else ""


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A link to the list of a span of days, with the other filters as they are."""

    span: Span
    query: str
    is_shown: bool
    """Whether these are the days that are shown."""


class DaysForm(FilterForm):
    """From a day to a day in the reader's time zone; each end may be left open."""

    from_day = DayField(label=_("From day"), required=False)
    to_day = DayField(label=_("To day"), required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        first, last = cleaned.get("from_day"), cleaned.get("to_day")
        if first and last and first > last:
            self.add_error("to_day", _("This day is before the first one. Choose a later one."))
        return cleaned

    def filters(self) -> dict[str, Any]:
        filters = super().filters()
        first, last = filters.pop("from_day", None), filters.pop("to_day", None)
        if first:
            filters["created_from"] = start_of_day(first)
        if last:
            filters["created_to"] = end_of_day(last)
        return filters

    def spans(self) -> list[Span]:
        """Spans of days that the list is asked for by name."""
        return usual_spans(today())

    @property
    def span_links(self) -> list[SpanLink]:
        """Links to the usual spans."""
        return self._links(self.spans())

    @property
    def month_links(self) -> list[SpanLink]:
        """Links to the last months."""
        return self._links(month_spans(today()))

    def _links(self, spans: Iterable[Span]) -> list[SpanLink]:
        others = self._others
        shown = tuple(self._day_in(name) for name in _ENDS)
        return [
            SpanLink(
                span,
                "?" + urlencode([*others, ("from_day", format_day(span.first)), ("to_day", format_day(span.last))]),
                shown == (span.first, span.last),
            )
            for span in spans
        ]

    @property
    def _others(self) -> list[tuple[str, str]]:
        """All else of the address, as the order of the list; but not its page, which is one of other days."""
        given = (
            self.data.lists() if isinstance(self.data, QueryDict) else ((name, [self.data[name]]) for name in self.data)
        )
        return [(name, one) for name, values in given for one in values if one and name not in (*_ENDS, "cursor")]

    def _day_in(self, name: str) -> date | None:
        try:
            return read_day(str(self[name].value()))
        except ValueError:
            return None


_ENDS = ("from_day", "to_day")
