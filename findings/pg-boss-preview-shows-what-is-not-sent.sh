#!/usr/bin/env bash
# pg-boss 12.38.0: when a clock changes, previewSchedule() and the cron pass disagree. Of "30 2 * * *" in Europe/Berlin the preview shows a run on
# 29 March 2026, which no pass sends, so that the day's job is lost; and one run on 25 October 2026, where the passes send two. (The preview asks
# cron-parser for next(), a pass for prev().) The passes are asked without a database, at each half minute, as a server would make them.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund pg-boss@12.38.0 cron-parser@5.10.6 >/dev/null
cat > try.mjs <<'JS'
import { pathToFileURL } from 'node:url'

const { default: Timekeeper } = await import(pathToFileURL(`${process.cwd()}/node_modules/pg-boss/dist/timekeeper.js`).href)
const boss = Object.create(Timekeeper.prototype)
const [cron, tz] = ['30 2 * * *', 'Europe/Berlin']
const seen = {}
for (const date of ['2026-03-29', '2026-10-25']) {
  const from = Date.parse(`${date}T00:00:00Z`)
  const text = (tick) => new Date(tick).toISOString().slice(0, 16)
  const preview = boss.previewSchedule(cron, { tz, from: new Date(from - 3_600_000), count: 5 }).map(text)
  const sent = new Set()
  for (let now = from; now < from + 43_200_000; now += 30_000)
    for (const tick of boss.dueOccurrences(cron, 'cron', tz, now + 500).occurrences) sent.add(text(tick))
  seen[date] = { preview: preview.filter((tick) => tick.startsWith(date)), sent: [...sent] }
}
console.log(process.version, 'pg-boss 12.38.0,', cron, tz, JSON.stringify(seen))
const is = (found, ...wanted) => found.join() === wanted.join()
const [march, october] = Object.values(seen)
const same =
  is(march.preview, '2026-03-29T01:30') && is(march.sent) &&
  is(october.preview, '2026-10-25T00:30') && is(october.sent, '2026-10-25T00:30', '2026-10-25T01:30')
process.exit(same ? 0 : 1)
JS
node try.mjs
