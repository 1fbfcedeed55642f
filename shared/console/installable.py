"""What makes the console an app on a phone's home screen: a manifest for each host, and a service worker.

The worker keeps static files, which never change under their names, and one page that says that there is no connection.
It keeps no page of a console: nothing that shows money comes from anywhere but the server.
"""

from hashlib import blake2s

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.utils.translation import get_language, get_language_bidi, gettext

from shared.console.views import page, show

_GROUND, _ACCENT = "#f6f8f8", "#0b5e56"
"""Of console.css: the page before it is painted, and the bar above it."""

OF_THE_OFFLINE_PAGE = (
    "bootstrap/css/bootstrap.min.css",
    "bootstrap/css/bootstrap.rtl.min.css",
    "shared/console.css",
    "shared/icon.svg",
)
"""The static files that the page needs which is shown without a connection."""


@page(is_open=True)
def manifest(request: HttpRequest) -> HttpResponse:
    """Name, language and icons of this host's console. It begins where one's work begins."""
    organization = getattr(request, "tenant", None)
    name = organization.name if organization else gettext("Platform")
    icons = [
        {"src": static("shared/icon.svg"), "sizes": "any", "type": "image/svg+xml"},
        *(
            {
                "src": static(f"shared/icon-{size}.png"),
                "sizes": f"{size}x{size}",
                "type": "image/png",
                "purpose": purpose,
            }
            for size in (192, 512)
            for purpose in ("any", "maskable")
        ),
    ]
    content = {
        "id": "/",
        "name": name,
        "short_name": name[:12],
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "lang": get_language(),
        "dir": "rtl" if get_language_bidi() else "ltr",
        "background_color": _GROUND,
        "theme_color": _ACCENT,
        "icons": icons,
    }
    return JsonResponse(content, content_type="application/manifest+json", json_dumps_params={"ensure_ascii": False})


@page(is_open=True)
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker. Another release has other files or another offline page, so its script differs, and takes the
    place of this one."""
    files = [static(name) for name in OF_THE_OFFLINE_PAGE]
    without_connection = offline(request)
    assert isinstance(without_connection, HttpResponse)
    release = blake2s(" ".join(files).encode() + without_connection.content, digest_size=6).hexdigest()
    context = {"release": release, "files": files}
    return render(request, "shared/worker.js", context, content_type="text/javascript; charset=utf-8")


@page(is_open=True)
def offline(request: HttpRequest) -> HttpResponse:
    """What is shown where the server can't be reached. It is kept, so it is of nobody, and in both languages."""
    return show(request, "shared/offline.html")
