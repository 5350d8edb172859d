#!/usr/bin/env bash
# BullMQ 6.7.0 on PostgreSQL: some jobs' events never reach QueueEvents, and waitUntilFinished() of such a job never settles, although the job has
# completed. An event gets its number before its transaction commits, and readers ask for numbers above the highest that they saw: an event that
# commits after one with a higher number is passed over. With 40 jobs at a time, a few of each 1,000 calls still wait 10 s after the last job has
# completed; with one job at a time, none. (Needs PostgreSQL's server programs, of which it starts its own.)
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
npm install --silent --no-audit --no-fund bullmq@6.7.0 pg@8.23.1 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPostgresBackend, Queue, QueueEvents, setDefaultBackendFactory, Worker } from 'bullmq'

setDefaultBackendFactory(createPostgresBackend)
const connection = { connectionString: process.argv[2], migrate: true }
const count = 1_000
/** How many of the calls of waitUntilFinished() have not settled 10 s after the last of the jobs has completed. */
async function waiting(name, workers, concurrency) {
  const queue = new Queue(name, { connection })
  await queue.waitUntilReady()
  const events = new QueueEvents(name, { connection })
  await events.waitUntilReady()
  const jobs = await queue.addBulk(Array.from({ length: count }, (_, n) => ({ name: 'job', data: { n } })))
  let settled = 0
  for (const job of jobs) job.waitUntilFinished(events).then(() => settled++)
  await sleep(2_000)
  for (let n = 0; n < workers; n++) new Worker(name, async () => {}, { connection, concurrency })
  for (let wait = 0; wait < 300 && (await queue.getCompletedCount()) < count; wait++) await sleep(200)
  const completed = await queue.getCompletedCount()
  await sleep(10_000)
  return { completed, waiting: count - settled }
}
const seen = { one: await waiting('one', 1, 1), many: { waiting: 0 } }
for (let round = 1; round <= 5 && seen.many.waiting === 0; round++) seen.many = await waiting(`many ${round}`, 4, 10)
console.log(process.version, 'bullmq 6.7.0 on PostgreSQL; one job at a time, and 40:', JSON.stringify(seen))
const { one, many } = seen
process.exit(one.completed === count && one.waiting === 0 && many.completed === count && many.waiting > 0 ? 0 : 1)
JS
node --no-warnings try.mjs "postgres://postgres@127.0.0.1:$port/postgres"
