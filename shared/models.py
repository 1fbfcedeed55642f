"""Users, and their memberships: who may sign in where, and as what. They live in the public schema and know of an
organization nothing but its id.

Columns that an index looks up are ``COLLATE "C"``, here and in the other apps: an update of the system may change a
locale's order, and an index that was made in the old order then misses rows.
"""

import uuid
from functools import reduce
from operator import or_
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models, transaction
from django.db.models import Q

from shared.identity.roles import MEMBER_ROLES, PLATFORM_ADMIN, PLATFORM_ROLES, SELLER, works_for_seller


class UserManager(BaseUserManager["User"]):
    """Makes the two kinds of users; identity/new_accounts.py is what decides when."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(username=username, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(
            username, password, is_staff=True, is_superuser=True, platform_role=PLATFORM_ADMIN, **fields
        )


class User(AbstractBaseUser, PermissionsMixin):
    """A person or a program with a password.

    Who has a ``platform_role`` signs in on the platform's host with ``username``. Everyone else signs in on an
    organization's host with the name in the :class:`Membership`; their ``username`` here is ``slug/name``, so that two
    organizations may both have a ``sara`` and neither learns of the other's.
    """

    username = models.CharField(max_length=220, unique=True, db_collation="C")
    email = models.EmailField(blank=True)
    language = models.CharField(max_length=5, blank=True)
    """Of the pages; empty: as the browser asks for."""
    time_zone = models.CharField(max_length=40, default="Asia/Tehran")
    """In which times are shown: a name of the IANA time zone database."""
    is_staff = models.BooleanField("may use the admin site", default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(auto_now_add=True)
    platform_role = models.CharField(
        max_length=17,
        choices=[(role, role.replace("_", " ").capitalize()) for role in PLATFORM_ROLES],
        blank=True,
        default="",
        db_default="",
        db_collation="C",
    )
    """What it is on the platform's host; empty: nothing. (``is_superuser`` is Django's own, of the admin site: true of
    a platform admin alone.)"""
    must_change_password = models.BooleanField(default=False, db_default=False)
    """Somebody else knows the password: who set it first, or anew. At the next sign-in it must be changed."""

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(username__contains="/") | models.Q(is_superuser=False),
                name="user_member_is_no_platform_admin",
            ),
            models.CheckConstraint(
                condition=~models.Q(username__contains="/") | models.Q(platform_role=""),
                name="user_member_has_no_platform_role",
            ),
        ]

    def __str__(self) -> str:
        return self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Django's. What ends with a new password (tenants/passwords.py) ends in the same transaction."""
        with transaction.atomic():
            super().save(*args, **kwargs)


class Membership(models.Model):
    """What a user is in one organization. The ids of the organization and of the seller are kept without a foreign key:
    the one because this app knows no tenant, the other because it points into a tenant's schema."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    organization_id = models.BigIntegerField()
    username = models.CharField(max_length=150, validators=[UnicodeUsernameValidator()], db_collation="C")
    role = models.CharField(max_length=10, choices=[(role, role.capitalize()) for role in MEMBER_ROLES])
    seller_id = models.BigIntegerField(null=True)
    is_active = models.BooleanField(default=True)
    withdrawn_at = models.DateTimeField(null=True)
    """The last time; sessions that were begun before are over, also when it is active again."""
    created_at = models.DateTimeField(auto_now_add=True)
    epoch = models.BigIntegerField(default=0, db_default=0)
    """Access tokens of a lower one are over. What moves money compares it with its copy in the organization's schema
    (see shared/identity/epochs.py)."""
    last_sign_in_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization_id", "username"], name="membership_username"),
            models.UniqueConstraint(fields=["organization_id", "user"], name="membership_user"),
            # Of cashiers a seller may have several.
            models.UniqueConstraint(
                fields=["organization_id", "seller_id"], condition=Q(role=SELLER), name="membership_seller"
            ),
            models.CheckConstraint(
                condition=reduce(
                    or_, (models.Q(role=role, seller_id__isnull=not works_for_seller(role)) for role in MEMBER_ROLES)
                ),
                name="membership_seller_has_id",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username} ({self.role})"


class SignIn(models.Model):
    """A sign-in that lasts: a browser's session, or the chain of refresh tokens that one sign-in to the API began. Of
    the chain only the newest token is good, and a second use of an older one ends it (RFC 9700 section 4.14.2)."""

    class Kind(models.TextChoices):
        WEB = "web"
        API = "api"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    organization_id = models.BigIntegerField(null=True)
    public_id = models.UUIDField(default=uuid.uuid4, db_default=RandomUUID(), unique=True, editable=False)
    """What it is called where it is listed."""
    kind = models.CharField(max_length=3, choices=Kind, default=Kind.API, db_default=Kind.API)
    address = models.CharField(max_length=45, blank=True, default="", db_default="")
    """The client's, when it was last seen."""
    client = models.CharField(max_length=300, blank=True, default="", db_default="")
    """What the client calls itself (``User-Agent``)."""
    last_seen_at = models.DateTimeField(null=True)
    """Null: as it began. Written at most once a minute."""
    current_jti = models.CharField(max_length=32, blank=True, default="")
    """Of the newest refresh token; a browser's session has none."""
    previous_jti = models.CharField(max_length=32, blank=True, default="", db_default="")
    """Of the refresh token before it, whose answer may have been lost."""
    rotated_at = models.DateTimeField(null=True)
    """When the newest took its place."""
    is_repeated = models.BooleanField(default=False, db_default=False)
    """Whether the newest was given a second time, because its first answer was lost."""
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "shared_refreshfamily"  # as it is known to processes of the release before

    def __str__(self) -> str:
        return f"sign-in {self.pk} of user {self.user_id}"


class ApiKey(models.Model):
    """A program's id and secret, of a seller or (to read alone) of an organization. A password change does not end it.

    Secrets are random, of 256 bits; what is kept are their SHA-256 hashes.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.BigIntegerField()
    seller_id = models.BigIntegerField(null=True)
    """Whose; null: the organization's."""
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=10))
    allowed_addresses = ArrayField(models.CharField(max_length=49), default=list, blank=True)
    """Networks (CIDR) that it is let in from; empty: any."""
    hint = models.CharField(max_length=20)
    """The end of the secret, to tell keys apart."""
    secret_hash = models.CharField(max_length=64, db_collation="C")
    former_hash = models.CharField(max_length=64, blank=True, default="", db_collation="C")
    """Of the secret before, while both are good."""
    former_until = models.DateTimeField(null=True)
    epoch = models.BigIntegerField(default=0)
    """Access tokens of a lower one are over: as of a :class:`Membership`."""
    created_by = models.CharField(max_length=150)
    """The username as it was then."""
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_from = models.CharField(max_length=45, blank=True, default="")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["organization_id", "seller_id", "id"], name="api_key_of")]
        constraints = [
            models.CheckConstraint(
                condition=Q(seller_id__isnull=False) | Q(scopes=["read"]), name="api_key_organization_reads"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Totp(models.Model):
    """A user's authenticator app: the codes of RFC 6238, of 6 digits and 30 seconds, by SHA-1."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="totp")
    secret = models.TextField()
    """Encrypted (shared/outbound/secrets.py)."""
    last_step = models.BigIntegerField(default=0)
    """Of the code that was used last; none before it is good again."""
    created_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True)
    """Null: no code of it was shown yet, and none is asked for."""

    def __str__(self) -> str:
        return f"authenticator of user {self.user_id}"


class Passkey(models.Model):
    """A WebAuthn credential of a user, bound to one host."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="passkeys")
    credential_id = models.BinaryField(unique=True)
    public_key = models.BinaryField()
    host = models.CharField(max_length=253)
    """Its relying party's id."""
    sign_count = models.BigIntegerField(default=0)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class RecoveryCode(models.Model):
    """Stands in for a lost second factor, once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    code_hash = models.CharField(max_length=64, db_collation="C")
    """SHA-256: a code is random, of 80 bits."""
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "code_hash"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code of user {self.user_id}"


class SignInAttempts(models.Model):
    """How often a secret was tried for one name (from one address or device, or from everywhere) in the running
    window."""

    key = models.CharField(max_length=64, primary_key=True, db_collation="C")
    address_key = models.CharField(
        max_length=64, blank=True, default="", db_default="", db_index=True, db_collation="C"
    )
    """Of one name from one address: the address. What was tried from it over all names is the sum of these rows."""
    name_key = models.CharField(max_length=64, blank=True, default="", db_default="", db_index=True, db_collation="C")
    """Of the name, the same in all of its rows."""
    attempts = models.IntegerField()
    failures = models.IntegerField()
    """Of the attempts, those that are known to have been wrong; the others are being looked at."""
    window_ends_at = models.DateTimeField(db_index=True)
    tried_at = models.DateTimeField(null=True)
    """The last time; null: a process of the release before has counted it."""

    def __str__(self) -> str:
        return self.key
