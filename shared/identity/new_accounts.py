"""Makes accounts: of the platform's own host, and of members of an organization."""

from django.contrib.auth import password_validation
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from shared.errors import InvalidRequest, UsernameTaken
from shared.identity.accounts import normalized
from shared.models import Membership, User
from shared.texts import unfit_character


def check_credentials(*, username: str, password: str, email: str = "") -> str:
    """Checks the form of what a new account is made from, and returns the name as it will be kept (NFKC).

    Raises:
        InvalidRequest: with an error for each field at fault.
    """
    errors = []
    username = normalized(username)
    try:
        UnicodeUsernameValidator()(username)
        if not 1 <= len(username) <= 150:
            raise ValidationError("A username has 1 to 150 characters.", code="invalid")
        if unfit := unfit_character(username):
            raise ValidationError(f"A username must not have {unfit}, which nobody sees.", code="invalid")
    except ValidationError as error:
        errors.append({"field": "username", "code": "invalid", "detail": error.messages[0]})
    try:
        password_validation.validate_password(password, User(username=username))
    except ValidationError as error:
        codes = [inner.code or "invalid" for inner in error.error_list]
        errors += [
            {"field": "password", "code": code, "detail": message}
            for code, message in zip(codes, error.messages, strict=True)
        ]
    if email:
        try:
            User._meta.get_field("email").run_validators(email)
        except ValidationError as error:
            errors.append({"field": "email", "code": "invalid", "detail": error.messages[0]})
    if errors:
        raise InvalidRequest(f"{errors[0]['field']}: {errors[0]['detail']}", errors=errors)
    return username


def create_platform_admin(*, username: str, password: str, email: str = "") -> User:
    """A user of the platform's own host who may do everything there.

    Raises:
        InvalidRequest: the name, the password or the email address won't do.
        UsernameTaken: there is one of this name.
    """
    username = check_credentials(username=username, password=password, email=email)
    try:
        with transaction.atomic():
            return User.objects.create_superuser(username, password, email=email)
    except IntegrityError:
        raise UsernameTaken(f"There is a platform user {username!r} already.") from None


def prepare_member(
    *, organization_id: int, slug: str, role: str, username: str, password: str, email: str = ""
) -> Membership:
    """What :func:`save_member` saves: somebody whose password another person knows, and so must be changed. It takes as
    long as hashing a password does, and writes nothing: call it before a transaction that others wait for.

    Raises:
        InvalidRequest: the name, the password or the email address won't do.
    """
    username = check_credentials(username=username, password=password, email=email)
    user = User(username=f"{slug}/{username}", email=email, must_change_password=True)
    user.set_password(password)
    return Membership(user=user, organization_id=organization_id, username=username, role=role)


def save_member(member: Membership, *, seller_id: int | None = None) -> Membership:
    """Lets a user who was prepared sign in on the organization's host.

    Raises:
        UsernameTaken: this organization has one of this name.
    """
    try:
        with transaction.atomic():
            member.user.save()
            member.user = member.user  # takes over the key
            member.seller_id = seller_id
            member.save()
    except IntegrityError:
        raise UsernameTaken(f"There is a user {member.username!r} already.") from None
    return member


def create_member(
    *,
    organization_id: int,
    slug: str,
    role: str,
    username: str,
    password: str,
    email: str = "",
    seller_id: int | None = None,
) -> Membership:
    """A user who signs in on one organization's host; raises what :func:`prepare_member` and :func:`save_member` do."""
    prepared = prepare_member(
        organization_id=organization_id, slug=slug, role=role, username=username, password=password, email=email
    )
    return save_member(prepared, seller_id=seller_id)
