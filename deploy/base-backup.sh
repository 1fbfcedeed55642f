#!/usr/bin/env bash
# A base backup of the database, in a directory of today's date; those before the last seven go, and with them the archived
# WAL that only they needed. It runs where the backups are, as the user that keeps them: recharge-base-backup.timer has it
# run each night.
#
#   deploy/base-backup.sh BASES WAL
#
# BASES   the directory of all base backups, one a day
# WAL     the directory that pg_receivewal writes (recharge-wal.service)
#
# SOURCE says how the database is reached, as libpq reads it (host=db.internal user=backup). PG_BIN names the directory of
# PostgreSQL's programs. What is not whole never stands under a date; run again on the same day, it makes the day's anew.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_help "$@"
[ $# = 2 ] || usage_wrong "base-backup.sh takes BASES and WAL."
keep=7

fail() { printf '%s\n' "$*" >&2; exit 2; }
[ -n "${SOURCE:-}" ] || fail "SOURCE is not set: how the database is reached, host=db.internal user=backup for example."
for directory in "$1" "$2"; do [ -d "$directory" ] || fail "There is no directory $directory."; done
bases=$(realpath "$1") wal=$(realpath "$2")
day=$bases/$(date +%F) new=$bases/.new
PATH=${PG_BIN:+$PG_BIN:}$PATH

rm -rf "$new"
pg_basebackup --dbname="$SOURCE" --pgdata="$new" --checkpoint=fast
rm -rf "$day"
mv "$new" "$day"
echo "$day is there."

days=("$bases"/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9])
while [ ${#days[@]} -gt $keep ]; do
    echo "${days[0]} goes."
    rm -rf "${days[0]}"
    days=("${days[@]:1}")
done
# Its label names the first file of WAL that it needs. Debian has this program beside the server alone.
oldest=${days[0]}
needed=$(sed -n 's/^START WAL LOCATION: .* (file \([0-9A-F]\{24\}\))$/\1/p' "$oldest/backup_label")
PATH=$PATH:/usr/lib/postgresql/$(cat "$oldest/PG_VERSION")/bin
pg_archivecleanup "$wal" "${needed:?$oldest has no label}"
