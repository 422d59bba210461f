#!/bin/sh
# The official image is built to trust its network, and does not run as root.
set -eu

[ "$1" != redis-server ] || set -- "$@" --protected-mode no
exec setpriv --reuid=redis --regid=redis --init-groups "$@"
