#!/usr/bin/env bash
# pg-workflows 0.15.0: stop() of one engine deletes the schedules of its workflows from the database, also while other engines run that have them.
# In a rolling deployment the new process starts, writes the schedule that is already there, and then the old one stops and takes it away: the new
# engine runs on without an error, and its schedule never fires again. Here a cron of every minute has a row while two engines run, none when the
# first has stopped, and no run in the minutes after; that of an engine alone runs. (Needs PostgreSQL's server programs, of which it starts its
# own; takes three minutes. Runs with Node.js 24.)
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
npm install --silent --no-audit --no-fund pg-workflows@0.15.0 pg@8.23.1 @opentelemetry/api@1.9.0 node@24.21.0 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { WorkflowEngine, workflow } from 'pg-workflows'

const connectionString = process.argv[2]
const database = new pg.Pool({ connectionString })
const logger = { log() {}, error: console.error }
const schedule = '* * * * *'
const define = (name) => workflow(name, async ({ step }) => void (await step.run('send', async () => 'sent')), { schedule })
async function start(name) {
  const engine = new WorkflowEngine({ pool: new pg.Pool({ connectionString }), workflows: [define(name)], logger })
  await engine.start()
  return engine
}
const rows = async () => (await database.query('SELECT name FROM pgboss_v12_pgworkflow.schedule ORDER BY 1')).rows.map(({ name }) => name.split('_').at(-1))

const alone = await start('alone')
const old = await start('deployed')
const fresh = await start('deployed')
const before = await rows()
await old.stop()
const after = await rows()
await sleep(150_000)
const runs = {}
for (const [name, engine] of [['alone', alone], ['deployed', fresh]]) {
  const { items } = await engine.getRuns({ workflowId: name })
  runs[name] = items.length
}
console.log(process.version, 'pg-workflows 0.15.0; schedules before and after stop():', before, after, '; runs in 150 s:', JSON.stringify(runs))
process.exit(before.join() === 'alone,deployed' && after.join() === 'alone' && runs.alone >= 1 && runs.deployed === 0 ? 0 : 1)
JS
./node_modules/.bin/node try.mjs "postgres://postgres@127.0.0.1:$port/postgres"
