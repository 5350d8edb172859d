import { setImmediate } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { BulkStateError, JobCancelledError } from '../src/errors.ts'
import type { Bulk, BulkCommand, BulkFilter, Job, JobFilter, JobSystem, NewJob } from '../src/index.ts'
import { deferred } from './support/deferred.ts'
import { eventsOf, openSystem, startSystem, until, untilFinished, untilState } from './support/system.ts'
import { cleanUp } from './support/temp.ts'

const waiting: NewJob = { type: 'work', payload: null, delayMs: 3_600_000 }
const idle = { work: () => {}, other: () => {} }

/** A bulk command that has finished counting. */
async function counted(system: JobSystem, command: BulkCommand, filter?: BulkFilter): Promise<Bulk> {
  const bulk = await system.prepareBulk(command, filter)
  await bulk.settled()
  expect([bulk.phase, bulk.error]).toEqual(['ready', null])
  return bulk
}

/** Runs it to the end. */
async function run(bulk: Bulk): Promise<void> {
  bulk.run(bulk.matched)
  await bulk.settled()
}

async function enqueueMany(system: JobSystem, count: number, job: NewJob = waiting): Promise<number[]> {
  const ids: number[] = []
  for (let left = count; left > 0; left -= 1_000) {
    const jobs = await system.enqueue(Array.from({ length: Math.min(left, 1_000) }, () => job))
    ids.push(...jobs.map(({ id }) => id))
  }
  return ids
}

async function listAll(system: JobSystem, filter: JobFilter = {}): Promise<Job[]> {
  const jobs: Job[] = []
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await system.list({ limit: 500, ...filter, ...(cursor ? { cursor } : {}) })
    jobs.push(...page.jobs)
    cursor = page.nextCursor
  }
  return jobs
}

describe('a bulk action', () => {
  test('shows its count before anything changes, and then changes all of them once', async () => {
    const { system, clock } = await openSystem({ runs: idle })
    const ids = await enqueueMany(system, 3_000)

    const bulk = await counted(system, 'cancel', { type: 'work' })
    const before = await system.counts()
    await run(bulk)

    expect(before.scheduled).toBe(3_000)
    expect(bulk).toMatchObject({
      command: 'cancel',
      filter: { type: 'work' },
      phase: 'done',
      createdAt: clock.now(),
      expiresAt: null,
      matched: 3_000,
      more: false,
      upTo: ids.at(-1),
      lookedTo: 1,
      moved: 3_000,
      refused: 0,
      error: null,
    })
    expect((await system.counts()).cancelled).toBe(3_000)
    for (const id of [ids[0]!, ids[500]!, ids[2_999]!]) expect(await eventsOf(system, id)).toBe('enqueue cancel')
    expect((await system.verify()).violations).toEqual([])
  })

  test('runs dead letters again', async () => {
    let isBroken = true
    const { system } = await startSystem({
      runs: {
        work: () => {
          if (isBroken) throw new Error('out of luck')
        },
      },
    })
    await enqueueMany(system, 700, { type: 'work', payload: null, maxRetries: 0 })
    await untilFinished(system, 700)
    isBroken = false

    const bulk = await counted(system, 'requeue', { text: 'out of luck' })
    await run(bulk)

    expect([bulk.phase, bulk.moved, bulk.refused]).toEqual(['done', 700, 0])
    await until(async () => (await system.counts()).succeeded === 700)
  })

  test('changes only the jobs that matched when it was counted: no later jobs, and no older ones that match by then', async () => {
    const gate = deferred()
    const { system } = await startSystem({
      runs: {
        work: async (payload) => {
          if (payload === 'slow') await gate.promise
          throw new Error('no')
        },
      },
    })
    const [slow] = await system.enqueue([{ type: 'work', payload: 'slow', maxRetries: 0 }])
    const [dead] = await system.enqueue([{ type: 'work', payload: null, maxRetries: 0 }])
    await untilState(system, dead!.id, 'dead')
    await untilState(system, slow!.id, 'running')

    const bulk = await counted(system, 'requeue', { state: 'dead' })
    gate.resolve()
    await untilState(system, slow!.id, 'dead')
    const [later] = await system.enqueue([{ type: 'work', payload: null, maxRetries: 0 }])
    await untilState(system, later!.id, 'dead')
    await run(bulk)

    expect([bulk.matched, bulk.moved]).toEqual([1, 1])
    expect(await eventsOf(system, slow!.id)).not.toContain('requeue')
    expect(await eventsOf(system, later!.id)).not.toContain('requeue')
  })

  test('leaves jobs that have left its state since: a job that has started is not cancelled with those that wait', async () => {
    const gate = deferred()
    const { system, clock } = await startSystem({ runs: { work: () => gate.promise } })
    const [soon, late] = await system.enqueue([{ ...waiting, delayMs: 10 }, waiting])

    const bulk = await counted(system, 'cancel', { state: 'scheduled' })
    clock.advance(10)
    await untilState(system, soon!.id, 'running')
    await run(bulk)

    expect([bulk.phase, bulk.matched, bulk.moved, bulk.refused]).toEqual(['done', 2, 1, 1])
    expect((await system.find(soon!.id))?.state).toBe('running')
    expect((await system.find(late!.id))?.state).toBe('cancelled')
    gate.resolve()
  })

  test('without a state covers every state that allows it, and no other', async () => {
    const gate = deferred()
    const { system } = await startSystem({ workers: 1, runs: { work: () => gate.promise, other: () => {} } })
    const [other] = await system.enqueue([{ type: 'other', payload: null }])
    await untilState(system, other!.id, 'succeeded')
    const jobs = await system.enqueue([{ type: 'work', payload: 1 }, { type: 'work', payload: 2 }, waiting])
    await untilState(system, jobs[0]!.id, 'running')

    const bulk = await counted(system, 'cancel')
    await run(bulk)

    expect([bulk.matched, bulk.moved]).toEqual([3, 3])
    expect(await system.counts()).toMatchObject({ cancelled: 3, succeeded: 1 })
    gate.resolve()
  })

  test('fires the signals of the running jobs that it cancels, and frees their workers', async () => {
    const reasons: unknown[] = []
    const { system } = await startSystem({
      workers: 20,
      runs: {
        work: (_, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason)
              reject(signal.reason)
            })
          }),
        other: () => {},
      },
    })
    const ids = await enqueueMany(system, 20, { type: 'work', payload: null })
    await until(async () => (await system.counts()).running === 20)

    const bulk = await counted(system, 'cancel', { type: 'work' })
    await run(bulk)
    await until(() => reasons.length === 20)

    expect(reasons.every((reason) => reason instanceof JobCancelledError)).toBe(true)
    const [other] = await system.enqueue([{ type: 'other', payload: null }])
    await untilState(system, other!.id, 'succeeded')
    for (const id of ids) expect(await eventsOf(system, id)).toBe('enqueue lease start cancel')
  })

  test('can be stopped midway: jobs changed so far stay changed, the rest stay as they are', async () => {
    const { system } = await openSystem({ runs: idle })
    const ids = await enqueueMany(system, 3_000)
    const bulk = await counted(system, 'cancel')

    bulk.run(3_000)
    await until(() => bulk.moved > 0)
    const stopped = bulk.stop()
    const { phase } = bulk
    await stopped

    expect([phase, bulk.phase]).toEqual(['stopping', 'stopped'])
    expect(bulk.moved).toBeGreaterThan(0)
    expect(bulk.moved).toBeLessThan(3_000)
    expect((await system.counts()).cancelled).toBe(bulk.moved)
    expect((await system.find(ids[0]!))?.state).toBe('scheduled')
  })

  test('reports its progress, and lets others run in between', async () => {
    const { system } = await openSystem({ runs: idle })
    await enqueueMany(system, 3_000)
    const bulk = await counted(system, 'cancel')
    const seen: number[] = []
    let enqueued = 0

    bulk.run(3_000)
    while (bulk.phase === 'moving') {
      if (seen.at(-1) !== bulk.moved) seen.push(bulk.moved)
      await system.enqueue({ type: 'other', payload: null })
      enqueued++
    }

    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(seen.length).toBeGreaterThan(2)
    expect(enqueued).toBeGreaterThan(2)
    expect((await system.counts()).queued).toBe(enqueued)
    expect(bulk).toMatchObject({ phase: 'done', moved: 3_000 })
  })

  test('shares its time with the other running ones', async () => {
    const { system } = await openSystem({ runs: idle })
    await enqueueMany(system, 2_000, { ...waiting, queue: 'a' })
    await enqueueMany(system, 2_000, { ...waiting, queue: 'b' })
    const [a, b] = [await counted(system, 'cancel', { queue: 'a' }), await counted(system, 'cancel', { queue: 'b' })]

    a.run(2_000)
    b.run(2_000)
    await until(() => b.moved > 0)
    const ahead = a.moved - b.moved
    await Promise.all([a.settled(), b.settled()])

    expect(Math.abs(ahead)).toBeLessThanOrEqual(500)
    expect([a.moved, b.moved]).toEqual([2_000, 2_000])
  })

  test('that matches nothing has nothing to do', async () => {
    const { system } = await openSystem({ runs: idle })

    const bulk = await counted(system, 'requeue')
    await run(bulk)

    expect(bulk).toMatchObject({ phase: 'done', matched: 0, upTo: null, lookedTo: 1, moved: 0 })
  })
})

describe('a count is confirmed', () => {
  test('by its number alone, once, and when it is ready', async () => {
    const { system } = await openSystem({ runs: idle })
    await enqueueMany(system, 3)
    const refusal = (bulk: Bulk, matched: number) => {
      try {
        bulk.run(matched)
      } catch (error) {
        return error
      }
      throw new Error('it ran')
    }

    const bulk = await system.prepareBulk('cancel')
    const early = refusal(bulk, 3)
    await bulk.settled()
    const wrong = refusal(bulk, 4)
    await run(bulk)
    const again = refusal(bulk, 3)

    expect(early).toBeInstanceOf(BulkStateError)
    expect(early).toMatchObject({ code: 'bulk_state', phase: 'counting' })
    expect(wrong).toMatchObject({ phase: 'ready', matched: 3 })
    expect(again).toMatchObject({ phase: 'done' })
    expect(bulk.moved).toBe(3)
  })

  test('within fifteen minutes', async () => {
    const { system, clock } = await openSystem({ runs: idle })
    await enqueueMany(system, 3)
    const [kept, left] = [await counted(system, 'cancel'), await counted(system, 'cancel')]

    expect(kept.expiresAt).toBe(clock.now() + 900_000)
    clock.advance(899_999)
    kept.run(3)
    clock.advance(1)

    expect(() => left.run(3)).toThrow(BulkStateError)
    expect([left.phase, left.expiresAt]).toEqual(['expired', null])
    await kept.settled()
    expect(kept).toMatchObject({ phase: 'done', moved: 3 })
  })

  test('not after the action was stopped, which is final', async () => {
    const { system } = await openSystem({ runs: idle })
    await enqueueMany(system, 3)
    const [counting, ready] = [await system.prepareBulk('cancel'), await counted(system, 'cancel')]
    const unready = await system.prepareBulk('cancel')
    await Promise.all([unready.stop(), ready.stop()])
    await ready.stop()

    expect([unready.phase, ready.phase]).toEqual(['stopped', 'stopped'])
    expect(() => ready.run(3)).toThrow(BulkStateError)
    await counting.settled()
    await run(counting)
    await counting.stop()
    expect(counting.phase).toBe('done')
  })
})

describe('a bad filter is refused by its fields', () => {
  let system: JobSystem
  beforeAll(async () => {
    ;({ system } = await openSystem({ runs: idle }))
    return cleanUp
  })

  test.each<[string, BulkCommand, object | null, string]>([
    ['a state that does not take it', 'requeue', { state: 'scheduled' }, 'state'],
    ['a final state', 'cancel', { state: 'succeeded' }, 'state'],
    ['a state of no machine', 'cancel', { state: 'lost' }, 'state'],
    ['an unknown field', 'cancel', { status: 'queued' }, 'status'],
    ['a limit', 'cancel', { limit: 5 }, 'limit'],
    ['an empty text', 'cancel', { text: '' }, 'text'],
    ['a long text', 'cancel', { text: 'x'.repeat(201) }, 'text'],
    ['an instant as text', 'cancel', { createdFrom: '2030-01-01T00:00:00Z' }, 'createdFrom'],
    ['an instant that is none', 'cancel', { createdTo: Number.NaN }, 'createdTo'],
    ['a name that is none', 'cancel', { queue: 5 }, 'queue'],
    ['a name that no queue can have', 'cancel', { queue: 'Später' }, 'queue'],
    ['an empty name', 'cancel', { queue: '' }, 'queue'],
    ['a name that no type can have', 'cancel', { type: 'x'.repeat(65) }, 'type'],
    ['another command', 'explode' as BulkCommand, {}, 'command'],
    ['null', 'cancel', null, ''],
  ])('%s', async (_, command, filter, path) => {
    const refused = system.prepareBulk(command, filter as BulkFilter)

    await expect(refused).rejects.toMatchObject({ code: 'invalid_input', issues: [{ path }] })
    expect(system.bulks()).toEqual([])
  })

  test('of a list too', async () => {
    await expect(system.list({ text: '' })).rejects.toMatchObject({ issues: [{ path: 'text' }] })
    await expect(system.list({ queue: 'Später' })).rejects.toMatchObject({ issues: [{ path: 'queue' }] })
    await expect(system.list({ type: '-mail' })).rejects.toMatchObject({ issues: [{ path: 'type' }] })
    await expect(system.list({ createdTo: 0.5 })).rejects.toMatchObject({ issues: [{ path: 'createdTo' }] })
    await expect(system.list({ sate: 'dead' } as JobFilter)).rejects.toMatchObject({
      issues: [{ path: 'sate', message: 'is not a known field; did you mean state?' }],
    })
  })

  test('200 characters are 200 characters, however many bytes they take', async () => {
    await system.enqueue({ ...waiting, payload: '🎈'.repeat(300) })

    const { jobs } = await system.list({ text: '🎈'.repeat(200) })

    expect(jobs).toHaveLength(1)
    await expect(system.list({ text: '🎈'.repeat(201) })).rejects.toMatchObject({ code: 'invalid_input' })
  })
})

test('a list filtered by text and time shows what a command over it would change', async () => {
  const { system, clock } = await openSystem({ runs: idle })
  for (let i = 0; i < 40; i++) {
    await system.enqueue({ ...waiting, payload: i % 4 ? 'needle' : 'hay' })
    clock.advance(1_000)
  }
  const filter = { text: 'NEEDLE', createdFrom: clock.now() - 30_000, createdTo: clock.now() - 9_000 }

  const listed = await listAll(system, { ...filter, limit: 4 })
  const bulk = await counted(system, 'cancel', filter)
  await run(bulk)

  expect(listed).toHaveLength(bulk.moved)
  const moved = await listAll(system, { state: 'cancelled' })
  expect(moved.map(({ id }) => id)).toEqual(listed.map(({ id }) => id))
})

describe('of bulk actions', () => {
  test('twenty are kept, newest first, and the oldest finished one is forgotten', async () => {
    const { system } = await openSystem({ runs: idle })
    const first = await counted(system, 'cancel')
    const second = await counted(system, 'cancel')
    await run(second)
    for (let i = 0; i < 18; i++) await counted(system, 'cancel')

    const newest = await counted(system, 'cancel')

    const ids = system.bulks().map(({ id }) => id)
    expect(ids).toHaveLength(20)
    expect(new Set(ids).size).toBe(20)
    expect([ids[0], ids.at(-1)]).toEqual([newest.id, first.id])
    expect(system.findBulk(first.id)).toBe(first)
    expect(system.findBulk(second.id)).toBeUndefined()
  })

  test('twenty are kept; of those waiting for confirmation the oldest is dropped', async () => {
    const { system } = await openSystem({ runs: idle })
    const first = await counted(system, 'cancel')
    for (let i = 1; i < 20; i++) await counted(system, 'cancel')

    const last = await counted(system, 'cancel')

    expect(first.phase).toBe('stopped')
    expect(system.findBulk(first.id)).toBeUndefined()
    expect([system.bulks().length, system.bulks()[0]]).toEqual([20, last])
  })

  test('none may begin while twenty are in progress', async () => {
    const { system } = await openSystem({ runs: idle })
    const counting = await Promise.all(Array.from({ length: 20 }, () => system.prepareBulk('cancel')))

    await expect(system.prepareBulk('cancel')).rejects.toMatchObject({ code: 'backpressure' })

    await Promise.all(counting.map((bulk) => bulk.settled()))
  })

  test('none outlives its system: a stop lets the current step end, and refuses the rest', async () => {
    const { system, path, clock } = await openSystem({ runs: idle })
    await enqueueMany(system, 3_000)
    const [moving, ready] = [await counted(system, 'cancel'), await counted(system, 'cancel')]
    moving.run(3_000)
    await until(() => moving.moved > 0)

    const stopped = system.stop({ graceMs: 0 })
    await expect(system.prepareBulk('cancel')).rejects.toMatchObject({ code: 'unavailable' })
    expect(() => ready.run(3_000)).toThrow('the system is draining')
    await stopped

    expect([moving.phase, ready.phase]).toEqual(['stopped', 'stopped'])
    const { system: next } = await openSystem({ database: path, clock, runs: idle })
    expect((await next.counts()).cancelled).toBe(moving.moved)
    expect(next.bulks()).toEqual([])
  })

  test('a producer runs none', async () => {
    const { system } = await openSystem({ runs: null })

    await expect(system.prepareBulk('cancel')).rejects.toMatchObject({ code: 'not_a_server' })
    expect(system.bulks()).toEqual([])
  })

  test('the log says who changed how many, and nothing of the search text', async () => {
    const { system, log } = await openSystem({ runs: idle })
    await system.enqueue({ ...waiting, payload: 'a secret' })

    const bulk = await counted(system, 'cancel', { text: 'a secret' })
    await run(bulk)
    await setImmediate()

    expect(log.map(({ fields }) => fields)).toContainEqual({
      bulk: bulk.id,
      command: 'cancel',
      phase: 'done',
      matched: 1,
      moved: 1,
      refused: 0,
    })
    expect(JSON.stringify(log)).not.toContain('secret')
  })
})
