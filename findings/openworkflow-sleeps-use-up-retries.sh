#!/usr/bin/env bash
# OpenWorkflow 0.10.1 (SQLite): each wake from step.sleep() counts as an attempt of the workflow. With maximumAttempts: 3 a workflow that fails
# is run three times; one that slept twice before is failed for good by its first error, without a retry. Its backoff, too, starts where the
# sleeps left the count. (Runs with Node.js 24, because the package needs node:sqlite.)
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
const retryPolicy = { initialInterval: '10ms', backoffCoefficient: 1, maximumInterval: '10ms', maximumAttempts: 3 }
const failures = {}
const define = (name, sleeps) =>
  workflows.defineWorkflow({ name, retryPolicy }, async ({ step }) => {
    for (let nap = 1; nap <= sleeps; nap++) await step.sleep(`nap ${nap}`, '20ms')
    failures[name] = (failures[name] ?? 0) + 1
    throw new Error('no answer')
  })
const runs = [define('slept never', 0), define('slept once', 1), define('slept twice', 2)]
const worker = workflows.newWorker()
await worker.start()
const handles = []
for (const workflow of runs) handles.push(await workflow.run({}))
for (const handle of handles) await handle.result().catch(() => {})
await worker.stop()
await backend.stop()
console.log(process.version, 'openworkflow 0.10.1, maximumAttempts: 3; times that each was run to its error:', JSON.stringify(failures))
process.exit(JSON.stringify(Object.values(failures)) === '[3,2,1]' ? 0 : 1)
JS
./node_modules/.bin/node try.mjs 2>/dev/null
