"""What people and programs did in an organization: the page, and the same as a file."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit import queries
from credit.models import AuditRecord
from shared.acts import ACTS
from shared.console.acts import act_name, changes
from shared.console.forms import AS_WRITTEN, ChoiceField, DaysForm, SearchField, TextInput
from shared.console.links import address_of
from shared.console.tables import WIDE, Table, TableColumn
from shared.console.views import page, show, signed_in
from shared.identity.permissions import Permission
from shared.pagination import page_of_rows
from shared.templatetags.console import moment
from tenants.exports import as_json, csv_response, pages_of
from tenants.routing import organization_of

ROWS_ON_A_PAGE = 25


class AuditFilters(DaysForm):
    actor = SearchField(label=_("User (username)"), max_length=150, required=False, widget=TextInput(attrs=AS_WRITTEN))
    action = ChoiceField(label=_("Action"), required=False, choices=[("", _("Any")), *ACTS.items()])
    field_order = ("actor", "action", "from_day", "to_day")


@page(Permission.VIEW_AUDIT_LOG)
def audit_log(request: HttpRequest) -> HttpResponse:
    """Acts, newest first."""
    form = AuditFilters(request.GET)
    filters = form.filters()
    rows = queries.audit_records(**filters)
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    shown = page_of_rows(rows, limit=ROWS_ON_A_PAGE, cursor=request.GET.get("cursor"))
    context: dict[str, Any] = {"page": shown, "table": audit_table(shown.rows), "form": form}
    context["exports"] = [(_("Export as CSV"), address_of("audit_log_csv"))]
    return show(request, "credit/audit_log.html", context)


@page(Permission.VIEW_AUDIT_LOG)
def audit_log_csv(request: HttpRequest) -> HttpResponseBase:
    """The same rows as a file, with the columns of the API's."""
    form = AuditFilters(request.GET)
    filters = form.filters()
    if form.errors:
        return redirect(reverse("audit_log") + form.query)
    rows = queries.audit_records(**filters)
    return csv_response(
        filename="audit.csv",
        columns=queries.AUDIT_COLUMNS,
        pages=as_json(pages_of(organization_of(request), lambda **after: rows.filter(**after)), "before", "after"),
        request=request,
        person=signed_in(request).user.pk,
        filters=filters,
        is_for_people=True,
    )


def audit_table(rows: list[AuditRecord]) -> Table:
    """A table of acts: when, by whom and from where, and what was changed."""
    return Table(
        _("Audit log"),
        (
            TableColumn(_("Time"), lambda row: moment(row.at), f"{WIDE} text-nowrap"),
            TableColumn(_("Action"), _what),
            TableColumn(_("User"), _who),
        ),
        rows,
    )


def _what(row: AuditRecord) -> SafeString:
    of_it = row.object and format_html('<div class="small text-break"><bdi>{}</bdi></div>', row.object)
    return format_html(
        '<strong>{}</strong>{}{}<div class="d-md-none small text-secondary">{}</div>',
        act_name(row.action),
        of_it,
        changes(row),
        moment(row.at),
    )


def _who(row: AuditRecord) -> SafeString:
    if row.actor:
        who = format_html('<bdi class="text-break">{}</bdi>', row.actor)
    else:
        who = format_html("{}", gettext("Nobody signed in") if row.address else gettext("A command"))
    by_key = row.key_id and format_html('<div class="small">{}</div>', gettext("API key"))
    from_where = row.address and format_html(
        '<div class="small text-secondary text-break"><bdi dir="ltr">{}</bdi></div>', row.address
    )
    return format_html("{}{}{}", who, by_key or "", from_where)
