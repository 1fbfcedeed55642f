"""Users, and their memberships: who may sign in where, and as what. They live in the public schema and know of an
organization nothing but its id.

Columns that an index looks up are ``COLLATE "C"``, here and in the other apps: an update of the system may change a
locale's order, and an index that was made in the old order then misses rows.
"""

from functools import reduce
from operator import or_
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models

from shared.identity.roles import MEMBER_ROLES, works_for_seller


class UserManager(BaseUserManager["User"]):
    """Makes the two kinds of users; services.py is what decides when."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(username=username, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(username, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person or a program with a password.

    A platform admin (``is_superuser``) signs in on the platform's host with ``username``. Everyone else signs in on an
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
        ]

    def __str__(self) -> str:
        return self.username


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

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization_id", "username"], name="membership_username"),
            models.UniqueConstraint(fields=["organization_id", "user"], name="membership_user"),
            models.UniqueConstraint(fields=["organization_id", "seller_id"], name="membership_seller"),
            models.CheckConstraint(
                condition=reduce(
                    or_, (models.Q(role=role, seller_id__isnull=not works_for_seller(role)) for role in MEMBER_ROLES)
                ),
                name="membership_seller_has_id",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username} ({self.role})"


class RefreshFamily(models.Model):
    """The chain of refresh tokens that one sign-in began: only its newest token is good, and a second use of an older
    one ends the family (RFC 9700 section 4.14.2)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="refresh_families")
    organization_id = models.BigIntegerField(null=True)
    current_jti = models.CharField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"family {self.pk} of user {self.user_id}"


class SignInAttempts(models.Model):
    """How often a password was tried for one name (or one name from one address) in the running window."""

    key = models.CharField(max_length=64, primary_key=True, db_collation="C")
    address_key = models.CharField(max_length=64, blank=True, default="", db_index=True, db_collation="C")
    """Of one name from one address: the address. What was tried from it over all names is the sum of these rows."""
    attempts = models.IntegerField()
    failures = models.IntegerField()
    """Of the attempts, those that are known to have been wrong; the others are being looked at."""
    window_ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
