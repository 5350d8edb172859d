#!/usr/bin/env bash
# @boringnode/queue 0.6.0 (the queue of AdonisJS) on Redis: a job whose worker dies twice is deleted. The README calls it failing ("max recoveries
# before failing") and says that removeOnFail: false keeps failed jobs forever; but this one is in no list, getJob() finds nothing, and its failed()
# is never called. Memory that runs out, or two deployments without grace, and the work is gone without a trace. A job that throws is kept as
# 'failed', and its failed() called. (Needs redis-server, of which it starts its own on a socket. Runs with Node.js 24, which the package asks for.)
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

const [path, role] = process.argv.slice(2)
const options = { queue: 'imports', removeOnFail: false }
class Throws extends Job {
  static options = options
  async execute() {
    throw new Error('no such file')
  }
  async failed() {
    console.log('Throws')
  }
}
class Dies extends Job {
  static options = options
  async execute() {
    await sleep(500)
    process.kill(process.pid, 'SIGKILL')
  }
  async failed() {
    console.log('Dies')
  }
}
const worker = { idleDelay: 50, stalledThreshold: 1_000, stalledInterval: 200, maxStalledCount: 1 }
const config = { default: 'redis', adapters: { redis: redis({ path }) }, worker }
await QueueManager.init(config)
Locator.register('Throws', Throws)
Locator.register('Dies', Dies)
if (role) {
  const one = new Worker(config)
  const running = one.start([options.queue])
  await sleep(5_000)
  await one.stop()
  await running
  await QueueManager.destroy()
  process.exit()
}
const jobs = { Throws: await Throws.dispatch({}).run(), Dies: await Dies.dispatch({}).run() }
let hooks = ''
const ends = []
for (let turn = 1; turn <= 3; turn++) {
  const child = spawn(process.execPath, ['try.mjs', path, 'worker'], { stdio: ['ignore', 'pipe', 'ignore'] })
  child.stdout.on('data', (data) => (hooks += data))
  const [code, signal] = await once(child, 'close')
  ends.push(signal ?? code)
}
const state = async ({ jobId }) => (await QueueManager.use().getJob(jobId, options.queue))?.status ?? 'no such job'
const seen = { Throws: await state(jobs.Throws), Dies: await state(jobs.Dies), failed: hooks.trim() }
await QueueManager.destroy()
console.log(process.version, '@boringnode/queue 0.6.0, removeOnFail: false; ends of the workers:', ends.join(), JSON.stringify(seen))
process.exit(ends.join() === 'SIGKILL,SIGKILL,0' && JSON.stringify(seen) === '{"Throws":"failed","Dies":"no such job","failed":"Throws"}' ? 0 : 1)
JS
./node_modules/.bin/node try.mjs "$folder/redis.sock"
