#!/usr/bin/env bash
# OpenWorkflow 0.10.1 (SQLite): a run that has begun waits for every run that has not. A worker claims pending runs first, and only then those that
# woke from a sleep (or whose worker died), so while new runs keep coming, a workflow that slept for 10 ms is not resumed. With one worker, one
# sleeper and new runs of 20 ms each, the sleeper is resumed after the last of them, however many there are.
# (Runs with Node.js 24, because the package needs node:sqlite.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund openworkflow@0.10.1 node@24 >/dev/null
cat > try.mjs <<'JS'
import { OpenWorkflow } from 'openworkflow'
import { BackendSqlite } from 'openworkflow/sqlite'

const backend = BackendSqlite.connect('workflows.sqlite')
const workflows = new OpenWorkflow({ backend })
const order = []
const sleeper = workflows.defineWorkflow({ name: 'sleeper' }, async ({ step }) => {
  await step.run({ name: 'begin' }, () => void order.push('began'))
  await step.sleep('nap', '10ms')
  order.push('resumed')
})
const quick = workflows.defineWorkflow({ name: 'quick' }, async ({ step, input }) => {
  await step.run({ name: 'work' }, async () => {
    order.push(input)
    await new Promise((resolve) => setTimeout(resolve, 20))
  })
})
const handles = [await sleeper.run({})]
for (let n = 1; n <= 100; n++) handles.push(await quick.run(n))
const worker = workflows.newWorker()
await worker.start()
for (const handle of handles) await handle.result()
await worker.stop()
await backend.stop()
const place = order.indexOf('resumed')
console.log(process.version, `openworkflow 0.10.1: the sleeper of 10 ms was resumed after ${place - 1} of 100 runs that were created after it`)
process.exit(order[0] === 'began' && place === 101 ? 0 : 1)
JS
./node_modules/.bin/node try.mjs 2>/dev/null
