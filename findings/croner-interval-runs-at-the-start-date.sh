#!/usr/bin/env bash
# croner 11.0.1: with `interval`, a job runs at its startAt, whatever the pattern says. A job for Mondays at 9 ("0 0 9 * * 1", every two weeks) whose
# startAt is Thursday, 11 December 2036, 00:00 has its first run on that Thursday at midnight; without `interval`, on Monday the 15th at 9. The README
# calls `interval` a minimum between triggers, and says that with it not even a run exactly at startAt is included. It also fires: a job for one
# instant of the year whose startAt is 2 s ahead runs after 2 s. A startAt that has passed delays: then the interval counts from the start of the
# process, as if it had just run, so that a process which restarts each week never comes to it; without startAt the next Monday is taken.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund croner@11.0.1 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cron } from 'croner'

const [day, timezone] = [86_400_000, 'UTC']
const interval = (13 * day) / 1_000
const mondays = (options) => new Cron('0 0 9 * * 1', { paused: true, timezone, ...options })
const startAt = '2036-12-11T00:00:00'
const firstRun = (options) => mondays(options).nextRun().toUTCString().slice(0, 22)
const first = { without: firstRun({ startAt }), with: firstRun({ startAt, interval }) }

const daysTo = (options) => Math.floor((mondays(options).nextRun() - Date.now()) / day)
const past = { startAt: '2024-01-01T09:00:00', interval }
const days = { 'no startAt': daysTo({ interval }), 'startAt of 2024': daysTo(past) }

const month = new Date().getUTCMonth() === 5 ? 7 : 6
const fired = []
const yearly = (name, options) =>
  new Cron(`0 0 9 1 ${month} *`, { timezone, startAt: new Date(Date.now() + 2_000), ...options }, () => fired.push(name))
const jobs = [yearly('without', {}), yearly('with', { interval })]
await sleep(5_000)
for (const job of jobs) job.stop()
console.log(process.version, 'croner 11.0.1; first run:', JSON.stringify({ first, 'in days': days, 'yearly, fired within 5 s': fired }))
const same =
  first.without === 'Mon, 15 Dec 2036 09:00' && first.with === 'Thu, 11 Dec 2036 00:00' && fired.join() === 'with' &&
  days['no startAt'] <= 7 && days['startAt of 2024'] >= 13
process.exit(same ? 0 : 1)
JS
node try.mjs
