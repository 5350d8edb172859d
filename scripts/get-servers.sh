#!/usr/bin/env bash
# Fetches Debian's servers for `npm run test:servers` into build/servers, without installing any: Postfix and Exim exclude each other, and
# neither may become this machine's mail server. Needs apt-get, and root where apt's lists are out of date.
set -euo pipefail
cd "$(dirname "$0")/.."
servers=${*:-postfix exim4-daemon-light nginx-light haproxy apache2 caddy lighttpd libnss-wrapper}
target=$PWD/build/servers
mkdir -p "$target/debs/partial" "$target/root"
[ "$(id -u)" != 0 ] || apt-get update -qq
for server in $servers; do
  apt-get install -qq -y --download-only --reinstall --no-install-recommends \
    -o "Dir::Cache::archives=$target/debs" -o Debug::NoLocking=1 "$server" >/dev/null
done
for deb in "$target"/debs/*.deb; do dpkg -x "$deb" "$target/root"; done
echo "in $target: $servers"
