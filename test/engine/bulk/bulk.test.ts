import { describe, expect, test } from 'vitest'
import { type BulkParts, PreparedBulk } from '../../../src/engine/bulk/bulk.ts'
import { BulkThrottle } from '../../../src/engine/bulk/bulk-throttle.ts'
import { UnavailableError } from '../../../src/errors.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { deferred } from '../../support/deferred.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** A bulk command over a store with jobs 1 to `count`, all of which match; its steps do not wait for a turn of the loop. */
function aBulk(count: number, store: Partial<BulkParts['store']> = {}, inTurn: BulkParts['inTurn'] = (step) => step()) {
  const steps: number[][] = []
  const bulk = new PreparedBulk('id', 'cancel', {}, '{"cause":"library"}', {
    throttle: new BulkThrottle({ look: async () => ({ ready: 0, arrived: 0 }), elapsed: () => 0 }),
    clock: new ManualClock(1),
    log: silent,
    assertWritable() {},
    inTurn,
    store: {
      async matching({ before = count + 1, limit }) {
        const most = Math.min(limit, before - 1)
        const ids = Array.from({ length: most }, (_, index) => before - 1 - index)
        return { ids, from: before - 1, next: most < before - 1 ? ids.at(-1)! : null }
      },
      async command(_, ids) {
        steps.push([...ids])
        return ids
      },
      ...store,
    },
  })
  return { bulk, steps }
}

describe('a bulk action', () => {
  test('changes at most 500 jobs at a time, each of those it counted, newest first', async () => {
    const { bulk, steps } = aBulk(50_321)
    await bulk.settled()

    bulk.run(50_321)
    await bulk.settled()

    expect(Math.max(...steps.map(({ length }) => length))).toBe(500)
    expect(steps.flat()).toEqual(Array.from({ length: 50_321 }, (_, index) => 50_321 - index))
    expect(bulk).toMatchObject({ phase: 'done', more: false, upTo: 50_321, lookedTo: 1, moved: 50_321 })
  })

  test('changes the newest million of what matches, and says that there are more', async () => {
    const { bulk, steps } = aBulk(1_000_001)
    await bulk.settled()

    bulk.run(1_000_000)
    await bulk.settled()

    expect(bulk).toMatchObject({ phase: 'done', matched: 1_000_000, more: true, lookedTo: 2, moved: 1_000_000 })
    expect(steps.flat().at(-1)).toBe(2)
  })

  test('changes a million if there are no more, without saying that there are', async () => {
    const { bulk } = aBulk(1_000_000)

    await bulk.settled()

    expect(bulk).toMatchObject({ phase: 'ready', matched: 1_000_000, more: false })
  })

  test('fails if the jobs cannot be read, and has changed nothing', async () => {
    const { bulk, steps } = aBulk(3, { matching: async () => Promise.reject(new UnavailableError('no disk')) })

    await bulk.settled()

    expect(bulk).toMatchObject({ phase: 'failed', error: 'no disk', matched: 0 })
    expect(steps).toEqual([])
  })

  test('fails if a step cannot be stored, and says what was changed before', async () => {
    let calls = 0
    const { bulk } = aBulk(2_000, {
      async command(_, ids) {
        if (++calls === 3) throw new UnavailableError('no disk')
        return ids.slice(1)
      },
    })
    await bulk.settled()

    bulk.run(2_000)
    await bulk.settled()

    expect(bulk).toMatchObject({ phase: 'failed', error: 'no disk', moved: 298, refused: 2 })
    expect(calls).toBe(3)
  })

  test('that is stopped while it counts reads no further, and ignores what it is told then', async () => {
    const page = deferred<{ ids: number[]; from: number; next: number }>()
    const { bulk } = aBulk(3, { matching: () => page.promise })

    const stopped = bulk.stop()
    page.resolve({ ids: [9], from: 9, next: 9 })
    await stopped

    expect(bulk).toMatchObject({ phase: 'stopped', matched: 0, error: null })
  })

  test('that is stopped while it waits for its turn changes nothing more', async () => {
    const turn = deferred()
    let isHeld = false
    const { bulk, steps } = aBulk(3, {}, (step) => (isHeld ? turn.promise.then(step) : step()))
    await bulk.settled()

    isHeld = true
    bulk.run(3)
    const stopped = bulk.stop()
    turn.resolve()
    await stopped

    expect(bulk).toMatchObject({ phase: 'stopped', moved: 0 })
    expect(steps).toEqual([])
  })
})
