#!/usr/bin/env bash
# groupmq 1.1.0: when a worker dies in a job, that job and all later ones of its group are not run again. Three places look for jobs whose time is up:
# the check for stalled jobs takes the job off the group's list of active ones, but reserve() and cleanup() put it back without that, and reserve()
# comes first. From then on no worker takes anything of the group; its jobs count as "waiting". The README promises automatic recovery. Here jobs time
# out after 1 s, the check runs each second, and 20 s later the group still waits, while another group's jobs are run.
# (Needs redis-server, of which it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund groupmq@1.1.0 ioredis@5.11.1 >/dev/null
cat > try.mjs <<'JS'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, Worker } from 'groupmq'
import { Redis } from 'ioredis'

const [socket, role] = process.argv.slice(2)
const redis = new Redis(socket, { maxRetriesPerRequest: null })
const queue = new Queue({ redis, namespace: 'orders', jobTimeoutMs: 1_000 })
const work = (handler) => new Worker({ queue, handler, stalledInterval: 1_000, maxStalledCount: 5, cleanupIntervalMs: 1_000 }).run()

if (role === 'dies') {
  work(async () => {
    process.send('in the job')
    await sleep(600_000)
  })
} else {
  await queue.add({ groupId: 'first customer', data: 'first order' })
  await queue.add({ groupId: 'first customer', data: 'second order' })
  const child = fork('try.mjs', [socket, 'dies'])
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const ran = []
  work(async ({ data }) => void ran.push(data))
  for (let order = 1; order <= 20; order++) {
    await queue.add({ groupId: 'second customer', data: order })
    await sleep(1_000)
  }
  const { active, waiting } = await queue.getJobCounts()
  console.log(process.version, 'groupmq 1.1.0, 20 s after the worker died:', JSON.stringify({ ran, active, waiting }))
  process.exit(ran.length === 20 && ran.every(Number.isInteger) && active === 0 && waiting === 2 ? 0 : 1)
}
JS
node try.mjs "$folder/redis.sock"
