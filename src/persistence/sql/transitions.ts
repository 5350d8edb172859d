import { type Edge, edgesOn, hasTag, statesWithTag } from '../../machines/edges.ts'
import { crashesMax } from '../../machines/guards.ts'
import type { EventType, GuardName, JobNode, JobTag } from '../../machines/job.ts'

/**
 * The job machine as SQL: fragments over the columns of a table `jobs`, generated from the edge table, for any store. `OR` and `CASE`
 * instead of `IN`, because SQLite builds a temporary b-tree for each list of three or more constants (measured: a CHECK and a trigger add
 * 0.4 µs to an UPDATE with `OR`, 2.5 µs with `IN`).
 */

/** The facts of a job that the machine reads and writes, each as an SQL expression. */
export interface Columns {
  readonly state: string
  readonly seq: string
  readonly attempt: string
  readonly max_attempts: string
  readonly crashes: string
  readonly run_at: string
  readonly lease_token: string
  readonly lease_expires_at: string
  readonly started_at: string
  readonly finished_at: string
}

/** The columns of a stored job. */
export const stored: Columns = {
  state: 'jobs.state',
  seq: 'jobs.seq',
  attempt: 'jobs.attempt',
  max_attempts: 'jobs.max_attempts',
  crashes: 'jobs.crashes',
  run_at: 'jobs.run_at',
  lease_token: 'jobs.lease_token',
  lease_expires_at: 'jobs.lease_expires_at',
  started_at: 'jobs.started_at',
  finished_at: 'jobs.finished_at',
}

/**
 * The guards over columns. `:now` is the transaction's instant; `:blocked` is 1 for a new job that must wait for another; `:crashed` is 1 if leases expire because their process is dead, else 0.
 * Tests compare them with the machine's guards.
 */
const guardSql: Record<GuardName, (job: Columns) => string> = {
  attemptsRemain: ({ attempt, max_attempts }) => `${attempt} < ${max_attempts}`,
  isBlocked: () => ':blocked',
  runAtLiesAhead: ({ run_at }) => `${run_at} > :now`,
  mayCrashAgain: ({ crashes }) => `:crashed AND ${crashes} + 1 < ${crashesMax}`,
  crashed: () => ':crashed',
}

/** True if `column` is one of `states`. */
function stateIsOneOf(states: readonly JobNode[], column = 'jobs.state'): string {
  return states.length === 0 ? '0' : `(${states.map((state) => `${column} = '${state}'`).join(' OR ')})`
}

/** True if the job's state carries `tag`. */
export function stateHasTag(tag: JobTag, column = 'jobs.state'): string {
  return stateIsOneOf(statesWithTag(tag), column)
}

/** True if the machine allows `event` in the job's state. */
export function takes(event: EventType, { state } = stored): string {
  return stateIsOneOf([...new Set(edgesOn(event).map(({ from }) => from))], state)
}

/**
 * The same for many jobs that nobody has named, nor their state: an event that stops jobs is not for those that have ended, whose errors
 * somebody may still want to see.
 */
export function bulkTakes(event: EventType): string {
  const froms = edgesOn(event).map(({ from }) => from)
  const live = froms.filter((from) => !hasTag(from, 'ended'))
  return stateIsOneOf([...new Set(live.length === 0 ? froms : live)])
}

/**
 * The job after `event`; only meaningful if `takes(event, job)`. `delay`: the ms until an attempt that is to run again may do so. If an
 * expression is the same as in `job`, the column keeps its value.
 */
export function after(event: EventType, job: Columns, delay: string): Columns {
  const next = (expressionOf: (edge: Edge) => string) => byEdge(event, job, expressionOf)
  const seq = `${job.seq} + 1`
  return {
    ...job,
    state: next(({ to }) => `'${to}'`),
    seq,
    attempt: next(({ attempt }) => nextCount(attempt, job.attempt)),
    crashes: next(({ crashes }) => nextCount(crashes, job.crashes)),
    run_at: next((edge) => nextRunAt(edge, job, delay)),
    // The token is the `seq` of the lease: set by it, kept while the job is held, null afterwards.
    lease_token: next((edge) => nextOfLease(edge, job.lease_token, seq)),
    lease_expires_at: next((edge) => nextOfLease(edge, job.lease_expires_at, ':now + :lease_ms')),
    // The start of the last attempt.
    started_at: next(({ from, to, attempt }) => {
      if (hasTag(to, 'executing')) return ':now'
      return hasTag(from, 'ended') && attempt === 'forget' ? 'NULL' : job.started_at
    }),
    finished_at: next(({ from, to }) => {
      if (hasTag(to, 'ended')) return ':now'
      return hasTag(from, 'ended') ? 'NULL' : job.finished_at
    }),
  }
}

function nextCount(effect: Edge['attempt' | 'crashes'], count: string): string {
  switch (effect) {
    case 'keep':
      return count
    case 'count':
      return `${count} + 1`
    case 'giveBack':
      return `${count} - 1`
    case 'forget':
      return '0'
  }
}

/**
 * An attempt that is to run again waits `delay` from now, a requeued job may run now, and a job that was given back keeps its instant, and
 * so its place in line.
 */
function nextRunAt({ from, to }: Edge, { run_at }: Columns, delay: string): string {
  if (!hasTag(to, 'waiting') || hasTag(from, 'timed')) return run_at
  if (hasTag(from, 'executing') && hasTag(to, 'timed')) return `:now + ${delay}`
  return hasTag(from, 'ended') ? ':now' : run_at
}

function nextOfLease({ from, to }: Edge, kept: string, given: string): string {
  if (hasTag(from, 'held') === hasTag(to, 'held')) return kept
  return hasTag(to, 'held') ? given : 'NULL'
}

/** The value of `expressionOf` for the edge that the job is about to take on `event`. */
export function byEdge(event: EventType, job: Columns, expressionOf: (edge: Edge) => string): string {
  const asked = (guard: GuardName) => guardSql[guard](job)
  const cases = edgesOn(event).map((edge) => ({ condition: conditionOf(edge, job, asked), value: expressionOf(edge) }))
  const values = new Set(cases.map(({ value }) => value))
  if (values.size === 1) return cases[0]!.value
  return `CASE ${cases.map(({ condition, value }) => `WHEN ${condition} THEN ${value}`).join(' ')} END`
}

/** True if the job is in the edge's state and its guards give the required answers; `asked`: each guard in SQL. */
export function conditionOf<Guard extends string>(
  { from, conditions }: Pick<Edge<string, string, Guard>, 'from' | 'conditions'>,
  job: Pick<Columns, 'state'>,
  asked: (guard: Guard) => string,
): string {
  const inState = from === 'new' ? [] : [`${job.state} = '${from}'`]
  const guarded = conditions.map(({ guard, holds }) => (holds ? asked(guard) : `NOT (${asked(guard)})`))
  return [...inState, ...guarded].join(' AND ')
}
