#!/usr/bin/env bash
# Node 20.20.2, 22 and 24: Intl.DateTimeFormat accepts abbreviations that are no names of IANA zones, and takes BST for Asia/Dhaka, IST for
# Asia/Calcutta and SST for Pacific/Guadalcanal. So croner 11.0.1 runs "0 9 * * *" in "BST" at 03:00 UTC, not at the 08:00 of British summer.
# (ICU's short names of its own, of which ECMA-402 says nothing.) Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
cat > try.mjs <<'JS'
import { Cron } from 'croner'

const taken = ['BST', 'IST', 'SST'].map((timeZone) => new Intl.DateTimeFormat('en', { timeZone }).resolvedOptions().timeZone)
const run = new Cron('0 9 * * *', { timezone: 'BST', paused: true }).nextRun(new Date('2026-07-01T00:00:00Z')).toISOString()
console.log(process.version, taken.join(' '), run)
process.exit(/Dhaka .*\/(Calcutta|Kolkata) .*Guadalcanal/.test(taken.join(' ')) && run === '2026-07-01T03:00:00.000Z' ? 0 : 1)
JS
npm install --silent --no-audit --no-fund croner@11.0.1 >/dev/null
for version in 20.20.2 22 24; do
  npm install --silent --no-audit --no-fund --no-save "node@$version" croner@11.0.1 >/dev/null
  node_modules/.bin/node try.mjs
done
