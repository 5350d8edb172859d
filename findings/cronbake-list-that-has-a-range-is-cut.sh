#!/usr/bin/env bash
# cronbake 0.4.0: a list that has a range in it loses what follows. "0 0 9-12,14-17 * * *" runs at 9, 10, 11 and 12 and never in the afternoon, and
# "0 0 8,12-14 * * *" also at 9, 10 and 11, which nobody wrote. Both pass Cron.isValid(). The README names lists and ranges, each alone: a field with
# a hyphen anywhere is read as one range from its first number to the second. Lists without a range are right.
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

const seen = {}
for (const hours of ['9-12,14-17', '8,12-14', '8,12,14']) {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.parse('2026-12-01T00:00:30Z') })
  const ran = []
  const cron = `0 0 ${hours} * * *`
  const job = Cron.create({ name: 'call', cron, callback: () => void ran.push(new Date().getUTCHours()) })
  job.start()
  for (let minute = 0; minute < 1_440; minute++) {
    mock.timers.tick(60_000)
    await new Promise(setImmediate)
  }
  job.stop()
  mock.timers.reset()
  seen[hours] = [Cron.isValid(cron), ...new Set(ran)]
}
console.log(process.version, 'cronbake 0.4.0, valid, and the hours of a day in which it ran:', JSON.stringify(seen))
const same =
  JSON.stringify(Object.values(seen)) === '[[true,9,10,11,12],[true,8,9,10,11,12,13,14],[true,8,12,14]]'
process.exit(same ? 0 : 1)
JS
TZ=UTC node --no-warnings try.mjs
