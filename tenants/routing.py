"""Finds the organization of a request by its host, and puts the connection on its schema.

It stands in for django-tenants' own middleware, which takes the host as it is written, asks the database on every
request, and leaves the connection on the tenant's schema when the request is over.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db import connection as django_connection
from django.http import HttpRequest, HttpResponseBase
from django.http.request import split_domain_port
from django.urls import Resolver404, resolve

from shared.errors import Problem, Unavailable
from shared.handlers import problem_response
from shared.identity.realm import PLATFORM, Realm
from tenants.errors import NothingHere, OrganizationSuspended
from tenants.memory import bound_memory
from tenants.models import Domain, Organization

CACHE_SECONDS = 2.0
"""How long a process may go on with what it knows of an organization; so a suspension holds everywhere after this."""

EARLY_SECONDS = 0.5
"""How long before that it is looked up anew, by one thread, while the others go on with what is known."""

IN_USE_SECONDS = 60.0
"""How long a host is looked up anew with the others since it was asked for. With hundreds of organizations, each is
asked for less often than every two seconds, and one that is not known takes a sale Django's long way."""

OUTAGE_SECONDS = 120.0
"""How much longer on a cluster whose coordinator does not answer: the nodes go on selling. A suspension is a row at the
coordinator, so nobody can suspend then; one of the last moment holds when the coordinator is back, or after this."""

LOOK_SECONDS = 1.0
"""How long another thread's look is waited for on a cluster. Where the coordinator's machine is gone it hears nothing
for seconds, and sales need not wait with it."""

CACHED_HOSTS = 10_000
"""Hosts that a process remembers at most."""


_log = structlog.get_logger("recharge.tenants")


connection: Any = django_connection  # django-tenants' own, with set_tenant and set_schema_to_public


@dataclass
class _Look:
    """What was found at one moment (of the monotonic clock), and when each host that is in use was last asked for. It
    is as the database said at ``confirmed``, which is earlier in an outage."""

    moment: float
    confirmed: float
    found: dict[str, Organization]
    asked: dict[str, float]


_look = _Look(float("-inf"), float("-inf"), {}, {})
_looking = threading.Lock()
_look_began: float | None = None
"""When the look began that is under way (of the monotonic clock)."""


class RoutingMiddleware:
    """Gives ``request.realm``, and on an organization's host ``request.tenant``, and puts the connection on its schema.

    An unknown host is 404 and is told how hosts are made; an organization that is still provisioning is unknown too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            route(request)
        except Problem as problem:
            return problem_response(request, problem)
        except (DatabaseError, InterfaceError) as error:
            # Also where the tables are not there yet: see /readyz.
            _log.error("routing_failed", exc_info=error)
            return problem_response(request, Unavailable())
        try:
            response = self.get_response(request)
            if _is_suspended(request) and response.status_code not in _SAID_WHEN_SUSPENDED:
                return problem_response(request, OrganizationSuspended())
            return response
        finally:
            # Costs nothing until the next cursor, which then sets the search path.
            connection.set_schema_to_public()
            if (organization := getattr(request, "tenant", None)) is not None:
                bound_memory(organization.schema_name)


def route(request: HttpRequest) -> None:
    """Decides the realm of this request and puts the connection on its schema.

    Raises:
        NothingHere: nothing answers on this host.
        OrganizationSuspended: the organization is there, but suspended, and this is nothing that may be sent again.
    """
    connection.set_schema_to_public()
    try:
        host = normalize_host(request.get_host())
    except DisallowedHost:
        raise NothingHere(request) from None
    if host == settings.BASE_DOMAIN:
        request.realm = PLATFORM  # type: ignore[attr-defined]
        request.urlconf = settings.PUBLIC_SCHEMA_URLCONF
        return
    organization = organization_at(host)
    if organization is None:
        raise NothingHere(request)
    request.realm = Realm(organization.pk, organization.slug, organization.requires_second_factor)  # type: ignore[attr-defined]
    request.tenant = organization  # type: ignore[attr-defined]
    structlog.contextvars.bind_contextvars(organization=organization.slug)
    if organization.status == Organization.Status.SUSPENDED and not _may_be_a_replay(request):
        raise OrganizationSuspended
    connection.set_tenant(organization)


_SAID_WHEN_SUSPENDED = (200, 422, 503)
"""A replay, a key that was used for something else, and that neither can be told now. Anything else is answered as it
is everywhere: the organization is suspended."""


def _is_suspended(request: HttpRequest) -> bool:
    organization: Organization | None = getattr(request, "tenant", None)
    return organization is not None and organization.status == Organization.Status.SUSPENDED


def _may_be_a_replay(request: HttpRequest) -> bool:
    """Whether this may ask again for what was done before the suspension: who lost the answer must learn of it.

    A view says so of itself (``answers_replays``); its service makes nothing new for an organization that is suspended.
    """
    if request.method != "POST":
        return False
    try:
        view: Any = resolve(request.path_info, settings.ROOT_URLCONF).func
    except Resolver404:
        return False
    return getattr(getattr(view, "cls", None), "answers_replays", False)


def normalize_host(host: str) -> str:
    """The host as the domains are kept: lower case, without its port and its trailing dot."""
    return split_domain_port(host)[0].lower().rstrip(".")


def organization_at(host: str) -> Organization | None:
    """The organization that answers on this normalized host, at most ``CACHE_SECONDS`` old; None where none does.

    The hosts that are in use are looked up anew all together, so that a thousand organizations cost a process no more
    queries than one. Only what was found is remembered: a made-up host costs one look-up in an index, and no memory.
    """
    look, now = _look, time.monotonic()
    if now >= look.moment + CACHE_SECONDS - EARLY_SECONDS:
        look = _renewed(look)
    organization = look.found.get(host)
    if organization is None:
        organization = _look_up([host]).get(host)
        if organization is None or len(look.found) >= CACHED_HOSTS:
            return organization
        # Into what was current before it was looked up: so it gets no older there than the rest.
        look.found[host] = organization
    look.asked[host] = now
    return organization


def known_organization(host: str) -> Organization | None:
    """The organization of a ``Host`` header as most clients write it, if that is known at this moment without a look
    into the database; None otherwise, which says nothing about the host."""
    look, now = _look, time.monotonic()
    good_until = look.moment + CACHE_SECONDS
    if now >= good_until or (now >= good_until - EARLY_SECONDS and _look_began is None):
        return None  # who asks for it in the usual way looks
    name, colon, port = host.partition(":")
    organization = look.found.get(name)
    if organization is None or (colon and not (port.isascii() and port.isdecimal())):
        return None
    look.asked[name] = now
    return organization


def is_known_at(host: str) -> bool:
    """Whether an organization is known at this normalized host, of a look into the database however old."""
    return host in _look.found


def hosts_in_use() -> int:
    """How many hosts of organizations were asked for within a minute."""
    return len(_look.asked)


def _renewed(known: _Look) -> _Look:
    """One thread looks. The others wait for it, unless what is known is still good."""
    global _look_began
    is_good = time.monotonic() < known.moment + CACHE_SECONDS
    if not _looking.acquire(timeout=0 if is_good else _patience(known)):
        return known
    try:
        look = _look
        # Who has waited for another's look does not look again for being early.
        if time.monotonic() >= look.moment + CACHE_SECONDS - (EARLY_SECONDS if is_good else 0.0):
            _look_began = time.monotonic()
            look = _look_again(look)
        return look
    except (DatabaseError, InterfaceError):
        if is_good:
            return known
        raise
    finally:
        _look_began = None
        _looking.release()


def _patience(look: _Look) -> float:
    """For how many seconds a look of another thread is waited for; -1: until it is done."""
    now = time.monotonic()
    if not settings.DATABASE_CLUSTER or now >= look.confirmed + OUTAGE_SECONDS:
        return -1
    return LOOK_SECONDS if (began := _look_began) is None else max(0.0, began + LOOK_SECONDS - now)


def _look_again(before: _Look) -> _Look:
    global _look
    moment = time.monotonic()
    since = moment - IN_USE_SECONDS
    asked = {host: last for host, last in before.asked.copy().items() if last > since}
    if len(asked) > (most := CACHED_HOSTS * 9 // 10):  # room for those who came too late
        asked = dict(nlargest(most, asked.items(), key=itemgetter(1)))
    try:
        look = _Look(moment, moment, _look_up(asked) if asked else {}, asked)
    except (OperationalError, InterfaceError) as error:
        if not settings.DATABASE_CLUSTER or moment >= before.confirmed + OUTAGE_SECONDS:
            raise
        _log.warning("routes_not_looked_up", exc_info=error)
        # From now on: to find out may have taken longer than what is known is good for.
        look = _Look(time.monotonic(), before.confirmed, before.found, before.asked)
    if _look is before:  # and nobody has called forget_routes meanwhile
        _look = look
    return look


def _look_up(hosts: Iterable[str]) -> dict[str, Organization]:
    domains = Domain.objects.select_related("tenant").filter(domain__in=hosts)
    return {
        domain.domain: domain.tenant for domain in domains if domain.tenant.status != Organization.Status.PROVISIONING
    }


def forget_routes() -> None:
    """Makes this process look every host up again; others do within ``CACHE_SECONDS``."""
    global _look
    _look = _Look(float("-inf"), float("-inf"), {}, {})


def organization_of(request: HttpRequest) -> Organization:
    """The organization of a request on an organization's host."""
    organization: Organization = request.tenant  # type: ignore[attr-defined]
    return organization
