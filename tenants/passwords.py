"""Ends access when a password is set beside the services: by ``changepassword``, in the admin site, in a shell."""

from django.db import transaction
from django_tenants.utils import get_public_schema_name, schema_context

from shared.audit import record
from shared.identity.acting import COMMAND, acting
from shared.identity.sign_ins import end_all_access
from shared.models import Membership, User
from tenants.models import Organization


class EndAccess:
    """One of ``AUTH_PASSWORD_VALIDATORS``: Django tells these of a password that ``set_password`` has set, once it is
    saved, in the transaction that :meth:`shared.models.User.save` makes. It refuses none.

    The services store a hash that they have made before, and end access themselves.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Every password will do."""

    def get_help_text(self) -> str:
        return "A new password ends everything that is signed in with the old one."

    def password_changed(self, password: str, user: User) -> None:
        """Ends all access of this user. A member whose password was set at the server's shell must change it at the
        next sign-in, and the organization's audit table says so."""
        membership = Membership.objects.filter(user=user).first()
        schema = _schema_of(membership) if membership else get_public_schema_name()
        with schema_context(schema), transaction.atomic():
            end_all_access(user_id=user.pk)
            if membership and acting() is COMMAND:
                User.objects.filter(pk=user.pk).update(must_change_password=True)
                user.must_change_password = True
                record("member.password_set", membership.username)


def _schema_of(membership: Membership) -> str:
    schema: str = Organization.objects.get(pk=membership.organization_id).schema_name
    return schema
