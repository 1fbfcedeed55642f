#!/usr/bin/env bash
# Everything from nothing: environment, packages, embedded database, migrations, and the demo, which then serves until
# Ctrl-C. With --exit it stops after the proof; its status is 0 only if the proof held.
#
#   deploy/demo.sh [--port N] [--exit]
set -euo pipefail
cd "$(dirname "$0")/.."
deploy/setup.sh
exec .venv/bin/python manage.py demo "$@"
