#!/usr/bin/env bash
# DBOS 5.3.0: a schedule with automaticBackfill whose cron is changed runs the new cron for the time before the change. applySchedules() keeps when
# the old rule last fired, and the loop that starts for the new rule makes up for all that it "missed" since then. Here a rule of each 20 s becomes
# one of each second, and the seconds back to the last run of the old rule are run at once, dated before the change. For a nightly rule that becomes
# one of each minute that is up to 1,440 workflows. (Needs PostgreSQL's server programs, of which it starts its own.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
as_user() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
mkdir data && chmod 755 "$folder" && { [ "$(id -u)" != 0 ] || chown postgres data; }
as_user "$programs/initdb" -D data -A trust -U postgres >/dev/null
port=$(node -p 'const server = require("net").createServer().listen(0); const { port } = server.address(); server.close(); port')
as_user "$programs/pg_ctl" -D data -w -l data/log -o "-p $port -h 127.0.0.1 -k $folder/data" start >/dev/null
trap 'as_user "$programs/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @dbos-inc/dbos-sdk@5.3.0 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { DBOS } from '@dbos-inc/dbos-sdk'

const ran = { old: [], new: [] }
const report = DBOS.registerWorkflow(async (tick, rule) => void ran[rule].push(tick.getTime()), { name: 'report' })
DBOS.setConfig({ name: 'app', systemDatabaseUrl: process.argv[2], logLevel: 'error' })
await DBOS.launch()
const apply = (schedule, context) =>
  DBOS.applySchedules([{ scheduleName: 'report', workflowFn: report, schedule, context, automaticBackfill: true }])
await apply('*/20 * * * * *', 'old')
for (let wait = 0; wait < 300 && ran.old.length === 0; wait++) await sleep(100)
await sleep(ran.old[0] + 12_000 - Date.now())
const change = Date.now()
await apply('* * * * * *', 'new')
await sleep(6_000)
await DBOS.shutdown()
const before = ran.new.filter((tick) => tick < change).length
const after = ran.new.length - before
console.log(process.version, `dbos 5.3.0; runs of the old rule: ${ran.old.length}, of the new one before the change: ${before}, after it: ${after}`)
process.exit(ran.old.length === 1 && before >= 10 ? 0 : 1)
JS
node --no-deprecation try.mjs "postgres://postgres@127.0.0.1:$port/dbos"
