import type Database from 'better-sqlite3'
import { type Edge, edgesOn, hasTag } from '../../../machines/edges.ts'
import { suspectCrashes } from '../../../machines/guards.ts'
import type { EventType, JobNode, JobState } from '../../../machines/job.ts'
import { parkedAs } from '../../sql/conditions.ts'
import { after, byEdge, type Columns, stored, takes } from '../../sql/transitions.ts'
import { markEvery } from '../schema.ts'

/** `holder`: only jobs whose lease is the given one. */
export type LeaseCheck = 'holder' | 'anyone'

/** `range`: the jobs with ids from `:first` to `:last`. `list`: those of `:ids`, as JSON. */
export type JobSet = 'range' | 'list'

/** What decides whether jobs share a row; with what the edge is and leads to, if the event may take several. */
export type Facts = readonly [seq: number, attempt: number, from?: JobNode, to?: JobState, attemptAfter?: number]

export interface Statements {
  /**
   * Of a list: the jobs that take the events, as a JSON array of each column. Of a range: its first job, and last how many have the same
   * past as it.
   */
  readonly look: Database.Statement
  readonly move: Database.Statement
  readonly events: readonly EventType[]
  /** The single edge that each event takes; null if one of them may take several. */
  readonly edges: readonly Edge[] | null
}

/** Where a statement gets its jobs from. */
interface Source {
  readonly from: string
  readonly isOf: string
  /** The id of the last event of a job; `:event_id` is that of the first job. */
  readonly eventId: string
}

const sources: Record<JobSet, Source> = {
  range: { from: '', isOf: 'jobs.id BETWEEN :first AND :last', eventId: ':event_id + jobs.id - :first' },
  list: { from: 'FROM json_each(:ids) AS item', isOf: 'jobs.id = item.value', eventId: ':event_id + item.key' },
}

/** The job as stored, before each event, and after the last. */
function follow(events: readonly EventType[]): Columns[] {
  const jobs = [stored]
  for (const event of events) jobs.push(after(event, jobs.at(-1)!, ':delay_ms'))
  return jobs
}

/** The statements with which jobs take events. */
export function prepareTransitions(
  db: Database.Database,
  events: readonly EventType[],
  leaseCheck: LeaseCheck,
  set: JobSet,
): Statements {
  const { from, isOf, eventId } = sources[set]
  const jobs = follow(events)
  const possible = events.map(edgesOn)
  const edges = possible.every(({ length }) => length === 1) ? possible.flat() : null
  const matches = [
    isOf,
    ...(leaseCheck === 'holder' ? ['jobs.lease_token = :lease_token'] : []),
    ...events.map((event, index) => takes(event, jobs[index])),
  ].join(' AND ')
  const [before, next] = jobs as [Columns, Columns]
  const facts = [
    whole(before.seq),
    whole(before.attempt),
    ...(edges ? [] : [before.state, next.state, whole(next.attempt)]),
  ]
  const look =
    set === 'range' ? lookAtRange(matches, events.length) : lookAtList(facts, `${from} CROSS JOIN jobs ON ${matches}`)
  const changes = Object.entries({
    ...jobs.at(-1)!,
    ...notOfTheMachine(events, jobs),
    last_event_id: eventId,
    // An unchanged column is not named, because SQLite would rewrite the indexes that contain it.
  }).flatMap(([column, value]) => (value === `jobs.${column}` ? [] : [`${column} = ${value}`]))
  const move = `UPDATE jobs SET ${changes.join(', ')} ${from} WHERE ${matches}`
  return { look: db.prepare(look).raw(), move: db.prepare(move), events, edges }
}

/** JSON cannot hold a BLOB, which only a damaged row has. */
function whole(column: string): string {
  return `CAST(${column} AS INTEGER)`
}

/** The columns one by one, which is faster than rows. */
function lookAtList(facts: readonly string[], from: string): string {
  const lists = ['jobs.id', whole('jobs.last_event_id'), ...facts].map((column) => `json_group_array(${column})`)
  return `SELECT ${lists.join(', ')} ${from}`
}

/** Jobs with long histories do not share rows, for their marks. */
function lookAtRange(matches: string, events: number): string {
  const same = ['seq', 'attempt'].map((column) => `jobs.${column} = head.${column}`).join(' AND ')
  return `SELECT head.id, head.last_event_id, head.seq, head.attempt, count(*) FROM jobs AS head CROSS JOIN jobs ON ${matches}
    WHERE head.id = :first AND head.seq + ${events} < ${markEvery}
      AND ${same} AND jobs.last_event_id - jobs.id = head.last_event_id - head.id`
}

/** What events change besides what the machine knows. */
function notOfTheMachine(events: readonly EventType[], jobs: readonly Columns[]) {
  const edges = events.flatMap(edgesOn)
  const failing = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  return {
    parked: nextParked(edges, jobs),
    // The history has the stack; here it would be rewritten with every later transition.
    error: failing ? `coalesce(json_remove(:error, '$.stack'), jobs.error)` : 'jobs.error',
  }
}

/** Only a ready job can be set aside, and a suspect is set aside from the start. */
function nextParked(edges: readonly Edge[], jobs: readonly Columns[]): string {
  if (!edges.some(({ from, to }) => hasTag(from, 'ready') || hasTag(to, 'ready'))) return 'jobs.parked'
  const [before, { crashes }] = jobs.slice(-2) as [Columns, Columns]
  const suspect = crashes === '0' ? '0' : `iif(${crashes} >= ${suspectCrashes}, ${parkedAs.suspect}, 0)`
  return byEdge(edges.at(-1)!.event, before, ({ to }) => (hasTag(to, 'ready') ? suspect : '0'))
}
