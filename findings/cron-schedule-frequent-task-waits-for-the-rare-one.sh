#!/usr/bin/env bash
# cron-schedule 6.0.0: in an IntervalBasedCronScheduler, a task waits for a rarer one that was registered after it. The tasks are kept in the order of
# their next runs, and each check stops at the first that is not due; but a new task that is due last of all is put before the last one instead of
# behind it. An hourly task and then one for 22:00, registered at 08:00: the hourly task does not run at 09:00, nor in any
# hour up to 21:00, and both run at 22:00. From then on the order is right. Registered the other way round, all run. (On the test clock of Node.js.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund cron-schedule@6.0.0 >/dev/null
cat > try.mjs <<'JS'
import { mock } from 'node:test'
import { parseCronExpression } from 'cron-schedule'
import { IntervalBasedCronScheduler } from 'cron-schedule/schedulers/interval-based.js'

mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.parse('2026-12-01T08:00:30Z') })
const patterns = { hourly: '0 * * * *', nightly: '0 22 * * *' }
const seen = {}
for (const names of [Object.keys(patterns), Object.keys(patterns).reverse()]) {
  mock.timers.setTime(Date.parse('2026-12-01T08:00:30Z'))
  const ran = []
  const scheduler = new IntervalBasedCronScheduler(60_000)
  const run = (name) => ran.push(`${name} ${new Date().toISOString().slice(11, 16)}`)
  for (const name of names) scheduler.registerTask(parseCronExpression(patterns[name]), () => run(name))
  for (let minute = 0; minute < 15 * 60; minute++) mock.timers.tick(60_000)
  scheduler.stop()
  seen[names.join(', ')] = ran
}
console.log(process.version, 'cron-schedule 6.0.0, by the order of registration:', JSON.stringify(seen))
const [late, right] = Object.values(seen)
process.exit(late.join() === 'nightly 22:00,hourly 22:00,hourly 23:00' && right.length === 16 ? 0 : 1)
JS
TZ=UTC node --no-warnings try.mjs
