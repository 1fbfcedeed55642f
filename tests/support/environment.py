"""What an installation may have in its environment. To import this does nothing (to import
tests.support.database starts a PostgreSQL)."""

SETTINGS = (
    "DATABASE_URL",
    "OWNER_DATABASE_URL",
    "DIRECT_DATABASE_URL",
    "DATABASE_POOLER",
    "DATABASE_CLUSTER",
    "REPLICA_DATABASE_URL",
    "REPLICA_MAX_AGE",
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
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_SDK_DISABLED",
    "EMAIL_URL",
    "EMAIL_FROM",
    "DEBUG",
    "RECHARGE_ENV_FILE",
    "RECHARGE_DATA_DIR",
)


def database_at(address: str) -> dict[str, str]:
    """What differs for a process that is to go to this address alone, past the tests' pooler, too."""
    return {"DATABASE_URL": address, "DIRECT_DATABASE_URL": "", "DATABASE_POOLER": ""}
