#!/bin/bash
# What the official image's entry point does, as far as the shop needs it.
set -eu

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	chown -R postgres "$PGDATA"
	chmod 700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

run=(--config-file="$PGDATA/postgresql.conf" -k /tmp)
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb -U "$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256 >/dev/null
	echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
	pg_ctl -w -o "-c listen_addresses='' -k /tmp" start >/dev/null
	[ "$POSTGRES_DB" = postgres ] || createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
	for f in /docker-entrypoint-initdb.d/*.sql; do
		psql -h /tmp -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v ON_ERROR_STOP=1 -q -f "$f"
	done
	pg_ctl -w -m fast stop >/dev/null
fi
[ "$1" != postgres ] || set -- postgres "${run[@]}" -c listen_addresses='*'
exec "$@"
