#!/usr/bin/env bash
# The whole test suite, from nothing: environment, packages, a PostgreSQL of its own, tests.
#
#   deploy/test.sh [pytest arguments]
#
# With TEST_DATABASE_URL the tests make their database on that server instead (the role needs CREATEDB).
set -euo pipefail
cd "$(dirname "$0")/.."
deploy/setup.sh --dev
exec .venv/bin/python -m pytest "$@"
