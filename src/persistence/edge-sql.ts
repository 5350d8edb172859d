import { type Edge, edges, edgesOn, hasTag, statesTagged } from '../machines/edges.ts'
import type { EventType, GuardName, JobNode, JobState, JobTag } from '../machines/job.ts'

/**
 * The job machine as SQL: fragments over the columns of a table `jobs`, made from the edge table, for any store. `OR` and `CASE` instead
 * of `IN`: SQLite builds a temporary b-tree for each list of three or more constants (measured: a CHECK and a trigger add 0.4 µs to an
 * UPDATE as `OR`, 2.5 µs as `IN`).
 */

/** The guards over columns; `:now` is the transaction's instant. Tests hold them against the machine's own. */
const guardSql: Record<GuardName, string> = {
  attemptsRemain: 'jobs.attempt < jobs.max_attempts',
  runAtLiesAhead: 'jobs.run_at > :now',
}

/** True where `column` is one of `states`. */
export function stateIsOneOf(states: readonly JobNode[], column = 'jobs.state'): string {
  return states.length === 0 ? '0' : `(${states.map((state) => `${column} = '${state}'`).join(' OR ')})`
}

/** True where the job's state carries `tag`. */
export function stateIsTagged(tag: JobTag, column = 'jobs.state'): string {
  return stateIsOneOf(statesTagged(tag), column)
}

/** True where the machine takes `event` in the job's state. */
export function takes(event: EventType): string {
  return stateIsOneOf([...new Set(edgesOn(event).map(({ from }) => from))])
}

/** What `expressionOf` gives for the edge that the job is about to take on `event`; only meaningful where `takes(event)`. */
export function byEdge(event: EventType, expressionOf: (edge: Edge) => string): string {
  const cases = edgesOn(event).map((edge) => ({ condition: conditionOf(edge), value: expressionOf(edge) }))
  const values = new Set(cases.map(({ value }) => value))
  if (values.size === 1) return cases[0]!.value
  return `CASE ${cases.map(({ condition, value }) => `WHEN ${condition} THEN ${value}`).join(' ')} END`
}

/** The state after `event`. */
export function nextState(event: EventType): string {
  return byEdge(event, ({ to }) => `'${to}'`)
}

/** `attempt` after `event`. */
export function nextAttempt(event: EventType): string {
  return byEdge(event, ({ attempt }) => {
    switch (attempt) {
      case 'keep':
        return 'jobs.attempt'
      case 'count':
        return 'jobs.attempt + 1'
      case 'giveBack':
        return 'jobs.attempt - 1'
      case 'forget':
        return '0'
    }
  })
}

/**
 * When the job may run after `event`: an attempt that is to run again waits `delay` from now, a requeued job may run now, and one that
 * never got as far as its handler keeps its instant, and so its place in line.
 */
export function nextRunAt(event: EventType, delay: string): string {
  return byEdge(event, ({ from, to }) => {
    if (!hasTag(to, 'waiting') || hasTag(from, 'timed')) return 'jobs.run_at'
    if (hasTag(from, 'executing')) return `:now + ${delay}`
    return hasTag(from, 'ended') ? ':now' : 'jobs.run_at'
  })
}

/** When the job ended, after `event`; null before. */
export function nextFinishedAt(event: EventType): string {
  return byEdge(event, ({ from, to }) => {
    if (hasTag(to, 'ended')) return ':now'
    return hasTag(from, 'ended') ? 'NULL' : 'jobs.finished_at'
  })
}

/** When its last attempt started, after `event`. */
export function nextStartedAt(event: EventType): string {
  return byEdge(event, ({ from, to, attempt }) => {
    if (hasTag(to, 'executing')) return ':now'
    return hasTag(from, 'ended') && attempt === 'forget' ? 'NULL' : 'jobs.started_at'
  })
}

/** The lease's columns after `event`: given with the lease, kept while the job is held, null after. The token is the `seq` of the lease. */
export function nextLease(event: EventType): { readonly token: string; readonly expiresAt: string } {
  const choose = (given: string, kept: string) =>
    byEdge(event, ({ from, to }) => {
      if (hasTag(from, 'held') === hasTag(to, 'held')) return kept
      return hasTag(to, 'held') ? given : 'NULL'
    })
  return {
    token: choose('jobs.seq + 1', 'jobs.lease_token'),
    expiresAt: choose(':now + :lease_ms', 'jobs.lease_expires_at'),
  }
}

/** For a trigger on UPDATE of `state`: true where OLD to NEW is an edge. */
export function updateIsEdge(): string {
  const targets = new Map<JobNode, Set<JobState>>()
  for (const { from, to } of edges) targets.set(from, (targets.get(from) ?? new Set()).add(to))
  return [...targets]
    .filter(([from]) => from !== 'new')
    .map(([from, to]) => `(OLD.state = '${from}' AND ${stateIsOneOf([...to], 'NEW.state')})`)
    .join(' OR ')
}

/** For a CHECK: true where a row with its first `seq` is in a state that `enqueue` leads to. */
export function firstStateIsLegal(): string {
  return `seq > 1 OR ${stateIsOneOf([...new Set(edgesOn('enqueue').map(({ to }) => to))], 'state')}`
}

function conditionOf({ from, guard }: Edge): string {
  const inState = from === 'new' ? [] : [`jobs.state = '${from}'`]
  const guarded = guard ? [guard.holds ? guardSql[guard.name] : `NOT (${guardSql[guard.name]})`] : []
  return [...inState, ...guarded].join(' AND ')
}
