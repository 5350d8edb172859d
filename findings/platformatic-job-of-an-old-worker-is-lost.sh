#!/usr/bin/env bash
# @platformatic/job-queue 0.5.0 on Redis: the job of a worker that dies is recovered only if that worker was young. A worker registers once, for
# twice the visibility timeout (a minute by default), and nothing renews that. A Reaper that starts with the next process, as in the README, looks
# at registered workers only: the job stays 'processing', is never run again, and its id is a 'duplicate' for ever. Here the timeout is 2 s; of two
# workers that are killed in a job, at once and 5 s after their start, the job of the first is run again, that of the second is not.
# (Needs redis-server, of which it starts its own on a socket. Runs with Node.js 24, because the package needs 22.19.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @platformatic/job-queue@0.5.0 iovalkey@0.2.2 node@24.21.0 >/dev/null
cat > try.mjs <<'JS'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, Reaper, RedisStorage } from '@platformatic/job-queue'

const [url, name, age] = process.argv.slice(2)
const visibilityTimeout = 2_000
const storageOf = (of) => new RedisStorage({ url, keyPrefix: `${of}:` })
if (name) {
  const queue = new Queue({ storage: storageOf(name), visibilityTimeout })
  queue.execute(async () => process.kill(process.pid, 'SIGKILL'))
  await queue.start()
  await sleep(Number(age))
  await queue.enqueue('report', {})
  await sleep(10_000)
}
const seen = {}
for (const [worker, milliseconds] of [['young', 0], ['old', 5_000]]) {
  await once(spawn(process.execPath, ['try.mjs', url, worker, milliseconds], { stdio: 'inherit' }), 'exit')
  const storage = storageOf(worker)
  const queue = new Queue({ storage, visibilityTimeout })
  const reaper = new Reaper({ storage, visibilityTimeout })
  seen[worker] = { runs: 0 }
  queue.execute(async () => ++seen[worker].runs)
  await queue.start()
  await reaper.start()
  await sleep(3 * visibilityTimeout)
  seen[worker].state = (await queue.getStatus('report')).state
  seen[worker].again = (await queue.enqueue('report', {})).status
  await reaper.stop()
  await queue.stop()
}
console.log(process.version, '@platformatic/job-queue 0.5.0;', JSON.stringify(seen))
const same =
  JSON.stringify(seen) === '{"young":{"runs":1,"state":"completed","again":"completed"},"old":{"runs":0,"state":"processing","again":"duplicate"}}'
process.exit(same ? 0 : 1)
JS
./node_modules/.bin/node try.mjs "$folder/redis.sock"
