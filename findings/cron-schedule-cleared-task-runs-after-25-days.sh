#!/usr/bin/env bash
# cron-schedule 6.0.0: a task of the TimerBasedCronScheduler whose next run is more than 24.8 days away cannot be cleared after these days. Such a wait
# is made of several timers; the second is noted in a handle that nobody has, so clearTimeoutOrInterval() clears the first, which has ended. A yearly
# task is cleared after 30 days without an error, runs on its day all the same, and in the next year again, because an interval renews itself. One
# that is cleared after 20 days does not run. The README promises that a cleared task runs no more. (On the test clock of Node.js.)
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
import { TimerBasedCronScheduler } from 'cron-schedule/schedulers/timer-based.js'

const days = (count) => {
  for (let hour = 0; hour < count * 24; hour++) mock.timers.tick(3_600_000)
}
const seen = {}
for (const clearedAfter of [20, 30]) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.parse('2026-12-01T00:00Z') })
  const ran = []
  const run = () => ran.push(new Date().toISOString().slice(0, 10))
  const handle = TimerBasedCronScheduler.setInterval(parseCronExpression('0 9 1 3 *'), run)
  days(clearedAfter)
  TimerBasedCronScheduler.clearTimeoutOrInterval(handle)
  days(500)
  mock.timers.reset()
  seen[`cleared after ${clearedAfter} days`] = ran
}
console.log(process.version, 'cron-schedule 6.0.0, runs of a task that was cleared:', JSON.stringify(seen))
process.exit(JSON.stringify(Object.values(seen)) === '[[],["2027-03-01","2028-03-01"]]' ? 0 : 1)
JS
TZ=UTC node --no-warnings try.mjs
