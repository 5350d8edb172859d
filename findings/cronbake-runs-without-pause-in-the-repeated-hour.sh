#!/usr/bin/env bash
# cronbake 0.4.0: on the night when the clock goes back, a job that starts in the repeated hour runs without a pause. It takes the next time of its
# pattern in the first of the two hours, which is an hour ago, waits for 0 ms, and finds the same again, until the pattern has no time left in that
# hour. A report of each twenty minutes, in a process that starts at 02:10 for the second time, is due twice before 03:00; here, on a test clock that
# moves by 10 s a turn, it runs in each turn for half an hour, and on a real clock as often as its callback lets it. One that has run since the day
# before has no run in that hour, where three are due. (Server in Europe/Berlin: the zone of the process is the only one that it knows.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund cronbake@0.4.0 >/dev/null
cat > try.mjs <<'JS'
import { mock } from 'node:test'
import { Cron } from 'cronbake'

const repeated = { from: Date.parse('2026-10-25T01:00Z'), to: Date.parse('2026-10-25T02:00Z') }
const seen = {}
for (const started of ['2026-10-24T12:00:05Z', '2026-10-25T01:10:05Z', '2026-10-26T01:10:05Z']) {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.parse(started) })
  const shift = Date.parse(started) > repeated.to ? 86_400_000 : 0
  const ran = []
  const job = Cron.create({ name: 'report', cron: '0 */20 * * * *', callback: () => void ran.push(Date.now() - shift) })
  job.start()
  while (Date.now() - shift < repeated.to + 600_000) {
    mock.timers.tick(10_000)
    await new Promise(setImmediate)
  }
  job.stop()
  mock.timers.reset()
  seen[`started ${started}`] = ran.filter((at) => at >= repeated.from && at < repeated.to).length
}
console.log(process.version, 'cronbake 0.4.0, runs from 02:00 to 03:00 by the second clock:', JSON.stringify(seen))
const [before, during, dayAfter] = Object.values(seen)
process.exit(before === 0 && during > 150 && dayAfter === 2 ? 0 : 1)
JS
TZ=Europe/Berlin node --no-warnings try.mjs
