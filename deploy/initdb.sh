#!/bin/sh
# For compose.yaml, run by PostgreSQL's image at its first start: the database, the role that owns it (it makes a schema for
# every organization), and the role that the application works as. Neither is a superuser.
#
#   deploy/initdb.sh        DATABASE_PASSWORD is the owner's password, WORKING_PASSWORD the other's; POSTGRES_USER makes
#                           them (default: postgres)
set -eu
if [ $# -gt 0 ]; then
    usage=$(sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$0")
    case $1 in -h | --help) echo "$usage"; exit 0 ;; esac
    echo "$usage" >&2
    exit 2
fi
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$DATABASE_PASSWORD" \
    --set working_password="$WORKING_PASSWORD" \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE recharge LOGIN NOSUPERUSER PASSWORD :'password';
CREATE DATABASE recharge OWNER recharge ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE recharge FROM PUBLIC;
CREATE ROLE recharge_working NOLOGIN;
CREATE ROLE recharge_web LOGIN NOSUPERUSER PASSWORD :'working_password' IN ROLE recharge_working, pg_read_all_stats;
SQL
