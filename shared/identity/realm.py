"""The realm of a request is the platform itself or one organization. The host decides, before anything else runs."""

from dataclasses import dataclass, field

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Realm:
    """Where a request arrived, and so what its tokens, cookies and user names belong to.

    ``organization_id`` and ``slug`` are both None on the platform's own host.
    """

    organization_id: int | None
    slug: str | None
    requires_second_factor: bool = field(default=False, compare=False)
    """Whether the organization's members must have one (shared/second_factor); of the platform it is not said here."""

    @property
    def is_platform(self) -> bool:
        return self.organization_id is None

    def require_organization_id(self) -> int:
        """The organization's id, where there must be one."""
        assert self.organization_id is not None
        return self.organization_id


PLATFORM = Realm(organization_id=None, slug=None)


def realm_of(request: HttpRequest) -> Realm:
    """The realm that routing gave this request; the platform's where routing did not run."""
    realm: Realm = getattr(request, "realm", PLATFORM)
    return realm
