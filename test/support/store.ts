import { join } from 'node:path'
import { openSqliteStore } from '../../src/persistence/sqlite/client.ts'
import type { NewJobRow, Store, StoreEvent } from '../../src/persistence/store.ts'
import { ManualClock } from '../../src/runtime/clock.ts'
import { tempFolder, whenDone } from './temp.ts'

/** An opened store with its clock and all its events, except that the loop was blocked, which depends on the machine. */
export interface OpenedStore {
  readonly store: Store
  readonly clock: ManualClock
  readonly notices: StoreEvent[]
  readonly path: string
}

export const startAt = Date.UTC(2030, 0, 1)
export const leaseMs = 30_000

/** What a store of a test gets, whichever it is. */
export const storeDefaults = {
  types: ['work', 'other'],
  leaseMs,
  maxQueueDepth: 100_000,
  retentionMs: 0,
  owner: { pid: process.pid, host: 'test', startedAt: '2030-01-01T00:00:00.000Z' },
  newDatabaseId: 'test-database',
}

/**
 * Opens an SQLite store that is closed when the test ends, or the group whose `beforeAll` opened it. Handles the types `work` and `other`
 * by default.
 */
export async function openStore(
  options: Partial<Parameters<typeof openSqliteStore>[0]> = {},
  start?: Parameters<typeof openSqliteStore>[1],
): Promise<OpenedStore> {
  const path = options.path ?? join(tempFolder(), 'jobs.db')
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock(startAt)
  const notices: StoreEvent[] = []
  const complete = {
    ...storeDefaults,
    notify(notice: StoreEvent) {
      if (notice.type !== 'stalled') notices.push(notice)
    },
    longestTimeoutMs: () => 0,
    ...options,
    path,
    clock,
  }
  const store = await openSqliteStore(complete, start)
  whenDone(() => store.close())
  return { store, clock, notices, path }
}

/** Waits until a check of the files is due again, so that the next commit makes one. If the store runs on this thread it cannot check meanwhile. */
export function passLook(): void {
  const until = performance.now() + 5
  while (performance.now() < until);
}

/** A job to store, which may run at once and has two attempts. */
export function aJob(given: Partial<NewJobRow> = {}): NewJobRow {
  return {
    type: 'work',
    queue: 'default',
    payload: '{}',
    priority: 0,
    maxAttempts: 2,
    timeoutMs: null,
    runAt: null,
    delayMs: null,
    idempotency: null,
    unique: null,
    cause: null,
    trace: null,
    ...given,
  }
}
