#!/bin/sh
# usage: entry.sh PROGRAM [ARGUMENT]…
# Becomes the program, with each file of /run/headroom/secrets as an environment variable of the file's name. A secret
# thus stands neither in compose.yaml nor in what `docker inspect` shows.
set -eu
for file in /run/headroom/secrets/*; do
    if [ -f "$file" ]; then
        export "$(basename "$file")=$(cat "$file")"
    fi
done
exec "$@"
