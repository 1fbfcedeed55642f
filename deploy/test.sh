#!/usr/bin/env bash
# The whole test suite, from nothing: environment, packages, a PostgreSQL of its own, a browser, tests.
#
#   deploy/test.sh [pytest arguments]
#   deploy/test.sh fast [pytest arguments]      no browser, faults or upgrades, and no test marked slow
#   deploy/test.sh tests/faults -m long -s      fifty kill -9, ten fail-overs, full disks: takes minutes; prints totals
#   deploy/test.sh --ignore tests/browser       without the browser tests, and without a browser
#
# With TEST_DATABASE_URL the tests make their database on that server instead (CONTRIBUTING.md says which roles).
# With TEST_LOCALE=en_US.UTF-8 the database has that locale, which the system must know.
# The browser tests need Chromium, and a library that Playwright's driver uses. On Debian as root both are installed where
# they are missing; else this says what to do before any test runs. CHROMIUM may name a Chromium that is somewhere else.
# The tests of the metrics need Prometheus and its promtool, that of the units systemd's programs, those of faults nginx, that
# of the pooler PgBouncer, which are installed likewise. With TEST_POOLER=transaction all tests work through one.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_help "$@"
cd "$(dirname "$0")/.."
if [ "${1:-}" = fast ]; then
    shift
    set -- --ignore tests/browser --ignore tests/faults --ignore tests/upgrades -m 'not slow and not long and not cluster' "$@"
fi
deploy/setup.sh --dev

# Whether any test of a directory may be among those that are asked for: wants DIRECTORY ARGUMENTS …
wants() {
    local directory=$1 argument ignored='' path=no before=''
    shift
    for argument; do
        case "$before|$argument" in
            "--ignore|$directory" | "--ignore|$directory/" | *"|--ignore=$directory" | *"|--ignore=$directory/")
                ignored=yes ;;
            *"|tests" | *"|tests/" | *"|$directory"*) return 0 ;;
            *"|tests/"*) path=yes ;;
        esac
        before=$argument
    done
    [ -z "$ignored" ] && [ "$path" = no ]
}
# Ubuntu's package named chromium is a pointer to a snap, which doesn't run here; its version says so.
has_real_package() { apt-cache policy "$1" | grep 'Candidate:' | grep -qv -e '(none)' -e snap; }
install_browser() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "Installing what the browser tests need: Chromium, and a library of Playwright's driver …"
    local PATH=$PATH:/usr/sbin:/sbin  # dpkg asks for them
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    local packages=(libatomic1 fonts-dejavu-core)
    # A browser that is there already, or is named, is left as it is.
    if ! .venv/bin/python -m tests.browser.chromium --find >/dev/null 2>&1; then
        local browser
        for browser in chromium-headless-shell chromium; do
            if has_real_package "$browser"; then
                packages+=("$browser")
                break
            fi
        done
    fi
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}
if wants tests/browser "$@" && ! missing=$(.venv/bin/python -m tests.browser.chromium 2>&1); then
    if ! { install_browser && missing=$(.venv/bin/python -m tests.browser.chromium 2>&1); }; then
        printf '%s\nWithout the browser tests: deploy/test.sh --ignore tests/browser\n' "$missing" >&2
        exit 1
    fi
fi
install_package() {
    local package=$1 service=$2 directory=$3
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "Installing what tests in $directory need: $package …"
    local PATH=$PATH:/usr/sbin:/sbin
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    # The tests start one of their own; Debian's would run from now on, and listen to everybody.
    if [ -n "$service" ] && [ -d /run/systemd/system ]; then systemctl --quiet disable --now "$service"; fi
}
# A server (SERVICE; empty: no server) that the tests of a directory need; tests/support/MODULE.py looks for it:
# needs DIRECTORY MODULE SERVICE PACKAGE ARGUMENTS …
needs() {
    local directory=$1 module=$2 service=$3 package=$4 missing
    shift 4
    if ! wants "$directory" "$@" || missing=$(.venv/bin/python -m "tests.support.$module" 2>&1); then
        return 0
    fi
    if ! {
        install_package "$package" "$service" "$directory" &&
            missing=$(.venv/bin/python -m "tests.support.$module" 2>&1)
    }; then
        printf '%s\nWithout these tests: deploy/test.sh --ignore %s\n' "$missing" "$directory" >&2
        exit 1
    fi
}
needs tests/saas prometheus prometheus prometheus "$@"
needs tests/saas systemd '' systemd "$@"
needs tests/tenants pooler pgbouncer pgbouncer "$@"
needs tests/faults nginx nginx nginx-light "$@"
# Every process of the tests compiles the whole product where Python may not keep what it has compiled.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$PWD/.pytest_cache/bytecode
# A process a core and one more, since tests wait, too; each has a database and a server of its own. -n says otherwise.
export PYTEST_ADDOPTS="-n $(($(nproc) + 1)) --dist worksteal ${PYTEST_ADDOPTS:-}"
exec .venv/bin/python -m pytest "$@"
