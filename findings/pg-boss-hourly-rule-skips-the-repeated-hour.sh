#!/usr/bin/env bash
# pg-boss 12.38.0 with rrule-temporal 2.2.8: a schedule of the rule FREQ=HOURLY sends nothing for an hour of the night when the clock goes back. In
# Europe/Berlin on 25 October 2026 it sends at 02:00 and then at 03:00, two hours later; with BYMINUTE=0,15,30,45 four jobs are left out. The preview
# shows the same. FREQ=MINUTELY;INTERVAL=60 and the cron expression "0 * * * *" send at both 02:00; an expression in UTC knows no such hour. Who
# rewrites an hourly cron as a rule loses that hour's job. (rrule-temporal adds one hour to the time on the clock, and takes the first 02:00 for both.)
# The passes are asked without a database, at each half minute, as a server would make them.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "overrides": { "rrule-temporal": "2.2.8" } }' >package.json
npm install --silent --no-audit --no-fund pg-boss@12.38.0 >/dev/null
cat > try.mjs <<'JS'
import { pathToFileURL } from 'node:url'

const { default: Timekeeper } = await import(pathToFileURL(`${process.cwd()}/node_modules/pg-boss/dist/timekeeper.js`).href)
const boss = Object.create(Timekeeper.prototype)
const tz = 'Europe/Berlin'
const [from, to] = [Date.parse('2026-10-25T00:00Z'), Date.parse('2026-10-25T03:00Z')]
const text = (tick) => new Date(tick).toISOString().slice(11, 16)
const seen = {}
for (const expression of ['FREQ=HOURLY', 'FREQ=MINUTELY;INTERVAL=60', '0 * * * *']) {
  const kind = expression.startsWith('FREQ') ? 'rrule' : 'cron'
  const preview = boss.previewSchedule(expression, { tz, from: new Date(from - 1), count: 3 }).map(text)
  const sent = new Set()
  for (let now = from; now < to; now += 30_000)
    for (const tick of boss.dueOccurrences(expression, kind, tz, now + 500).occurrences) sent.add(text(tick))
  seen[expression] = { preview, sent: [...sent] }
}
console.log(process.version, `pg-boss 12.38.0, ${tz}, in UTC:`, JSON.stringify(seen))
const is = ({ preview, sent }, shown, jobs) => preview.join() === shown && sent.join() === jobs
const [hourly, minutely, cron] = Object.values(seen)
const all = '00:00,01:00,02:00'
process.exit(is(hourly, '00:00,02:00,03:00', '00:00,02:00') && is(minutely, all, all) && is(cron, all, all) ? 0 : 1)
JS
node try.mjs
