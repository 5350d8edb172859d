import type pg from 'pg'
import { DatabaseUnusableError } from '../../errors.ts'
import type { Reads } from './reads.ts'

/**
 * Rejects with `DatabaseUnusableError` if a pooler in transaction mode stands between: it gives one session's lock to two connections, as it
 * gives their settings and statements to others.
 */
export async function assertDirect(one: pg.ClientBase, other: Reads): Promise<void> {
  const { rows } = await one.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const key = rows[0]!.pid
  const take = (place: string) => `SELECT pg_try_advisory_lock(hashtext('jobmachine'), ${place}) AS taken`
  const byOne = await one.query<{ taken: boolean }>(take('$1'), [key])
  if (byOne.rows[0]!.taken && (await other.one<{ taken: boolean }>(take(':key'), { key }))!.taken) {
    throw new DatabaseUnusableError(
      'a pooler in transaction mode stands between this process and PostgreSQL: connect to the server itself, or set pool_mode to session for this database',
    )
  }
  await one.query(`SELECT pg_advisory_unlock(hashtext('jobmachine'), $1)`, [key])
}
