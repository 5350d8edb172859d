import { describe, expect, test } from 'vitest'
import type { JobContext } from '../src/index.ts'
import { defineHandler, JobNotFoundError } from '../src/index.ts'
import { TestClock } from '../src/testing/test-clock.ts'
import { deferred } from './support/deferred.ts'
import { aHandler, type OpenOptions, startAt, startSystem, until, untilState } from './support/system.ts'

/** A system whose clock also moves its timers, with one job that runs until `end` is called. */
async function withRunningJob(options: OpenOptions = {}) {
  const begun = deferred<JobContext>()
  const outcome = deferred()
  const clock = new TestClock(startAt)
  const run = (_: never, context: JobContext) => {
    begun.resolve(context)
    return outcome.promise
  }
  const opened = await startSystem({ runs: { work: run }, clock, ...options })
  const { id } = await opened.system.enqueue({ type: 'work', payload: null, maxRetries: 0 })
  const context = await begun.promise
  return { ...opened, clock, id, context, end: outcome.resolve, fail: outcome.reject }
}

const messagesIn = async ({ system, id }: Pick<Awaited<ReturnType<typeof withRunningJob>>, 'system' | 'id'>) =>
  (await system.log(id)).lines.map(({ message }) => message)

describe('progress', () => {
  test('is read with the job within a second, while its handler runs', async () => {
    const { system, clock, id, context } = await withRunningJob()
    expect(await system.find(id)).toMatchObject({ progress: null, progressAt: null, progressAttempt: null })

    context.progress({ done: 3, total: 10 })
    await clock.moveTo(startAt + 999)
    expect((await system.find(id))?.progress).toBeNull()
    await clock.moveTo(startAt + 1_000)

    await until(async () => (await system.find(id))?.progress !== null)
    expect(await system.find(id)).toMatchObject({
      state: 'running',
      progress: { done: 3, total: 10 },
      progressAt: startAt + 1_000,
      progressAttempt: 1,
    })
    const [reported] = await system.progressSince(startAt + 1_000)
    expect(reported).toEqual({
      job: { id, type: 'work', queue: 'default' },
      progress: { done: 3, total: 10 },
      attempt: 1,
      at: startAt + 1_000,
    })
  })

  test('is stored with the end of the attempt, however soon that is', async () => {
    const { system, id, context, end } = await withRunningJob()

    context.progress(10)
    context.progress(100)
    end()

    await untilState(system, id, 'succeeded')
    expect(await system.find(id)).toMatchObject({ progress: 100, progressAt: startAt })
  })

  test('is stored with a failure too, and stays when the job is requeued', async () => {
    const { system, id, context, fail } = await withRunningJob()
    const { progress } = context
    progress('half way')
    fail(new Error('out of luck'))
    await untilState(system, id, 'dead')
    expect(await system.find(id)).toMatchObject({ progress: 'half way', progressAttempt: 1 })

    await system.requeue(id)

    expect(await system.find(id)).toMatchObject({ progress: 'half way', progressAttempt: 1 })
  })

  test('that cannot be kept fails no job, and is reported once', async () => {
    const { system, id, context, end, log } = await withRunningJob()

    for (let n = 0; n < 3; n++) context.progress('x'.repeat(5_000))
    context.progress(1n)
    end()

    await untilState(system, id, 'succeeded')
    expect((await system.find(id))?.progress).toBeNull()
    const told = log.filter(({ message }) => message.includes('called progress'))
    expect(told).toMatchObject([{ level: 'warn', fields: { fault: expect.stringContaining('5002 bytes') } }])
  })

  test('of a cancelled job is not written any more', async () => {
    const { system, clock, id, context, end } = await withRunningJob()
    context.progress(1)
    await clock.moveTo(startAt + 1_000)
    await until(async () => (await system.find(id))?.progress === 1)

    await system.cancel(id)
    context.progress(2)
    await clock.moveTo(startAt + 3_000)
    end()
    await until(() => system.activity().workers.length === 0)

    expect(await system.find(id)).toMatchObject({ state: 'cancelled', progress: 1 })
  })
})

describe('a log', () => {
  test('has the lines of all attempts, and the log of the process has them too', async () => {
    const runs = {
      work: (_: never, { log, attempt }: JobContext) => {
        log.info({ n: attempt }, 'begins')
        log.error({ err: new Error('inner') }, 'fails')
        if (attempt === 1) throw new Error('out of luck')
      },
    }
    const { system, clock, log } = await startSystem({ runs, retryBaseMs: 1 })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, id, 'retrying')
    clock.advance(10)

    await untilState(system, id, 'succeeded')

    expect(await system.log(id)).toMatchObject({
      lines: [
        { n: 1, attempt: 1, level: 'info', message: 'begins', fields: { n: 1 }, at: startAt },
        { n: 2, attempt: 1, level: 'error', message: 'fails', fields: { err: { name: 'Error', message: 'inner' } } },
        { n: 3, attempt: 2, level: 'info', message: 'begins', fields: { n: 2 }, at: startAt + 10 },
        { n: 4, attempt: 2, level: 'error', message: 'fails' },
      ],
      first: 1,
      last: 4,
    })
    expect((await system.log(id, { after: 1, limit: 2 })).lines.map(({ n }) => n)).toEqual([2, 3])
    expect(log.filter(({ message }) => message === 'begins')).toHaveLength(2)
  })

  test('is written once a second while the handler runs', async () => {
    const running = await withRunningJob()
    const { clock, context, system, id, end } = running
    context.log.info({}, 'one')
    await clock.moveTo(startAt + 1_000)
    await until(async () => (await messagesIn(running)).length === 1)

    context.log.info({}, 'two')
    expect(await messagesIn(running)).toEqual(['one'])
    end()

    await untilState(system, id, 'succeeded')
    expect(await messagesIn(running)).toEqual(['one', 'two'])
    context.log.info({}, 'three')
    context.progress(1)
    await clock.moveTo(startAt + 9_000)
    expect(await messagesIn(running)).toEqual(['one', 'two'])
  })

  test('is not kept if its handler or the system says so, and the log of the process has the lines', async () => {
    const quiet = defineHandler({ ...aHandler('work', (_, { log }) => log.info({}, 'said')), keepLog: false })
    for (const options of [
      { handlers: [quiet] },
      { keepLogs: false, runs: { work: (_: never, { log }: JobContext) => log.info({}, 'said') } },
    ]) {
      const { system, log } = await startSystem(options)
      const { id } = await system.enqueue({ type: 'work', payload: null })

      await untilState(system, id, 'succeeded')

      expect(await system.log(id)).toEqual({ lines: [], first: null, last: null })
      expect(log.some(({ message }) => message === 'said')).toBe(true)
    }
  })

  test('of an unknown job, or a wrong page of one, is refused', async () => {
    const { system } = await startSystem()

    await expect(system.log(77)).rejects.toThrow(JobNotFoundError)
    await expect(system.log(77, { limit: 1_001 })).rejects.toThrow('must be a whole number from 1 to 1000')
    await expect(system.log(77, { after: -1 })).rejects.toThrow('must be a whole number from 0')
    await expect(system.progressSince(-1)).rejects.toThrow('must be a whole number from 0')
    expect(() => defineHandler({ ...aHandler('work', () => 1), keepLog: 'no' as never })).toThrow(
      'handler "work": keepLog must be true or false',
    )
  })
})
