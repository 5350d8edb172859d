import type pg from 'pg'
import {
  type CopiedEvent,
  type KnownRow,
  lineNames,
  progressNames,
  rowColumns,
  versionColumns,
  type WholeJob,
} from '../../copy/whole-job.ts'
import { eventsOf } from '../event-runs.ts'

/** The rows of those jobs that are there. */
export async function readRows(client: pg.ClientBase, ids: readonly number[]): Promise<Map<number, KnownRow>> {
  const { rows } = await client.query<KnownRow>(`SELECT ${rowColumns} FROM jobs WHERE id = ANY ($1::bigint[])`, [ids])
  return new Map(rows.map((row) => [row.id, row]))
}

/** Jobs with their histories, each from the transition on that follows the `known` row. */
export async function readJobs(
  client: pg.ClientBase,
  ids: readonly number[],
  known: ReadonlyMap<number, KnownRow>,
): Promise<Map<number, WholeJob>> {
  const rows = await readRows(client, ids)
  const payloads = await client.query<{ id: number; payload: string }>(
    'SELECT job_id AS id, payload FROM job_payloads WHERE job_id = ANY ($1::bigint[])',
    [ids],
  )
  const versions = await client.query<{ id: number } & WholeJob['versions'][number]>(
    `SELECT job_id AS id, ${versionColumns} FROM job_versions WHERE job_id = ANY ($1::bigint[]) ORDER BY job_id, seq`,
    [ids],
  )
  const traces = await client.query<{ id: number } & NonNullable<WholeJob['trace']>>(
    `SELECT job_id AS id, traceparent, tracestate, last_attempt AS "lastAttempt" FROM job_traces WHERE job_id = ANY ($1::bigint[])`,
    [ids],
  )
  const progress = await client.query<{ id: number } & NonNullable<WholeJob['progress']>>(
    `SELECT job_id AS id, ${progressNames} FROM job_progress WHERE job_id = ANY ($1::bigint[])`,
    [ids],
  )
  const lines = await client.query<{ id: number } & WholeJob['lines'][number]>(
    `SELECT job_id AS id, ${lineNames} FROM job_logs WHERE job_id = ANY ($1::bigint[]) ORDER BY job_id, n`,
    [ids],
  )
  const results = await client.query<{ id: number; result: string }>(
    'SELECT job_id AS id, result FROM job_results WHERE job_id = ANY ($1::bigint[])',
    [ids],
  )
  const events = await client.query<CopiedEvent & { jobId: number }>(eventsSql, [
    ids,
    ids.map((id) => known.get(id)?.seq ?? 0),
  ])
  const payloadOf = new Map(payloads.rows.map(({ id, payload }) => [id, payload]))
  const resultOf = new Map(results.rows.map(({ id, result }) => [id, result]))
  const traceOf = new Map(traces.rows.map((trace) => [trace.id, trace]))
  const progressOf = new Map(progress.rows.map((row) => [row.id, row]))
  const linesOf = new Map<number, WholeJob['lines'][number][]>(ids.map((id) => [id, []]))
  for (const line of lines.rows) linesOf.get(line.id)!.push(line)
  const versionsOf = new Map<number, WholeJob['versions'][number][]>()
  for (const { id, ...version } of versions.rows) versionsOf.set(id, [...(versionsOf.get(id) ?? []), version])
  const eventsOf = new Map<number, CopiedEvent[]>(ids.map((id) => [id, []]))
  for (const event of events.rows) eventsOf.get(event.jobId)!.push(event)
  return new Map(
    [...rows].map(([id, row]) => [
      id,
      {
        row,
        payload: payloadOf.get(id) ?? null,
        versions: versionsOf.get(id) ?? [],
        trace: traceOf.get(id) ?? null,
        progress: progressOf.get(id) ?? null,
        lines: linesOf.get(id)!,
        result: resultOf.get(id) ?? null,
        events: eventsOf.get(id)!,
      },
    ]),
  )
}

const eventsSql = `
  SELECT job_events.job_id AS "jobId", id, seq, event, from_state AS "from", to_state AS "to", attempt, at, error, cause
  FROM unnest($1::bigint[], $2::bigint[]) AS asked (job_id, after)
  CROSS JOIN LATERAL ${eventsOf('asked.job_id')} WHERE seq > asked.after ORDER BY job_events.job_id, seq`
