#!/usr/bin/env bash
# toad-scheduler 4.1.0 (croner 11.0.1): starting a cron job that is running makes it run twice at each tick. Its README says that startById()
# "restarts" a job that is already running, and an interval job does restart; a cron job gets a second timer beside the first, which nothing refers
# to any more. stopById() then stops one of them: the status is 'stopped' and the job runs on, until the process ends. Its option preventOverrun does
# not help: here it is on, and each run ends at once.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund toad-scheduler@4.1.0 croner@11.0.1 >/dev/null
cat > try.mjs <<'JS'
import { mock } from 'node:test'
import toad from 'toad-scheduler'

mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.parse('2026-12-01T08:00:00.500Z') })
const runs = { cron: 0, interval: 0 }
const scheduler = new toad.ToadScheduler()
const task = (name) => new toad.Task(name, () => runs[name]++)
const options = (id) => ({ id, preventOverrun: true })
scheduler.addCronJob(new toad.CronJob({ cronExpression: '0 * * * * *' }, task('cron'), options('cron')))
scheduler.addSimpleIntervalJob(new toad.SimpleIntervalJob({ minutes: 1 }, task('interval'), options('interval')))
const tenMinutes = () => {
  Object.assign(runs, { cron: 0, interval: 0 })
  for (let second = 0; second < 600; second++) mock.timers.tick(1_000)
  return { ...runs }
}
const seen = { started: tenMinutes() }
for (const id of ['cron', 'interval']) scheduler.startById(id)
seen['started again'] = tenMinutes()
for (const id of ['cron', 'interval']) scheduler.stopById(id)
seen.stopped = { ...tenMinutes(), status: scheduler.getById('cron').getStatus() }
console.log(process.version, 'toad-scheduler 4.1.0, runs in ten minutes:', JSON.stringify(seen))
const same =
  JSON.stringify(Object.values(seen)) ===
  '[{"cron":10,"interval":10},{"cron":20,"interval":10},{"cron":10,"interval":0,"status":"stopped"}]'
process.exit(same ? 0 : 1)
JS
node --no-warnings try.mjs
