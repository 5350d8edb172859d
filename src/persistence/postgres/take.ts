import assert from 'node:assert/strict'
import { claim, type Edge, edgesOn, eventTypes, hasTag } from '../../machines/edges.ts'
import { suspectCrashes } from '../../machines/guards.ts'
import type { EventType } from '../../machines/job.ts'
import { parkedAs } from '../sql/conditions.ts'
import { after, byEdge, type Columns, stored, takes } from '../sql/transitions.ts'
import { freesKeys, takesKeysBack } from '../sql/unique-keys.ts'
import { isMovedLater } from './event-order.ts'
import { isOneWay, logRuns, setIsRun } from './event-runs.ts'
import { isUpdatable } from './readable.ts'
import { uniqueKeysSql } from './unique-keys.ts'

/** The parameters of the shared SQL as variables of PL/pgSQL. A node renews one row for all its jobs: a lease has an instant of its own only once it was abandoned. */
export function inPlpgsql(sql: string): string {
  return sql.replaceAll(':lease_ms', 'NULL::bigint').replace(/(?<!:):([a-z_]+)/g, '_$1')
}

/** Adds the rows (from_state, event, to_state, n) of `source` to the counts of a writer; no two of them are of one edge. */
export function addCounts(source: string): string {
  return `INSERT INTO edge_counts (writer_id, from_state, event, to_state, n)
      SELECT _writer, from_state, event, to_state, n FROM (${source}) AS counted ORDER BY from_state, event, to_state
      ON CONFLICT (writer_id, from_state, event, to_state) DO UPDATE SET n = edge_counts.n + excluded.n`
}

/** The ids of a transaction's events allow no more. */
export const assertEvents = `IF _n > 4095 THEN RAISE EXCEPTION 'jobmachine: too many events in one transaction'; END IF;`

/**
 * The one way in which a stored job changes its state: those of `_ids` that the machine lets take an event, or the events of a claim, take it; each is
 * logged and counted. If a later transaction has moved one of them, it fails and is to be run again. `_tokens`: of the lease that each must have; null where any will do. `_n`: numbers of events that this transaction has used.
 */
export function takeFunction(name: string): string {
  const changes: [string, readonly EventType[]][] = eventTypes
    .filter((event) => event !== 'enqueue')
    .map((event) => [event, [event]])
  const branches = [['claim', claim] as const, ...changes].map(
    ([change, events]) => `WHEN '${change}' THEN
    ${events.some(takesKeysBack) ? uniqueKeysSql.freeLapsed : ''}
    ${moveSql(events, 'SELECT array_agg(id) INTO _moved FROM moved')}
    _n := _n + ${events.length} * cardinality(_ids);
    ${events.some(takesKeysBack) ? uniqueKeysSql.takeBack : freesKeys(events) ? uniqueKeysSql.free(name) : ''}`,
  )
  return `
CREATE FUNCTION ${name}(_change text, _now bigint, _node bigint, _writer bigint, _first_event bigint, _crashed boolean, _cause text,
  _only_in text, _ids bigint[], _tokens integer[], _delays bigint[], _errors text[], _row_errors text[], _causes text[],
  INOUT _n integer, OUT _moved bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _next bigint[]; _is_run boolean;
BEGIN
  CASE _change
  ${branches.join('\n  ')}
  END CASE;
  IF coalesce(cardinality(_moved), 0) < cardinality(_ids) AND EXISTS (SELECT 1 FROM jobs WHERE id = ANY (_ids) AND ${isMovedLater}) THEN
    RAISE EXCEPTION 'jobmachine: a later transaction has moved the job' USING ERRCODE = 'serialization_failure';
  END IF;
  ${assertEvents}
END
$$`
}

/**
 * PL/pgSQL that moves, logs and counts by one statement; `answer` reads `moved`, which has the columns `handed` of a job besides. `begin`: what
 * comes before the statement.
 */
export function moveSql(
  events: readonly EventType[],
  answer: string,
  { begin = '', handed = [] }: { begin?: string; handed?: readonly string[] } = {},
): string {
  const statement = (log: typeof logRows) => `${begin}${inPlpgsql(statementSql(events, answer, handed, log))};`
  if (!events.every(isOneWay)) return statement(logRows)
  return `${setIsRun('_errors IS NULL AND _causes IS NULL')};
    IF _is_run THEN ${statement(logRun)}
    ELSE ${statement(logRows)}
    END IF;`
}

function statementSql(
  events: readonly EventType[],
  answer: string,
  handed: readonly string[],
  log: typeof logRows,
): string {
  const jobs = follow(events)
  const edges = events.flatMap(edgesOn)
  const froms = new Set(edgesOn(events[0]!).map(({ from }) => from))
  // Where it can have come from several states, the row is looked at before.
  const known = froms.size === 1
  const columns = Object.entries({ ...jobs.at(-1)!, ...besides(events, jobs, edges) })
  const changes = columns.flatMap(([column, value]) => (value === `jobs.${column}` ? [] : [`${column} = ${value}`]))
  return `WITH item AS MATERIALIZED (
      SELECT item.*${known ? '' : ', jobs.state AS from_state'}
      FROM unnest(_ids, _tokens, _delays, _errors, _row_errors, _causes) WITH ORDINALITY AS item (id, lease_token, delay_ms, error, row_error, cause, n)
      ${known ? '' : 'JOIN jobs ON jobs.id = item.id ORDER BY n FOR UPDATE OF jobs'}
    ), moved AS (
      UPDATE jobs SET ${changes.join(', ')} FROM item WHERE jobs.id = item.id AND ${fence(events, jobs)}
      RETURNING ${['id', 'seq', 'attempt', 'state', ...handed].map((column) => `jobs.${column}`).join(', ')}, item.n, item.error, coalesce(item.cause, _cause) AS cause${known ? '' : ', item.from_state'}
    ), logged AS (
      ${log(events, known)}
    ), counted AS (
      ${addCounts(events.map((_, index) => countSql(events, index, known)).join(' UNION ALL '))}
    )
    ${answer}`
}

/** How many took one of the events, of each of its edges. To group rows by three texts costs 1.5 µs a job, so what is known is left out of it. */
function countSql(events: readonly EventType[], index: number, known: boolean): string {
  const { from, to } = endsOf(events, index, known)
  const unknown = [from, to].filter((end) => end.startsWith('moved.'))
  const grouped = unknown.length === 0 ? 'HAVING count(*) > 0' : `GROUP BY ${unknown.join(', ')}`
  return `SELECT ${from} AS from_state, '${events[index]}' AS event, ${to} AS to_state, count(*) AS n FROM moved ${grouped}`
}

/** The states before and after one of the events, in `moved`. */
function endsOf(events: readonly EventType[], index: number, known: boolean): { from: string; to: string } {
  const edges = edgesOn(events[index]!)
  const isLast = index === events.length - 1
  const hasOneEnd = new Set(edges.map(({ to }) => to)).size === 1
  return {
    from: index === 0 && !known ? 'moved.from_state' : `'${edges[0]!.from}'`,
    to: isLast && !hasOneEnd ? 'moved.state' : `'${edges[0]!.to}'`,
  }
}

/** The job as it is stored, before each event, and after the last. */
function follow(events: readonly EventType[]): Columns[] {
  const jobs = [stored]
  for (const event of events) jobs.push(after(event, jobs.at(-1)!, 'coalesce(item.delay_ms, 0)'))
  return jobs
}

/** What events change besides what the machine knows of. */
function besides(events: readonly EventType[], jobs: readonly Columns[], edges: readonly Edge[]) {
  const failing = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  const [first, last] = [events[0]!, edgesOn(events.at(-1)!)]
  const isHeld = last.some(({ to }) => hasTag(to, 'held'))
  const wasHeld = edgesOn(first).some(({ from }) => hasTag(from, 'held'))
  const node = isHeld === wasHeld ? 'jobs.node_id' : isHeld ? '_node' : 'NULL'
  return {
    parked: parkedAfter(events, jobs),
    error: failing ? 'coalesce(item.row_error, jobs.error)' : 'jobs.error',
    node_id:
      wasHeld && !isHeld ? byEdge(first, stored, ({ from }) => (hasTag(from, 'held') ? 'NULL' : 'jobs.node_id')) : node,
  }
}

/**
 * What the row must still be. Written so that no index but that of the ids fits: with statistics of a moment when no job was held, the
 * planner would compare each item with all jobs that are.
 */
function fence(events: readonly EventType[], jobs: readonly Columns[]): string {
  const { attempt } = jobs.at(-1)!
  const states = events.map((event, index) =>
    index === 0 ? takes(event, { ...stored, state: "jobs.state || ''" }) : takes(event, jobs[index]),
  )
  return [
    '(item.lease_token IS NULL OR coalesce(jobs.lease_token, -1) = item.lease_token)',
    "(_only_in IS NULL OR jobs.state || '' = _only_in)",
    ...states,
    // What the same transaction has stored, in a savepoint, has a higher id of a transaction.
    events.includes('unblock') ? `(NOT ${isMovedLater} OR ${isOwn})` : `NOT ${isMovedLater}`,
    isUpdatable,
    ...(attempt === stored.attempt ? [] : [`${attempt} BETWEEN 0 AND jobs.max_attempts`]),
    ...(events.some(takesKeysBack) ? [uniqueKeysSql.isFree] : []),
    // It may have been moved on and put off again since it was found due.
    ...(events.includes('due') ? ['jobs.run_at + 0 <= _now'] : []),
  ].join(' AND ')
}

const isOwn = `EXISTS (SELECT 1 FROM single_events
  WHERE job_id = jobs.id AND single_events.seq = 1 AND single_events.id BETWEEN _first_event AND _first_event + 4095)`

/** A row for each event of each job, from the job after all of them. The first has the cause: of a claim, who has leased the job. */
function logRows(events: readonly EventType[], known: boolean): string {
  const rows = events.map((event, index) => {
    const { from, to, seq, attempt } = eventOf(events, index, known)
    const id = `_first_event + _n + ${events.length} * (moved.n - 1) + ${index + 1}`
    return `SELECT ${id}, moved.id, ${seq}, '${event}', ${from}, ${to}, ${attempt}, _now, moved.error, ${index === 0 ? 'moved.cause' : 'NULL'} FROM moved`
  })
  return `INSERT INTO single_events (id, job_id, seq, event, from_state, to_state, attempt, at, error, cause)
      ${rows.join(' UNION ALL ')}`
}

/** A row for each event of all jobs. */
function logRun(events: readonly EventType[], known: boolean): string {
  const runs = events.map((event, index) => {
    const lastId = `_first_event + _n + ${index} * cardinality(_ids) + count(*)`
    return { ...eventOf(events, index, known), event, lastId, cause: index === 0 ? '_cause' : 'NULL' }
  })
  return logRuns(runs, 'moved')
}

/** One of the events, from the job after all of them. */
function eventOf(events: readonly EventType[], index: number, known: boolean) {
  const later = events.slice(index + 1).map((event) => edgesOn(event))
  const attempt = later.reduce((expression, [each]) => before(each!, expression), 'moved.attempt')
  return { ...endsOf(events, index, known), seq: `moved.seq - ${later.length}`, attempt }
}

/** `attempt` before an edge, from what it is after it. */
function before({ attempt, event }: Edge, count: string): string {
  assert(attempt !== 'forget', `what ${event} forgets cannot be told from what follows`)
  return { keep: count, count: `${count} - 1`, giveBack: `${count} + 1` }[attempt]
}

/** Only a ready job can be set aside, and a suspect is set aside from the start. */
function parkedAfter(events: readonly EventType[], jobs: readonly Columns[]): string {
  if (!events.flatMap(edgesOn).some(({ from, to }) => hasTag(from, 'ready') || hasTag(to, 'ready')))
    return 'jobs.parked'
  const [before, { crashes }] = jobs.slice(-2) as [Columns, Columns]
  const suspect =
    crashes === '0' ? '0' : `CASE WHEN ${crashes} >= ${suspectCrashes} THEN ${parkedAs.suspect} ELSE 0 END`
  return byEdge(events.at(-1)!, before, ({ to }) => (hasTag(to, 'ready') ? suspect : '0'))
}
