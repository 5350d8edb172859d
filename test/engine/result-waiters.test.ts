import { getEventListeners } from 'node:events'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { ResultWaiters } from '../../src/engine/result-waiters.ts'
import { ResultTimeoutError, UnavailableError } from '../../src/errors.ts'
import { type EndedJob, endedLengthMax } from '../../src/persistence/store.ts'
import { deferred } from '../support/deferred.ts'

const closing: ResultWaiters[] = []
afterEach(() => {
  for (const waiters of closing.splice(0)) waiters.close(() => new Error('closed'))
})

/** Waiters over jobs of which some have ended. `looks`: the ids of each read. */
function aHouse() {
  const ended = new Map<number, EndedJob>()
  const looks: number[][] = []
  const house = {
    ended,
    looks,
    /** What a read does before it answers. */
    before: async () => {},
    end(id: number, result: string | null = null) {
      ended.set(id, { state: 'succeeded', type: 'work', result })
    },
    waiters: undefined as unknown as ResultWaiters,
  }
  house.waiters = new ResultWaiters(async (ids) => {
    looks.push([...ids])
    const found = ids.filter((id) => ended.has(id)).map((id) => [id, ended.get(id)!] as const)
    await house.before()
    return new Map(found)
  })
  closing.push(house.waiters)
  return house
}

describe('whoever waits for a job', () => {
  test('is answered by one look if it has ended, and nobody looks any more', async () => {
    const { waiters, end, looks } = aHouse()
    end(5)

    expect(await waiters.wait(5, {})).toMatchObject({ state: 'succeeded' })

    await sleep(60)
    expect(looks).toEqual([[5]])
  })

  test('is answered at once when this process ends it, and not before', async () => {
    const { waiters, end, looks } = aHouse()
    const waiting = waiters.wait(5, {})
    while (looks.length === 0) await setImmediate()
    const before = looks.length

    end(5)
    waiters.look([4, 5, 6])
    await waiting

    expect(looks.length).toBe(before + 1)
  })

  test('is not missed by an end that comes while the job is looked at', async () => {
    const house = aHouse()
    const { waiters, end, looks } = house
    const waiting = Array.from({ length: 1_000 }, (_, index) => waiters.wait(index + 1, {}))
    for (const each of waiting) each.catch(() => {})
    // Each once as it came, then in turn, beginning with the first.
    const inTurn = deferred()
    house.before = () => (looks.length === 3 ? inTurn.promise : Promise.resolve())
    while (looks.length < 3) await setImmediate()

    end(900)
    waiters.look([900])
    inTurn.resolve()
    await waiting[899]

    expect([looks[2]!.includes(900), looks[3]]).toEqual([false, [900]])
  })

  test('is not answered by a look that had begun before', async () => {
    const house = aHouse()
    const { waiters, end, ended, looks } = house
    end(5, '"old"')
    const first = deferred()
    house.before = () => first.promise
    const early = waiters.wait(5, {})
    while (looks.length === 0) await setImmediate()

    ended.delete(5)
    const late = waiters.wait(5, { timeoutMs: 30 })
    house.before = async () => {}
    first.resolve()

    expect(await early).toMatchObject({ result: '"old"' })
    await expect(late).rejects.toBeInstanceOf(ResultTimeoutError)
  })

  test('finds out by itself what another process has ended', async () => {
    const { waiters, end, looks } = aHouse()
    const waiting = waiters.wait(5, {})
    while (looks.length < 2) await setImmediate()

    end(5)

    expect(await waiting).toMatchObject({ state: 'succeeded' })
  })

  test('is looked at once even with no time to wait, and forgotten when that is over', async () => {
    const house = aHouse()
    const { waiters, end, looks } = house
    house.before = () => sleep(20)
    end(5)

    expect(await waiters.wait(5, { timeoutMs: 0 })).toMatchObject({ state: 'succeeded' })
    await expect(waiters.wait(6, { timeoutMs: 0 })).rejects.toThrow('job 6 has not ended within 0 ms; it goes on')

    const before = looks.length
    await sleep(60)
    expect(looks.length).toBe(before)
  })

  test('is forgotten when its signal fires, with the reason', async () => {
    const { waiters, looks } = aHouse()
    const leaving = new AbortController()
    const waiting = waiters.wait(5, { signal: leaving.signal })
    while (looks.length === 0) await setImmediate()

    leaving.abort(new Error('gone home'))

    await expect(waiting).rejects.toThrow('gone home')
    const before = looks.length
    await sleep(60)
    expect(looks.length).toBe(before)
    await expect(waiters.wait(5, { signal: leaving.signal })).rejects.toThrow('gone home')
  })

  test('may share its signal with any number of others, and leaves nothing on it', async () => {
    const { waiters, end } = aHouse()
    const { signal } = new AbortController()
    const warned: Error[] = []
    const onWarning = (warning: Error) => void warned.push(warning)
    process.on('warning', onWarning)
    for (let id = 1; id <= 50; id++) end(id)

    await Promise.all(Array.from({ length: 50 }, (_, index) => waiters.wait(index + 1, { signal })))

    await sleep(1)
    process.off('warning', onWarning)
    expect(warned).toEqual([])
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('shares a look with all others, and each has its own answer', async () => {
    const { waiters, end, looks } = aHouse()
    for (let id = 1; id <= 400; id++) end(id, `${id}`)

    const jobs = await Promise.all(Array.from({ length: 800 }, (_, index) => waiters.wait((index % 400) + 1, {})))

    expect(jobs.map(({ result }) => result)).toEqual(jobs.map((_, index) => `${(index % 400) + 1}`))
    expect(looks.length).toBe(1)
  })

  test('waits on while the database cannot be read, and is told if it can never be', async () => {
    const house = aHouse()
    const { waiters, end } = house
    house.before = () => Promise.reject(new UnavailableError('away'))
    const patient = waiters.wait(5, {})
    await expect(waiters.wait(6, { timeoutMs: 1 })).rejects.toThrow('away')

    house.before = async () => {}
    end(5)
    waiters.look([5])

    expect(await patient).toMatchObject({ state: 'succeeded' })
    house.before = () => Promise.reject(new TypeError('a bug'))
    await expect(waiters.wait(7, {})).rejects.toThrow('a bug')
  })

  test('is answered in the end if the results of one look are too long', async () => {
    const long = JSON.stringify('x'.repeat(endedLengthMax / 2))
    const waiters = new ResultWaiters(
      async (ids) => new Map(ids.slice(0, 3).map((id) => [id, { state: 'succeeded', type: `${id}`, result: long }])),
    )
    closing.push(waiters)

    const jobs = await Promise.all([1, 2, 3, 4, 5].map((id) => waiters.wait(id, { timeoutMs: 0 })))

    expect(jobs.map(({ type }) => type)).toEqual(['1', '2', '3', '4', '5'])
  })

  test('is told when all is over, and so is who comes later', async () => {
    const { waiters } = aHouse()
    const waiting = waiters.wait(5, {})

    waiters.close(() => new Error('the system is stopped'))

    await expect(waiting).rejects.toThrow('the system is stopped')
    await expect(waiters.wait(5, {})).rejects.toThrow('the system is stopped')
  })
})

test('ten thousand who wait are looked at in turn, a bounded number at a time, and all are answered', async () => {
  const { waiters, end, looks } = aHouse()
  const waiting = Array.from({ length: 10_000 }, (_, index) => waiters.wait(index + 1, {}))
  while (looks.length < 25) await sleep(5)
  const since = looks.length

  for (let id = 1; id <= 10_000; id++) end(id)
  await Promise.all(waiting)

  expect(looks.every((ids) => ids.length <= 500)).toBe(true)
  // First all who came, then round and round.
  expect(new Set(looks.slice(0, 20).flat()).size).toBe(10_000)
  expect(looks.length - since).toBeLessThan(45)
})

test('whom nobody waits for costs no look', async () => {
  const { waiters, looks } = aHouse()

  waiters.look([1, 2, 3])

  await sleep(60)
  expect(looks).toEqual([])
})
