import { describe, expect, test } from 'vitest'
import {
  AttemptTimeoutError,
  BackpressureError,
  IllegalTransitionError,
  InvalidInputError,
  JobCancelledError,
  JobNotFoundError,
  PermanentError,
  RetryAfterError,
  SnoozeError,
} from '../src/errors.ts'
import type { JobContext } from '../src/handlers/define.ts'
import { claimedHere, onPostgres } from './support/database.ts'
import { deferred } from './support/deferred.ts'
import {
  aHandler,
  eventsOf,
  openSystem,
  startAt,
  startSystem,
  until,
  untilCalled,
  untilState,
  withLeasedJob,
} from './support/system.ts'

const minute = 60_000
const day = 86_400_000

describe('a job', () => {
  test('that is enqueued runs and succeeds, and each step is in its history', async () => {
    const ran: unknown[] = []
    const { system } = await startSystem({ runs: { work: (payload, { jobId }) => void ran.push([jobId, payload]) } })

    const enqueued = await system.enqueue({ type: 'work', payload: { n: [1, 'é'] } })
    const job = await untilState(system, enqueued.id, 'succeeded')

    expect(enqueued).toEqual({ id: 1, state: 'queued', created: true })
    expect(ran).toEqual([[1, { n: [1, 'é'] }]])
    expect(job).toEqual({
      id: 1,
      type: 'work',
      queue: 'default',
      state: 'succeeded',
      priority: 0,
      payload: { n: [1, 'é'] },
      attempt: 1,
      maxRetries: 3,
      crashes: 0,
      idempotencyKey: null,
      timeoutMs: null,
      traceId: null,
      runAt: startAt,
      createdAt: startAt,
      startedAt: startAt,
      finishedAt: startAt,
      error: null,
      uniqueKey: null,
      progress: null,
      progressAt: null,
      progressAttempt: null,
    })
    const at = startAt
    const lease = { event: 'lease', from: 'queued', to: 'leased', attempt: 0, at, cause: 'dispatcher', ...claimedHere }
    expect(await system.history(1)).toEqual([
      { seq: 1, event: 'enqueue', from: null, to: 'queued', attempt: 0, at, cause: 'library', error: null },
      { seq: 2, ...lease, error: null },
      { seq: 3, event: 'start', from: 'leased', to: 'running', attempt: 1, at, cause: 'dispatcher', error: null },
      { seq: 4, event: 'succeed', from: 'running', to: 'succeeded', attempt: 1, at, cause: 'handler', error: null },
    ])
  })

  test('keeps its payload, whatever its handler does to its own copy', async () => {
    const { system } = await startSystem({
      runs: {
        work: (payload: { list: number[] }) => {
          payload.list.push(2)
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: { list: [1] } })

    expect((await untilState(system, id, 'succeeded')).payload).toEqual({ list: [1] })
  })

  test('that fails waits for its backoff, doubled each time, and runs again', async () => {
    let failures = 2
    const { system, clock } = await startSystem({
      retryBaseMs: 1_000,
      runs: {
        work: () => {
          if (failures-- > 0) throw new TypeError('not yet')
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null })
    const first = await untilState(system, id, 'retrying')
    clock.advance(750)
    await until(async () => (await system.find(id))?.attempt === 2)
    const second = await untilState(system, id, 'retrying')
    clock.advance(1_500)
    const done = await untilState(system, id, 'succeeded')

    // The jitter takes the middle of the upper half.
    expect(first).toMatchObject({ attempt: 1, runAt: startAt + 750, error: { name: 'TypeError', message: 'not yet' } })
    expect(second.runAt).toBe(startAt + 750 + 1_500)
    expect(done).toMatchObject({ attempt: 3, error: { name: 'TypeError' } })
    expect(await eventsOf(system, id)).toBe('enqueue lease start fail due lease start fail due lease start succeed')
  })

  test.each([
    [0, 500],
    [0.999_999, 1_000],
  ])('is spread by the jitter: %d of the way is %d ms', async (random, delayMs) => {
    const { system } = await startSystem({ retryBaseMs: 1_000, random: () => random, runs: { work: throws } })

    const { id } = await system.enqueue({ type: 'work', payload: null })

    expect((await untilState(system, id, 'retrying')).runAt).toBe(startAt + delayMs)
  })

  test('is not retried before its instant', async () => {
    let runs = 0
    const { system, clock } = await startSystem({
      retryBaseMs: 1_000,
      runs: {
        work: () => {
          runs++
          throws()
        },
        other: () => {},
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, id, 'retrying')

    clock.advance(749)
    // A later job that ends before it.
    const other = await system.enqueue({ type: 'other', payload: null, delayMs: 0 })
    await untilState(system, other.id, 'succeeded')

    expect([runs, (await system.find(id))?.state]).toEqual([1, 'retrying'])
  })

  test.each([0, 1, 3])('is dead after %i retries, with its last error', async (maxRetries) => {
    let runs = 0
    const { system, clock } = await startSystem({
      runs: {
        work: () => {
          throw new Error(`failure ${++runs}`)
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries })
    for (let retry = 1; retry <= maxRetries; retry++) {
      await until(() => runs === retry)
      await untilState(system, id, 'retrying')
      clock.advance(minute)
    }
    const job = await untilState(system, id, 'dead')

    const attempts = maxRetries + 1
    expect(job).toMatchObject({ attempt: attempts, error: { message: `failure ${attempts}` }, finishedAt: clock.now() })
    expect(runs).toBe(attempts)
  })

  test('is dead at once if no retry can help', async () => {
    const { system } = await startSystem({
      runs: {
        work: () => {
          throw new PermanentError('gone')
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null })

    expect(await untilState(system, id, 'dead')).toMatchObject({ attempt: 1, error: { name: 'PermanentError' } })
    expect(await eventsOf(system, id)).toBe('enqueue lease start reject')
  })

  test('waits as long as its handler asks', async () => {
    const { system } = await startSystem({
      runs: {
        work: () => {
          throw new RetryAfterError(3 * minute)
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null })

    expect((await untilState(system, id, 'retrying')).runAt).toBe(startAt + 3 * minute)
  })

  test('that is snoozed runs later, and that attempt does not count', async () => {
    let snoozes = 3
    const { system, clock } = await startSystem({
      runs: {
        work: () => {
          if (snoozes-- > 0) throw new SnoozeError(minute)
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 0 })
    for (let snooze = 1; snooze <= 3; snooze++) {
      await until(() => snoozes === 3 - snooze)
      const job = await untilState(system, id, 'scheduled')
      expect(job).toMatchObject({ attempt: 0, runAt: clock.now() + minute, error: null })
      clock.advance(minute)
    }

    expect(await untilState(system, id, 'succeeded')).toMatchObject({ attempt: 1 })
  })

  test.each<[unknown, string, string]>([
    [Number.NaN, 'snoozed for NaN ms', 'is NaN'],
    [-5, 'snoozed for -5 ms', 'is -5, so it counts as 0'],
    [Number.POSITIVE_INFINITY, 'snoozed for Infinity ms', 'is Infinity, so it counts as 100 years'],
    ['soon', 'snoozed for soon ms', 'is a string'],
  ])('that is snoozed for %s says in its history what was wrong with the delay', async (delayMs, text, fault) => {
    const { system } = await startSystem({
      runs: {
        work: () => {
          throw new SnoozeError(delayMs as number)
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null })
    const { attempt, error } = await untilState(system, id, 'scheduled')

    const message = `${text} (the delayMs that it threw ${fault})`
    expect({ attempt, error }).toMatchObject({ attempt: 0, error: { name: 'SnoozeError', message } })
    expect((await system.history(id)).at(-1)).toMatchObject({ event: 'snooze', error: { message } })
    expect((await system.explain(id)).summary).toContain(
      `its handler snoozed it just now, wrongly with SnoozeError: ${message}, which counts as no attempt`,
    )
  })

  test('that takes too long has its signal fired, fails and is retried', async () => {
    const reasons: unknown[] = []
    const { system } = await startSystem({
      jobTimeoutMs: 60_000,
      runs: { work: (_, { signal }) => aborted(signal).finally(() => reasons.push(signal.reason)) },
    })

    const { id } = await system.enqueue({ type: 'work', payload: null, timeoutMs: 5 })

    expect(await untilState(system, id, 'retrying')).toMatchObject({ error: { name: 'AttemptTimeoutError' } })
    expect(reasons).toEqual([new AttemptTimeoutError(5)])
  })

  test('uses its own fields before its handler’s, and those before the settings', async () => {
    const contexts: number[] = []
    const { system } = await startSystem({
      handlers: [
        aHandler('work', (_, { maxAttempts }) => void contexts.push(maxAttempts), { maxRetries: 1 }),
        aHandler('plain', (_, { maxAttempts }) => void contexts.push(maxAttempts)),
      ],
    })

    const ids = [
      await system.enqueue({ type: 'work', payload: null, maxRetries: 7 }),
      await system.enqueue({ type: 'work', payload: null }),
      await system.enqueue({ type: 'plain', payload: null }),
    ]
    for (const { id } of ids) await untilState(system, id, 'succeeded')

    expect(contexts.sort()).toEqual([2, 4, 8])
  })
})

describe('a delayed job', () => {
  test.each([30, 400])('%i days ahead runs at its instant and not before', async (days) => {
    const ran: number[] = []
    const { system, clock } = await startSystem({ runs: { work: (_, { jobId }) => void ran.push(jobId) } })
    const later = await system.enqueue({ type: 'work', payload: null, delayMs: days * day })
    const sooner = await system.enqueue({ type: 'work', payload: null, runAt: startAt + days * day - 1 })

    clock.set(startAt + days * day - 1)
    await untilState(system, sooner.id, 'succeeded')
    const before = [...ran]
    clock.advance(1)
    await untilState(system, later.id, 'succeeded')

    expect([later.state, sooner.state, before]).toEqual(['scheduled', 'scheduled', [sooner.id]])
    expect(await eventsOf(system, later.id)).toBe('enqueue due lease start succeed')
    expect((await system.find(later.id))?.startedAt).toBe(startAt + days * day)
  })

  test('accepts an instant as epoch ms, a Date or a text, and none in the past', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })
    const at = startAt + minute

    const jobs = await system.enqueue(
      [at, new Date(at), new Date(at).toISOString(), '2030-01-01T12:01:00+02:00', 0, '1970-01-01T00:00:00Z'].map(
        (runAt) => ({ type: 'work', payload: null, runAt }),
      ),
    )

    const found = await Promise.all(jobs.map(({ id }) => system.find(id)))
    expect(found.map((job) => job!.runAt - startAt)).toEqual([minute, minute, minute, minute, 0, 0])
    expect(jobs.map(({ state }) => state).slice(3)).toEqual(['scheduled', 'queued', 'queued'])
  })
})

describe('the next job', () => {
  test('is chosen by priority, then by age, within a queue', async () => {
    const ran: unknown[] = []
    const { system } = await openSystem({ workers: 1, runs: { work: (payload) => void ran.push(payload) } })
    await system.enqueue([
      { type: 'work', payload: 'low', priority: -100 },
      { type: 'work', payload: 'first' },
      { type: 'work', payload: 'second' },
      { type: 'work', payload: 'high', priority: 100 },
    ])

    await system.start()
    await until(() => ran.length === 4)

    expect(ran).toEqual(['high', 'first', 'second', 'low'])
  })

  test('is taken from the queues in turn, whatever their names, lengths and priorities', async () => {
    const ran: unknown[] = []
    const { system } = await openSystem({ workers: 1, runs: { work: (payload) => void ran.push(payload) } })
    const job = (queue: string, payload: string, priority = 0) => ({ type: 'work', queue, payload, priority })
    await system.enqueue([
      ...['a1', 'a2', 'a3', 'a4'].map((payload) => job('a', payload, 100)),
      job('z', 'z1'),
      job('z', 'z2'),
      job('m', 'm1', -5),
    ])

    await system.start()
    await until(() => ran.length === 7)

    expect(ran).toEqual(['a1', 'm1', 'z1', 'a2', 'z2', 'a3', 'a4'])
  })
})

describe('cancelling', () => {
  test.each(['scheduled', 'queued'] as const)('a %s job keeps it from ever running', async (state) => {
    const ran: number[] = []
    const { system, clock } = await openSystem({ runs: { work: (_, { jobId }) => void ran.push(jobId) } })
    const { id } = await system.enqueue({ type: 'work', payload: null, delayMs: state === 'scheduled' ? minute : 0 })
    const next = await system.enqueue({ type: 'work', payload: null, delayMs: minute })
    const before = (await system.find(id))?.state

    const cancelled = await system.cancel(id)
    await system.start()
    clock.advance(minute)
    await untilState(system, next.id, 'succeeded')

    expect([before, cancelled.state, cancelled.finishedAt]).toEqual([state, 'cancelled', startAt])
    expect([ran, await eventsOf(system, id)]).toEqual([[next.id], 'enqueue cancel'])
  })

  test('a retrying job keeps it from running again', async () => {
    const { system, clock } = await startSystem({ runs: { work: throws } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, id, 'retrying')

    await system.cancel(id)
    clock.advance(minute)
    const next = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, next.id, 'retrying')

    expect(await system.find(id)).toMatchObject({ state: 'cancelled', attempt: 1, error: { message: 'from within' } })
  })

  test.skipIf(onPostgres)('a leased job keeps it from running', async () => {
    const { system, ran, blocker, leased, other } = await withLeasedJob()
    const { token: leaseToken } = (await other.jobFacts(leased))!.lease!

    await system.cancel(leased)
    blocker.resolve()
    await until(async () => (await system.counts()).succeeded === 1)

    expect(await other.apply([{ id: leased, leaseToken, event: 'start' }])).toHaveLength(1)
    expect([ran, await eventsOf(system, leased)]).toEqual([['blocker'], 'enqueue lease cancel'])
  })

  // The acknowledgement comes in one message with the job, leased and started.
  test('a started job fires its signal, even if its handler was not yet called', async () => {
    const reasons: unknown[] = []
    const { system } = await startSystem({
      runs: { work: (_, { signal }) => aborted(signal).catch((reason) => void reasons.push(reason)) },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null })

    await system.cancel(id)
    await until(() => reasons.length === 1)

    expect(reasons).toEqual([expect.any(JobCancelledError)])
    expect(await eventsOf(system, id)).toBe('enqueue lease start cancel')
  })

  test('a running job fires its signal, frees its slot when it really ends, and refuses its late success', async () => {
    const reason = deferred<unknown>()
    const release = deferred()
    const ran: string[] = []
    const { system } = await startSystem({
      workers: 1,
      runs: {
        stubborn: async (_, { signal }) => {
          await aborted(signal).catch(reason.resolve)
          await release.promise
          ran.push('stubborn')
        },
        next: () => void ran.push('next'),
      },
    })
    const { id } = await system.enqueue({ type: 'stubborn', payload: null })
    const next = await system.enqueue({ type: 'next', payload: null })
    await untilCalled(system, id)

    const cancelled = await system.cancel(id)
    expect(await reason.promise).toBeInstanceOf(JobCancelledError)
    const whileItGoesOn = [(await system.find(next.id))?.state, (await system.metrics()).activeWorkers]
    release.resolve()
    await untilState(system, next.id, 'succeeded')

    expect([cancelled.state, cancelled.attempt, ...whileItGoesOn]).toEqual(['cancelled', 1, 'queued', 1])
    expect(ran).toEqual(['stubborn', 'next'])
    expect(await eventsOf(system, id)).toBe('enqueue lease start cancel')
  })

  test.each([
    ['succeeded', () => {}, []],
    ['cancelled', () => {}, ['requeue']],
  ] as const)('a %s job is refused, with what it allows', async (state, run, events) => {
    const { system } = await openSystem({ runs: { work: run } })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 0 })
    if (state === 'cancelled') await system.cancel(id)
    await system.start()
    await untilState(system, id, state)

    const refusal = await system.cancel(id).catch((error: unknown) => error)

    expect(refusal).toBeInstanceOf(IllegalTransitionError)
    expect(refusal).toMatchObject({ code: 'illegal_transition', jobId: id, state, events })
    expect((await system.find(id))?.state).toBe(state)
  })

  test('an unknown job says so', async () => {
    const { system } = await openSystem()

    for (const id of [1, 0, -1, 1.5, Number.NaN, 2 ** 53]) {
      await expect(system.cancel(id)).rejects.toBeInstanceOf(JobNotFoundError)
      await expect(system.requeue(id)).rejects.toMatchObject({ code: 'job_not_found' })
    }
  })
})

describe('requeueing', () => {
  test('right after a cancel calls the handler again only once the signal of the previous call has fired', async () => {
    const signals: AbortSignal[] = []
    const before: boolean[] = []
    const { system } = await startSystem({
      workers: 2,
      runs: {
        work: async (_, { signal }) => {
          before.push(signals.every(({ aborted }) => aborted))
          signals.push(signal)
          if (signals.length === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve))
        },
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await until(() => signals.length === 1)

    await Promise.all([system.cancel(id), system.requeue(id)])

    await untilState(system, id, 'succeeded')
    expect(before).toEqual([true, true])
  })

  test('a dead job runs it again, with new attempts', async () => {
    let broken = true
    const { system, clock } = await startSystem({
      runs: {
        work: () => {
          if (broken) throws()
        },
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 1 })
    await untilState(system, id, 'retrying')
    clock.advance(minute)
    await untilState(system, id, 'dead')

    broken = false
    // On PostgreSQL the commit that requeues it may also have started it again, and it may have ended.
    const requeued = await system.requeue(id)
    const done = await untilState(system, id, 'succeeded')

    if (!onPostgres) expect(requeued).toMatchObject({ finishedAt: null, state: 'queued', attempt: 0 })
    expect(done).toMatchObject({ attempt: 1 })
    expect(await eventsOf(system, id)).toBe('enqueue lease start fail due lease start fail requeue lease start succeed')
  })

  test('a cancelled job runs it', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue({ type: 'work', payload: null, delayMs: minute })
    await system.cancel(id)

    await system.requeue(id)
    await system.start()

    // At once: its wait was cancelled with it.
    await untilState(system, id, 'succeeded')
  })

  test('gives its handler the token of its first attempt', async () => {
    const tokens: string[] = []
    const { system } = await startSystem({
      runs: {
        work: (_, { idempotencyToken }) => {
          tokens.push(idempotencyToken)
          throws()
        },
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 0 })
    await untilState(system, id, 'dead')
    await system.requeue(id)
    await until(() => tokens.length === 2)

    expect(tokens[0]).toMatch(new RegExp(`^[0-9a-f-]{36}\\.${id}$`))
    expect(tokens[1]).toBe(tokens[0])
  })

  test.each(['queued', 'running', 'succeeded'] as const)('a %s job is refused', async (state) => {
    const hold = deferred()
    const { system } = await openSystem({ runs: { work: () => (state === 'running' ? hold.promise : undefined) } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    if (state !== 'queued') await system.start()
    await untilState(system, id, state)

    await expect(system.requeue(id)).rejects.toMatchObject({ code: 'illegal_transition', state })
    hold.resolve()
  })

  // Slots are kept by attempt, not by job: see `a job that is leased again` in machines/prefetch.test.ts.
  test('a job whose cancelled handler is still running runs it again beside that one', async () => {
    const old = deferred()
    const again = deferred()
    const contexts: JobContext[] = []
    const { system, fatal } = await startSystem({
      workers: 3,
      runs: {
        work: (_, context) => {
          contexts.push(context)
          return contexts.length === 1 ? old.promise : again.promise
        },
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await until(() => contexts.length === 1)
    await system.cancel(id)
    await system.requeue(id)
    await until(() => contexts.length === 2)

    old.resolve()
    await new Promise(setImmediate)
    again.resolve()
    const gone = until(() => fatal.length > 0).then(() => Promise.reject(fatal[0]))
    await Promise.race([untilState(system, id, 'succeeded'), gone])

    expect((await system.metrics()).activeWorkers).toBe(0)
  })
})

describe('metrics', () => {
  test('count exactly what happened, and average over what ran', async () => {
    const hold = deferred()
    const { system, clock } = await openSystem({
      workers: 1,
      runs: {
        quick: () => clock.advance(40),
        failing: () => {
          clock.advance(100)
          throws()
        },
        hopeless: () => {
          throw new PermanentError('never')
        },
        holding: () => hold.promise,
      },
    })
    expect(await system.metrics()).toEqual({
      activeWorkers: 0,
      queueDepth: 0,
      deadLetterCount: 0,
      retryCount: 0,
      successCount: 0,
      failureCount: 0,
      avgExecutionMs: 0,
      avgTimeInQueueMs: 0,
    })
    const [, , failing] = await system.enqueue([
      { type: 'quick', payload: null, priority: 5 },
      { type: 'quick', payload: null, priority: 4 },
      { type: 'failing', payload: null, priority: 3, maxRetries: 1 },
      { type: 'hopeless', payload: null, priority: 2 },
    ])
    clock.advance(10)

    await system.start()
    await untilState(system, failing!.id, 'retrying')
    await until(async () => (await system.counts()).dead === 1)
    const inQueue = [10, 10 + 40, 10 + 40 + 40, 10 + 40 + 40 + 100]
    const afterFour = await system.metrics()
    clock.set((await system.find(failing!.id))!.runAt + 30)
    await untilState(system, failing!.id, 'dead')
    inQueue.push(30)
    const { id: holding } = await system.enqueue({ type: 'holding', payload: null })
    await untilCalled(system, holding)
    inQueue.push(0)
    await system.enqueue([
      { type: 'quick', payload: null },
      { type: 'quick', payload: null },
      { type: 'quick', payload: null, delayMs: day },
    ])

    const metrics = await system.metrics()
    hold.resolve()

    expect(afterFour).toMatchObject({
      successCount: 2,
      failureCount: 2,
      retryCount: 1,
      avgExecutionMs: (40 + 40 + 100 + 0) / 4,
      avgTimeInQueueMs: average(inQueue.slice(0, 4)),
    })
    expect(metrics).toEqual({
      activeWorkers: 1,
      queueDepth: 2,
      deadLetterCount: 2,
      retryCount: 1,
      successCount: 2,
      failureCount: 3,
      avgExecutionMs: (40 + 40 + 100 + 0 + 100) / 5,
      avgTimeInQueueMs: average(inQueue),
    })
  })

  test('start again with the process, except for current values', async () => {
    const { system, path, clock } = await startSystem({ runs: { work: throws } })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 0 })
    await untilState(system, id, 'dead')
    await system.stop()

    const again = await openSystem({ database: path, clock, runs: { work: throws } })

    expect(await again.system.metrics()).toMatchObject({ deadLetterCount: 1, failureCount: 0, avgTimeInQueueMs: 0 })
  })

  test('do not count a snooze or a cancellation as success, failure or retry', async () => {
    const { system } = await startSystem({
      runs: {
        snoozing: () => {
          throw new SnoozeError(day)
        },
        waiting: (_, { signal }) => aborted(signal),
      },
    })
    const snoozing = await system.enqueue({ type: 'snoozing', payload: null })
    const waiting = await system.enqueue({ type: 'waiting', payload: null })
    await untilState(system, snoozing.id, 'scheduled')
    await untilCalled(system, waiting.id)
    await system.cancel(waiting.id)
    await until(async () => (await system.metrics()).activeWorkers === 0)

    expect(await system.metrics()).toMatchObject({ successCount: 0, failureCount: 0, retryCount: 0 })
  })
})

describe('the counts', () => {
  test('add up to what was enqueued, state by state', async () => {
    const hold = deferred()
    const { system } = await startSystem({
      workers: 2,
      runs: { ok: () => {}, failing: throws, holding: () => hold.promise },
    })
    const [, cancelled] = await system.enqueue([
      { type: 'ok', payload: null, delayMs: day },
      { type: 'ok', payload: null, delayMs: day },
      { type: 'ok', payload: null },
      { type: 'failing', payload: null },
      { type: 'failing', payload: null, maxRetries: 0 },
      { type: 'holding', payload: null },
    ])
    await system.cancel(cancelled!.id)

    await until(async () => {
      const { succeeded, retrying, dead, running } = await system.counts()
      return succeeded === 1 && retrying === 1 && dead === 1 && running === 1
    })

    expect(await system.counts()).toEqual({
      blocked: 0,
      scheduled: 1,
      queued: 0,
      leased: 0,
      running: 1,
      retrying: 1,
      succeeded: 1,
      dead: 1,
      cancelled: 1,
    })
    hold.resolve()
  })
})

describe('listing', () => {
  test('returns pages, newest first, to the end', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })
    await system.enqueue(Array.from({ length: 7 }, (_, n) => ({ type: 'work', payload: n })))

    const pages: number[][] = []
    let cursor: string | null | undefined
    while (cursor !== null) {
      const page = await system.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) })
      pages.push(page.jobs.map(({ id }) => id))
      cursor = page.nextCursor
    }

    expect(pages).toEqual([[7, 6, 5], [4, 3, 2], [1]])
  })

  test('is filtered by state, type and queue, all together', async () => {
    const { system } = await openSystem({ runs: { work: () => {}, other: () => {} } })
    await system.enqueue([
      { type: 'work', payload: null, queue: 'a' },
      { type: 'work', payload: null, queue: 'b' },
      { type: 'other', payload: null, queue: 'b' },
      { type: 'other', payload: null, queue: 'b', delayMs: 1 },
    ])
    const ids = async (filter: Parameters<typeof system.list>[0]) =>
      (await system.list(filter)).jobs.map(({ id }) => id)

    expect(await ids({ state: 'scheduled' })).toEqual([4])
    expect(await ids({ type: 'work' })).toEqual([2, 1])
    expect(await ids({ queue: 'b' })).toEqual([4, 3, 2])
    expect(await ids({ queue: 'b', type: 'other', state: 'queued' })).toEqual([3])
    expect(await ids({ text: `' OR 1=1 --` })).toEqual([])
  })

  test('returns 50 by default, and 500 at most', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })
    await system.enqueue(Array.from({ length: 60 }, () => ({ type: 'work', payload: null })))

    expect((await system.list()).jobs).toHaveLength(50)
    expect((await system.list({ limit: 500 })).jobs).toHaveLength(60)
  })

  test('refuses an invalid limit or cursor', async () => {
    const { system } = await openSystem()
    const refused = (path: string) => ({ code: 'invalid_input', issues: [{ path }] })

    for (const limit of [0, 501, 1.5, Number.NaN, -1]) {
      await expect(system.list({ limit })).rejects.toMatchObject(refused('limit'))
    }
    for (const cursor of ['', 'x', '-1', '1.5', '1e3', '99999999999999999', '1; DROP TABLE jobs']) {
      await expect(system.list({ cursor })).rejects.toMatchObject(refused('cursor'))
    }
  })
})

describe('the history', () => {
  test('is paged by seq', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilState(system, id, 'succeeded')
    const seqs = async (page: Parameters<typeof system.history>[1]) =>
      (await system.history(id, page)).map(({ seq }) => seq)

    expect(await seqs({ limit: 2 })).toEqual([1, 2])
    expect(await seqs({ after: 2 })).toEqual([3, 4])
    expect(await seqs({ after: 4 })).toEqual([])
  })

  test('of an unknown job is an error, and so are bad pages', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })
    await system.enqueue({ type: 'work', payload: null })

    await expect(system.history(2)).rejects.toBeInstanceOf(JobNotFoundError)
    await expect(system.history(Number.NaN)).rejects.toBeInstanceOf(JobNotFoundError)
    for (const page of [{ after: -1 }, { after: 0.5 }, { limit: 0 }, { limit: 1_001 }]) {
      await expect(system.history(1, page)).rejects.toBeInstanceOf(InvalidInputError)
    }
  })

  test('has the error of each attempt', async () => {
    let n = 0
    const { system, clock } = await startSystem({
      runs: {
        work: () => {
          throw new Error(`failure ${++n}`)
        },
      },
    })
    const { id } = await system.enqueue({ type: 'work', payload: null, maxRetries: 1 })
    await untilState(system, id, 'retrying')
    clock.advance(minute)
    await untilState(system, id, 'dead')

    const errors = (await system.history(id)).flatMap(({ error }) => (error ? [error.message] : []))
    expect(errors).toEqual(['failure 1', 'failure 2'])
  })
})

describe('the transitions of all jobs', () => {
  test('are read from an id on, or from now if none is given', async () => {
    const { system } = await startSystem({ runs: { work: () => {} } })
    const { id } = await system.enqueue({ type: 'work', payload: null, queue: 'mail' })
    await untilState(system, id, 'succeeded')

    const all = (await system.transitions({ after: 0 })).transitions.map(({ id }) => id)

    const { transitions, last } = await system.transitions({ after: all[0]!, limit: 2 })

    expect(transitions.map(({ id, event }) => [id, event])).toEqual([
      [all[1], 'lease'],
      [all[2], 'start'],
    ])
    expect(transitions[0]).toEqual({
      ...(await system.history(id))[1],
      id: all[1],
      jobId: id,
      type: 'work',
      queue: 'mail',
    })
    expect(last).toBe(all[2])
    const now = await system.transitions()
    expect(now.transitions).toEqual([])
    expect(now.last).toBeGreaterThanOrEqual(all[3]!)
  })

  test('come in short pages if their errors are long, and none is left out', async () => {
    const { system } = await startSystem({
      runs: {
        work: () => {
          throw new Error('x'.repeat(2_000))
        },
      },
    })
    await system.enqueue(Array.from({ length: 300 }, () => ({ type: 'work', payload: null, maxRetries: 0 })))
    await until(async () => (await system.counts()).dead === 300)

    const lengths: number[] = []
    const seqs = new Map<number, number[]>()
    for (let after = 0; ; ) {
      const { transitions, last } = await system.transitions({ after })
      if (transitions.length === 0) break
      lengths.push(JSON.stringify(transitions).length)
      for (const { jobId, seq } of transitions) seqs.set(jobId, [...(seqs.get(jobId) ?? []), seq])
      after = last
    }

    expect([...seqs.values()]).toEqual(Array.from({ length: 300 }, () => [1, 2, 3, 4]))
    expect(Math.max(...lengths)).toBeLessThan(500_000)
  })

  test('are refused if the page is bad', async () => {
    const { system } = await openSystem({ runs: { work: () => {} } })

    for (const page of [{ after: -1 }, { after: 0.5 }, { after: Number.NaN }, { limit: 0 }, { limit: 1_001 }]) {
      await expect(system.transitions(page)).rejects.toBeInstanceOf(InvalidInputError)
    }
  })
})

describe('a limit on waiting jobs', () => {
  test('refuses a whole call that would exceed it, and says when to try again', async () => {
    const { system } = await openSystem({ maxQueueDepth: 3, runs: { work: () => {} } })
    const job = { type: 'work', payload: null }
    await system.enqueue([job, { ...job, delayMs: day }])

    const refusal = await system.enqueue([job, job]).catch((error: unknown) => error)

    expect(refusal).toBeInstanceOf(BackpressureError)
    expect(refusal).toMatchObject({ code: 'backpressure', retryAfterMs: 1_000 })
    expect((await system.list()).jobs).toHaveLength(2)
    await expect(system.enqueue(job)).resolves.toMatchObject({ created: true })
  })

  test('leaves room for other queues if a handler enqueues itself without end', async () => {
    const refused: unknown[] = []
    const { system } = await startSystem({
      maxQueueDepth: 50,
      runs: {
        async work(_payload: unknown) {
          const twice = { type: 'work', payload: null, queue: 'runaway' }
          await system.enqueue([twice, twice]).catch((error: unknown) => void refused.push(error))
        },
      },
    })
    await system.enqueue({ type: 'work', payload: null, queue: 'runaway' })
    await until(() => refused.length > 20)

    for (let n = 0; n < 5; n++) {
      await expect(system.enqueue({ type: 'work', payload: null, queue: 'other', delayMs: day })).resolves.toBeDefined()
    }

    expect(`${refused[0]}`).toContain('in the queue runaway')
  })
})

describe('the log', () => {
  test('names a failed attempt, but not its message, which may quote the payload', async () => {
    const { system, log } = await startSystem({
      runs: {
        work: (payload: { secret: string }) => {
          throw new TypeError(`cannot use ${payload.secret}`)
        },
      },
    })

    const { id } = await system.enqueue({ type: 'work', payload: { secret: 'hunter2' } })
    await untilState(system, id, 'retrying')
    await until(() => log.some(({ message }) => message === 'attempt failed'))

    expect(log.find(({ message }) => message === 'attempt failed')?.fields).toEqual({
      job_id: id,
      event: 'fail',
      error: 'TypeError',
    })
    expect(JSON.stringify(log)).not.toMatch(/hunter2/)
  })

  test('reports an outcome that came too late', async () => {
    const late = deferred()
    const { system, log } = await startSystem({ leaseMs: 100, runs: { work: () => late.promise } })
    const { id } = await system.enqueue({ type: 'work', payload: null })
    await untilCalled(system, id)

    // The success is on its way when the cancellation is made.
    late.resolve()
    const cancelled = await system.cancel(id).catch(() => undefined)

    if (cancelled)
      await until(() => log.some(({ message }) => message === 'a result was not recorded because its lease was lost'))
    expect((await system.find(id))?.state).toBe(cancelled ? 'cancelled' : 'succeeded')
  })
})

function throws(): never {
  throw new Error('from within')
}

/** Rejects with the signal's reason when it fires. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
    if (signal.aborted) reject(signal.reason)
  })
}

function average(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0) / numbers.length
}
