import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  defineHandler,
  InvalidInputError,
  JobCancelledError,
  JobFailedError,
  JobNotFoundError,
  PermanentError,
  ResultTimeoutError,
  UnavailableError,
} from '../src/index.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { killChildren, startChild } from './support/child.ts'
import { onPostgres } from './support/database.ts'
import { deferred } from './support/deferred.ts'
import { openSystem, startSystem, until, untilCalled, untilState } from './support/system.ts'
import { tempFolder } from './support/temp.ts'

afterAll(killChildren)

const add = defineHandler({
  type: 'add',
  payload: z.strictObject({ a: z.number(), b: z.number() }),
  result: z.object({ sum: z.number() }),
  run: ({ a, b }) => ({ sum: a + b, secret: 'kept by the handler' }),
})
/** Why it was rejected. */
async function failureOf(promise: Promise<unknown>): Promise<JobFailedError> {
  return promise.then(
    () => Promise.reject(new Error('it was fulfilled')),
    (error) => error,
  )
}

const work = (payload: unknown, more: object = {}) => ({ type: 'work', payload, ...more })

describe('the result of a job', () => {
  test('is what its handler returned, and undefined if that was nothing', async () => {
    const { system } = await startSystem({ runs: { work: (payload) => payload, silent: () => {} } })
    const { id } = await system.enqueue(work({ a: [1, null] }))
    const silent = await system.enqueue({ type: 'silent', payload: null })

    expect(await system.result(id)).toEqual({ a: [1, null] })
    expect(await system.result(id)).toEqual({ a: [1, null] })
    expect(await system.result(silent.id)).toBeUndefined()
    expect((await system.verify()).violations).toEqual([])
  })

  test('is checked and made by the schema of its handler', async () => {
    const { system } = await startSystem({ handlers: [add] })

    expect(await system.enqueueAndWait(add, { a: 1, b: 2 })).toEqual({ sum: 3 })
    expect(await system.enqueueAndWait({ type: 'add', payload: { a: 3, b: 4 } })).toEqual({ sum: 7 })
    const { id } = await system.enqueue(add, { a: 5, b: 6 })
    expect(await system.result(add, id)).toEqual({ sum: 11 })
  })

  test('outlives the system that ran the job', async () => {
    const { system, path, clock } = await startSystem({ runs: { work: (payload) => payload } })
    const { id } = await system.enqueue(work('kept'))
    await system.result(id)
    await system.stop()

    const { system: next } = await openSystem({ database: path, clock, runs: null })

    expect(await next.result(id)).toBe('kept')
  })

  test.skipIf(onPostgres)('is in a backup', async () => {
    const { system, clock } = await startSystem({ runs: { work: (payload) => payload } })
    const { id } = await system.enqueue(work({ copied: true }))
    await system.result(id)
    const target = join(tempFolder(), 'backup.db')

    await system.backup(target)

    const { system: restored } = await openSystem({ database: target, clock, runs: null })
    expect(await restored.result(id)).toEqual({ copied: true })
  })

  test('that is not JSON ends the job at once, and says where and why', async () => {
    const { system } = await startSystem({ runs: { work: () => ({ rows: [{ id: 5n }] }) } })

    const failure = await failureOf(system.enqueueAndWait(work(null)))

    expect(failure).toBeInstanceOf(JobFailedError)
    expect(failure.message).toMatch(
      /failed .* with ResultError: result\.rows\.0\.id: a bigint cannot be stored as JSON/,
    )
    expect((await system.find(failure.jobId))?.state).toBe('dead')
    expect((await system.explain(failure.jobId)).advice).toContain('its effect has probably happened')
  })

  test('may have as many bytes as the setting allows', async () => {
    const { system } = await startSystem({ maxResultBytes: 10, runs: { work: (payload) => payload } })

    expect(await system.enqueueAndWait(work('12345678'))).toBe('12345678')
    await expect(system.enqueueAndWait(work('123456789'))).rejects.toThrow('has 11 bytes as JSON; the limit is 10')
  })

  test('is in no line of the log', async () => {
    const { system, log } = await startSystem({ runs: { work: () => 'a secret result' } })

    await system.enqueueAndWait(work(null))

    expect(JSON.stringify(log)).not.toContain('a secret result')
  })
})

describe('whoever waits for a result', () => {
  test('gets it when the job has ended, however many wait', async () => {
    const end = deferred<string>()
    const { system } = await startSystem({ runs: { work: () => end.promise } })
    const { id } = await system.enqueue(work(null))
    const waiting = [system.result(id), system.result(id, { timeoutMs: 1e9 }), system.result(id)]
    await untilCalled(system, id)

    end.resolve('done')

    expect(await Promise.all(waiting)).toEqual(['done', 'done', 'done'])
  })

  test('is told at once that the job is dead, and why', async () => {
    const { system } = await startSystem({
      runs: {
        work() {
          throw new PermanentError('no such customer')
        },
      },
    })

    const failure = await failureOf(system.enqueueAndWait(work(null)))

    expect(failure).toBeInstanceOf(JobFailedError)
    expect(failure.message).toBe(`there is no result: ${(await system.explain(failure.jobId)).summary}`)
    expect(failure.message).toContain('is dead: attempt 1 of 4 failed')
    expect(failure.cause).toMatchObject({ name: 'PermanentError', message: 'no such customer' })
    await expect(system.result(failure.jobId)).rejects.toBeInstanceOf(JobFailedError)
  })

  test('waits on through failures that are tried again', async () => {
    const { system, clock } = await startSystem({
      runs: {
        work(_, { attempt }) {
          if (attempt < 3) throw new Error('not yet')
          return attempt
        },
      },
    })
    const { id } = await system.enqueue(work(null))
    const waiting = system.result(id)

    for (const attempt of [1, 2]) {
      await until(async () => (await system.find(id))?.attempt === attempt)
      await untilState(system, id, 'retrying')
      clock.advance(3_600_000)
    }

    expect(await waiting).toBe(3)
  })

  test('is told that the job was cancelled, and that there is no such job', async () => {
    const { system } = await startSystem({ runs: { work() {} } })
    const { id } = await system.enqueue(work(null, { delayMs: 3_600_000 }))
    const waiting = expect(system.result(id)).rejects.toBeInstanceOf(JobCancelledError)

    await system.cancel(id)

    await waiting
    await expect(system.result(987_654_321)).rejects.toBeInstanceOf(JobNotFoundError)
    await expect(system.result(1.5)).rejects.toBeInstanceOf(JobNotFoundError)
  })

  test('is told so too if a bulk action cancels it', async () => {
    const { system } = await startSystem({ runs: { work() {} } })
    const { id } = await system.enqueue(work(null, { delayMs: 3_600_000 }))
    const waiting = expect(system.result(id)).rejects.toBeInstanceOf(JobCancelledError)
    const bulk = await system.prepareBulk('cancel', {})
    await bulk.settled()

    bulk.run(1)

    await waiting
  })

  test('waits for a dead job that is requeued, once it asks again', async () => {
    let isBroken = true
    const { system } = await startSystem({
      runs: {
        work() {
          if (isBroken) throw new PermanentError('broken')
          return 'mended'
        },
      },
    })
    const { id } = await system.enqueue(work(null))
    await expect(system.result(id)).rejects.toBeInstanceOf(JobFailedError)
    isBroken = false

    await system.requeue(id)

    expect(await system.result(id)).toBe('mended')
  })

  test('hears when the time is over that the job goes on, and gets the result later', async () => {
    const end = deferred<string>()
    const { system } = await startSystem({ clock: systemClock as never, runs: { work: () => end.promise } })
    const { id } = await system.enqueue(work(null))

    const timedOut = await system.result(id, { timeoutMs: 20 }).catch((error) => error)
    end.resolve('late')

    expect(timedOut).toBeInstanceOf(ResultTimeoutError)
    expect(timedOut).toMatchObject({ jobId: id, timeoutMs: 20, message: expect.stringContaining('it goes on') })
    expect(await system.result(id)).toBe('late')
  })

  test('may leave by a signal, and does not enqueue after that', async () => {
    const { system } = await startSystem({ runs: { work() {} } })
    const leaving = new AbortController()
    const { id } = await system.enqueue(work(null, { delayMs: 3_600_000 }))
    const waiting = system.result(id, { signal: leaving.signal })

    leaving.abort(new Error('gone home'))

    await expect(waiting).rejects.toThrow('gone home')
    await expect(system.enqueueAndWait(work(null), { signal: leaving.signal })).rejects.toThrow('gone home')
    expect((await system.list()).jobs).toHaveLength(1)
  })

  test('gets the result of a job that ends while the system stops, and hears that it has stopped', async () => {
    const end = deferred<string>()
    const { system } = await startSystem({ runs: { work: () => end.promise } })
    const running = await system.enqueue(work(null))
    const waiting = await system.enqueue(work(null, { delayMs: 3_600_000 }))
    await untilCalled(system, running.id)
    const results = [system.result(running.id), system.result(waiting.id)]
    const settled = Promise.allSettled(results)

    const stopped = system.stop({ graceMs: 60_000 })
    await until(() => system.health().reason === 'draining')
    end.resolve('in time')
    await stopped

    expect(await settled).toMatchObject([
      { status: 'fulfilled', value: 'in time' },
      {
        status: 'rejected',
        reason: { code: 'unavailable', message: expect.stringContaining('the system is stopped') },
      },
    ])
    await expect(system.result(running.id)).rejects.toBeInstanceOf(UnavailableError)
  })

  test('in another system on the same database gets the result too', async () => {
    const { system, path } = await startSystem({ clock: systemClock as never, runs: { work: (payload) => payload } })
    const { system: other } = await openSystem({ database: path, clock: systemClock as never, runs: null })

    expect(await other.enqueueAndWait(work('from beside', { delayMs: 100 }))).toBe('from beside')
    await expect(other.enqueueAndWait({ type: 'nobody', payload: null }, { timeoutMs: 50 })).rejects.toBeInstanceOf(
      ResultTimeoutError,
    )
    expect((await system.list()).jobs).toHaveLength(2)
  })

  test.skipIf(onPostgres)('in another process gets the result too', async () => {
    const { system, path } = await startSystem({ clock: systemClock as never, runs: { work: (payload) => payload } })
    const producer = await startChild({ database: path, producer: true })
    const [{ id } = { id: 0 }] = await producer.enqueue([work('from afar', { delayMs: 100 })])

    expect(await producer.call('result', id)).toBe('from afar')
    expect(await system.result(id)).toBe('from afar')
  })

  test('gets it at once beside ten thousand others, who cost little', async () => {
    const { system } = await startSystem({ runs: { work: (payload) => payload } })
    const others = await Promise.all(
      Array.from({ length: 10 }, () =>
        system.enqueue(Array.from({ length: 1_000 }, () => work(null, { delayMs: 3_600_000 }))),
      ),
    )
    const leaving = new AbortController()
    const waiting = others.flat().map(({ id }) => system.result(id, { signal: leaving.signal }).catch(() => 'left'))

    expect(await system.enqueueAndWait(work('at once'))).toBe('at once')

    leaving.abort()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['left']))
  })
})

describe('enqueueAndWait', () => {
  test('waits for the job that had the same idempotency key before', async () => {
    const { system } = await startSystem({ runs: { work: (payload) => payload } })
    const keyed = work('once', { idempotencyKey: 'order-4711' })

    expect(await system.enqueueAndWait(keyed)).toBe('once')
    expect(await system.enqueueAndWait(keyed)).toBe('once')
    expect((await system.list()).jobs).toHaveLength(1)
  })

  test('takes the options of the job and of the wait together, for a handler', async () => {
    const { system } = await startSystem({ handlers: [add], clock: systemClock as never })
    const payload = { a: 1, b: 2 }

    await expect(
      system.enqueueAndWait(add, payload, { delayMs: 3_600_000, priority: 7, timeoutMs: 5 }),
    ).rejects.toBeInstanceOf(ResultTimeoutError)

    expect((await system.list()).jobs).toMatchObject([{ priority: 7, timeoutMs: null }])
  })

  test.each<[string, unknown[], string]>([
    ['several jobs', [[work(1)]], 'must be one job'],
    ['a client', [add, { a: 1, b: 2 }, { client: {} }], 'client: must be left out'],
    ['an unknown option', [work(1), { priority: 5 }], 'write other options into the job'],
    ['a timeout that is none', [work(1), { timeoutMs: 'soon' }], 'timeoutMs: must be 0 or more milliseconds'],
    ['a signal that is none', [work(1), { signal: {} }], 'signal: must be an AbortSignal'],
    ['options that are none', [work(1), 5], 'options must be { timeoutMs, signal }'],
    ['no job', [], 'must be a job { type, payload }'],
  ])('refuses %s, and stores nothing', async (_, given, message) => {
    const { system } = await startSystem({ handlers: [add], runs: null })

    const refusal = await failureOf((system.enqueueAndWait as (...given: unknown[]) => Promise<unknown>)(...given))

    expect(refusal).toBeInstanceOf(InvalidInputError)
    expect(refusal.message).toContain(message)
    expect((await system.list()).jobs).toEqual([])
  })
})

test('result refuses an id as text, and a job of another type than the handler', async () => {
  const { system } = await startSystem({
    handlers: [add, defineHandler({ type: 'work', payload: z.unknown(), run() {} })],
  })
  const { id } = await system.enqueue(work(null))

  await expect(system.result('1' as never)).rejects.toThrow('id: must be the id of a job')
  await expect(system.result(add, id)).rejects.toThrow(`must be a job of type add; job ${id} is of type work`)
})
