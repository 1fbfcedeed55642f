"""The one settings file. Everything that differs between installations comes from the environment. Where
``RECHARGE_ENV_FILE`` or ``manage.py --env-file`` names a file, that is read into it (saas/env_file.py).
deploy/recharge.env.example has them all, with what each is for.
"""

import re
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from psycopg2 import ProgrammingError
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED, parse_dsn

from saas import __version__
from shared.logs import configure_logging
from shared.metrics_server import Listen

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

VERSION = __version__
"""What the lower apps show of it: the foot of the consoles' pages."""


def flag(name: str, default: bool) -> bool:
    """A switch of the environment; a misspelt one is refused rather than off."""
    value = env.str(name, default="").lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return value in ("1", "true", "yes", "on") if value else default
    raise ImproperlyConfigured(f"{name} is {value!r}; it must be on or off.")


DEBUG = flag("DEBUG", default=False)
EMBEDDED = flag("RECHARGE_EMBEDDED", default=False)
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}; it must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")

SECRET_KEY = env.str("SECRET_KEY", default="")
if len(SECRET_KEY) < 50:
    # It signs tokens with HMAC-SHA256 (RFC 7518 section 3.2 wants 256 bits); Django's own check asks for 50 characters.
    raise ImproperlyConfigured("Set SECRET_KEY to a random string of at least 50 characters.")

# What they signed and encrypted stays good, in Django's own sessions and in shared/outbound/secrets.py.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOW_PRIVATE_ADDRESSES = flag("ALLOW_PRIVATE_ADDRESSES", default=False)

# --- Hosts ------------------------------------------------------------------------------------------------------------

BASE_DOMAIN = env.str("BASE_DOMAIN", default="localhost").lower().rstrip(".")
if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", BASE_DOMAIN):
    raise ImproperlyConfigured(f"BASE_DOMAIN is {BASE_DOMAIN!r}; it must be a host's name alone, without a port.")
ALLOWED_HOSTS = [BASE_DOMAIN, f".{BASE_DOMAIN}"]
if not re.fullmatch(r"[0-9]{1,2}", env.str("TRUSTED_PROXIES", default="0")):
    raise ImproperlyConfigured("TRUSTED_PROXIES must be a number: how many reverse proxies stand in front.")
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)

# --- Database and tenancy ---------------------------------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", default="")
OWNER_DATABASE_URL = env.str("OWNER_DATABASE_URL", default="")
DIRECT_DATABASE_URL = env.str("DIRECT_DATABASE_URL", default="")
DATABASE_POOLER = env.str("DATABASE_POOLER", default="").lower()
DATABASE_CLUSTER = env.str("DATABASE_CLUSTER", default="").lower()
if not DATABASE_URL:
    raise ImproperlyConfigured(
        "Set DATABASE_URL. (Where it is not set at all, manage.py starts the embedded database.)"
    )
if DATABASE_POOLER not in ("", "session", "transaction"):
    raise ImproperlyConfigured(f"DATABASE_POOLER is {DATABASE_POOLER!r}; it must be session, transaction or empty.")
if DATABASE_POOLER == "transaction" and not DIRECT_DATABASE_URL:
    raise ImproperlyConfigured("With DATABASE_POOLER=transaction set DIRECT_DATABASE_URL, which leads past the pooler.")
if DATABASE_CLUSTER not in ("", "citus"):
    raise ImproperlyConfigured(f"DATABASE_CLUSTER is {DATABASE_CLUSTER!r}; it must be citus or empty.")
if DATABASE_CLUSTER and DATABASE_POOLER == "transaction":
    raise ImproperlyConfigured("With DATABASE_CLUSTER no pooler of transactions: nodes are entered past one anyway.")
# How long a connection to a silent database is waited for, and when a peer that has vanished is given up. libpq itself
# waits for ever, and a quarter of an hour. (These do not notice that a process was stopped while it works for us: its
# system answers for it.) What DATABASE_URL says of them comes first.
_PATIENCE = {
    "connect_timeout": 5,  # seconds, for each host, until it has let us in
    "keepalives_idle": 30,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds that what was sent stays unconfirmed
}


def _database(name: str, url: str) -> dict[str, Any]:
    """What Django is told of an address."""
    try:
        # libpq's own parser: it knows every parameter and every way to write a host, a socket's directory included.
        dsn = parse_dsn(url)
    except ProgrammingError:  # which quotes the value, and with it the password
        raise ImproperlyConfigured(f"{name} must look like postgresql://role:password@host:5432/database.") from None
    return {
        "NAME": dsn.pop("dbname", ""),
        "USER": dsn.pop("user", ""),
        "PASSWORD": dsn.pop("password", ""),
        "HOST": dsn.pop("host", ""),
        "PORT": dsn.pop("port", ""),
        # Whatever the database's default is: the money functions must see what was committed while they waited.
        "OPTIONS": {"isolation_level": ISOLATION_LEVEL_READ_COMMITTED, **_PATIENCE, **dsn},
    }


_ENGINE = "django_tenants.postgresql_backend"
_ENGINES = {
    # On a cluster an organization is entered where it lives: see tenants/placed/base.py.
    "citus": "tenants.placed",
    # Behind a pooler of transactions nothing can be set in a session. One of sessions needs no other backend.
    "transaction": "tenants.pooled",
}


def _direct_database(name: str, url: str) -> dict[str, Any] | None:
    """What differs on a connection past the pooler; None: nothing."""
    return {"ENGINE": _ENGINE, **_database(name, url)} if url else None


# Whoever owns the tables, where that is not who works with them: see tenants/working_role.py.
OWNER_DATABASE = _direct_database("OWNER_DATABASE_URL", OWNER_DATABASE_URL)
# Past a pooler: see tenants/direct.py.
DIRECT_DATABASE = _direct_database("DIRECT_DATABASE_URL", DIRECT_DATABASE_URL)
# For what may be seconds old: see tenants/standby.py.
REPLICA_DATABASE = _direct_database("REPLICA_DATABASE_URL", env.str("REPLICA_DATABASE_URL", default=""))
if REPLICA_DATABASE is not None:  # it may well be behind a pooler, too
    REPLICA_DATABASE["ENGINE"] = _ENGINES.get(DATABASE_POOLER, _ENGINE)
if not re.fullmatch(r"[1-9][0-9]{0,4}", env.str("REPLICA_MAX_AGE", default="30")):
    raise ImproperlyConfigured("REPLICA_MAX_AGE must be a number of seconds, from 1.")
REPLICA_MAX_AGE = env.int("REPLICA_MAX_AGE", default=30)
DATABASES = {
    "default": {
        "ENGINE": _ENGINES.get(DATABASE_CLUSTER or DATABASE_POOLER, _ENGINE),
        **_database("DATABASE_URL", DATABASE_URL),
        # A connection stays for the life of its thread. Django asks it once a request whether it still lives, before
        # the first query; the money functions don't wait for that: they are repeated if they find it dead
        # (shared/database.py).
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
}
if DATABASE_CLUSTER and OWNER_DATABASE is not None and OWNER_DATABASE["USER"] != DATABASES["default"]["USER"]:
    # Citus lets no transaction write an organization's rows as two roles, as one does that calls SECURITY DEFINER.
    raise ImproperlyConfigured("With DATABASE_CLUSTER one role does everything: leave OWNER_DATABASE_URL empty.")
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]

# How many organizations' catalogues and plans a connection may gather before it is closed: see tenants/routing.py.
if not re.fullmatch(r"[1-9][0-9]{0,5}", env.str("ORGANIZATIONS_PER_CONNECTION", default="256")):
    raise ImproperlyConfigured("ORGANIZATIONS_PER_CONNECTION must be a number from 1 on.")
ORGANIZATIONS_PER_CONNECTION = env.int("ORGANIZATIONS_PER_CONNECTION", default=256)
if not re.fullmatch(r"[1-9][0-9]{0,3}", env.str("DELETION_GRACE_DAYS", default="30")):
    raise ImproperlyConfigured("DELETION_GRACE_DAYS must be a number of days, from 1.")
DELETION_GRACE_DAYS = env.int("DELETION_GRACE_DAYS", default=30)

TENANT_MODEL = "tenants.Organization"
TENANT_DOMAIN_MODEL = "tenants.Domain"
TENANT_LIMIT_SET_CALLS = True  # SET search_path once per change of schema, not before every cursor
PUBLIC_SCHEMA_URLCONF = "saas.urls_platform"
ROOT_URLCONF = "saas.urls_organization"

SHARED_APPS = [
    "tenants",  # before django_tenants, whose command migrate_schemas it has in a better version
    "django_tenants",
    "shared",
    "saas",
    "saas.apps.PlatformAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
TENANT_APPS = ["credit", "recharge"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- HTTP -------------------------------------------------------------------------------------------------------------

WSGI_APPLICATION = "saas.wsgi.application"
# What makes headers stands before all that answers, so that every answer has them: errors, too.
HEADERS_MIDDLEWARE = [
    "shared.headers.HeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
MIDDLEWARE = [
    "shared.requests.RequestMiddleware",
    "saas.compressed.CompressedPagesMiddleware",
    *HEADERS_MIDDLEWARE,
    "csp.middleware.CSPMiddleware",
    "shared.handlers.ProblemMiddleware",
    "saas.health.HealthMiddleware",
    "saas.migrated.MigratedMiddleware",
    "tenants.routing.RoutingMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "shared.identity.sessions.RealmAuthenticationMiddleware",
    "shared.console.preferences.PreferencesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# Where a process has no thread left for a request: see saas/gate.py.
AT_ONCE_MIDDLEWARE = [
    *MIDDLEWARE[: MIDDLEWARE.index("saas.health.HealthMiddleware")],
    "saas.health.WithoutDatabaseMiddleware",
]
# Off: ordinary requests are answered by Django as all others are (tests compare): see recharge/api/fast_path.py.
FAST_PATH = flag("FAST_PATH", default=True)
# Below /api/ nobody has a session and nothing is a file: see saas/wsgi.py.
API_MIDDLEWARE = [
    "shared.requests.RequestMiddleware",
    *HEADERS_MIDDLEWARE,
    "saas.migrated.MigratedMiddleware",
    "tenants.routing.RoutingMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "saas.navigation.console",
            ]
        },
    }
]
# In each process: what is kept of templates goes with the deployment that it was made by. It is the same for every
# organization, so that keys needn't name one (shared/templates, the tag `cache`).
CACHES = {
    name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": name}
    for name in ("default", "template_fragments")
}
# Messages of a page that was left by a redirect go with the session: a cookie of their own would outlive it. Who has no
# session gets none by one.
MESSAGE_STORAGE = "shared.console.told.Storage"
STATIC_URL = "/static/"


def _files_of(package: str, folder: str) -> str:
    """A folder of files that an installed package carries, without importing it."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ImproperlyConfigured(f"The package {package} is not installed: pip install -r requirements.txt")
    return str(Path(found.origin).parent.joinpath(folder))


STATICFILES_DIRS = [
    ("bootstrap", _files_of("bootstrap_wrapper", "../bootstrap")),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # nothing is stored in files
    "staticfiles": {"BACKEND": "saas.static_files.StaticStorage"},  # no collectstatic to forget
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 6 * 1024 * 1024  # a file that is sent lies on no disk; the whole body is in memory anyway
LARGER_BODIES = (
    # The picture of a slip (LARGEST_SLIP in credit/slips/pictures.py), and one that is refused for what it is and not
    # unread; in a form, with what is around it.
    (r"/api/v1/credit-requests/[^/]+/slip", 5 * 1024 * 1024 + 1),
    (r"/credit-requests/(?:new|[^/]+/slip/new)", 5 * 1024 * 1024 + 64 * 1024),
)
"""Paths whose bodies may have more bytes than DATA_UPLOAD_MAX_MEMORY_SIZE. Few are read at once (saas/gate.py)."""
# The page of a bulk sale has a field for each row that was refused; the size is what bounds a form.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# Everything comes from here, and nothing is written into the pages themselves. (Bootstrap's style sheet has pictures of
# its own as data: addresses.) For what is below /api/ see shared/headers.py.
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/api/"],
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "manifest-src": [SELF],
        "worker-src": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}

HTTPS = flag("HTTPS", default=not EMBEDDED)
if HTTPS:
    # Browsers take such a cookie from this very host alone: no sibling's page can plant one.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_ENGINE = "shared.identity.session_store"
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 60 * 60
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SILENCED_SYSTEM_CHECKS = [
    # No redirect from http to https here: the reverse proxy does it for pages, and an API that answers a redirect
    # teaches clients to send tokens in the clear first.
    "security.W008",
    # Nor "preload": whether browsers are shipped with this host, which takes months to undo, is its owner's to say
    # (hstspreload.org: not by default).
    "security.W021",
]

# --- Identity ---------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "shared.User"
AUTHENTICATION_BACKENDS = ["shared.identity.sessions.RealmBackend"]
PASSWORD_HASHERS = ["shared.identity.hashing.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "tenants.passwords.EndAccess"},
]
LOGIN_URL = "sign_in"
PASSWORD_RESET_TIMEOUT = 60 * 60

SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "ISSUER": BASE_DOMAIN,
    # Seconds: machines' clocks are seldom further apart. For iat and nbf alone: see shared/identity/tokens.py.
    "LEEWAY": 5,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "USER_ID_CLAIM": "sub",
    "AUTH_TOKEN_CLASSES": ("shared.identity.tokens.AccessToken",),
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["shared.rest.authentication.RealmJWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["shared.rest.permissions.Authenticated"],
    "DEFAULT_PARSER_CLASSES": ["shared.rest.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["shared.rest.renderers.JSONRenderer"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "shared.rest.openapi.ContractSchema",
    "EXCEPTION_HANDLER": "shared.handlers.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Recharge",
    "DESCRIPTION": "Mobile top-ups sold on credit. Amounts are whole Tomans; errors are RFC 9457 problem documents.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {  # of fields that share a name
        "WebhookEvent": "credit.models.WebhookEndpoint.Event",
        "EntryKind": "credit.models.Entry.Kind",
        "GatewayKind": "recharge.api.settings.GATEWAY_KINDS",
        "CreditRequestStatus": "credit.models.CreditRequest.Status",
        "RechargeStatus": "recharge.models.Recharge.Status",
        "Resolution": [("succeeded", "succeeded"), ("failed", "failed")],
        "OrganizationStatus": "tenants.models.Organization.Status",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "shared.rest.openapi.exact_bodies",
        "shared.rest.openapi.problem_responses",
        "credit.api.openapi.problem_members",
        "shared.rest.openapi.wide_integers",
    ],
}

# --- The rest ---------------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fa", "فارسی")]
LOCALE_PATHS = [BASE_DIR / "saas" / "locale"]
LANGUAGE_COOKIE_NAME = "language"
TIME_ZONE = "UTC"
PAGES_TIME_ZONE = "Asia/Tehran"  # for who is not signed in; an account has its own
USE_TZ = True

try:
    # Written to the console in development only: the links in these mails are as good as passwords.
    _no_mail = "consolemail://" if EMBEDDED or DEBUG else "dummymail://"
    vars().update(env.email_url_config(env.str("EMAIL_URL", default="") or _no_mail))
except (KeyError, ValueError) as error:
    raise ImproperlyConfigured("EMAIL_URL must be like smtp+tls://user:password@host:587.") from error
EMAIL_TIMEOUT = 20  # seconds
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="") or f"noreply@{BASE_DOMAIN}"

LEAST_KEPT_DAYS, MOST_KEPT_DAYS = 7, 36_500


def _kept_days(name: str, default: int, least: int = LEAST_KEPT_DAYS) -> int:
    """After how many days something is let go of; 0: never."""
    written = env.str(name, default=str(default))
    if not re.fullmatch(r"[0-9]{1,5}", written) or not (int(written) == 0 or least <= int(written) <= MOST_KEPT_DAYS):
        raise ImproperlyConfigured(f"{name} must be days from {least} to {MOST_KEPT_DAYS}, or 0: for good.")
    return int(written)


# What is let go of, and when: see recharge/retention/kinds.py.
KEPT_DAYS = {
    "webhooks": _kept_days("KEEP_WEBHOOKS_DAYS", 90),
    "alerts": _kept_days("KEEP_ALERTS_DAYS", 90),
    "attempts": _kept_days("KEEP_ATTEMPTS_DAYS", 400, least=92),  # recharge/sql/retention.sql says why
    "bulk_sales": _kept_days("KEEP_BULK_SALES_DAYS", 400),
}

# Where /metrics is answered, an address and a port of its own; empty: nowhere. See saas/metrics_process.py.
try:
    METRICS_LISTEN = Listen.parse(_listen) if (_listen := env.str("METRICS_LISTEN", default="")) else None
except ValueError:
    raise ImproperlyConfigured(
        f"METRICS_LISTEN is {_listen!r}; it must be an address and a port, like 127.0.0.1:9464 or [::1]:9464."
    ) from None

# Whether traces are made: where a collector is named, by one of OpenTelemetry's own variables. The others of them are
# read by its packages. See shared/tracing.
_collectors = (
    env.str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", default=""),
    env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default=""),
)
if not all(re.fullmatch(r"(?:https?://[^\s/]+\S*)?", collector) for collector in _collectors):
    raise ImproperlyConfigured("OTEL_EXPORTER_OTLP_ENDPOINT must be like http://127.0.0.1:4318.")
TRACES = any(_collectors) and not flag("OTEL_SDK_DISABLED", default=False)

# Where the ledgers' daily roots are appended to; see credit/chain/.
CHAIN_FILE = env.str("CHAIN_FILE", default="")

CSRF_FAILURE_VIEW = "shared.pages.form_expired"

LOGGING_CONFIG = None
configure_logging(level=LOG_LEVEL)
