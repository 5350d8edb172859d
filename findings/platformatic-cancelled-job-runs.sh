#!/usr/bin/env bash
# @platformatic/job-queue 0.5.0: cancel() answers 'cancelled', and the job runs nevertheless, if its id is enqueued again before a worker has come
# to it. Cancelling removes the state of the id and leaves the message in the queue; the second enqueue() gives the id a state again, and both
# messages run. Who replaces an order by cancelling it and writing the right one sends both, the wrong one first. A job that is only cancelled does
# not run. (Runs with Node.js 24, because the package needs 22.19.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @platformatic/job-queue@0.5.0 node@24.21.0 >/dev/null
cat > try.mjs <<'JS'
import { MemoryStorage, Queue } from '@platformatic/job-queue'

const queue = new Queue({ storage: new MemoryStorage() })
const sent = []
await queue.start()
const answers = []
const answer = ({ status }) => void answers.push(status)
answer(await queue.enqueue('forgotten', '9 chairs'))
answer(await queue.cancel('forgotten'))
answer(await queue.enqueue('order', '100 chairs'))
answer(await queue.cancel('order'))
answer(await queue.enqueue('order', '10 chairs'))
queue.execute(async ({ payload }) => {
  sent.push(payload)
  return 'sent'
})
await new Promise((resolve) => setTimeout(resolve, 1_000))
await queue.stop()
console.log(process.version, '@platformatic/job-queue 0.5.0;', JSON.stringify({ answers, sent }))
const same = answers.join() === 'queued,cancelled,queued,cancelled,queued' && sent.join() === '100 chairs,10 chairs'
process.exit(same ? 0 : 1)
JS
./node_modules/.bin/node try.mjs
