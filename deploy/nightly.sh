#!/usr/bin/env bash
# What systemd's timers do elsewhere, for compose.yaml: each night it proves the books, deletes for good the organizations
# whose time is over, and lets go of what those that are suspended keep no longer (of the others workers do).
#
#   deploy/nightly.sh [HH:MM]      when, in UTC; default: 03:30
#
# What fails keeps nothing else from being done, and is done again the next night; /metrics says how the proof ended
# (BooksNotClean and ReconcileLate in alerts.yaml).
set -euo pipefail
if [ $# -gt 1 ] || ! [[ ${1:-03:30} =~ ^([01][0-9]|2[0-3]):[0-5][0-9]$ ]]; then
    usage=$(sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$0")
    case $1 in -h | --help) echo "$usage"; exit 0 ;; esac
    echo "$usage" >&2
    exit 2
fi
export TZ=UTC
while :; do
    now=$(date +%s) next=$(date --date="${1:-03:30}" +%s)
    [ "$next" -gt "$now" ] || next=$(date --date="tomorrow ${1:-03:30}" +%s)
    sleep $((next - now))
    python manage.py reconcile --incremental || echo "The books were not proved right." >&2
    python manage.py organization delete --due --yes || echo "Not all organizations were deleted whose time is over." >&2
    python manage.py let_go --suspended || echo "Not all was let go of that suspended organizations keep no longer." >&2
done
