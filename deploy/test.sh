#!/usr/bin/env bash
# The whole test suite, from nothing: environment, packages, a PostgreSQL of its own, a browser, tests.
#
#   deploy/test.sh [pytest arguments]
#
# With TEST_DATABASE_URL the tests make their database on that server instead (the role needs CREATEDB).
# The browser tests need Chromium. Where there is none it is installed as Debian's package, if this may do so; else it
# says what to do, and CHROMIUM may name one that is somewhere else.
set -euo pipefail
cd "$(dirname "$0")/.."
deploy/setup.sh --dev

# It must run: Ubuntu's chromium-browser may be no more than a pointer to a snap.
has_chromium() {
    local candidate
    for candidate in ${CHROMIUM:-chromium chromium-browser}; do
        "$candidate" --version >/dev/null 2>&1 && return
    done
    return 1
}
install_chromium() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "Installing Chromium (Debian's package), for the browser tests …"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null
}
if ! has_chromium && ! { install_chromium && has_chromium; }; then
    echo "The browser tests need Chromium, and it can't be installed from here: they will fail. On Debian or Ubuntu:
    $([ "$(id -u)" = 0 ] || printf 'sudo ')apt-get update && $([ "$(id -u)" = 0 ] || printf 'sudo ')apt-get install -y chromium
Or set CHROMIUM to the path of one. Without the browser tests: deploy/test.sh --ignore tests/browser" >&2
fi
exec .venv/bin/python -m pytest "$@"
