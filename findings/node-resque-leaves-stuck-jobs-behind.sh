#!/usr/bin/env bash
# node-resque 9.7.1: retryStuckJobs() leaves stuck jobs behind. It reads the failed list in pages by their position, and each job that it puts back
# leaves the list, so that the next page begins behind jobs which it has not seen. Of 300 jobs whose workers died, one call puts 200 back and 100 stay
# 'failed'; of 100 it puts back all. It is also what a scheduler with retryStuckJobs: true calls.
# (Needs redis-server, of which it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund node-resque@9.7.1 ioredis@5.11.1 >/dev/null
cat > try.mjs <<'JS'
import { Redis } from 'ioredis'
import resque from 'node-resque'

const redis = new Redis(process.argv[2])
const connection = () => ({ redis: new Redis(process.argv[2]) })
const jobs = { resize: { perform: () => {} } }
const seen = {}
for (const count of [100, 300]) {
  await redis.flushall()
  const queue = new resque.Queue({ connection: connection() }, jobs)
  await queue.connect()
  for (let index = 0; index < count; index++) {
    await queue.enqueue('images', 'resize', [index])
    // A worker that takes a job and is never heard of again.
    const options = { connection: { redis }, name: `host:${index}`, queues: ['images'], looping: false }
    const worker = new resque.Worker(options, jobs)
    await worker.connect()
    await worker.init()
    await worker.poll()
    clearInterval(worker.pingTimer)
    await queue.forceCleanWorker(`host:${index}`)
  }
  const stuck = await queue.failedCount()
  await queue.retryStuckJobs()
  seen[`${count} jobs`] = { stuck, 'put back': await queue.length('images'), 'still failed': await queue.failedCount() }
  await queue.end()
}
console.log(process.version, 'node-resque 9.7.1, after retryStuckJobs():', JSON.stringify(seen))
const [few, many] = Object.values(seen)
const same = few['put back'] === 100 && few['still failed'] === 0 && many.stuck === 300 && many['still failed'] > 50
process.exit(same ? 0 : 1)
JS
timeout 120 node try.mjs "$folder/redis.sock"
