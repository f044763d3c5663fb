#!/bin/bash
# usage: healthcheck.sh PORT PATH
# Succeeds where this container answers 200 there. The image has no HTTP client; bash is one that suffices.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r -t 4 _ status _ <&3
[[ "$status" == 200 ]]
