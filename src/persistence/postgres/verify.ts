import { causes } from '../../machines/cause.ts'
import type { JobState } from '../../machines/job.ts'
import { initialJob, type ReplayEvent, type ReplayState, replay } from '../../machines/replay.ts'
import { jobColumns } from '../rows.ts'
import { isHeld } from '../sql/conditions.ts'
import { jobTables } from '../sql/job-tables.ts'
import { uniqueKeyViolations } from '../sql/unique-keys.ts'
import { type EdgeCount, retention, type VerifyReport } from '../store.ts'
import { unreadableColumns } from '../valid-rows.ts'
import { type CheckedRow, Checks } from '../verify-checks.ts'
import { type CheckedSchedule, type CheckedStep, checkSchedule, scheduleChecks } from '../verify-schedules.ts'
import { changesIn, firstMaxAttempts, keptPayloads } from '../versions.ts'
import { eventsBetween } from './event-runs.ts'
import { isJson } from './is-json.ts'
import { migrations } from './migrate.ts'
import type { Query, Reads } from './reads.ts'

/** Jobs that one snapshot looks at, and events that are read at once: one job may have any number of them. */
const chunkJobs = 1_000
const pageEvents = 10_000
/** Schedules of one snapshot, each with at most about a thousand events. */
const chunkSchedules = 20
/** Faults of one kind that are told. */
const toldMax = 100

type Row = Omit<CheckedRow, 'payloadIsValid' | 'resultIsValid'> & {
  readonly nodeId: number | null
  readonly payload: string | null
  readonly result: string | null
  /** As it was enqueued. */
  readonly firstMaxAttempts: number
}
type Event = ReplayEvent & { readonly jobId: number; readonly cause: string | null }

/**
 * Checks a whole database, even while nodes run on it: replays the history of every job through the machine and compares it with its row,
 * recounts the kept counts, and looks whether the tables, indexes and triggers that guard it are there.
 */
export async function verify(
  reads: Reads,
  onProgress: (id: number, lastId: number) => void = () => {},
): Promise<VerifyReport> {
  const checks = new Checks()
  const lastId = (await reads.one<{ id: number }>('SELECT coalesce(max(id), 0) AS id FROM jobs'))!.id
  for (let after = 0; after < lastId; onProgress(Math.min(after, lastId), lastId)) {
    const chunk = await reads.inSnapshot((query) => checkJobs(query, after))
    checks.add(chunk.checks)
    after = chunk.last
  }
  for (const { sql, invariant, message } of leftovers) {
    for (const { id } of await reads.all<{ id: number | null }>(sql)) checks.tell(invariant, id, message)
  }
  for (let after: number | null = 0; after !== null; ) {
    const chunk = await reads.inSnapshot((query) => checkSchedules(query, after!))
    checks.add(chunk.checks)
    after = chunk.last
  }
  for (const { id } of await reads.all<{ id: number }>(scheduleChecks.orphans))
    checks.tell('I11', null, `there is a history of the schedule ${id}, but no schedule`)
  checks.add(await reads.inSnapshot(checkCounts))
  for (const { name } of await reads.all<{ name: string }>(guardsSql, { guards }))
    checks.tell('I14', null, `${name} is missing or out of use`)
  return checks.report()
}

/** Checks the next jobs above an id; `last`: the last id that it saw. */
async function checkJobs(query: Query, after: number): Promise<{ checks: Checks; last: number }> {
  const checks = new Checks()
  const rows = await query<Row>(rowsSql, { after })
  const last = rows.at(-1)?.id
  if (last === undefined) return { checks, last: Number.MAX_SAFE_INTEGER }
  const ends = new Map(rows.map(({ id, firstMaxAttempts }) => [id, initialJob(firstMaxAttempts)]))
  for (
    let page: Event[] = [], from = { id: after + 1, seq: 0 };
    ;
    from = { id: page.at(-1)!.jobId, seq: page.at(-1)!.seq }
  ) {
    page = await query<Event>(eventsSql, { from: from.id, seq: from.seq, last })
    for (const event of page) ends.set(event.jobId, replayOne(checks, event, ends.get(event.jobId)))
    if (page.length < pageEvents) break
  }
  for (const row of rows) {
    const fault = unreadableColumns(row)
    if (fault) checks.tell('I1', row.id, fault)
    const isValid = (text: string | null) => (text === null ? null : isJson(text))
    const texts = { payloadIsValid: isValid(row.payload), resultIsValid: isValid(row.result) }
    checks.checkRow({ ...row, ...texts }, ends.get(row.id)!)
    if ((row.leaseToken === null) !== (row.nodeId === null))
      checks.tell('I5', row.id, `the row has lease_token ${row.leaseToken}, node_id ${row.nodeId}`)
  }
  return { checks, last }
}

function replayOne(checks: Checks, event: Event, job: ReplayState | undefined): ReplayState {
  const { jobId, cause, seq } = event
  checks.events++
  if (!isCause(cause)) checks.tell('I3', jobId, `seq ${seq} has a cause that nothing is`)
  if (job) return replay(job, { ...event, ...changesIn(cause) }, (fault) => checks.tell('I3', jobId, fault))
  if (seq === 1) checks.tell('I2', jobId, 'there is a history of this job, but no job')
  return initialJob(0)
}

/** The next schedules above an id; `last`: the last id that it saw, null at the end. */
async function checkSchedules(query: Query, after: number): Promise<{ checks: Checks; last: number | null }> {
  const checks = new Checks()
  const rows = await query<CheckedSchedule>(scheduleChecks.schedules, { after, limit: chunkSchedules })
  const [removed] = await query('SELECT 1 AS one FROM edge_counts WHERE event = :event LIMIT 1', { event: retention })
  for (const row of rows)
    checkSchedule(checks, row, await query<CheckedStep>(scheduleChecks.steps, { id: row.id }), removed === undefined)
  return { checks, last: rows.at(-1)?.id ?? null }
}

/** In text that no check guards, there may be anything. */
function isCause(text: string | null): boolean {
  if (text === null) return true
  try {
    return Object.hasOwn(causes, String(JSON.parse(text)?.cause))
  } catch {
    return false
  }
}

async function checkCounts(query: Query): Promise<Checks> {
  const checks = new Checks()
  const kept = await query<EdgeCount>(
    `SELECT from_state AS "from", event, nullif(to_state, '') AS "to", sum(n)::bigint AS count FROM edge_counts GROUP BY 1, 2, 3`,
  )
  const found = await query<{ state: JobState; count: number }>(
    'SELECT state, count(*) AS count FROM jobs GROUP BY state',
  )
  const taken = await query<{ from: JobState | null; event: string; to: JobState; count: number }>(
    'SELECT from_state AS "from", event, to_state AS "to", count(*) AS count FROM job_events GROUP BY 1, 2, 3',
  )
  checks.checkCounts(kept, new Map(found.map(({ state, count }) => [state, count])), () => taken)
  return checks
}

const rowsSql = `
  SELECT ${jobColumns}, ${firstMaxAttempts} AS "firstMaxAttempts", ${keptPayloads} AS payloads, seq, lease_token AS "leaseToken", node_id AS "nodeId",
    (SELECT result FROM job_results WHERE job_id = jobs.id) AS result
  FROM jobs WHERE id > :after ORDER BY id LIMIT ${chunkJobs}`

const eventsSql = `
  SELECT job_id AS "jobId", seq, event, from_state AS "from", to_state AS "to", attempt, at, cause
  FROM ${eventsBetween(':from::bigint', ':last::bigint')} WHERE (job_id, seq) > (:from, :seq) ORDER BY job_id, seq LIMIT ${pageEvents}`

/** What retention should have taken along, and what the unique indexes see to while they are there. */
const leftovers = [
  ...jobTables.map(([table, orphan]) => ({
    sql: `SELECT DISTINCT job_id AS id FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id) LIMIT ${toldMax}`,
    ...orphan,
  })),
  {
    sql: `SELECT DISTINCT job_id AS id FROM single_events WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id) LIMIT ${toldMax}`,
    invariant: 'I2',
    message: 'there is a history of this job, but no job',
  },
  {
    sql: `SELECT first_job_id AS id FROM event_runs WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = ANY (job_ids)) LIMIT ${toldMax}`,
    invariant: 'I2',
    message: 'there is a history of this job and others, but no job',
  },
  {
    sql: `SELECT max(id) AS id FROM jobs WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key HAVING count(*) > 1 LIMIT ${toldMax}`,
    invariant: 'I9',
    message: 'it has the idempotency key of another job',
  },
  {
    // A node may use the sequence, not read it. Null after an epoch began, until a node has reserved ids of it.
    sql: `SELECT max(id) AS id FROM jobs HAVING max(id) > pg_sequence_last_value('job_ids') + 999`,
    invariant: 'I2',
    message: 'ids are given from below it on, and would be used again',
  },
  {
    sql: `SELECT id FROM jobs WHERE ${isHeld} AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = node_id) LIMIT ${toldMax}`,
    invariant: 'I5',
    message: 'it is held by a node that there is not',
  },
  ...uniqueKeyViolations.map(({ sql, message }) => ({
    sql: `${sql} LIMIT ${toldMax}`,
    invariant: 'I10' as const,
    message,
  })),
] as const

/** The constraints, indexes and triggers that the migrations make. */
const guards = [...migrations.join('').matchAll(/(?:CONSTRAINT|INDEX|TRIGGER) (?!TRIGGER)(\w+) /g)].map(
  ([, name]) => name!,
)

const guardsSql = `
  SELECT name FROM unnest(:guards::text[]) AS guard (name)
  WHERE NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = name AND connamespace = current_schema()::regnamespace AND convalidated)
    AND NOT EXISTS (SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
      WHERE relname = name AND relnamespace = current_schema()::regnamespace AND indisvalid)
    AND NOT EXISTS (SELECT 1 FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
      WHERE tgname = name AND relnamespace = current_schema()::regnamespace AND tgenabled IN ('O', 'A'))`
