#!/usr/bin/env bash
# @abtnode/queue 1.17.12 (the queue of Blocklet Server) with its file store: a delayed job runs again and again while it runs, and runs when it was
# cancelled. Each 2.5 s the scheduler takes all jobs whose time has come; the mark 'cancelled' with which it means to take each once is not looked at,
# neither its own nor that of cancel(). A job with a delay of 5 s that takes 6 s runs three times or more, and a cancelled one runs. Without a delay
# the same job runs once, and the cancelled one does not run. (Its packages take 160 MB, the script about three minutes.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @abtnode/queue@1.17.12 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import createQueue from '@abtnode/queue'

const quiet = () => {}
const logger = { error: quiet, warn: quiet, info: quiet, debug: quiet, verbose: quiet, silly: quiet }
const seen = {}
for (const delay of [0, 5]) {
  const runs = { report: 0, 'cancelled order': 0 }
  const onJob = async ({ name }) => {
    runs[name]++
    await sleep(6_000)
  }
  const queue = createQueue({ file: `jobs-${delay}.db`, onJob, options: { enableScheduledJob: true, logger } })
  const push = (name) => queue.push({ job: { name }, jobId: name, persist: true, ...(delay && { delay }) })
  push('report')
  await sleep(500)
  push('cancelled order')
  await sleep(500)
  await queue.cancel('cancelled order')
  await sleep(30_000)
  seen[delay ? `delayed by ${delay} s` : 'without a delay'] = runs
}
console.log(process.version, '@abtnode/queue 1.17.12, runs:', JSON.stringify(seen))
const [now, delayed] = Object.values(seen)
const right = now.report === 1 && now['cancelled order'] === 0
process.exit(right && delayed.report > 1 && delayed['cancelled order'] > 0 ? 0 : 1)
JS
timeout 120 node try.mjs
