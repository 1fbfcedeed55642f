#!/usr/bin/env bash
# Everything that is checked without running the product: lint, format, types, import layers, migrations, deployment
# settings and the OpenAPI documents.
#
#   deploy/check.sh
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_none "$@"
cd "$(dirname "$0")/.."
deploy/setup.sh --dev
PATH=$PWD/.venv/bin:$PATH

# An installation's settings, with nothing behind them: none of these commands needs the database.
export DATABASE_URL=postgres://nobody@localhost:1/nothing BASE_DOMAIN=recharge.example
SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(64))')
export SECRET_KEY

run() { printf '\n— %s\n' "$*"; "$@"; }
run ruff check .
run ruff format --check .
run mypy
run lint-imports --no-logo
run python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
run python manage.py check --deploy --fail-level WARNING
for urls in saas.urls_platform saas.urls_organization; do
    run python manage.py spectacular --urlconf "$urls" --validate --fail-on-warn --file /dev/null
done
