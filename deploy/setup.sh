#!/usr/bin/env bash
# Makes the virtual environment .venv and installs the pinned packages into it. Run again, it does only what is left.
#
#   deploy/setup.sh [--dev]      --dev: with the tools for checks and tests
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf '\n%s\n' "$*" >&2; exit 1; }

python=
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed. On Debian 12 or Ubuntu 24.04:
    apt-get update && apt-get install -y python3 python3-venv
Or set PYTHON to the one to use."

requirements=(-r requirements.txt)
[ "${1:-}" = --dev ] && requirements+=(-r requirements-dev.txt)
# What the environment was last made from: the packages asked for, and the Python.
want=$(cat requirements.txt $([ "${1:-}" = --dev ] && echo requirements-dev.txt) <("$python" -VV) | cksum)
for stamp in .venv/.installed .venv/.installed-dev; do
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0
done

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if ! "$python" -m venv .venv 2>.venv-error; then
        reason=$(cat .venv-error); rm -f .venv-error
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "$reason
The virtual environment could not be made: Python's venv module is missing. On Debian or Ubuntu:
    apt-get update && apt-get install -y python3-venv      (or python$version-venv)"
    fi
    rm -f .venv-error
fi
echo "Installing the packages into .venv …"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "${requirements[@]}" ||
    fail "The packages could not be installed; see the message above."
if [ "${1:-}" = --dev ]; then printf %s "$want" >.venv/.installed-dev; else printf %s "$want" >.venv/.installed; fi
