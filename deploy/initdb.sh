#!/bin/sh
# For compose.yaml, run by PostgreSQL's image at its first start: the application's role and its database. The role is
# no superuser; it owns the database, since it makes a schema for every organization.
#
#   deploy/initdb.sh        DATABASE_PASSWORD is the role's password, POSTGRES_USER who makes it (default: postgres)
set -eu
if [ $# -gt 0 ]; then
    usage=$(sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$0")
    case $1 in -h | --help) echo "$usage"; exit 0 ;; esac
    echo "$usage" >&2
    exit 2
fi
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$DATABASE_PASSWORD" \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE recharge LOGIN NOSUPERUSER PASSWORD :'password';
CREATE DATABASE recharge OWNER recharge ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE recharge FROM PUBLIC;
SQL
