import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DatabaseLockedError, PermanentError } from '../src/errors.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { killChildren, startChild } from './support/child.ts'
import { onPostgres } from './support/database.ts'
import { useFakeTimers, useRealTimers } from './support/fake-timers.ts'
import { isWhole } from './support/share.ts'
import { eventsOf, openSystem, startSystem, until, untilState } from './support/system.ts'

afterAll(killChildren)

describe('a producer', () => {
  test('beside a server in the same process enqueues what the server runs, and reads', async () => {
    const { system: server, path, clock } = await startSystem({ runs: { work: () => {} } })
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    await producer.start()

    const { id } = await producer.enqueue({ type: 'work', payload: { n: 1 } })
    const job = await untilState(producer, id, 'succeeded')

    expect(job).toEqual(await server.find(id))
    expect(await eventsOf(producer, id)).toBe('enqueue lease start succeed')
    expect((await producer.list()).jobs).toEqual([job])
    expect(await producer.counts()).toEqual(await server.counts())
    expect(producer.types).toEqual([])
  })

  test('does not cancel or requeue: only the server does', async () => {
    const { system } = await openSystem({ runs: null })
    const { id } = await system.enqueue({ type: 'work', payload: null })

    await expect(system.cancel(id)).rejects.toMatchObject({ code: 'not_a_server' })
    await expect(system.requeue(id)).rejects.toMatchObject({ code: 'not_a_server' })
    expect((await system.find(id))?.state).toBe('queued')
  })

  test('stores jobs of any type and payload, because it has no handlers to ask', async () => {
    const { system } = await openSystem({ runs: null })

    await expect(system.enqueue({ type: 'whatever', payload: [1] })).resolves.toMatchObject({ state: 'queued' })
    await expect(system.enqueue({ type: 'bad name', payload: [1] })).rejects.toMatchObject({ code: 'invalid_input' })
  })

  test('may be closed, started or not, and the server continues', async () => {
    const { system: server, path, clock } = await startSystem({ runs: { work: () => {} } })
    for (const started of [true, false]) {
      const { system: producer } = await openSystem({ database: path, clock, runs: null })
      if (started) await producer.start()
      await producer.stop()
    }

    const { id } = await server.enqueue({ type: 'work', payload: null })

    await untilState(server, id, 'succeeded')
  })

  test.skipIf(onPostgres)('in another process has its job started within 200 ms, again and again', async () => {
    const ran: number[] = []
    const { path, system } = await startSystem({ runs: { work: (_, { jobId }) => void ran.push(jobId) } })
    const producer = await startChild({ database: path, producer: true })
    // From here on this test controls the timers of the server and of its store, which runs on this thread.
    useFakeTimers(['setTimeout', 'clearTimeout'], { withClock: true })
    onTestFinished(useRealTimers)

    for (let count = 1; count <= 10; count++) {
      await producer.enqueue([{ type: 'work', payload: null }])
      vi.advanceTimersByTime(200)
      await until(() => ran.length === count)
    }

    await until(async () => (await system.counts()).succeeded === 10)
    await expect(producer.call('cancel', 1)).rejects.toMatchObject({ code: 'not_a_server' })
    expect(await producer.call('find', 1)).toMatchObject({ id: 1, type: 'work' })
    producer.kill('SIGTERM')
    expect(await producer.exited).toEqual({ code: 0, signal: null })
  })

  test.runIf(isWhole)(
    'in another process is never refused while the server stores, runs, removes and requeues as much as it can',
    async () => {
      let isBroken = true
      const { system, path } = await startSystem({
        clock: systemClock,
        retentionMs: 200,
        workers: 20,
        runs: {
          work: () => {},
          broken: () => {
            if (isBroken) throw new PermanentError('for the bulk action')
          },
        },
      })
      await system.enqueue(Array.from({ length: 1_000 }, () => ({ type: 'broken', payload: null })))
      await until(async () => (await system.metrics()).deadLetterCount === 1_000)
      isBroken = false
      const producer = await startChild({ database: path, producer: true })
      let goesOn = true
      const callers = Array.from({ length: 50 }, async () => {
        while (goesOn) await system.enqueue(Array.from({ length: 20 }, () => ({ type: 'work', payload: null })))
      })
      const bulk = await system.prepareBulk('requeue', { state: 'dead' })
      await bulk.settled()
      bulk.run(bulk.matched)

      // One after another; each rejects after it has waited for two seconds.
      const ids = new Set<number>()
      for (let n = 0; n < 50; n++)
        for (const { id } of await producer.enqueue([{ type: 'work', payload: n }])) ids.add(id)
      goesOn = false
      await Promise.all([...callers, bulk.settled()])

      expect(ids.size).toBe(50)
      expect(bulk).toMatchObject({ phase: 'done', moved: 1_000 })
    },
  )

  test('shares its keys and its limit on waiting jobs with the server', async () => {
    const { system: server, path, clock } = await openSystem({ maxQueueDepth: 2, runs: { work: () => {} } })
    const { system: producer } = await openSystem({ database: path, clock, maxQueueDepth: 2, runs: null })
    const keyed = { type: 'work', payload: 1, idempotencyKey: 'k' }
    const first = await server.enqueue(keyed)

    expect(await producer.enqueue(keyed)).toEqual({ id: first.id, state: 'queued', created: false })
    await producer.enqueue({ type: 'work', payload: 2 })
    await expect(server.enqueue({ type: 'work', payload: 3 })).rejects.toMatchObject({ code: 'backpressure' })
  })
})

describe.skipIf(onPostgres)('a second server', () => {
  test('on the same file is refused and learns who has it, in this process and in another', async () => {
    const { path } = await startSystem({ runs: { work: () => {} } })

    const refusal = await openSystem({ database: path, runs: { work: () => {} } }).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(DatabaseLockedError)
    expect(refusal).toMatchObject({ code: 'database_locked', pid: process.pid })
    // The refused one has closed the file of the lock: the lock must have outlived that.
    await expect(startChild({ database: path })).rejects.toMatchObject({ code: 'database_locked', pid: process.pid })
  })

  test('does not get the file because a producer in the same process was closed', async () => {
    const { path, clock } = await startSystem({ runs: { work: () => {} } })
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    await producer.stop()

    await expect(startChild({ database: path })).rejects.toMatchObject({ code: 'database_locked' })
  })
})

describe('a job whose type has no handler here', () => {
  test('stays queued, is reported, and delays no other job', async () => {
    const { system, path, clock, log } = await startSystem({ workers: 1, runs: { work: () => {} } })
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    const [first] = await producer.enqueue(
      Array.from({ length: 5 }, () => ({ type: 'nobody', payload: null, priority: 100 })),
    )

    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, id, 'succeeded')

    expect(await system.find(first!.id)).toMatchObject({ state: 'queued', attempt: 0 })
    expect(await eventsOf(system, first!.id)).toBe('enqueue')
    expect(log.find(({ level }) => level === 'warn')).toMatchObject({ fields: { types: ['nobody'], count: 5 } })
    expect((await system.metrics()).queueDepth).toBe(5)
    await system.stop()
  })

  test('runs when a server with a handler starts', async () => {
    const { system, path, clock } = await startSystem({ runs: { work: () => {} } })
    const { system: producer } = await openSystem({ database: path, clock, runs: null })
    const { id } = await producer.enqueue({ type: 'late', payload: null })
    const other = await producer.enqueue({ type: 'work', payload: null })
    await untilState(system, other.id, 'succeeded')
    await system.stop()

    const next = await startSystem({ database: path, clock, runs: { late: () => {} } })

    await untilState(next.system, id, 'succeeded')
  })
})
