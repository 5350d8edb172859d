import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { LeaseLostError } from '../src/errors.ts'
import type { Store } from '../src/persistence/store.ts'
import { onPostgres } from './support/database.ts'
import { deferred } from './support/deferred.ts'
import { openStore } from './support/store.ts'
import { onThreads } from './support/store-here.ts'
import { eventsOf, openSystem, startSystem, until, untilCalled } from './support/system.ts'

onThreads()

const leaseMs = 30_000

/**
 * A job that runs here while another owner, as after a stop that this process slept through, has taken it over and runs it too. Where
 * there is a lock this cannot happen; the tokens must hold all the same.
 */
async function takenOver() {
  const hold = deferred()
  const reasons: unknown[] = []
  const opened = await startSystem({
    leaseMs,
    // Its only worker is busy. Otherwise it would lease the job again itself if the other was slow.
    workers: 1,
    runs: {
      work: async (_, { signal }) => {
        signal.addEventListener('abort', () => reasons.push(signal.reason))
        await hold.promise
      },
    },
  })
  const { system, clock, path } = opened
  const { id } = await system.enqueue({ type: 'work', payload: null })
  await untilCalled(system, id)
  const { store: other } = await openStore({ path, clock, leaseMs })
  await other.recoverOrphans()
  const [lease] = await other.lease({ limit: 1, wait: false })
  await other.apply([{ id, leaseToken: lease!.leaseToken, event: 'start' }])
  const finish = (store: Store) => store.apply([{ id, leaseToken: lease!.leaseToken, event: 'succeed' }])
  return { ...opened, id, hold, reasons, finishThere: () => finish(other) }
}

describe.skipIf(onPostgres)('a job that another owner took over', () => {
  test('has its signal fired here when its lease is to be renewed, and its result here is ignored', async () => {
    const { system, clock, id, hold, reasons, finishThere } = await takenOver()

    clock.advance(leaseMs / 3)
    await until(() => reasons.length === 1)
    hold.resolve()
    await until(async () => (await system.metrics()).activeWorkers === 0)

    expect(reasons[0]).toBeInstanceOf(LeaseLostError)
    expect((await system.find(id))?.state).toBe('running')
    expect(await finishThere()).toEqual([])
    expect(await eventsOf(system, id)).toBe('enqueue lease start expire due lease start succeed')
  })

  test('between its start and the call of its handler has its signal fired', async () => {
    const hold = deferred()
    const reasons: unknown[] = []
    const { system, clock, path } = await startSystem({
      leaseMs,
      // Two leases wait, of three and two; the handlers of the second are called a turn later.
      workers: 6,
      runs: {
        held: () => hold.promise,
        work: async (_, { signal }) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason))
          await hold.promise
        },
      },
    })
    const held = await system.enqueue({ type: 'held', payload: null })
    await untilCalled(system, held.id)
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    const db = new Database(path)
    const work = Array.from({ length: 4 }, () => ({ type: 'work', payload: null }))
    const { id } = (await producer.enqueue(work)).at(-1)!

    // The loop is blocked meanwhile: the start of the job and the loss of its lease reach it one right after the other.
    const lookUp = (sql: string) => db.prepare(sql).pluck().get()
    standUntil(() => lookUp(`SELECT state FROM jobs WHERE id = ${id}`) === 'running')
    db.exec(`UPDATE jobs SET lease_token = lease_token + 1 WHERE id = ${id}`)
    const renewed = `SELECT lease_expires_at FROM jobs WHERE id = ${held.id}`
    const before = lookUp(renewed)
    clock.advance(leaseMs / 3)
    standUntil(() => lookUp(renewed) !== before)
    db.close()
    await until(() => reasons.length === 1)
    hold.resolve()

    expect(reasons).toEqual([expect.any(LeaseLostError)])
  })

  test('has its outcome here refused, which is logged, and ends once', async () => {
    const { system, id, hold, log, finishThere } = await takenOver()

    hold.resolve()
    await until(() => log.some(({ message }) => message === 'a result was not recorded because its lease was lost'))

    expect((await system.find(id))?.state).toBe('running')
    expect(await finishThere()).toEqual([])
    expect(await eventsOf(system, id)).toBe('enqueue lease start expire due lease start succeed')
  })
})

/** Blocks the event loop until `what` holds, and a little longer, so that the report of it can arrive. */
function standUntil(what: () => boolean): void {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  for (let tries = 0; !what(); tries++) {
    if (tries === 5_000) throw new Error(`not within 5 s: ${what}`)
    Atomics.wait(cell, 0, 0, 1)
  }
  Atomics.wait(cell, 0, 0, 50)
}
