#!/usr/bin/env bash
# Sidequest 1.16.4 (SQLite backend 1.16.5): a job that is unique for a period (`unique({ period: 'hour' })`) leaves its own window and takes the
# next one when it is retried, because each transition computes the digest again from the instant of the retry. The job that belongs to the next
# window is then refused as a duplicate, although none was enqueued for it, and its own window takes a second job. If the next window has its job
# already, the retry cannot be stored at all: the job stays "running". (Overrides: the backend asks for a core that is not published.)
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
export class Invoice extends Job {
  run() {}
}
JS
cat > try.mjs <<'JS'
import { RetryTransition, RunTransition } from '@sidequest/core'
import Backend from '@sidequest/sqlite-backend'
import { JobBuilder, JobTransitioner } from '@sidequest/engine'
import { Invoice, Report } from './jobs.mjs'

const hour = 3_600_000
const [now, later] = [new Date(), new Date(Date.now() + hour)]
const backend = new Backend('./jobs.sqlite')
await backend.migrate()
const enqueue = (job, at) =>
  new JobBuilder(backend, job).unique({ period: 'hour' }).availableAt(at).retryDelay(hour).backoffStrategy('fixed').enqueue()
/** What a worker does with a job whose first attempt fails. */
async function fail() {
  const [claimed] = await backend.claimPendingJob('default')
  return JobTransitioner.apply(backend, await JobTransitioner.apply(backend, claimed, new RunTransition()), new RetryTransition('no answer'))
}
const told = (promise) => promise.then((job) => job.state, (error) => error.constructor.name)

const seen = { first: await told(enqueue(Report, now)), failed: await told(fail()) }
seen.nextHour = await told(enqueue(Report, later))
seen.sameHourAgain = await told(enqueue(Report, now))
await backend.knex('sidequest_jobs').del()

const invoice = await enqueue(Invoice, now)
await enqueue(Invoice, later)
seen.retryIntoATakenHour = await told(fail())
seen.stays = (await backend.getJob(invoice.id)).state
await backend.close()
console.log(process.version, 'sidequest 1.16.4', JSON.stringify(seen))
const same =
  seen.first === 'waiting' && seen.failed === 'waiting' && seen.nextHour === 'DuplicatedJobError' && seen.sameHourAgain === 'waiting' &&
  seen.retryIntoATakenHour === 'SqliteError' && seen.stays === 'running'
process.exit(same ? 0 : 1)
JS
node try.mjs 2>/dev/null
