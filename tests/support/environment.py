"""What an installation may have in its environment. To import this does nothing (to import
tests.support.database starts a PostgreSQL)."""

SETTINGS = (
    "DATABASE_URL",
    "OWNER_DATABASE_URL",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "BASE_DOMAIN",
    "HTTPS",
    "FAST_PATH",
    "ORGANIZATIONS_PER_CONNECTION",
    "DELETION_GRACE_DAYS",
    "TRUSTED_PROXIES",
    "ALLOW_PRIVATE_ADDRESSES",
    "LOG_LEVEL",
    "CHAIN_FILE",
    "KEEP_WEBHOOKS_DAYS",
    "KEEP_ALERTS_DAYS",
    "KEEP_ATTEMPTS_DAYS",
    "KEEP_BULK_SALES_DAYS",
    "METRICS_LISTEN",
    "EMAIL_URL",
    "EMAIL_FROM",
    "DEBUG",
    "RECHARGE_ENV_FILE",
    "RECHARGE_DATA_DIR",
)
