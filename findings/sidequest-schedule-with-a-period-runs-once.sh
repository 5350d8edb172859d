#!/usr/bin/env bash
# Sidequest 1.16.4 (SQLite backend 1.16.5): a schedule whose job is unique for a period makes one job and then none. schedule() computes the
# uniqueness digest once, when it is called, and each tick inserts that digest again: `.unique({ period: 'second' }).schedule('* * * * * *')`
# makes the job of the first second, and every later tick is refused as a duplicate of it. The refusal is a line in the log. The same build() and
# enqueue() called each second by hand make a job each second. (Overrides: the backend asks for a core that is not published.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "overrides": { "@sidequest/core": "1.16.4", "@sidequest/backend": "1.16.4" } }' >package.json
npm install --silent --no-audit --no-fund sidequest@1.16.4 @sidequest/sqlite-backend@1.16.5 >/dev/null
cat > jobs.mjs <<'JS'
import { Job } from 'sidequest'

export class Report extends Job {
  run() {}
}
export class ByHand extends Job {
  run() {}
}
JS
cat > try.mjs <<'JS'
import { Sidequest } from 'sidequest'
import { ByHand, Report } from './jobs.mjs'

await Sidequest.configure({ backend: { driver: '@sidequest/sqlite-backend', config: './jobs.sqlite' }, logger: { level: 'fatal' } })
const task = await Sidequest.build(Report).unique({ period: 'second' }).schedule('* * * * * *')
const refused = []
task.on('execution:failed', ({ execution }) => refused.push(execution.error.name))
for (let second = 0; second < 5; second++) {
  await Sidequest.build(ByHand).unique({ period: 'second' }).enqueue()
  await new Promise((resolve) => setTimeout(resolve, 1_050))
}
await task.stop()
const jobs = await Sidequest.job.list()
const count = (name) => jobs.filter((job) => job.class === name).length
console.log(process.version, 'sidequest 1.16.4; jobs in five seconds: by the schedule', count('Report'), 'by hand', count('ByHand'), '; ticks refused:', refused.length)
process.exit(count('Report') === 1 && count('ByHand') === 5 && refused.length >= 3 && new Set(refused).size === 1 ? 0 : 1)
JS
node try.mjs 2>/dev/null
