#!/usr/bin/env bash
# Brings the Persian messages up to date: finds every text of the pages that is to be translated, and compiles what is
# translated. What still lacks a translation is listed. A test fails until nothing does.
#
#   deploy/messages.sh
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_none "$@"
cd "$(dirname "$0")/.."
deploy/setup.sh --dev
exec .venv/bin/python -m tests.support.messages
