#!/usr/bin/env bash
# groupmq 1.1.0: a job with a delay runs at once when the job before it in its group ends. A worker that completes a job takes the next one of the
# group in the same step, and that step does not look whether it is delayed. A reminder with a delay of one minute is run after 0.3 s, because a job
# of 0.3 s ran in its group; the same reminder in a group of its own waits. (Needs redis-server, of which it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund groupmq@1.1.0 ioredis@5.11.1 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, Worker } from 'groupmq'
import { Redis } from 'ioredis'

const redis = new Redis(process.argv[2], { maxRetriesPerRequest: null })
const queue = new Queue({ redis, namespace: 'mail', keepCompleted: 10 })
const ran = []
const worker = new Worker({
  queue,
  handler: async ({ data }) => {
    ran.push(data)
    if (data === 'welcome') await sleep(300)
  },
})
await queue.add({ groupId: 'first customer', data: 'welcome' })
await queue.add({ groupId: 'first customer', data: 'reminder after the welcome', delay: 60_000, jobId: 'early' })
await queue.add({ groupId: 'second customer', data: 'reminder alone', delay: 60_000, jobId: 'waits' })
const begun = Date.now()
worker.run()
while (ran.length < 2 && Date.now() - begun < 10_000) await sleep(20)
const waited = Date.now() - begun
await sleep(2_000)
const states = { early: (await queue.getJob('early')).status, waits: (await queue.getJob('waits')).status }
console.log(process.version, `groupmq 1.1.0; ran, the last after ${waited} ms instead of 60,000:`, JSON.stringify({ ran, states }))
const same = ran.join() === 'welcome,reminder after the welcome' && waited < 10_000 && states.waits === 'delayed'
process.exit(same ? 0 : 1)
JS
node try.mjs "$folder/redis.sock"
