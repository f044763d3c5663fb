#!/bin/sh
# usage: tokens.sh [show]
# Makes every token and password once, each in the volume of the one service that presents it. `show` prints those for people.
#
# The services that accept tokens get their digests alone. Files are readable by all, since each service runs as a user
# of its own; a volume is mounted only where it is needed.
set -eu
root=/secrets

if [ "${1:-}" = show ]; then
    echo "token with all scopes:      $(cat "$root/people/HEADROOM_TOKEN")"
    echo "Grafana, user admin:        $(cat "$root/grafana/GF_SECURITY_ADMIN_PASSWORD")"
    echo "InfluxDB, user headroom:    $(cat "$root/influxdb/DOCKER_INFLUXDB_INIT_PASSWORD")"
    exit
fi

if [ -s "$root/accepted/tokens" ]; then
    echo "tokens: they are there already"
    exit
fi

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# give SERVICE VARIABLE SECRET: puts a secret where a service finds it.
give() {
    printf '%s' "$3" > "$root/$1/$2"
    chmod 0444 "$root/$1/$2"
}

# accept SERVICE SCOPES: makes a service's token, and writes down that it is accepted.
accept() {
    secret=$(random)
    give "$1" HEADROOM_TOKEN "$secret"
    digest=$(printf '%s' "$secret" | sha256sum | cut -d ' ' -f 1)
    printf '# %s\nsha256:%s %s\n' "$1" "$digest" "$2" >> "$root/accepted/tokens.new"
}

rm -f "$root/accepted/tokens.new"
accept telegraf write
accept forecaster read,write
accept grafana read
accept people admin
give grafana GF_SECURITY_ADMIN_PASSWORD "$(random)"

influx=$(random)
give influxdb DOCKER_INFLUXDB_INIT_ADMIN_TOKEN "$influx"
give influxdb DOCKER_INFLUXDB_INIT_PASSWORD "$(random)"
give gateway HEADROOM_INFLUX_TOKEN "$influx"

# Last, since its presence says that all is there.
chmod 0444 "$root/accepted/tokens.new"
mv "$root/accepted/tokens.new" "$root/accepted/tokens"
echo "tokens: made; \`docker compose run --rm tokens show\` prints those for people"
