#!/usr/bin/env bash
# @quirrel/owl 0.15.0, the queue under Quirrel 1.14.1: of the jobs that a worker had when it died, one comes back. The check for stale jobs takes all
# of them off the list of running jobs, and then reports the first as failed, once for each of them. The others are in no queue any more, whatever
# retries they have; they stay in the job table, so that their ids are taken for ever. Here five jobs run in a process that is killed: one is run
# again, four are not. A job that was alone in its process comes back. (Quirrel checks after an hour, here it is a second. Needs redis-server, of which
# it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @quirrel/owl@0.15.0 ioredis@5.11.1 >/dev/null
cat > try.mjs <<'JS'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import owl from '@quirrel/owl'
import { Redis } from 'ioredis'

const [socket, role, count] = process.argv.slice(2)
const redisFactory = () => new Redis(socket)
const system = (interval) => new owl.default({ redisFactory, scheduleMap: {}, staleChecker: { interval, staleAfter: 1_000 } })
if (role === 'first') {
  const producer = system('manual').createProducer()
  const job = (index) => ({ queue: 'mail', id: `job ${index}`, payload: `${index}`, retry: [100, 200, 300] })
  for (let index = 0; index < Number(count); index++) await producer.enqueue(job(index))
  let taken = 0
  await system('manual').createWorker(() => {
    if (++taken === Number(count)) process.kill(process.pid, 'SIGKILL')
    return new Promise(() => {})
  })
  await sleep(60_000)
}
if (role === 'next') {
  const next = system(500)
  const worker = await next.createWorker(async (job, descriptor) => {
    console.log(job.id)
    await worker.acknowledger.acknowledge(descriptor)
  })
  next.createProducer() // has the check for stale jobs
  await sleep(5_000)
  process.kill(process.pid, 'SIGKILL')
}
const redis = redisFactory()
const run = async (...args) => {
  let printed = ''
  const child = spawn(process.execPath, ['try.mjs', socket, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.on('data', (data) => (printed += data))
  await once(child, 'close')
  return printed.trim().split('\n')
}
const seen = {}
for (const at of ['1', '5']) {
  await redis.flushall()
  await run('first', at)
  await sleep(1_500)
  const ran = await run('next')
  const [table, queued] = [(await redis.keys('jobs:*')).length, await redis.zcard('queue')]
  seen[`${at} at work`] = { 'run again': ran, 'still in the table': table, queued }
}
console.log(process.version, '@quirrel/owl 0.15.0, after the death of a worker:', JSON.stringify(seen))
const [alone, five] = Object.values(seen)
const right = alone['run again'].join() === 'job 0' && alone['still in the table'] === 0
const lost = five['run again'].join() === 'job 0' && five['still in the table'] === 4 && five.queued === 0
process.exit(right && lost ? 0 : 1)
JS
timeout 120 node try.mjs "$folder/redis.sock"
