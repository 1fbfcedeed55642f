#!/usr/bin/env bash
# An upgrade of what compose.yaml runs, without a gap: the image is built, the migrations run, and the two servers are
# replaced one after the other. No request fails: nginx sends on to the one that answers.
#
#   deploy/upgrade.sh        after `git pull`; deploy/recharge.env is there, and the containers run
#
# Where something fails it stops there, with the exit status of that: what runs goes on, and the script is run again when the
# cause is mended. A server that does not become ready leaves the other one serving, with the code of before. The database
# and the proxy are left as they are.
set -euo pipefail
. "$(dirname "$0")/usage.sh"
usage_none "$@"
cd "$(dirname "$0")/.."

recharge() { docker compose --env-file deploy/recharge.env --file deploy/compose.yaml "$@"; }

recharge build
recharge run --rm --no-deps migrate
# Each by itself: `up` for several stops all of them before it starts the first new one. One that does not serve goes first.
servers=(app app-2)
[ "$(recharge ps --format '{{.Health}}' app-2)" = healthy ] || servers=(app-2 app)
for server in "${servers[@]}"; do
    recharge up --detach --no-deps --no-build --wait --wait-timeout 300 "$server"
done
# The migrations' container, too (it has nothing left to do): one of the image of before would have the next `up` replace
# all that depends on it.
recharge up --detach --no-deps --no-build nightly migrate
