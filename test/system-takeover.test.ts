import { describe, expect, test } from 'vitest'
import { LeaseLostError } from '../src/errors.ts'
import type { Store } from '../src/persistence/store.ts'
import { deferred } from './support/deferred.ts'
import { openStore } from './support/store.ts'
import { eventsOf, startSystem, until, untilState } from './support/system.ts'

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
    // Its only one is busy: or it would lease the job again itself, were the other slow to.
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
  await untilState(system, id, 'running')
  const { store: other } = await openStore({ path, clock, leaseMs })
  await other.recoverOrphans()
  const [lease] = await other.lease({ room: 1, wait: false })
  await other.apply([{ id, leaseToken: lease!.leaseToken, event: 'start' }])
  const finish = (store: Store) => store.apply([{ id, leaseToken: lease!.leaseToken, event: 'succeed' }])
  return { ...opened, id, hold, reasons, finishThere: () => finish(other) }
}

describe('a job that another owner took over', () => {
  test('has its signal fired here when its lease is to be renewed, and what it comes to here is nothing', async () => {
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

  test('has its outcome here refused, which is logged, and ends once', async () => {
    const { system, id, hold, log, finishThere } = await takenOver()

    hold.resolve()
    await until(() => log.some(({ message }) => message === 'an outcome came too late and was refused'))

    expect((await system.find(id))?.state).toBe('running')
    expect(await finishThere()).toEqual([])
    expect(await eventsOf(system, id)).toBe('enqueue lease start expire due lease start succeed')
  })
})
