"""Static files: found in the apps and the installed packages, named by their content, and answered before Django.

A page names ``shared/console.1f0c….css``, and a browser keeps that for ever: another content has another name. What is
answered is made once in each process, in memory: there is no step of a release that could be forgotten, and the file
system may be read-only. It needs neither a database nor a known host, so that a page that says what is wrong has its
style sheet whatever is wrong.
"""

import gzip
import re
import threading
from collections.abc import Mapping
from functools import cache, cached_property
from hashlib import blake2s
from mimetypes import guess_type
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any, NamedTuple

import brotli
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.files.storage import Storage

from shared.headers import headers_of_api

_TAG_BYTES = 6
_TAGGED = re.compile(rf"(?P<stem>.+)\.(?P<tag>[0-9a-f]{{{2 * _TAG_BYTES}}})(?P<ending>\.[A-Za-z0-9]+)")
_REFERENCE = re.compile(rb"""(url\(\s*["']?)([^"')?#]+)""")

_COMPRESSED = (".css", ".js", ".svg", ".json", ".map", ".html", ".txt", ".xml")
"""What is sent smaller than it is; fonts and pictures are small already."""

_SLOW_BYTES = 400_000
"""Brotli's best ways are slow: they take 0.2 s for Bootstrap's 230 kB, and spare a tenth. Of Swagger UI's 1.6 MB they
take 2 s."""

_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "public, max-age=0, must-revalidate"


class StaticFile:
    """A file as it is sent. Everything about it is made when it is first asked for."""

    def __init__(self, files: "StaticFiles", name: str, path: Path) -> None:
        self._files = files
        self._path = path
        self._making = threading.RLock()
        self._compressed: dict[str, bytes] = {}
        self.name = name

    @cached_property
    def content(self) -> bytes:
        """Of a style sheet: with the files that it names by their tagged names."""
        content = self._path.read_bytes()
        return _REFERENCE.sub(self._tagged_reference, content) if self.name.endswith(".css") else content

    def _tagged_reference(self, found: re.Match[bytes]) -> bytes:
        reference = found[2].decode()
        other = self._files.named(normpath(join(dirname(self.name), reference)))
        if other is None:  # a data: address, or none of ours
            return found[0]
        return found[1] + join(dirname(reference), other.tagged_name.rpartition("/")[2]).encode()

    @cached_property
    def tag(self) -> str:
        """What its content is known by."""
        return blake2s(self.content, digest_size=_TAG_BYTES).hexdigest()

    @cached_property
    def tagged_name(self) -> str:
        stem, dot, ending = self.name.rpartition(".")
        return f"{stem}.{self.tag}.{ending}" if dot else self.name

    @cached_property
    def content_type(self) -> str:
        # Not what a machine's own list says of them.
        known = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".svg": "image/svg+xml"}
        found = known.get(self._path.suffix) or guess_type(self.name)[0] or "application/octet-stream"
        return f"{found}; charset=utf-8" if found.startswith("text/") or found == "image/svg+xml" else found

    def sent_as(self, accepted: str) -> tuple[str, bytes]:
        """The encoding ("" for none) and the bytes for a client with this ``Accept-Encoding``."""
        if self._path.suffix not in _COMPRESSED:
            return "", self.content
        for encoding in ("br", "gzip"):
            if accepts(accepted, encoding) and len(self._in(encoding)) < len(self.content):
                return encoding, self._in(encoding)
        return "", self.content

    def _in(self, encoding: str) -> bytes:
        with self._making:  # once, and not by each thread that is asked
            if encoding not in self._compressed:
                self._compressed[encoding] = _compress(self.content, encoding)
            return self._compressed[encoding]


def _compress(content: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(content, 9, mtime=0)
    compressed: bytes = brotli.compress(content, quality=10 if len(content) < _SLOW_BYTES else 9)
    return compressed


def accepts(accepted: str, encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` names this encoding, and does not refuse it (RFC 9110 section 12.5.3)."""
    for one in accepted.lower().split(","):
        name, _, quality = one.partition(";")
        if name.strip() == encoding:
            return not re.fullmatch(r"q=0(\.0*)?", quality.replace(" ", ""))
    return False


class StaticFiles:
    """Files by their names."""

    def __init__(self) -> None:
        self._by_name: dict[str, StaticFile] = {}

    def add(self, name: str, path: Path) -> None:
        """Where there is one of this name, that stays."""
        self._by_name.setdefault(name, StaticFile(self, name, path))

    def named(self, name: str) -> StaticFile | None:
        """The file of this name, as the source has it."""
        return self._by_name.get(name)

    def asked_for(self, name: str) -> tuple[StaticFile, str] | None:
        """The file that an address means, and how long it may be kept."""
        if file := self.named(name):
            return file, _ASK_AGAIN
        if (tagged := _TAGGED.fullmatch(name)) and (file := self.named(tagged["stem"] + tagged["ending"])):
            # A page of the release before or after this one asks a process of this one: better than a bare page.
            return file, _FOR_EVER if tagged["tag"] == file.tag else "no-store"
        return None


@cache
def all_files() -> StaticFiles:
    """Those of the apps and of the installed packages."""
    found = StaticFiles()
    for finder in get_finders():
        for path, storage in finder.list([]):
            prefix = getattr(storage, "prefix", None)
            found.add(f"{prefix}/{path}" if prefix else path, Path(storage.path(path)))
    return found


class StaticStorage(Storage):
    """Tells templates the address of a static file."""

    def url(self, name: str | None) -> str:
        """Raises:
        ValueError: there is no such file; a page that names it would be bare.
        """
        file = all_files().named(name or "")
        if file is None:
            raise ValueError(f"There is no static file {name!r}.")
        return settings.STATIC_URL + file.tagged_name


class Answer(NamedTuple):
    """What a WSGI server is told."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def answer(environ: Mapping[str, Any]) -> Answer | None:
    """The answer to a WSGI request for a static file; None for any other, also for a file that is not there."""
    path = environ.get("PATH_INFO", "")
    if not path.startswith(settings.STATIC_URL) or environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
        return None
    found = all_files().asked_for(path[len(settings.STATIC_URL) :])
    if found is None:
        return None
    file, kept = found
    scheme = environ.get("wsgi.url_scheme", "http")
    secure = headers_of_api(scheme, environ.get("HTTP_X_FORWARDED_PROTO"))
    headers = [(name, value) for name, value in secure if name != "Cache-Control"]
    headers += [("Cache-Control", kept), ("ETag", f'W/"{file.tag}"'), ("Vary", "Accept-Encoding")]
    if f'"{file.tag}"' in environ.get("HTTP_IF_NONE_MATCH", ""):
        return Answer("304 Not Modified", headers, b"")
    encoding, body = file.sent_as(environ.get("HTTP_ACCEPT_ENCODING", ""))
    headers += [("Content-Type", file.content_type), ("Content-Length", str(len(body)))]
    if encoding:
        headers.append(("Content-Encoding", encoding))
    return Answer("200 OK", headers, b"" if environ["REQUEST_METHOD"] == "HEAD" else body)
