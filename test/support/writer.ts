import { join } from 'node:path'
import type Database from 'better-sqlite3'
import type { LeasedFacts } from '../../src/persistence/leased-facts.ts'
import { intoSets } from '../../src/persistence/sql/ranges.ts'
import { intoBatches } from '../../src/persistence/sqlite/batches.ts'
import { openForWriting } from '../../src/persistence/sqlite/file/connection.ts'
import type { NewCalls, WriterOptions } from '../../src/persistence/sqlite/thread/protocol.ts'
import { Writer } from '../../src/persistence/sqlite/write/writer.ts'
import type { Lease, LeaseEvent, NewJobRow } from '../../src/persistence/store.ts'
import { tempFolder, whenDone } from './temp.ts'

/** A file and the writes to it, without a thread; closed when the test ends. */
export interface OpenedWriter {
  readonly path: string
  readonly db: Database.Database
  /** One transaction; returns the result of `write`. */
  commit<T>(write: (writer: Writer) => T): T
  /** The same, but nothing of it is stored. */
  rehearse<T>(write: (writer: Writer) => T): T
}

/** Opens a writer that handles the type `work` by default. */
export function openWriter(
  options: Partial<WriterOptions> = {},
  path: string = join(tempFolder(), 'jobs.db'),
): OpenedWriter {
  const db = openForWriting(path, () => 'id', 0)
  whenDone(() => db.close())
  const writer = new Writer(db, {
    types: ['work'],
    leaseMs: 1,
    maxQueueDepth: 100_000,
    retentionMs: 0,
    ...options,
  })
  const transact = <T>(write: (writer: Writer) => T, end: 'COMMIT' | 'ROLLBACK'): T => {
    db.exec('BEGIN IMMEDIATE')
    writer.begin()
    const result = write(writer)
    writer.finish()
    db.exec(end)
    if (end === 'COMMIT') writer.committed()
    return result
  }
  return {
    path,
    db,
    commit: (write) => transact(write, 'COMMIT'),
    rehearse: (write) => transact(write, 'ROLLBACK'),
  }
}

/** The jobs of each call, as `Writer.enqueue` accepts them. */
export function newCalls(...calls: readonly (readonly NewJobRow[])[]): NewCalls {
  return {
    firstCallId: 0,
    counts: calls.map(({ length }) => length),
    batches: intoBatches(calls.flat()),
  }
}

/** The leases of a claim's result. */
export function leasesOf(jobs: readonly LeasedFacts[]): Lease[] {
  return jobs.map(([id, leaseToken]) => ({ id, leaseToken }))
}

/** One event for each of the leases, as `Writer.apply` accepts them. */
export function setsOf(event: LeaseEvent['event'], leases: readonly Lease[]) {
  return intoSets(leases.map(({ id, leaseToken }) => ({ id, leaseToken, event })))
}
