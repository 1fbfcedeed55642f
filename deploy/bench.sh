#!/usr/bin/env bash
# The bench, from nothing: environment, packages, a PostgreSQL and a server of its own. Ratios, in one interleaved run.
#
#   deploy/bench.sh [--seconds S] [--rounds N] [TABLE …]
#
# wrk (a Debian package) is the load generator where it is installed; else Python is, which takes more of the machine.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_help "$@"
cd "$(dirname "$0")/.."
deploy/setup.sh --dev
exec .venv/bin/python -m tests.bench "$@"
