import { describe, expect, test } from 'vitest'
import { type Census, TypeCounter } from '../../../src/observe/telemetry/census.ts'
import type { CensusCount } from '../../../src/persistence/store.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { deferred } from '../../support/deferred.ts'
import { aJob, openStore } from '../../support/store.ts'
import { startAt, startSystem, until } from '../../support/system.ts'

const counted: CensusCount[] = [{ type: 'work', queue: 'default', state: 'queued', count: 3 }]

/** Counts by type that take as long as the test says. */
function aTaker() {
  const clock = new ManualClock(startAt)
  const counts: ReturnType<typeof deferred<readonly CensusCount[]>>[] = []
  const taker = new TypeCounter({
    clock,
    elapsed: () => clock.now(),
    count: () => {
      const count = deferred<readonly CensusCount[]>()
      counts.push(count)
      return count.promise
    },
  })
  /** Sends a request; a count that it begins takes this long. */
  const takeFirst = async (tookMs: number) => {
    const asked = taker.take()
    clock.advance(tookMs)
    counts.at(-1)!.resolve(counted)
    return asked
  }
  return { clock, counts, taker, takeFirst }
}

describe('a count by type', () => {
  test('is taken once for all who ask for it first', async () => {
    const { counts, taker, takeFirst } = aTaker()
    const before = taker.take()

    const census = await takeFirst(300)

    expect(census).toEqual({ at: startAt + 300, tookMs: 300, jobs: counted })
    expect(await before).toBe(census)
    expect(counts.length).toBe(1)
  })

  test.each([
    ['15 s', 1, 15_000],
    ['twenty times what it took', 2_000, 40_000],
  ])('is not taken again until %s have passed', async (_, tookMs, restMs) => {
    const { clock, counts, taker, takeFirst } = aTaker()
    await takeFirst(tookMs)

    clock.advance(restMs - 1)
    await taker.take()
    const early = counts.length
    clock.advance(1)
    await taker.take()

    expect([early, counts.length]).toEqual([1, 2])
  })

  test('is the last one while the next is being taken', async () => {
    const { clock, taker, takeFirst } = aTaker()
    const first = await takeFirst(100)
    clock.advance(60_000)

    expect(await taker.take()).toBe(first)
  })

  test('is awaited for at most two seconds, and used when it is finished', async () => {
    const { counts, taker } = aTaker()

    const late = await taker.take()
    counts[0]!.resolve(counted)

    expect(late).toBeNull()
    await expect.poll(() => taker.take()).toMatchObject({ jobs: counted })
  })

  test('is tried again for the next request if the file could not be read', async () => {
    const { counts, taker, takeFirst } = aTaker()
    const failed = taker.take()
    counts[0]!.reject(new Error('no'))

    expect(await failed).toBeNull()
    expect(await takeFirst(1)).toMatchObject({ jobs: counted })
  })

  test('is taken only if someone asks', async () => {
    const { counts } = aTaker()

    expect(counts).toEqual([])
  })
})

describe('the store counts', () => {
  const byName = (counts: readonly CensusCount[]) =>
    Object.fromEntries(counts.map(({ type, queue, state, count }) => [`${type} ${queue} ${state}`, count]))

  test('jobs by type, queue and state', async () => {
    const { store } = await openStore()
    await store.enqueue([aJob(), aJob(), aJob({ type: 'other', queue: 'slow' }), aJob({ delayMs: 60_000 })])
    await store.send('cancel', 1)

    expect(byName(await store.census())).toEqual({
      'work default cancelled': 1,
      'work default queued': 1,
      'work default scheduled': 1,
      'other slow queued': 1,
    })
  })

  test('nothing in an empty file', async () => {
    const { store } = await openStore()

    expect(await store.census()).toEqual([])
  })

  test('every job once, even if there are more than one step reads', async () => {
    const { store } = await openStore()
    for (let i = 0; i < 41; i++) {
      await store.enqueue(Array.from({ length: 1_000 }, (_, n) => aJob({ queue: n % 2 ? 'odd' : 'even' })))
    }

    const [counts, page] = await Promise.all([store.census(), store.list({ limit: 1 })])

    expect(byName(counts)).toEqual({ 'work odd queued': 20_500, 'work even queued': 20_500 })
    expect(page.jobs.length).toBe(1)
  })

  test('the two hundred largest pairs separately, and the rest together', async () => {
    const { store } = await openStore()
    const rare = Array.from({ length: 400 }, (_, n) => aJob({ queue: `rare-${n}` }))
    // A type may have this name: nothing else depends on it.
    const common = Array.from({ length: 199 }, (_, n) => [aJob({ queue: `q${n}` }), aJob({ queue: `q${n}` })]).flat()
    await store.enqueue([...rare, aJob({ type: 'other' }), aJob({ type: 'other' }), ...common])

    const counts = await store.census()

    expect(counts.length).toBe(201)
    expect(byName(counts)).toMatchObject({
      '_other _other queued': 400,
      'other default queued': 2,
      'work q198 queued': 2,
    })
  })

  test('a large queue behind ten thousand others', async () => {
    const { store } = await openStore()
    for (let i = 0; i < 25; i++) {
      await store.enqueue(Array.from({ length: 1_000 }, (_, n) => aJob({ queue: `once-${i}-${n}` })))
    }
    await store.enqueue(Array.from({ length: 500 }, () => aJob({ queue: 'large' })))

    const counts = await store.census()

    expect(counts.length).toBe(201)
    expect(byName(counts)).toMatchObject({ 'work large queued': 500, '_other _other queued': 25_000 - 199 })
  })
})

test('a system reports its counts by type, and when they were taken', async () => {
  const { system, clock } = await startSystem({ runs: { work: () => undefined } })
  await system.enqueue({ type: 'work', payload: 1, delayMs: 1_000 })

  // The first request gets none if it would have to wait long.
  let census: Census | null = null
  await until(async () => {
    census = await system.census()
    return census !== null
  })

  expect(census).toEqual({
    at: clock.now(),
    tookMs: expect.any(Number),
    jobs: [{ type: 'work', queue: 'default', state: 'scheduled', count: 1 }],
  })
})
