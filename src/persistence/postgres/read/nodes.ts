import { isHeld } from '../../sql/conditions.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import type { NodeInfo } from '../../store.ts'
import type { OwnNode } from '../nodes.ts'
import type { Reads } from '../reads.ts'

/** Nodes that are listed: those that live come first. */
const listedMax = 100

/** All nodes that live, and the newest of those that have ended. */
export function listNodes(reads: Reads, own: OwnNode): Promise<NodeInfo[]> {
  return reads.all<NodeInfo>(nodesSql, { own: own.id, given: own.now() })
}

/** When the node of a row is declared dead if it stays silent, by the rule of `Recovery` and the last heartbeat of any. */
export const diesAtSql = `(nodes.uptime_ms + nodes.lease_ms + coalesce(
  (SELECT seen_at - uptime_ms FROM nodes AS last WHERE ended_at IS NULL ORDER BY uptime_ms DESC, seen_at DESC LIMIT 1), nodes.seen_at - nodes.uptime_ms))`

const heldBy = (condition: string) => `(SELECT count(*) FROM jobs WHERE ${condition} AND node_id = nodes.id)`
const nodesSql = `
  SELECT id, pid, host, started_at AS "startedAt", id = :own AS "isOwn", serves, types, lease_ms AS "leaseMs", seen_at AS "heardAt",
    greatest(instant(:given::bigint) - seen_at, 0) AS "silentMs", greatest(${diesAtSql} - instant(:given::bigint), 0) AS "leftMs", declared_by AS "declaredBy",
    ended_at AS "endedAt", is_stopping AS "isStopping", ${heldBy(isHeld)} AS held, ${heldBy(`${isHeld} AND ${stateHasTag('executing')}`)} AS running,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('duty', name, 'doneAt', done_at) ORDER BY name), '[]') FROM duties WHERE node_id = nodes.id) AS duties
  FROM nodes ORDER BY ended_at IS NOT NULL, id DESC LIMIT ${listedMax}`
