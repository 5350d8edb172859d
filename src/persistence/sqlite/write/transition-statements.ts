import type Database from 'better-sqlite3'
import { type Edge, edgesOn, hasTag } from '../../../machines/edges.ts'
import { suspectCrashes } from '../../../machines/guards.ts'
import type { EventType } from '../../../machines/job.ts'
import { parkedAs } from '../../sql/conditions.ts'
import { after, byEdge, type Columns, stored, takes } from '../../sql/transitions.ts'
import { markEvery } from '../schema.ts'

/** `holder`: only jobs whose lease is the given one. */
export type LeaseCheck = 'holder' | 'anyone'

/** A log for each event, and one move for all of them. */
interface Write {
  readonly logs: readonly Database.Statement[]
  readonly move: Database.Statement
}

/**
 * `range`: the jobs of one range. `ids`: jobs of any ids, as JSON. `ranges`: those of many ranges, packed. They have everything else in
 * common.
 */
export type JobSet = 'range' | 'ids' | 'ranges'

export interface Statements extends Write {
  /** How many jobs of each range take the change and have the same past as its first; null if each gets its own row anyway. */
  readonly alike: Database.Statement | null
  readonly events: readonly EventType[]
  /** The single edge that each event takes; null if one of them may take several. */
  readonly edges: readonly Edge[] | null
}

export type IdRange = readonly [first: number, last: number, ...unknown[]]

/** Where a statement gets its jobs from. */
interface Source {
  readonly from: string
  readonly with: string
  /** `logged_to`: the last job with its own row; the `length` of what each row stands for. */
  part(
    name: 'first' | 'last' | 'lease_token' | 'delay_ms' | 'error' | 'cause' | 'event_id' | 'logged_to' | 'length',
  ): string
}

const ids: Partial<Record<Parameters<Source['part']>[0], string>> = {
  first: 'item.value',
  last: 'item.value',
  logged_to: 'item.value',
  event_id: '(:event_id + :events * item.key)',
  length: '1',
}
const packed: typeof ids = {
  first: '(:base + (item.value >> 20))',
  last: '(:base + (item.value >> 20) + (item.value & 1023))',
  logged_to: '(:base + (item.value >> 20))',
  event_id: '(:event_id + :events * (item.value >> 10 & 1023))',
  length: '((item.value & 1023) + 1)',
}
const sources: Record<JobSet, Source> = {
  range: { from: 'jobs WHERE', with: 'WHERE', part: (name) => `:${name}` },
  ids: {
    from: 'json_each(:ids) AS item CROSS JOIN jobs ON',
    with: 'FROM json_each(:ids) AS item WHERE',
    part: (name) => ids[name] ?? `:${name}`,
  },
  ranges: {
    from: 'json_each(:ranges) AS item CROSS JOIN jobs ON',
    with: 'FROM json_each(:ranges) AS item WHERE',
    part: (name) => packed[name] ?? `:${name}`,
  },
}

/**
 * Ranges as numbers of 53 bits, the most that JSON keeps: 33 for the distance from the id `base`, 10 for the number of jobs in the ranges
 * before, 10 for that of the others in its own. SQLite reads several numbers for a range in more time than it takes to move a job. Null if
 * they do not fit.
 */
export function pack(ranges: readonly IdRange[]): { base: number; ranges: string } | null {
  const base = Math.min(...ranges.map(([first]) => first))
  let before = 0
  const numbers: number[] = []
  for (const [first, last] of ranges) {
    numbers.push((first - base) * 2 ** 20 + before * 2 ** 10 + last - first)
    before += last - first + 1
    if (before > 2 ** 10 || first - base >= 2 ** 33) return null
  }
  return { base, ranges: JSON.stringify(numbers) }
}

/** The job as stored, before each event, and after the last. */
function follow(events: readonly EventType[], { part }: Source): Columns[] {
  const jobs = [stored]
  for (const event of events) jobs.push(after(event, jobs.at(-1)!, part('delay_ms')))
  return jobs
}

/** True for the jobs of a range up to `last` that take the events. */
function matches(
  events: readonly EventType[],
  leaseCheck: LeaseCheck,
  source: Source,
  last: 'last' | 'logged_to',
): string {
  const { part } = source
  const jobs = follow(events, source)
  return [
    `jobs.id BETWEEN ${part('first')} AND ${part(last)}`,
    ...(leaseCheck === 'holder' ? [`jobs.lease_token = ${part('lease_token')}`] : []),
    ...events.map((event, index) => takes(event, jobs[index])),
  ].join(' AND ')
}

/** The statements with which jobs take events. */
export function prepareTransitions(
  db: Database.Database,
  events: readonly EventType[],
  leaseCheck: LeaseCheck,
  set: JobSet,
  hasCause: boolean,
): Statements {
  const source = sources[set]
  const possible = events.map(edgesOn)
  const edges = possible.every(({ length }) => length === 1) ? possible.flat() : null
  return {
    ...prepareWrite(db, events, leaseCheck, source, hasCause),
    alike: edges && set !== 'ids' ? prepareAlike(db, events, leaseCheck, set) : null,
    events,
    edges,
  }
}

function prepareWrite(
  db: Database.Database,
  events: readonly EventType[],
  leaseCheck: LeaseCheck,
  source: Source,
  hasCause: boolean,
): Write {
  const { part } = source
  const jobs = follow(events, source)
  // The jobs of a range have consecutive ids for their first events, then for their second ones.
  const eventId = (index: number) => {
    const before = index === 0 ? '' : ` + ${index} * (${part('last')} - ${part('first')} + 1)`
    return `${part('event_id')}${before} + jobs.id - ${part('first')}`
  }
  const log = (event: EventType, index: number) => {
    const [from, to] = jobs.slice(index) as [Columns, Columns]
    return db.prepare(`
      INSERT INTO event_runs (id, first_job_id, length, seq, event, from_state, to_state, attempt, at, error, previous_id${hasCause ? ', cause' : ''})
      SELECT ${eventId(index)}, jobs.id, ${part('length')}, ${to.seq}, '${event}', ${from.state}, ${to.state}, ${to.attempt}, :now,
        ${part('error')}, ${index === 0 ? 'jobs.last_event_id' : eventId(index - 1)}${hasCause ? `, ${part('cause')}` : ''}
      FROM ${source.from} ${matches(events, leaseCheck, source, 'logged_to')}`)
  }
  const changes = Object.entries({
    ...jobs.at(-1)!,
    ...notOfTheMachine(events, jobs, part),
    last_event_id: eventId(events.length - 1),
    // An unchanged column is not named, because SQLite would rewrite the indexes that contain it.
  }).flatMap(([column, value]) => (value === `jobs.${column}` ? [] : [`${column} = ${value}`]))
  const move = `UPDATE jobs SET ${changes.join(', ')} ${source.with} ${matches(events, leaseCheck, source, 'last')}`
  return { logs: events.map(log), move: db.prepare(move) }
}

/**
 * Only for events that each lead from a single state: then all jobs that take them are in that state. Long histories are stored separately,
 * for their marks.
 */
function prepareAlike(
  db: Database.Database,
  events: readonly EventType[],
  leaseCheck: LeaseCheck,
  set: JobSet,
): Database.Statement {
  const source = sources[set]
  const same = ['seq', 'attempt'].map((column) => `jobs.${column} = head.${column}`).join(' AND ')
  const count = `
    SELECT count(*) FROM jobs AS head CROSS JOIN jobs ON ${matches(events, leaseCheck, source, 'last')}
    WHERE head.id = ${source.part('first')} AND head.seq + ${events.length} < ${markEvery}
      AND ${same} AND jobs.last_event_id - jobs.id = head.last_event_id - head.id`
  return db.prepare(set === 'range' ? count : `SELECT (${count}) FROM json_each(:ranges) AS item`).pluck()
}

/** What events change besides what the machine knows. */
function notOfTheMachine(events: readonly EventType[], jobs: readonly Columns[], part: Source['part']) {
  const edges = events.flatMap(edgesOn)
  const failing = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  return {
    parked: nextParked(edges, jobs),
    // The history has the stack; here it would be rewritten with every later transition.
    error: failing ? `coalesce(json_remove(${part('error')}, '$.stack'), jobs.error)` : 'jobs.error',
  }
}

/** Only a ready job can be set aside, and a suspect is set aside from the start. */
function nextParked(edges: readonly Edge[], jobs: readonly Columns[]): string {
  if (!edges.some(({ from, to }) => hasTag(from, 'ready') || hasTag(to, 'ready'))) return 'jobs.parked'
  const [before, { crashes }] = jobs.slice(-2) as [Columns, Columns]
  const suspect = crashes === '0' ? '0' : `iif(${crashes} >= ${suspectCrashes}, ${parkedAs.suspect}, 0)`
  return byEdge(edges.at(-1)!.event, before, ({ to }) => (hasTag(to, 'ready') ? suspect : '0'))
}
