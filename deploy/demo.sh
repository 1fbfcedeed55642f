#!/usr/bin/env bash
# Everything from nothing: environment, packages, embedded database, migrations, and the demo, which then serves until
# Ctrl-C. With --exit it stops after the proof; its status is 0 only if the proof held.
#
#   deploy/demo.sh [--port N] [--exit]
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_help "$@"
# Looked at before anything is installed.
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
        --exit) ;;
        --port=*) port=${1#--port=} ;;
        --port) shift; port=${1:-} ;;
        *) usage_wrong "demo.sh has no option $1." ;;
    esac
    shift || true
done
if [ -n "${port+given}" ] && ! { [[ $port =~ ^[0-9]{1,5}$ ]] && [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; }; then
    usage_wrong "--port takes a number from 1 to 65535."
fi
cd "$(dirname "$0")/.."
deploy/setup.sh
exec .venv/bin/python manage.py demo "${arguments[@]}"
