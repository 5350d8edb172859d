import type pg from 'pg'

/** A process that has the schema open, with how long ago it was heard of and for how long it counts as alive, in words; undefined: there is none. */
export async function findLiveNode(client: pg.ClientBase): Promise<{ heard: string; advice: string } | undefined> {
  const { rows } = await client.query<{ node: string; silent: number; left: number }>(`
    SELECT 'process ' || pid || ' on ' || host AS node, ceil((now - seen_at) / 1000.0)::integer AS silent, ceil((seen_at + lease_ms - now) / 1000.0)::integer AS left
    FROM nodes, instant(NULL) AS now WHERE ended_at IS NULL AND seen_at + lease_ms > now ORDER BY seen_at DESC LIMIT 1`)
  const [found] = rows
  return (
    found && {
      heard: `${found.node}, heard of ${found.silent} s ago`,
      advice: `if it was killed, run this again in ${found.left} s`,
    }
  )
}
