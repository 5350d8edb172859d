#!/usr/bin/env bash
# bunqueue 2.9.5 (Bun 1.4.5): a cron expression with seconds runs at most once in 48 s. Each tick of an expression is skipped as an 'overlap' if the
# last one is less than 80 % of the interval ago, and for an expression the interval is taken to be a minute; that the last job has long ended does not
# matter. "*/10 * * * * *" runs once a minute in place of six times, and so does a pattern of each second; no error and no log says so. The parser, its
# error messages and its descriptions know the leading field of seconds. every: 10_000 runs six times a minute.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund bunqueue@2.9.5 bun@1.4.5 >/dev/null
cat > try.ts <<'JS'
import { Queue, Worker } from 'bunqueue/client'

const queue = new Queue('reports', { embedded: true })
const runs: Record<string, number> = { 'each 10 s by cron': 0, 'each second by cron': 0, 'each 10 s by every': 0 }
new Worker('reports', async (job) => void runs[job.name]++, { embedded: true })
// From just after a whole minute, so that the first ticks do not fall in the minute before.
await Bun.sleep(60_500 - (Date.now() % 60_000))
const add = (name: string, repeat: object) => queue.upsertJobScheduler(name, repeat, { name, data: {} })
await add('each 10 s by cron', { pattern: '*/10 * * * * *' })
await add('each second by cron', { pattern: '* * * * * *' })
await add('each 10 s by every', { every: 10_000 })
await Bun.sleep(44_500)
console.log('Bun', Bun.version, 'bunqueue 2.9.5, runs in 44 s:', JSON.stringify(runs))
process.exit(JSON.stringify(Object.values(runs)) === '[1,1,4]' ? 0 : 1)
JS
node_modules/.bin/bun try.ts
