#!/usr/bin/env bash
# node-resque 9.7.1: with its plugin JobLock, which puts a job back while an equal one is running, the second job that is put back in the same second
# fails with "Job already enqueued at this time", without having run, and takes the lock of the running job away. Of four equal jobs with four workers
# two are in the failed list, and another runs beside the first, against which the lock was set. Of two equal jobs, of which one is put back, both run,
# one after the other. (Needs redis-server, of which it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund node-resque@9.7.1 ioredis@5.11.1 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import resque from 'node-resque'

const redis = new Redis(process.argv[2])
const connection = () => ({ redis: new Redis(process.argv[2]) })
const seen = {}
for (const count of [2, 4]) {
  await redis.flushall()
  let [running, most, runs] = [0, 0, 0]
  const perform = async () => {
    most = Math.max(most, ++running)
    runs++
    await sleep(2_500)
    running--
  }
  const jobs = { sync: { plugins: ['JobLock'], perform } }
  const queue = new resque.Queue({ connection: connection() }, jobs)
  await queue.connect()
  // Just after a whole second by the rounding of the library, so that all of them are put back to the same one.
  await sleep(1_000 - ((Date.now() + 450) % 1_000))
  for (let index = 0; index < count; index++) await queue.enqueue('mail', 'sync', ['customer 7'])
  const others = []
  for (let index = 0; index < count; index++) {
    const worker = new resque.Worker({ connection: connection(), name: `worker ${index}`, queues: ['mail'], timeout: 100 }, jobs)
    worker.on('error', () => {})
    await worker.connect()
    others.push(worker)
  }
  const scheduler = new resque.Scheduler({ connection: connection(), timeout: 200 }, jobs)
  await scheduler.connect()
  for (const each of [scheduler, ...others]) await each.start()
  await sleep(12_000)
  const failed = (await queue.failed(0, -1)).map(({ error }) => error)
  seen[`${count} jobs`] = { runs, 'at most at once': most, failed }
  for (const each of [scheduler, ...others, queue]) await each.end()
}
console.log(process.version, 'node-resque 9.7.1 with JobLock:', JSON.stringify(seen))
const [two, four] = Object.values(seen)
process.exit(two.runs === 2 && two['at most at once'] === 1 && four.failed.length > 0 && four['at most at once'] > 1 ? 0 : 1)
JS
timeout 120 node try.mjs "$folder/redis.sock"
