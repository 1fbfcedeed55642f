"""Checks the slug of an organization, which becomes a DNS label and a schema's name."""

import re

LONGEST = 50
"""Characters. A DNS label bears 63 (RFC 1035), a PostgreSQL identifier 63 bytes, of which ``org_`` takes four."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")

RESERVED = frozenset(
    """
    www api app apps admin administrator root system platform public private internal static assets media cdn
    files mail smtp imap pop pop3 mx webmail email ftp sftp ssh vpn ns ns1 ns2 ns3 dns proxy gateway auth
    login signin signup sso oauth account accounts billing payment payments pay support help docs doc status
    health monitor metrics grafana blog news shop store dev test testing stage staging demo sandbox prod
    production beta alpha localhost local example autoconfig autodiscover wpad isatap webhooks hooks ws socket
    dashboard console panel
    """.split()  # noqa: SIM905 - one word after another reads better than sixty quoted ones
)
"""Names that belong to the platform, or that mail programs and browsers look up by themselves."""


class InvalidSlug(ValueError):
    """The slug can't be an organization's; ``code`` names the reason and the message says it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def check_slug(slug: str) -> None:
    """Raises :class:`InvalidSlug` unless an organization may have this slug."""
    if len(slug) > LONGEST:
        raise InvalidSlug("too_long", f"A slug has at most {LONGEST} characters.")
    if not slug.isascii() or not _LABEL.fullmatch(slug):
        raise InvalidSlug("invalid_slug", "A slug has lower-case letters, digits and inner hyphens only.")
    if slug[2:4] == "--":
        raise InvalidSlug(
            "invalid_slug", "Hyphens in the third and fourth place are kept for encoded names (RFC 5891)."
        )
    if slug in RESERVED:
        raise InvalidSlug("reserved_slug", "This name is reserved.")


def schema_name_of(slug: str) -> str:
    """The schema of the organization with this slug; two slugs never share one, since a slug has no underscore."""
    return "org_" + slug.replace("-", "_")
