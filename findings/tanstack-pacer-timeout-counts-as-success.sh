#!/usr/bin/env bash
# @tanstack/pacer 0.22.0: an attempt that takes longer than maxExecutionTime ends all attempts, and the item counts as a success. The documentation has
# it as the limit of a single call, beside maxTotalExecutionTime for the whole; but the timeout aborts the retryer, whose loop then returns undefined.
# onRetry announces a retry that never comes, and an AsyncQueuer calls onSuccess with undefined and raises successCount. A webhook that hangs once is so
# reported as delivered. With maxAttempts: 5, a call that hangs is made once; one that throws at the same time is made again and delivers.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @tanstack/pacer@0.22.0 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { AsyncQueuer } from '@tanstack/pacer'

const seen = {}
for (const first of ['hangs', 'throws']) {
  const one = { calls: 0, retries: 0, results: [] }
  const deliver = async () => {
    if (++one.calls > 1) return 'delivered'
    await sleep(first === 'hangs' ? 1_000 : 100)
    throw new Error('no answer')
  }
  const queue = new AsyncQueuer(deliver, {
    asyncRetryerOptions: { maxAttempts: 5, baseWait: 10, maxExecutionTime: 200, onRetry: () => one.retries++ },
    onSuccess: (result) => one.results.push(result ?? null),
    onError: () => {},
  })
  queue.addItem('invoice')
  await sleep(2_000)
  const { successCount, errorCount } = queue.store.state
  seen[`the first call ${first}`] = { ...one, successCount, errorCount }
}
console.log(process.version, '@tanstack/pacer 0.22.0:', JSON.stringify(seen))
const same =
  JSON.stringify(Object.values(seen)) ===
  '[{"calls":1,"retries":1,"results":[null],"successCount":1,"errorCount":0},{"calls":2,"retries":1,"results":["delivered"],"successCount":1,"errorCount":0}]'
process.exit(same ? 0 : 1)
JS
node try.mjs
