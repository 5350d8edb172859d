import type pg from 'pg'
import { DatabaseUnusableError } from '../../errors.ts'
import { type Epoch, parseEpochs } from '../epoch.ts'

/** A copy of a file into a schema that has not ended; `meta` has it as JSON under the name `copy`. */
export interface CopyState {
  /** The file, with its host. */
  readonly from: string
  /** The row of the process that served the file, which holds the leases that came along. */
  readonly node: number
  /** The jobs up to this id were copied once. */
  readonly lastJob: number
  /** Transitions of the file up to this id need not be followed any more. */
  readonly lastTransition: number
}

export interface Database {
  readonly epochs: readonly Epoch[]
  readonly copy: CopyState | null
}

/** What `meta` says of a database. */
export async function readDatabase(client: pg.ClientBase): Promise<Database> {
  const { rows } = await client.query<{ name: string; value: string }>('SELECT name, value FROM meta')
  const meta = new Map(rows.map(({ name, value }) => [name, value]))
  const copy = meta.get('copy')
  return {
    epochs: parseEpochs(meta.get('database_id')!, meta.get('epochs')),
    copy: copy === undefined ? null : JSON.parse(copy),
  }
}

/** Throws `DatabaseUnusableError` if not all jobs of a file are there yet. */
export function assertWhole({ copy }: Database, schema: string): void {
  if (!copy) return
  throw new DatabaseUnusableError(
    `the schema ${schema} has only a part of the jobs of ${copy.from}: run jobmachine migrate --to again, which continues and ends the copy. To go back instead, DROP SCHEMA "${schema}" CASCADE and start the server on the file`,
  )
}
