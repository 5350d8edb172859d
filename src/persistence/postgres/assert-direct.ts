import type pg from 'pg'
import { DatabaseUnusableError } from '../../errors.ts'
import type { Reads } from './reads.ts'

/** How often a lock is tried: others may have the connection that it was taken on. */
const triesMax = 8

/**
 * Rejects with `DatabaseUnusableError` if a pooler in transaction mode stands between: it gives what belongs to one session, such as its locks,
 * settings and statements, to others. To be called before anything is written.
 */
export async function assertDirect(one: pg.Client, other: Reads): Promise<void> {
  const pid = await pidOf(one)
  // A pooler has a key of its own to cancel with.
  if (pid === (one as pg.Client & { processID: number }).processID) return
  for (let tries = 0; tries < triesMax; tries++) {
    if (await sharesLocks(one, other, pid))
      throw new DatabaseUnusableError(
        'a pooler in transaction mode stands between this process and PostgreSQL: connect to the server itself, or set pool_mode to session for this database',
      )
  }
}

/** The lock of one session is granted to another. */
async function sharesLocks(one: pg.Client, other: Reads, key: number): Promise<boolean> {
  const take = (place: string) => `SELECT pg_try_advisory_lock(hashtext('jobmachine'), ${place}) AS taken`
  const byOne = await one.query<{ taken: boolean }>(take('$1'), [key])
  if (byOne.rows[0]!.taken && (await other.one<{ taken: boolean }>(take(':key'), { key }))!.taken) return true
  await one.query(`SELECT pg_advisory_unlock(hashtext('jobmachine'), $1)`, [key])
  return false
}

async function pidOf(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  return rows[0]!.pid
}
