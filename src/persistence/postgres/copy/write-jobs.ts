import type pg from 'pg'
import { snakeCase } from '../../../job/fields.ts'
import { edges, hasTag } from '../../../machines/edges.ts'
import type { JobState } from '../../../machines/job.ts'
import {
  type CopiedEvent,
  type KnownRow,
  lineNames,
  progressNames,
  rowNames,
  type WholeJob,
} from '../../copy/whole-job.ts'
import { jobTables } from '../../sql/job-tables.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import { type Columns, given, insertRows } from './insert-rows.ts'

/** A transition of a job as its row takes it. */
interface Step {
  readonly id: number
  readonly seq: number
  readonly to: JobState
  readonly attempt: number
  readonly at: number
}

/** Its lease, if it has one, belongs to the node `holder`. */
const jobColumns = (holder: number): Columns<WholeJob> => ({
  ...Object.fromEntries(rowNames.map((name) => [snakeCase(name), ({ row }: WholeJob) => row[name]])),
  node_id: ({ row }) => (row.leaseToken === null ? null : holder),
})

const payloadColumns: Columns<WholeJob> = {
  job_id: ({ row }) => row.id,
  payload: ({ payload }) => payload,
}

type Version = WholeJob['versions'][number] & { readonly jobId: number }

const versionColumns: Columns<Version> = {
  job_id: ({ jobId }) => jobId,
  seq: ({ seq }) => seq,
  priority: ({ priority }) => priority,
  max_attempts: ({ maxAttempts }) => maxAttempts,
  payload: ({ payload }) => payload,
}

const traceColumns: Columns<WholeJob> = {
  job_id: ({ row }) => row.id,
  traceparent: ({ trace }) => trace!.traceparent,
  tracestate: ({ trace }) => trace!.tracestate,
  last_attempt: ({ trace }) => trace!.lastAttempt,
}

const progressColumns: Columns<WholeJob> = {
  job_id: ({ row }) => row.id,
  ...Object.fromEntries(progressNames.map((name) => [name, ({ progress }: WholeJob) => progress![name]])),
}

const lineColumns: Columns<WholeJob['lines'][number] & { readonly jobId: number }> = {
  job_id: ({ jobId }) => jobId,
  ...Object.fromEntries(lineNames.map((name) => [name, (line: WholeJob['lines'][number]) => line[name]])),
}

const resultColumns: Columns<WholeJob> = {
  job_id: ({ row }) => row.id,
  result: ({ result }) => result,
}

const eventColumns: Columns<CopiedEvent & { readonly jobId: number }> = {
  id: ({ id }) => id,
  job_id: ({ jobId }) => jobId,
  at: ({ at }) => at,
  seq: ({ seq }) => seq,
  attempt: ({ attempt }) => attempt,
  event: ({ event }) => event,
  from_state: ({ from }) => from,
  to_state: ({ to }) => to,
  error: ({ error }) => error,
  cause: ({ cause }) => cause,
}

const stepColumns: Columns<Step> = {
  id: ({ id }) => id,
  state: ({ to }) => to,
  seq: ({ seq }) => seq,
  attempt: ({ attempt }) => attempt,
  at: ({ at }) => at,
}

/** What a transition does to a row, so far as the database checks it; the rest of the row follows it. */
const stepSql = (source: string, holder: number) => `
  UPDATE jobs SET state = given.state, seq = given.seq, attempt = given.attempt, lease_expires_at = NULL,
    lease_token = CASE WHEN ${stateHasTag('held', 'given.state')} THEN coalesce(jobs.lease_token, given.seq) END,
    node_id = CASE WHEN ${stateHasTag('held', 'given.state')} THEN ${holder}::bigint END,
    finished_at = CASE WHEN ${stateHasTag('ended', 'given.state')} THEN given.at END
  FROM ${source} WHERE jobs.id = given.id AND jobs.seq = given.seq - 1`

/**
 * Stores jobs, in the caller's transaction: new ones whole, and of the others the transitions that are missing, one edge after the other,
 * so that the triggers check each. `known`: what the database has of them.
 */
export async function writeJobs(
  client: pg.ClientBase,
  jobs: readonly WholeJob[],
  known: ReadonlyMap<number, KnownRow>,
  holder: number,
): Promise<void> {
  const fresh = jobs.filter(({ row }) => !known.has(row.id))
  await freeKeys(client, fresh)
  await insertRows(client, 'jobs', jobColumns(holder), fresh)
  await insertRows(client, 'job_payloads', payloadColumns, fresh)
  const changed = jobs.filter(({ row }) => known.has(row.id))
  await keepReplaced(client, changed, known)
  await writeVersions(client, jobs, changed)
  await takeSteps(
    client,
    changed.map(({ row, events }) => events.map((event) => ({ ...event, id: row.id }))),
    holder,
  )
  await updateRest(client, changed, holder)
  const traced = jobs.filter(({ trace }) => trace)
  const isNew = 'ON CONFLICT (job_id) DO UPDATE SET last_attempt = excluded.last_attempt'
  await insertRows(client, 'job_traces', traceColumns, traced, isNew)
  await writeReports(client, jobs)
  // Final, as is the state that it comes with: what was copied before has no result yet.
  const returned = jobs.filter(({ result }) => result !== null)
  await insertRows(client, 'job_results', resultColumns, returned)
  const events = jobs.flatMap(({ row, events }) => events.map((event) => ({ ...event, jobId: row.id })))
  await insertRows(client, 'single_events', eventColumns, events)
}

/** What handlers have reported, in the place of what was copied of it before. */
export async function writeReports(client: pg.ClientBase, jobs: readonly WholeJob[]): Promise<void> {
  const reported = jobs.filter(({ progress }) => progress)
  const isNew =
    'ON CONFLICT (job_id) DO UPDATE SET value = excluded.value, attempt = excluded.attempt, at = excluded.at'
  await insertRows(client, 'job_progress', progressColumns, reported, isNew)
  const lines = jobs.flatMap(({ row, lines }) => lines.map((line) => ({ ...line, jobId: row.id })))
  if (lines.length === 0) return
  await client.query('DELETE FROM job_logs WHERE job_id = ANY ($1::bigint[])', [lines.map(({ jobId }) => jobId)])
  await insertRows(client, 'job_logs', lineColumns, lines)
}

/** A key may have gone to a new job since the one that had it was copied, which the tail tells later. */
async function freeKeys(client: pg.ClientBase, fresh: readonly WholeJob[]): Promise<void> {
  const keys = fresh.flatMap(({ row }) => row.idempotencyKey ?? [])
  if (keys.length === 0) return
  await client.query(
    'UPDATE jobs SET idempotency_key = NULL, content = NULL WHERE idempotency_key = ANY ($1::text[])',
    [keys],
  )
}

/** The payload that was copied is kept first, also if the file no longer has it: otherwise it may not be replaced. */
async function keepReplaced(client: pg.ClientBase, changed: readonly WholeJob[], known: ReadonlyMap<number, KnownRow>) {
  const replaced = changed.flatMap(({ row, versions }) => {
    const next = versions.find(({ seq, payload }) => payload !== null && seq > known.get(row.id)!.seq)
    return next?.payload === '' ? [{ ...next, jobId: row.id }] : []
  })
  if (replaced.length === 0) return
  const { source, values } = given(versionColumns, replaced)
  await client.query(
    `INSERT INTO job_versions (job_id, seq, priority, max_attempts, payload)
     SELECT given.job_id, given.seq, given.priority, given.max_attempts, job_payloads.payload
     FROM ${source} JOIN job_payloads ON job_payloads.job_id = given.job_id`,
    values,
  )
}

/** A payload is replaced once it is kept, and goes when the newer ones are there. */
async function writeVersions(client: pg.ClientBase, jobs: readonly WholeJob[], changed: readonly WholeJob[]) {
  const versions = jobs.flatMap(({ row, versions }) => versions.map((version) => ({ ...version, jobId: row.id })))
  await insertRows(client, 'job_versions', versionColumns, versions, 'ON CONFLICT (job_id, seq) DO NOTHING')
  const replaced = changed.filter(({ versions }) => versions.some(({ payload }) => payload !== null))
  if (replaced.length === 0) return
  const { source, values } = given(payloadColumns, replaced)
  await client.query(
    `UPDATE job_payloads SET payload = given.payload FROM ${source}
     WHERE job_payloads.job_id = given.job_id AND job_payloads.payload <> given.payload`,
    values,
  )
  await forgetVersions(
    client,
    versions.filter(({ payload }) => payload === ''),
  )
}

async function forgetVersions(client: pg.ClientBase, gone: readonly Version[]) {
  if (gone.length === 0) return
  const { source, values } = given(versionColumns, gone)
  await client.query(
    `UPDATE job_versions SET payload = '' FROM ${source}
     WHERE job_versions.job_id = given.job_id AND job_versions.seq = given.seq AND job_versions.payload <> ''`,
    values,
  )
}

/** The n-th transition of each job, then the next: a statement changes a row once. */
async function takeSteps(client: pg.ClientBase, histories: readonly (readonly Step[])[], holder: number) {
  const rounds = histories.reduce((most, steps) => Math.max(most, steps.length), 0)
  for (let round = 0; round < rounds; round++) {
    const steps = histories.flatMap((steps) => steps[round] ?? [])
    const { source, values } = given(stepColumns, steps)
    const { rowCount } = await client.query(stepSql(source, holder), values)
    if (rowCount !== steps.length) throw new Error('a job to be changed is not as it was copied')
  }
}

/** The columns that no trigger watches; the others are right already. */
async function updateRest(client: pg.ClientBase, changed: readonly WholeJob[], holder: number): Promise<void> {
  if (changed.length === 0) return
  const columns = jobColumns(holder)
  const { source, values } = given(columns, changed)
  const own = Object.keys(columns).filter((name) => !['id', 'state', 'seq'].includes(name))
  const { rowCount } = await client.query(
    `UPDATE jobs SET ${own.map((name) => `${name} = given.${name}`)} FROM ${source}
     WHERE jobs.id = given.id AND jobs.seq = given.seq AND jobs.state = given.state`,
    values,
  )
  if (rowCount !== changed.length) throw new Error('a changed job is not in the state to which its history leads')
}

/**
 * Removes jobs that retention has removed from the file, in the caller's transaction. It removes only those that may be: a job that has
 * ended there since it was copied is led there by edges, whatever they were.
 */
export async function removeJobs(client: pg.ClientBase, jobs: readonly KnownRow[], holder: number): Promise<void> {
  if (jobs.length === 0) return
  await takeSteps(client, jobs.map(stepsToRemovable), holder)
  const ids = [jobs.map(({ id }) => id)]
  for (const table of ['jobs', ...jobTables.map(([name]) => name), 'single_events'])
    await client.query(`DELETE FROM ${table} WHERE ${table === 'jobs' ? 'id' : 'job_id'} = ANY ($1::bigint[])`, ids)
}

function stepsToRemovable({ id, seq, state, attempt }: KnownRow): Step[] {
  const paths: JobState[][] = [[state]]
  for (const path of paths) {
    const last = path.at(-1)!
    if (hasTag(last, 'expendable'))
      return path.slice(1).map((to, index) => ({ id, seq: seq + index + 1, to, attempt, at: 0 }))
    const next = edges.filter(({ from, to }) => from === last && !path.includes(to))
    paths.push(...next.map(({ to }) => [...path, to]))
  }
  throw new Error(`no edges lead from ${state} to a state in which a job may be removed`)
}
