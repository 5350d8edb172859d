import { join } from 'node:path'
import { jobStates } from '../../../src/machines/edges.ts'
import { copyFile } from '../../../src/persistence/copy/copy-file.ts'
import type { CopyStep } from '../../../src/persistence/copy/copy-step.ts'
import { lockForServer, type ServerLock } from '../../../src/persistence/sqlite/file/lock.ts'
import { aDatabase, aSchema } from '../../support/postgres.ts'
import { aJob, type OpenedStore, openStore } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'
import { bringTo, leaseOf, queuedLast } from '../conformance/helpers.ts'

export const trace = { traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`, tracestate: 'a=1' }
export const keyed = (key: string) => aJob({ idempotency: { key, content: `content of ${key}` } })

/** Jobs in every state, with every kind of thing that is stored of a job. */
export async function fill(opened: OpenedStore, timesEach = 2): Promise<void> {
  const { store, clock } = opened
  for (let time = 0; time < timesEach; time++) {
    // None that waits is leased in place of the one that is meant.
    for (const state of ['blocked' as const, ...queuedLast]) await bringTo(opened, state, 3)
    await store.enqueue([keyed(`key-${time}`), aJob(), aJob({ cause: '{"cause":"http","actor":"Zoë"}', trace })])
    await store.enqueue([keyed(`key-${time}`)])
    const jobs = await store.lease({ limit: 4, wait: false, start: true })
    const error = { name: 'Error', message: 'a "quoted" \\ \u0000 message,\nNULL {}', stack: 'Error: …\n    at x' }
    const line = { at: 7, level: 'warn' as const, message: 'a "quoted" line', fields: '{"nul":"\\u0000"}', bytes: 99 }
    await store.report([{ ...leaseOf(jobs[0]!), report: { progress: '{"done":1}', lines: [line, line] } }])
    const report = { progress: '"é\\u0000"', lines: [{ ...line, fields: null }] }
    await store.apply([
      { ...leaseOf(jobs[0]!), event: 'fail', delayMs: 1_000, error, traceparent: trace.traceparent, report },
      { ...leaseOf(jobs[1]!), event: 'snooze', delayMs: 5_000, note: 'later' },
      { ...leaseOf(jobs[2]!), event: 'reject', error },
      { ...leaseOf(jobs[3]!), event: 'release' },
    ])
    const [done] = await store.lease({ limit: 1, wait: false, start: true })
    await store.apply([{ ...leaseOf(done!), event: 'succeed', result: '{"text":"é \\u0000 \\ud800"}' }])
    clock.advance(2_000)
    await store.sweep()
  }
  await store.enqueue(jobStates.map((state) => aJob({ queue: state, payload: JSON.stringify({ text: 'é\u0000"' }) })))
}

/** A file as a server has it. */
export async function aServedFile(given: Parameters<typeof openStore>[0] = {}) {
  const path = join(tempFolder(), 'jobs.db')
  const opened = await openStore({ ...given, path })
  let lock: ServerLock | null = lockForServer(path)
  const stop = async () => {
    await opened.store.close()
    lock?.release()
    lock = null
  }
  return { ...opened, stop }
}

/** Copies a file into a schema; `onStep` may do more before the copy goes on. */
export async function copy(path: string, onStep: (step: CopyStep) => void = () => {}, schema = aSchema()) {
  const connectionString = await aDatabase()
  const run = () =>
    copyFile({
      path,
      postgres: { connectionString, schema },
      stopServer: false,
      now: () => 1_893_456_000_000,
      newDatabaseId: 'new',
      onStep,
    })
  return { schema, connectionString, run }
}
