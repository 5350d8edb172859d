import { hasTag } from '../../../machines/edges.ts'
import { causeOf } from '../../../machines/events.ts'
import { suspectCrashes } from '../../../machines/guards.ts'
import { eventColumns, type Selected, toHistoryEvent, traceIdSql } from '../../rows.ts'
import { claimOrder, conditionsBefore, suspectOrder } from '../../sql/claim-order.ts'
import { isHeld, isReady, isSuspect, parkedAs } from '../../sql/conditions.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import { toUniqueKey, uniqueKeySql } from '../../sql/unique-keys.ts'
import {
  type Counted,
  type HistoryEvent,
  type JobFacts,
  jobFactsEventsMax,
  type Owner,
  type PlaceInLine,
} from '../../store.ts'
import { unreadableColumns, validJob } from '../../valid-rows.ts'
import { eventsOf } from '../event-runs.ts'
import { isJson } from '../is-json.ts'
import type { Query, Reads } from '../reads.ts'
import { diesAtSql } from './nodes.ts'

/** Jobs ahead of one that are counted, and queues that take turns with its own. */
const aheadMax = 10_000
const queuesMax = 1_000
const suspectsMax = 1_000

type StoredFacts = JobFacts['job'] & {
  readonly parked: number
  readonly leaseToken: number | null
  readonly expiresAt: number | null
  readonly owner: Owner | null
  readonly other: NonNullable<JobFacts['lease']>['other'] | null
  readonly handledByOthers: number
  readonly payload: string | null
  readonly error: string | null
}

/** Who asks. `given`: the instant that a test's clock shows. */
interface Asker {
  readonly node: number
  readonly serves: boolean
  readonly given: number | null
}

/** What the database tells about one job, read at one instant. Every count is bounded and made in an index. */
export function jobFacts(reads: Reads, id: number, asker: Asker): Promise<JobFacts | undefined> {
  return reads.inSnapshot((query) => find(query, id, asker))
}

async function find(query: Query, id: number, { node, serves, given }: Asker): Promise<JobFacts | undefined> {
  const [row] = await query<StoredFacts>(jobSql, { id, node, given })
  if (!row) return undefined
  const { parked, leaseToken, expiresAt, owner, other, handledByOthers, payload: _, error: __, ...job } = validJob(row)
  const event = async (sql: string, values: Record<string, unknown>) => {
    const [found] = await query<Selected<HistoryEvent>>(sql, values)
    return (found && toHistoryEvent(found)) ?? null
  }
  const newest = await event(lastEventSql, { id })
  const lastEvent = newest ?? enqueued(job)
  const recent = { id, after: lastEvent.seq - jobFactsEventsMax }
  const isInLine = hasTag(job.state, 'ready')
  return {
    job,
    fault: isJson(row.payload)
      ? (unreadableColumns(row) ?? (newest ? null : 'its history cannot be read'))
      : 'its payload cannot be read',
    isUnhandled: parked === parkedAs.unhandled,
    isSuspect: parked === parkedAs.suspect,
    exclusive:
      (await query<NonNullable<JobFacts['exclusive']>>(exclusiveSql, { node: serves ? node : null }))[0] ?? null,
    suspectsAhead: counted(isInLine ? await suspectsAhead(query, job, parked) : 0, suspectsMax),
    lease:
      leaseToken === null || expiresAt === null
        ? null
        : { token: leaseToken, expiresAt, owner, other: other ?? undefined },
    ...(handledByOthers > 0 && { handledByOthers }),
    lastEvent,
    lastFailure: await event(lastFailureSql, recent),
    lastEnd: await event(lastEndSql, recent),
    snoozes: (await query<JobFacts['snoozes']>(snoozesSql, recent))[0]!,
    uniqueKey: toUniqueKey((await query(uniqueKeySql(':id'), { id }))[0]),
    replays: (await query<NonNullable<JobFacts['replays']>>(replaysSql, { id }))[0] ?? null,
    line: isInLine && parked === 0 ? await placeOf(query, job) : null,
    newestOwner: (await query<{ owner: Owner }>(newestOwnerSql))[0]?.owner ?? null,
  }
}

/** What is true of each job, if its newest event cannot be read. */
function enqueued({ state, attempt, createdAt: at }: JobFacts['job']): HistoryEvent {
  return { seq: 1, event: 'enqueue', from: null, to: state, attempt, at, error: null, ...causeOf('enqueue') }
}

/** Of those that are started one at a time: before other jobs all of them, before one of their own those that come first. */
function suspectsAhead(
  query: Query,
  { id, crashes, priority, runAt }: JobFacts['job'],
  parked: number,
): Promise<number> {
  const own = parked === parkedAs.suspect
  return count(
    query,
    suspectsAheadSql,
    own ? { crashes, priority, run_at: runAt, id } : { crashes: 0, priority: 0, run_at: 0, id: 0 },
  )
}

async function placeOf(query: Query, { id, queue, priority, runAt }: JobFacts['job']): Promise<PlaceInLine> {
  const counts: number[] = []
  let ahead = 0
  // By the priority first: see `claimOrder`.
  for (const sql of aheadSql) {
    counts.push(await count(query, sql, { queue, priority, run_at: runAt, id, most: aheadMax + 1 - ahead }))
    ahead += counts.at(-1)!
  }
  const queues = await count(query, queuesSql, {})
  const [first] = await query<{ priority: number }>(highestSql, { queue })
  return {
    ahead: counted(ahead, aheadMax),
    higher: counted(counts[0]!, aheadMax),
    highest: first?.priority ?? priority,
    queues: counted(queues, queuesMax),
  }
}

async function count(query: Query, sql: string, values: Record<string, unknown>): Promise<number> {
  const [row] = await query<{ count: number }>(sql, values)
  return row!.count
}

function counted(count: number, most: number): Counted {
  return { count: Math.min(count, most), more: count > most }
}

const owner = `jsonb_build_object('pid', nodes.pid, 'host', nodes.host, 'startedAt', nodes.started_at) AS owner`

const other = `jsonb_build_object('id', nodes.id, 'silentMs', greatest(instant(:given::bigint) - nodes.seen_at, 0), 'leaseMs', nodes.lease_ms,
      'leftMs', greatest(${diesAtSql} - instant(:given::bigint), 0),
      'isGone', nodes.ended_at IS NOT NULL)`

/** A lease lasts as long as its node is heard of, unless it was abandoned. */
const jobSql = `
  SELECT jobs.id, state, type, queue, priority, attempt, max_attempts AS "maxAttempts", crashes, timeout_ms AS "timeoutMs", run_at AS "runAt", created_at AS "createdAt", idempotency_key AS "idempotencyKey", error, ${traceIdSql} AS "traceId",
    (SELECT payload FROM job_payloads WHERE job_id = jobs.id) AS payload, jobs.started_at AS "startedAt", finished_at AS "finishedAt", parked, lease_token AS "leaseToken",
    coalesce(lease_expires_at, ${diesAtSql}) AS "expiresAt", ${owner}, CASE WHEN nodes.id <> :node THEN ${other} END AS other,
    (SELECT count(*) FROM nodes AS node WHERE node.id <> :node AND node.serves AND node.ended_at IS NULL AND jobs.type = ANY (node.types)) AS "handledByOthers"
  FROM jobs LEFT JOIN nodes ON nodes.id = node_id WHERE jobs.id = :id`
const newestOwnerSql = `SELECT ${owner} FROM nodes WHERE serves ORDER BY id DESC LIMIT 1`

const events = `SELECT ${eventColumns} FROM ${eventsOf(':id::bigint', 'seq DESC')}`
const lastEventSql = `${events} ORDER BY seq DESC LIMIT 1`
const endings = `seq > :after AND ${stateHasTag('executing', 'from_state')}`
const lastFailureSql = `${events} WHERE ${endings} AND error IS NOT NULL ORDER BY seq DESC LIMIT 1`
const lastEndSql = `${events} WHERE ${endings} ORDER BY seq DESC LIMIT 1`
const snoozesSql = `SELECT count(*) AS count, min(at) AS since FROM ${eventsOf(':id::bigint')} WHERE ${endings} AND event = 'snooze'`

const replaysSql = 'SELECT n AS count, last_at AS "lastAt" FROM key_replays WHERE job_id = :id'

const exclusiveSql = `
  SELECT id, crashes, started_at AS "startedAt", timeout_ms AS "timeoutMs" FROM jobs
  WHERE ${isHeld} AND ${stateHasTag('executing')} AND crashes >= ${suspectCrashes}
    AND (:node::bigint IS NULL OR node_id = :node) ORDER BY started_at DESC, id DESC LIMIT 1`

const atMost = (condition: string, most: string) =>
  `SELECT count(*) AS count FROM (SELECT 1 FROM jobs WHERE ${condition} LIMIT ${most}) AS found`
const suspectsAheadSql = atMost(
  `${isSuspect} AND (${conditionsBefore(suspectOrder).join(' OR ')})`,
  String(suspectsMax + 1),
)
const aheadSql = conditionsBefore(claimOrder).map((condition) =>
  atMost(`${isReady} AND queue = :queue AND ${condition}`, ':most'),
)

const highestSql = `SELECT priority FROM jobs WHERE ${isReady} AND queue = :queue ORDER BY priority DESC LIMIT 1`

const nextQueue = (after: string) =>
  `(SELECT queue FROM jobs WHERE ${isReady} AND queue > ${after} ORDER BY queue LIMIT 1)`
const queuesSql = `
  WITH RECURSIVE line AS (
    SELECT ${nextQueue("''")} AS queue, 1 AS n
    UNION ALL SELECT ${nextQueue('line.queue')}, n + 1 FROM line WHERE line.queue IS NOT NULL AND n <= ${queuesMax}
  )
  SELECT count(queue) AS count FROM line`
