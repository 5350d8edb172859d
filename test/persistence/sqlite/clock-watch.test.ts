import { describe, expect, test } from 'vitest'
import { ClockWatch } from '../../../src/persistence/clock-watch.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { aJob, openStore, startAt } from '../../support/store.ts'

const hour = 3_600_000
const day = 24 * hour
const keepMs = 7 * day

/** A watch over a manual clock that has looked once, and the jumps that it reported. */
function aWatch(keptMs = keepMs) {
  const clock = new ManualClock(startAt)
  const jumps: number[] = []
  const watch = new ClockWatch(clock, keptMs, (ms) => jumps.push(ms))
  watch.look()
  return { clock, watch, jumps }
}

describe('a clock', () => {
  test('is steady an hour after the start, and not before', () => {
    const { clock, watch, jumps } = aWatch()

    clock.advance(hour - 1)
    const before = watch.look()
    clock.advance(1)

    expect([before, watch.look()]).toEqual([false, true])
    expect(jumps).toEqual([])
  })

  test.each([30 * day, -30 * day, 1_001, -1_001])('that jumps by %d ms is steady an hour later', (ms) => {
    const { clock, watch, jumps } = aWatch()
    clock.advance(hour)
    watch.look()

    clock.set(clock.now() + ms)
    const atOnce = watch.look()
    clock.advance(hour - 1)
    const before = watch.look()
    clock.advance(1)

    expect([atOnce, before, watch.look()]).toEqual([false, false, true])
    expect(jumps).toEqual([ms])
  })

  test('that is corrected gradually stays steady', () => {
    const { clock, watch, jumps } = aWatch()
    clock.advance(hour)

    for (let bits = 0; bits < 100; bits++) {
      clock.set(clock.now() + 500)
      expect(watch.look()).toBe(true)
    }

    expect(jumps).toEqual([])
  })

  test('need not be steady for longer than the jobs are kept', () => {
    const { clock, watch } = aWatch(60_000)

    clock.advance(60_000)

    expect(watch.look()).toBe(true)
  })
})

describe('an ended job', () => {
  /** A store that has been open for an hour, with a job that ended then. */
  async function withEnded() {
    const opened = await openStore({ retentionMs: keepMs })
    await opened.store.sweep()
    opened.clock.advance(hour)
    await opened.store.enqueue([aJob()])
    await opened.store.send('cancel', 1)
    // The one with the newest event remains.
    await opened.store.enqueue([aJob()])
    const isKept = async () => {
      await opened.store.sweep()
      return (await opened.store.find(1)) !== undefined
    }
    return { ...opened, isKept }
  }

  test('is kept while the clock is ahead for less than an hour, and the log says why', async () => {
    const { clock, isKept, notices } = await withEnded()
    await isKept()

    clock.set(clock.now() + 30 * day)
    const kept = [await isKept()]
    clock.advance(hour - 1)
    kept.push(await isKept())
    clock.set(clock.now() - 30 * day)
    kept.push(await isKept())
    clock.advance(2 * hour)
    kept.push(await isKept())

    expect(kept).toEqual([true, true, true, true])
    expect(notices).toEqual([
      { type: 'clockJumped', ms: 30 * day },
      { type: 'clockJumped', ms: -30 * day },
    ])
  })

  test('is removed at the usual time if the clock stays where it jumped to', async () => {
    const { clock, isKept } = await withEnded()
    await isKept()

    clock.set(clock.now() + 30 * day)
    await isKept()
    clock.advance(hour)

    expect(await isKept()).toBe(false)
  })

  test('is kept by a process that starts while the clock is ahead and is correct again within the hour', async () => {
    const first = await withEnded()
    await first.store.close()
    const clock = new ManualClock(first.clock.now() + 30 * day)
    const { store } = await openStore({ path: first.path, retentionMs: keepMs, clock })
    const isKept = async () => {
      await store.sweep()
      return (await store.find(1)) !== undefined
    }

    const kept = [await isKept()]
    clock.advance(hour - 1)
    kept.push(await isKept())
    clock.set(first.clock.now())
    clock.advance(hour)
    kept.push(await isKept())
    clock.advance(keepMs)

    expect(kept).toEqual([true, true, true])
    expect(await isKept()).toBe(false)
  })
})

test('a lease that was renewed while the clock was ahead is renewed in time when it is correct again', async () => {
  const { store, clock } = await openStore()
  await store.enqueue([aJob()])
  const [job] = await store.lease({ limit: 1, wait: false })
  clock.set(clock.now() + 30 * day)
  await store.sweep()
  clock.set(clock.now() - 30 * day)
  // By itself, not asked for.
  clock.advance(30_000)
  await expect
    .poll(async () => (await store.jobFacts(job!.id))?.lease?.expiresAt, { timeout: 90_000, interval: 20 })
    .toBe(clock.now() + 30_000)
})
