#!/usr/bin/env bash
# @nicnocquee/dataqueue 1.24.0: retryJob() of a job that has used up its attempts makes it 'pending' for ever. The types say that this will "allow it
# to be picked up by other workers", and the job's events say 'retried'; but workers take only jobs with attempts left, and no retry gives one. It is
# no longer among the failed jobs, either. A job that has an attempt left runs when it is retried. (Needs PostgreSQL's server programs, of which it
# starts its own.)
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
npm install --silent --no-audit --no-fund @nicnocquee/dataqueue@1.24.0 pg@8.23.1 >/dev/null
cat > try.mjs <<'JS'
import { readdirSync, readFileSync } from 'node:fs'
import { initJobQueue } from '@nicnocquee/dataqueue'
import pg from 'pg'

const connectionString = process.argv[2]
const migrations = 'node_modules/@nicnocquee/dataqueue/migrations'
const database = new pg.Pool({ connectionString })
for (const file of readdirSync(migrations).sort()) await database.query(readFileSync(`${migrations}/${file}`, 'utf8').split('-- Down')[0])

const queue = initJobQueue({ databaseConfig: { connectionString } })
let down = true
const charged = []
const processor = queue.createProcessor({
  charge: async ({ order }) => {
    if (down) throw new Error('the bank does not answer')
    charged.push(order)
  },
}, { onError() {} })
const jobs = {}
for (const maxAttempts of [1, 2]) jobs[maxAttempts] = await queue.addJob({ jobType: 'charge', payload: { order: `with ${maxAttempts}` }, maxAttempts })
await processor.start()
down = false
for (const id of Object.values(jobs)) await queue.retryJob(id)
for (let turn = 0; turn < 5; turn++) await processor.start()
const seen = {}
for (const [maxAttempts, id] of Object.entries(jobs)) {
  const { status } = await queue.getJob(id)
  const events = (await queue.getJobEvents(id)).map((event) => event.eventType)
  seen[maxAttempts] = [status, ...events].join()
}
console.log(process.version, 'dataqueue 1.24.0; by maxAttempts, status and events:', JSON.stringify(seen), 'charged:', charged)
const same =
  seen[1] === 'pending,added,processing,failed,retried' && seen[2] === 'completed,added,processing,failed,retried,processing,completed' &&
  charged.join() === 'with 2'
process.exit(same ? 0 : 1)
JS
node try.mjs "postgres://postgres@127.0.0.1:$port/postgres" 2>/dev/null
