#!/usr/bin/env bash
# A restore drill: puts a base backup and the archived WAL together in a place of its own, proves the books there, and
# says up to when it got and what is missing. It changes neither the backup nor any running database.
#
#   deploy/restore-drill.sh BASE WAL [TIME]
#
# BASE    the directory of a pg_basebackup (--format=plain), or one of several, of which the last by its name is taken
# WAL     the directory that pg_receivewal or archive_command writes
# TIME    where to stop, as PostgreSQL reads it ('2026-11-27 10:15:00+03:30'); without it, at the end of WAL
#
# It needs manage.py's environment: RECHARGE_ENV_FILE names its file, or SECRET_KEY and BASE_DOMAIN are set. If DATABASE_URL
# is set, here or there, and answers, the ledgers at it are counted, too: what they have more is what a restore at this
# moment would lose. PG_BIN names the directory of PostgreSQL's programs, DRILL_DIR where the copy goes (default: beside BASE;
# it takes as much room), DRILL_DATABASE the database (default: recharge) and DRILL_ROLE a superuser of it (default: postgres).
# Exit status: 0 the books are right; 1 they are not; 2 nothing could be restored.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_help "$@"
[ $# = 2 ] || [ $# = 3 ] || usage_wrong "restore-drill.sh takes BASE, WAL and, if wanted, TIME."
cd "$(dirname "$0")/.."

fail() { printf '%s\n' "$*" >&2; exit 2; }
[ -n "${RECHARGE_ENV_FILE:-}${SECRET_KEY:-}" ] ||
    fail "The books are proved with the installation's environment: set RECHARGE_ENV_FILE, to /etc/recharge/recharge.env say."
file=${RECHARGE_ENV_FILE:-/dev/null}
[ -r "$file" ] || fail "There is no file $file that may be read."
DATABASE_URL=${DATABASE_URL:-$(sed -n 's/^DATABASE_URL=//p' "$file")}
given=$1
[ -f "$given/PG_VERSION" ] || for one in "$1"/*/PG_VERSION; do given=${one%/PG_VERSION}; done
[ -f "$given/PG_VERSION" ] || fail "$1 is no base backup in plain format: it has no PG_VERSION."
[ -d "$2" ] || fail "There is no directory $2."
base=$(realpath "$given") wal=$(realpath "$2") until=${3:-}
bin=${PG_BIN:-/usr/lib/postgresql/$(cat "$base/PG_VERSION")/bin}
[ -x "$bin/postgres" ] || fail "PostgreSQL $(cat "$base/PG_VERSION") is not in $bin; PG_BIN names its programs' directory."
# PostgreSQL does not run as root: then whoever owns the backup runs it.
PATH=$PATH:/usr/sbin
owner=$(stat -c %U "$base")
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u "$owner" -- "$@"; else "$@"; fi; }
if [ "$(id -u)" = 0 ] && [ "$owner" = root ]; then fail "$base belongs to root. Give it to the user that runs PostgreSQL."; fi

place=$(as_owner mktemp -d "${DRILL_DIR:-$(dirname "$base")}/restore-drill.XXXXXX")
data=$place/data
# shellcheck disable=SC2329  # the trap calls it
finish() {
    as_owner "$bin/pg_ctl" -D "$data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$place"
}
trap finish EXIT
echo "Copying $base …"
as_owner cp -a "$base" "$data"
# A configuration of its own: the installation's may stand elsewhere, and listens where nobody should find this one. What
# pg_receivewal has not finished is called .partial.
as_owner tee "$data/drill.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$place'
hba_file = '$data/drill.hba'
hot_standby = off
archive_mode = off
max_locks_per_transaction = 1024
restore_command = 'cp "$wal/%f" "%p" 2>/dev/null || cp "$wal/%f.partial" "%p" 2>/dev/null'
recovery_target_action = promote
${until:+recovery_target_time = '$until'}
CONF
echo 'local all all trust' | as_owner tee "$data/drill.hba" >/dev/null
as_owner rm -f "$data/postgresql.auto.conf" "$data/standby.signal"
as_owner touch "$data/recovery.signal" "$data/postgresql.auto.conf"
echo "Replaying $wal ${until:+until $until }…"
# Whatever hides in %, a socket's address has none.
as_owner "$bin/pg_ctl" -D "$data" -l "$place/log" -o "-c config_file='$data/drill.conf'" -w -t 86400 start >/dev/null ||
    { tail -20 "$place/log" >&2; fail "It could not be restored; the lines above say why."; }

database=${DRILL_DATABASE:-recharge}
copy() { as_owner "$bin/psql" --no-psqlrc -At -h "$place" -U "${DRILL_ROLE:-postgres}" -d "$database" "$@"; }
installation() { PGCONNECT_TIMEOUT=10 "$bin/psql" --no-psqlrc -At -d "$DATABASE_URL" "$@"; }
ask() { copy -c "$1"; }
until ask 'SELECT pg_is_in_recovery()' 2>/dev/null | grep -qx f; do
    as_owner "$bin/pg_ctl" -D "$data" status >/dev/null || { tail -20 "$place/log" >&2; fail "It ended while it replayed."; }
    sleep 1
done
last=$(ask 'SELECT pg_last_xact_replay_timestamp()')
begun=$(as_owner sed -n 's/^START TIME: //p' "$data/backup_label.old")
if [ -n "$until" ] && [ -z "$last" ] && [ "$(ask "SELECT '$until'::timestamptz < '$begun'::timestamptz")" = t ]; then
    fail "This base backup was begun later than $until ($begun): take an older one."
fi
echo "Restored up to ${last:+the transaction of }${last:-the end of the base backup, after which there is none}."

# A line for each organization. One that is half made, or whose schema is gone, has no ledger to count.
ledgers() {
    "$1" -c "SELECT format('SELECT %L, count(*), max(created_at) FROM %I.credit_entry;', schema_name, schema_name)
        FROM public.tenants_organization JOIN pg_tables ON schemaname = schema_name AND tablename = 'credit_entry'" |
        "$1" -f - | LC_ALL=C sort
}
restored=$(ledgers copy)
printf '%s\n' "$restored" | awk -F'|' 'NF { organizations++; entries += $2; if ($3 > last) last = $3 }
    END { printf "%d organizations, %d entries, the last one of %s.\n", organizations, entries, last }'
if [ -z "$DATABASE_URL" ]; then
    echo "DATABASE_URL is not set, so what is not in it is not known."
elif ! now=$(ledgers installation); then
    echo "DATABASE_URL does not answer, so what is not in it is not known."
else
    LC_ALL=C join -t'|' -a 2 -e 0 -o 0,1.2,2.2,2.3 <(printf '%s\n' "$restored") <(printf '%s\n' "$now") |
        awk -F'|' '$3 > $2 { printf "  %s: %d entries are not in it, the last one of %s\n", $1, $3 - $2, $4; lost += $3 - $2 }
            END { printf "Not in it, and in the database now: %d entries.\n", lost }'
fi
echo "Proving the books …"
address="postgres://${DRILL_ROLE:-postgres}@/$database?host=$place"
# What the file says goes before what is set, and a command goes by DIRECT_DATABASE_URL if there is one: with the addresses
# of the installation, its books would be proved instead.
addresses='OWNER_DATABASE_URL DIRECT_DATABASE_URL REPLICA_DATABASE_URL DATABASE_URL DATABASE_POOLER'
# shellcheck disable=SC2086  # they are words
unset $addresses
RECHARGE_ENV_FILE=<(grep -vE "^[[:space:]]*(${addresses// /|})=" "$file") \
    DATABASE_URL=$address OWNER_DATABASE_URL=$address "${PYTHON:-.venv/bin/python}" manage.py reconcile
