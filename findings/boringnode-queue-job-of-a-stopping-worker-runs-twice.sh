#!/usr/bin/env bash
# @boringnode/queue 0.6.0 (the queue of AdonisJS) on Redis: a graceful stop makes a long job run twice. stop() waits for the running jobs, as the
# README says ("wait for jobs on SIGTERM"), but the loop that renews them ends first: once the stalled threshold (30 s by default) has passed,
# another worker takes the job that is still running. Here the threshold is 1 s and the job takes 4 s: with a second worker beside it, it runs once
# if its worker stays, and twice if its worker is asked to stop; both runs go to their end.
# (Needs redis-server, of which it starts its own on a socket. Runs with Node.js 24, which the package asks for.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @boringnode/queue@0.6.0 ioredis@5.11.1 node@24.21.0 >/dev/null
cat > try.mjs <<'JS'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Job, Locator, QueueManager, Worker } from '@boringnode/queue'
import { redis } from '@boringnode/queue/drivers/redis_adapter'

const [path, queue, role] = process.argv.slice(2)
class Export extends Job {
  static options = { queue }
  async execute() {
    console.log('begins')
    await sleep(4_000)
    console.log('ends')
  }
}
if (queue) {
  const worker = { concurrency: 2, idleDelay: 50, stalledThreshold: 1_000, stalledInterval: 500 }
  const config = { default: 'redis', adapters: { redis: redis({ path }) }, worker }
  await QueueManager.init(config)
  Locator.register('Export', Export)
  if (role !== 'beside') await Export.dispatch({}).run()
  const one = new Worker(config)
  const running = one.start([queue])
  await sleep(role === 'stops' ? 500 : 8_000)
  await one.stop()
  await running
  await QueueManager.destroy()
  process.exit()
}
/** What the workers of a queue print: the first gets the job, the second starts when the first is at work. */
async function printed(queue, role) {
  let text = ''
  const work = (...args) => {
    const worker = spawn(process.execPath, ['try.mjs', path, queue, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
    worker.stdout.on('data', (data) => (text += data))
    return worker
  }
  const first = work(role)
  await once(first.stdout, 'data')
  await Promise.all([once(first, 'close'), once(work('beside'), 'close')])
  return text.trim().split('\n').sort().join()
}
const seen = { stays: await printed('a', 'stays'), stops: await printed('b', 'stops') }
console.log(process.version, '@boringnode/queue 0.6.0; one job, two workers, of which the first stays or stops:', JSON.stringify(seen))
process.exit(seen.stays === 'begins,ends' && seen.stops === 'begins,begins,ends,ends' ? 0 : 1)
JS
./node_modules/.bin/node try.mjs "$folder/redis.sock"
