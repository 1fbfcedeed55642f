"""The platform's console: organizations and their figures, the search, provisioning, the audit log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import split_domain_port
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_htmx.http import HttpResponseClientRedirect

from recharge.reports.books import prove_books
from recharge.reports.sums import Figures, figures_of
from shared.acts import ACTS, PLATFORM_ACTS
from shared.console.danger import Danger, ask
from shared.console.finding import Group, Line, show_found
from shared.console.forms import (
    AS_WRITTEN,
    ChoiceField,
    DaysForm,
    FilterForm,
    Form,
    PasswordFormField,
    SearchField,
    TextField,
    TextInput,
)
from shared.console.links import address_of
from shared.console.roles import role_name
from shared.console.views import FORM, add_problem, done, is_fragment, page, show, signed_in, status_of_form
from shared.database import within
from shared.days import days_before, start_of_day, today
from shared.errors import NotFound, Problem
from shared.identity.permissions import Permission
from shared.identity.realm import PLATFORM
from shared.identity.roles import may
from shared.members.services import members_like
from shared.pagination import page_of_rows
from tenants import queries, services
from tenants.errors import OrganizationExists, SlugRefused
from tenants.exports import as_json, csv_response, pages_of
from tenants.models import Organization
from tenants.slugs import LONGEST, InvalidSlug, check_slug
from tenants.standby import Read, read_from_standby

ON_A_PAGE = 25
"""Rows of a list."""

SHOWN_FAULTS = 100
"""Faults of a reconciliation that are shown; all of them are printed by ``manage.py reconcile``."""

RECENT = 10
"""Lines of the audit log on an organization's page."""


@page(Permission.VIEW_ORGANIZATIONS)
def start(request: HttpRequest) -> HttpResponse:
    """The platform's address alone."""
    return redirect("organizations")


# --- Organizations ----------------------------------------------------------------------------------------------------


class SearchForm(FilterForm):
    search = SearchField(label=_("Part of the name or address"), max_length=200, required=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list: an organization, and what it sold today (None: it is not provisioned yet, or its schema is
    broken)."""

    organization: Organization
    figures: Figures | None
    is_cut_off: bool


@page(Permission.VIEW_ORGANIZATIONS)
def organizations(request: HttpRequest) -> HttpResponse:
    """All of them, newest first, with today's figures."""
    form = SearchForm(request.GET or None)
    search = form.cleaned_data["search"] if form.is_valid() else ""
    found = page_of_rows(queries.organizations(search=search), limit=ON_A_PAGE, cursor=request.GET.get("cursor"))
    working = [row for row in found.rows if _is_working(row)]
    figures = _figures_of(working, since=start_of_day(today()))
    unfinished = [row.slug for row in found.rows if not _is_working(row)]
    at_work = queries.being_provisioned(unfinished) if unfinished else set()
    rows = [
        Row(row, figures.value.get(row.pk), is_cut_off=not _is_working(row) and row.slug not in at_work)
        for row in found.rows
    ]
    context = {"page": found, "rows": rows, "form": form, "search": search, "as_of": figures.as_of}
    return show(request, "saas/organizations.html", context)


@page(Permission.VIEW_ORGANIZATIONS)
def organization(request: HttpRequest, slug: str) -> HttpResponse:
    """One organization's figures, address, admins, books and history."""
    return show(request, "saas/organization.html", _details(request, queries.organization_by_slug(slug)))


def _details(request: HttpRequest, row: Organization) -> dict[str, Any]:
    if not _is_working(row):
        return {"row": row, "is_cut_off": row.slug not in queries.being_provisioned([row.slug])}
    since = [start_of_day(today()), start_of_day(days_before(today(), 6))]
    figures = [_figures_of([row], since=moment) for moment in since]
    return {
        "row": row,
        # None where its schema is broken.
        "today": figures[0].value.get(row.pk),
        "week": figures[1].value.get(row.pk),
        "as_of": figures[0].as_of,
        "host": _host_of(row),
        "address": _address_of(request, row),
        "admins": queries.admins_of(row),
        "suspension": queries.last_suspension(row.slug) if row.status == Organization.Status.SUSPENDED else None,
        "records": queries.audit_records(organization=row.slug).order_by("-pk")[:RECENT],
    }


def _figures_of(rows: list[Organization], *, since: datetime) -> Read[dict[int, Figures]]:
    """What they sold. That a schema is broken is said by the primary alone: a standby may not have a new one yet."""
    read = read_from_standby(lambda: figures_of(rows, since=since))
    return read if read.as_of is None or len(read.value) == len(rows) else Read(figures_of(rows, since=since))


def _is_working(row: Organization) -> bool:
    return row.status != Organization.Status.PROVISIONING


def _host_of(row: Organization) -> str:
    domains = sorted(row.domains.all(), key=lambda domain: not domain.is_primary)
    return domains[0].domain if domains else services.domain_of(row.slug)


def _address_of(request: HttpRequest, row: Organization) -> str:
    """An organization's own address: at the port at which the platform was asked."""
    port = split_domain_port(request.get_host())[1]
    return f"{request.scheme}://{_host_of(row)}{f':{port}' if port else ''}/"


class SuspensionForm(Form):
    """Nobody writes an address by a slip of the finger."""

    slug = TextField(label=_("Its address, to make sure"), max_length=LONGEST, widget=TextInput(attrs=AS_WRITTEN))
    reason = TextField(
        label=_("Reason"),
        max_length=services.LONGEST_REASON,
        help_text=_("For the audit log and this organization's page here. Its own people are not shown it."),
    )

    def __init__(self, *args: Any, slug: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = slug
        self.fields["slug"].help_text = str(_("Write %(slug)s.") % {"slug": slug})

    def clean_slug(self) -> str:
        written: str = self.cleaned_data["slug"]
        if written.lower() != self.address:
            message = _("This is not the address of this organization. Write %(slug)s.")
            raise forms.ValidationError(message, "other", {"slug": self.address})
        return written


@page(Permission.MANAGE_ORGANIZATIONS, methods=FORM)
def suspend(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks for confirmation, and stops answering for an organization."""
    row = _working_organization(slug)
    form = SuspensionForm(request.POST or None, slug=slug)
    if request.method == "POST" and form.is_valid():
        services.suspend_organization(slug=slug, reason=form.cleaned_data["reason"])
        return done(request, _("%(name)s is suspended.") % {"name": row.name}, "organization", slug)
    danger = Danger(
        question=gettext("Suspend %(name)s?") % {"name": row.name},
        meaning=[
            _(
                "Within seconds nobody in it can sign in, sell or use the API. Earlier sales are still delivered, and "
                "its data stay. You can activate it again."
            )
        ],
        act=_("Suspend"),
        back=reverse("organization", args=[slug]),
        keep=_("Keep it active"),
        form=form,
    )
    return ask(request, danger)


@page(Permission.MANAGE_ORGANIZATIONS, methods=FORM)
def activate(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks for confirmation, and answers for it again."""
    row = _working_organization(slug)
    if request.method != "POST":
        danger = Danger(
            question=gettext("Activate %(name)s?") % {"name": row.name},
            meaning=[_("Its admins and sellers can sign in and sell again within seconds.")],
            act=_("Activate"),
            back=reverse("organization", args=[slug]),
            keep=_("Leave it suspended"),
            looks="primary",
        )
        return ask(request, danger)
    services.activate_organization(slug=slug)
    return done(request, _("%(name)s is active.") % {"name": row.name}, "organization", slug)


def _working_organization(slug: str) -> Organization:
    row = queries.organization_by_slug(slug)
    if not _is_working(row):
        raise NotFound("This organization is not provisioned yet.")
    return row


@page(Permission.MANAGE_ORGANIZATIONS, methods=("POST",))
def reconcile(request: HttpRequest, slug: str) -> HttpResponse:
    """Proves what came into an organization's books since they were last proved, and shows the rows at fault. It may be
    repeated: it changes nothing that they say."""
    row = _working_organization(slug)
    (proof,) = prove_books([row])
    services.record_reconciliation(organization=row, faults=len(proof.faults))
    context = {"row": row, "faults": proof.faults[:SHOWN_FAULTS], "is_proved": True}
    if is_fragment(request):
        return show(request, "saas/books.html", context)
    return show(request, "saas/organization.html", _details(request, row) | context)


# --- Search -----------------------------------------------------------------------------------------------------------


@page(Permission.VIEW_ORGANIZATIONS)
def search(request: HttpRequest) -> HttpResponse:
    """Organizations by their name or address and, for who may see them, the platform's own people."""

    def found(written: str, most: int, patience: int) -> list[Group]:
        with within(patience):
            rows = list(queries.organizations(search=written).order_by("-pk")[:most])
        groups = []
        if rows:
            lines = [Line(reverse("organization", args=[row.slug]), row.name, row.slug) for row in rows]
            all_of_it = f"{address_of('organizations')}?{urlencode({'search': written})}" if len(rows) == most else ""
            groups.append(Group("organizations", _("Organizations"), lines, all_of_it))
        return groups + _members_found(request, written, most)

    return show_found(request, found)


def _members_found(request: HttpRequest, written: str, most: int) -> list[Group]:
    account = signed_in(request)
    if not may(account, Permission.VIEW_MEMBERS):
        return []
    may_manage = may(account, Permission.MANAGE_MEMBERS)
    listed = f"{address_of('members')}?{urlencode({'search': written})}"
    lines = [
        Line(address_of("member", row.pk) if may_manage else listed, row.username, role_name(row.platform_role))
        for row in members_like(PLATFORM, written).order_by("-pk")[:most]
    ]
    return [Group("members", _("Members"), lines, listed if len(lines) == most else "")] if lines else []


# --- Provisioning -----------------------------------------------------------------------------------------------------


class ProvisionForm(Form):
    slug = TextField(
        label=_("Address"),
        max_length=LONGEST,
        help_text=_("Lower-case letters, digits and hyphens. It can't be changed later."),
        widget=TextInput(
            attrs=AS_WRITTEN
            | {
                "hx-get": reverse_lazy("check_new_slug"),
                "hx-trigger": "input changed delay:300ms",
                "hx-target": "#slug-state",
                "hx-sync": "this:replace",
            }
        ),
    )
    name = TextField(label=_("Name"), max_length=200)
    admin_username = TextField(
        label=_("Username of its admin"),
        max_length=150,
        widget=TextInput(attrs=AS_WRITTEN),
    )
    admin_password = PasswordFormField(
        label=_("Password of its admin"),
        autocomplete="new-password",
        help_text=_("At least 8 characters, not a common one. Its admin changes it after signing in."),
    )
    admin_email = forms.EmailField(
        label=_("Admin's email address"),
        required=False,
        max_length=254,
        help_text=_("Password resets are sent here."),
        widget=forms.EmailInput(attrs=AS_WRITTEN),
    )


_FIELDS = {f"admin.{name}": f"admin_{name}" for name in ("username", "password", "email")}


@page(Permission.MANAGE_ORGANIZATIONS, methods=FORM)
def provision(request: HttpRequest) -> HttpResponse:
    """A new organization, or the rest of one that was cut off."""
    initial = {name: request.GET.get(name, "") for name in ("slug", "name")}
    form = ProvisionForm(request.POST or None, initial=initial)
    existing = ""
    if request.method == "POST" and form.is_valid():
        try:
            row = services.provision_organization(**form.cleaned_data)
        except OrganizationExists as problem:
            add_problem(form, problem)
            existing = form.cleaned_data["slug"]
        except Problem as problem:
            add_problem(form, problem, fields=_FIELDS)
        else:
            answer = done(
                request,
                _("%(name)s is ready. Its admin signs in as %(username)s at %(address)s")
                % {
                    "name": row.name,
                    "username": form.cleaned_data["admin_username"],
                    "address": _address_of(request, row),
                },
                "organization",
                row.slug,
            )
            if is_fragment(request):
                return HttpResponseClientRedirect(reverse("organization", args=[row.slug]))
            return answer
    context = {"form": form, "existing": existing, "base_domain": services.domain_of("")}
    template = "saas/provision_form.html" if is_fragment(request) else "saas/provision.html"
    return show(request, template, context, status=status_of_form(form))


class SlugForm(Form):
    """What is typed so far."""

    slug = TextField(max_length=LONGEST, required=False)


@page(Permission.MANAGE_ORGANIZATIONS)
def check_new_slug(request: HttpRequest) -> HttpResponse:
    """A part of the form: whether this address may be had, while it is typed."""
    slug = request.GET.get("slug", "")
    problem: str | Promise = ""
    unfinished = False
    try:
        check_slug(slug)
    except InvalidSlug as error:
        problem = SlugRefused.field_messages.get(error.code, str(error))
    else:
        taken = queries.organizations().filter(slug=slug).first()
        unfinished = taken is not None and not _is_working(taken)
        if (taken and not unfinished) or (taken is None and queries.is_former_slug(slug)):
            problem = OrganizationExists.message
    context = {"slug": slug, "problem": problem, "unfinished": unfinished, "host": services.domain_of(slug)}
    return show(request, "saas/slug_state.html", context)


@page(Permission.MANAGE_ORGANIZATIONS)
def progress(request: HttpRequest) -> HttpResponse:
    """A part of the form: how far the provisioning of this address is. It asks again by itself, saying what it knows,
    until it is over; where there is nothing new, the answer is empty."""
    form = SlugForm(request.GET)
    slug = form.cleaned_data["slug"] if form.is_valid() else ""
    row = queries.organizations().filter(slug=slug).first()
    at_rest = 0
    if row is None:
        step = "reserving"
    elif _is_working(row):
        step = "ready"
    else:
        # Between two of its steps a provisioning holds nothing for a moment, as one does that was cut off for good: the
        # page counts how often it was found so.
        at_rest = 0 if slug in queries.being_provisioned([slug]) else _times_at_rest(request) + 1
        step = "cut_off" if at_rest > LONGEST_REST else "building"
    is_news = step != request.GET.get("step")
    if not is_news and not at_rest and not _times_at_rest(request):
        return HttpResponse(status=204)
    context = {"slug": slug, "step": step, "at_rest": at_rest, "is_news": is_news}
    return show(request, "saas/progress.html", context)


LONGEST_REST = 10
"""Times in a row that a provisioning is found at rest before it is taken to be cut off: three seconds."""


def _times_at_rest(request: HttpRequest) -> int:
    times = request.GET.get("at_rest", "")
    return int(times) if times.isascii() and times.isdigit() and len(times) < 3 else 0


# --- The audit log ----------------------------------------------------------------------------------------------------


class AuditForm(DaysForm):
    organization = SearchField(
        label=_("Organization (address)"),
        max_length=LONGEST,
        required=False,
        widget=TextInput(attrs=AS_WRITTEN),
    )
    actor = SearchField(label=_("User (username)"), max_length=150, required=False, widget=TextInput(attrs=AS_WRITTEN))
    action = ChoiceField(
        label=_("Action"), required=False, choices=[("", _("Any")), *PLATFORM_ACTS.items(), *ACTS.items()]
    )
    field_order = ("organization", "actor", "action", "from_day", "to_day")


@page(Permission.VIEW_AUDIT_LOG)
def audit(request: HttpRequest) -> HttpResponse:
    """What was done to organizations and on the platform's host, newest first."""
    form = AuditForm(request.GET)
    rows = queries.audit_records(**form.filters())
    rows = rows.none() if form.errors else rows  # all rows would be taken for those that were asked for
    found = page_of_rows(rows, limit=ON_A_PAGE, cursor=request.GET.get("cursor"))
    exports = [(_("Export as CSV"), address_of("audit_csv"))]
    return show(request, "saas/audit.html", {"page": found, "form": form, "exports": exports})


@page(Permission.VIEW_AUDIT_LOG)
def audit_csv(request: HttpRequest) -> HttpResponseBase:
    """The same rows as a file, with the columns of the API's."""
    form = AuditForm(request.GET)
    filters = form.filters()
    if form.errors:
        return redirect(reverse("audit") + form.query)
    rows = queries.audit_records(**filters)
    return csv_response(
        filename="audit.csv",
        columns=queries.AUDIT_COLUMNS,
        pages=as_json(pages_of(None, lambda **after: rows.filter(**after)), "before", "after"),
        request=request,
        person=signed_in(request).user.pk,
        filters=filters,
        is_for_people=True,
    )
