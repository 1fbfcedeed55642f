#!/usr/bin/env bash
# Makes the virtual environment .venv and installs the pinned packages into it. Run again, it does only what is left.
#
#   deploy/setup.sh [--dev]      --dev: with the tools for checks and tests
#
# PYTHON names the Python to use, if it is not the first that is found. What Debian and Ubuntu keep in packages of their
# own (python3, python3-venv) is installed, if this may do so; else it says which they are.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_help "$@"
[ $# = 0 ] || [ "$*" = --dev ] || usage_wrong "setup.sh has one option, --dev; this was given: $*"
cd "$(dirname "$0")/.."

fail() { printf '\n%s\n' "$*" >&2; exit 1; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
works() { .venv/bin/python -m pip --version >/dev/null 2>&1; }
as_root() { [ "$(id -u)" = 0 ] || printf 'sudo '; }
# Installs packages of Debian or Ubuntu as root; fails where that can't be done.
install_packages() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "Installing $* …"
    local PATH=$PATH:/usr/sbin:/sbin  # dpkg asks for them
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null
}
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then python=$candidate; return; fi
    done
    return 1
}

python=${PYTHON:-}
if [ -n "$python" ]; then
    new_enough "$python" || fail "PYTHON is $python, which is not a Python 3.11 or newer."
elif works; then
    python=.venv/bin/python
elif ! find_python && install_packages python3 python3-venv; then
    find_python || true
fi
[ -n "$python" ] || fail "Python 3.11 or newer is needed. On Debian 12, Ubuntu 24.04 or newer:
    $(as_root)apt-get update && $(as_root)apt-get install -y python3 python3-venv
Or set PYTHON to the one to use."

requirements=(-r requirements.txt)
[ "${1:-}" = --dev ] && requirements+=(-r requirements-dev.txt)
# What the environment was last made from: the packages asked for, and the Python.
want=$(cat requirements.txt $([ "${1:-}" = --dev ] && echo requirements-dev.txt) <("$python" -VV) | cksum)
for stamp in .venv/.installed .venv/.installed-dev; do
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0
done

[ -w . ] || fail "The packages are installed into $PWD/.venv, and you may not write there."
if ! works || [ "$(.venv/bin/python -VV)" != "$("$python" -VV)" ]; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    can_make_venv() { "$python" -c 'import venv, ensurepip' 2>/dev/null; }
    if ! can_make_venv && ! { install_packages "python$version-venv" && can_make_venv; }; then
        fail "$python can't make a virtual environment. On Debian or Ubuntu that is a package of its own:
    $(as_root)apt-get update && $(as_root)apt-get install -y python$version-venv
Then run this again."
    fi
    rm -rf .venv
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        fail "The virtual environment could not be made; see the message above."
    fi
fi
echo "Installing the packages into .venv …"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "${requirements[@]}" ||
    fail "The packages could not be installed; see the message above."
if [ "${1:-}" = --dev ]; then printf %s "$want" >.venv/.installed-dev; else printf %s "$want" >.venv/.installed; fi
