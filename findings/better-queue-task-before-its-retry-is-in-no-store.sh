#!/usr/bin/env bash
# better-queue 3.8.12 with its PostgreSQL store (better-queue-sql 1.0.6): a task that waits for its retry is in no store. When an attempt fails, the
# task's row is deleted, and it is written again only when the retryDelay has passed. A process that is killed or deployed in between loses it,
# although its storage is persistent: here with a delay of a minute, after a failed attempt, the table is empty, and the next process has nothing to
# run. A task whose process is killed during the attempt is run again. (Needs PostgreSQL's server programs, of which it starts its own.)
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
npm install --silent --no-audit --no-fund better-queue@3.8.12 better-queue-sql@1.0.6 pg@8.23.1 >/dev/null
cat > try.mjs <<'JS'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Queue from 'better-queue'
import pg from 'pg'

const [port, tableName, role] = process.argv.slice(2)
const connection = { host: '127.0.0.1', port: Number(port) }
if (role) {
  const work = (task, done) => {
    if (role === 'first' && tableName === 'killed_in_the_attempt') return
    if (role === 'first') return done(new Error('no answer'))
    console.log(task.invoice)
    done()
  }
  const store = { type: 'sql', dialect: 'postgres', ...connection, username: 'postgres', password: '', dbname: 'postgres', tableName }
  const queue = new Queue(work, { store, maxRetries: 5, retryDelay: 60_000 })
  if (role === 'first') queue.push({ id: 'a', invoice: 4711 })
  await sleep(4_000)
  process.kill(process.pid, 'SIGKILL')
}
const database = new pg.Pool({ ...connection, user: 'postgres', database: 'postgres' })
const seen = {}
for (const table of ['killed_in_the_attempt', 'killed_before_the_retry']) {
  const run = async (role) => {
    let printed = ''
    const child = spawn(process.execPath, ['try.mjs', port, table, role], { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.on('data', (data) => (printed += data))
    await once(child, 'close')
    return printed.trim()
  }
  await run('first')
  const { rows } = await database.query(`SELECT id FROM ${table}`)
  seen[table] = { rows: rows.length, 'next process ran': await run('next') }
}
await database.end()
console.log(process.version, 'better-queue 3.8.12:', JSON.stringify(seen))
const same =
  JSON.stringify(Object.values(seen)) === '[{"rows":1,"next process ran":"4711"},{"rows":0,"next process ran":""}]'
process.exit(same ? 0 : 1)
JS
node try.mjs "$port"
