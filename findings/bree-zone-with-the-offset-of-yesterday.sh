#!/usr/bin/env bash
# Bree 9.2.9 (@breejs/later 4.2.0): with `timezone`, the wait for the next run is computed with the zone's offset of now, not of then. "0 9 * * *"
# in Europe/Berlin on a server in UTC runs at 10:00 on 29 March 2026, an hour late, and twice on 25 October 2026, at 08:00 and at 09:00. On a server
# that is in that zone itself both days are right. (The run is recorded in place of the thread that Bree would start, on the test clock of Node.js.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "overrides": { "@breejs/later": "4.2.0" } }' >package.json
npm install --silent --no-audit --no-fund bree@9.2.9 >/dev/null
cat > try.mjs <<'JS'
import { mock } from 'node:test'
import Bree from 'bree'

const timezone = 'Europe/Berlin'
const shown = (instant) => instant.toLocaleString('sv-SE', { timeZone: timezone }).slice(0, 16)
const seen = {}
for (const date of ['2026-03-29', '2026-10-25']) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.parse(`${date}T00:00Z`) - 86_400_000 })
  const ran = []
  class Recorded extends Bree {
    run() {
      ran.push(shown(new Date()))
    }
  }
  const jobs = [{ name: 'report', path() {}, cron: '0 9 * * *', timezone }]
  const bree = new Recorded({ root: false, logger: false, jobs })
  await bree.start('report')
  for (let minute = 0; minute < 3 * 1_440; minute++) mock.timers.tick(60_000)
  mock.timers.reset()
  seen[date] = ran.filter((run) => run.startsWith(date)).map((run) => run.slice(11))
}
console.log(process.version, 'bree 9.2.9, server in', process.env.TZ, JSON.stringify(seen))
process.exit(JSON.stringify(Object.values(seen)) === process.argv[2] ? 0 : 1)
JS
TZ=UTC node --no-warnings try.mjs '[["10:00"],["08:00","09:00"]]'
TZ=Europe/Berlin node --no-warnings try.mjs '[["09:00"],["09:00"]]'
