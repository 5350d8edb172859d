import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { abortGraceMs } from '../../../src/config.ts'
import { createRunAttempt, currentJob } from '../../../src/engine/dispatch/attempt.ts'
import { LongPayloads } from '../../../src/engine/dispatch/long-payloads.ts'
import { Reports } from '../../../src/engine/dispatch/reports.ts'
import {
  AttemptTimeoutError,
  InvalidInputError,
  JobCancelledError,
  PayloadError,
  PermanentError,
  ResultError,
  RetryAfterError,
  ShutdownError,
  SnoozeError,
  UnavailableError,
  UnknownTypeError,
} from '../../../src/errors.ts'
import { defineHandler, type Handler, type JobContext } from '../../../src/handlers/define.ts'
import { Registry } from '../../../src/handlers/registry.ts'
import type { LeasedJob, LeaseEvent } from '../../../src/machines/lease.ts'
import type { RunningAttempt } from '../../../src/machines/slots.ts'
import { RunStats } from '../../../src/observe/telemetry/run-stats.ts'
import { timers } from '../../../src/runtime/timers.ts'
import { deferred } from '../../support/deferred.ts'
import { useFakeTimers, useRealTimers } from '../../support/fake-timers.ts'
import { errorsOfAnotherCopy, errorsOfAnotherRealm } from '../../support/other-copies.ts'

type Errors = typeof import('../../../src/errors.ts')

const century = 3_155_760_000_000
/** What the settings' backoff of these tests gives. */
const settingsBackoffMs = 777

/** What an attempt has told so far. */
interface Told {
  readonly attempt: RunningAttempt
  readonly settled: { readonly event: LeaseEvent | null; readonly ended: boolean }[]
  readonly ended: number[]
  readonly stats: RunStats
  /** The fields of its warnings. */
  readonly log: object[]
}

describe('an attempt', () => {
  test('whose handler resolves succeeds, with what it returned as its result', async () => {
    const success = { id: 7, leaseToken: 70, event: 'succeed' }

    expect(await outcomeOf(() => Promise.resolve())).toEqual(success)
    for (const returned of [null, 0, 'x', { a: [1] }]) {
      const result = JSON.stringify(returned)
      expect(await outcomeOf(() => Promise.resolve(returned))).toEqual({ ...success, result })
    }
  })

  test('is rejected if what its handler returned cannot be kept, because a retry would return the same', async () => {
    for (const returned of [new Error('not thrown'), new PermanentError('neither'), 1n, new Map(), Readable.from([1])])
      expect(await outcomeOf(() => Promise.resolve(returned))).toMatchObject({
        event: 'reject',
        error: { name: 'ResultError', message: expect.stringMatching(/^result: /) },
      })
  })

  test('fails if its handler throws a ResultError that is about something else', async () => {
    const thrown = new ResultError([{ path: 'result', message: 'of another job' }])

    expect(await outcomeOf(() => Promise.reject(thrown))).toMatchObject({ event: 'fail' })
  })

  test('with a synchronous handler counts like any other', async () => {
    expect(await outcomeOf(() => 5)).toMatchObject({ event: 'succeed' })
    expect(
      await outcomeOf(() => {
        throw new Error('at once')
      }),
    ).toMatchObject({ event: 'fail', error: { name: 'Error', message: 'at once' } })
  })

  test('never settles before it has returned', async () => {
    let returned = false
    const order: boolean[] = []
    const runAttempt = createRunAttempt(optionsFor(aHandler(() => 1)))

    runAttempt(aLeasedJob(), { settled: () => order.push(returned), ended() {} })
    returned = true
    await setImmediate()

    expect(order).toEqual([true])
  })

  test('waits for a thenable, and takes only its first answer', async () => {
    const thenable = (then: unknown) => outcomeOf(() => ({ then }))

    expect(await thenable((resolve: () => void) => resolve())).toMatchObject({ event: 'succeed' })
    expect(await thenable((_: unknown, reject: (error: Error) => void) => reject(new Error('no')))).toMatchObject({
      event: 'fail',
    })
    expect(
      await thenable((resolve: () => void, reject: (error: Error) => void) => {
        resolve()
        reject(new Error('too late'))
        throw new Error('later still')
      }),
    ).toMatchObject({ event: 'succeed' })
    expect(await outcomeOf(() => Object.defineProperty({}, 'then', { get: throws }))).toMatchObject({
      event: 'fail',
      error: { message: 'from within' },
    })
  })

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a text', 'no'],
    ['a symbol', Symbol('no')],
    ['a function', () => 0],
    ['an error with a cause', new Error('outer', { cause: new Error('inner') })],
    ['an error of 50 MB', new Error('m'.repeat(50_000_000))],
    ['an error whose getters throw', Object.defineProperty(new Error(), 'message', { get: throws })],
    ['a Proxy that throws at everything', new Proxy(new Error(), { get: throws, has: throws, getPrototypeOf: throws })],
    ['a revoked Proxy', revokedProxy()],
  ])('that throws %s fails, and its slot is free', async (_, thrown) => {
    const { settled } = await run(() => Promise.reject(thrown))

    expect(settled).toEqual([
      {
        event: {
          id: 7,
          leaseToken: 70,
          event: 'fail',
          delayMs: settingsBackoffMs,
          error: expect.objectContaining({ name: expect.any(String), message: expect.any(String) }),
        },
        ended: true,
      },
    ])
    expect(settled[0]!.event!.error!.message.length).toBeLessThanOrEqual(2_000)
  })

  test('that throws reports where, down to its handler but not the engine', async () => {
    function charge() {
      throw new TypeError('no card')
    }
    const stackOf = async (run: () => unknown) => (await outcomeOf(run))?.error?.stack?.split('\n') ?? []

    for (const stack of [await stackOf(() => charge()), await stackOf(async () => charge())]) {
      expect(stack[0]).toMatch(/^at charge /)
      expect(stack.join()).not.toMatch(/Attempt|node:/)
    }
    const late = async () => {
      await null
      charge()
    }
    expect(await stackOf(late)).toEqual([expect.stringMatching(/^at charge /), expect.stringMatching(/^at .*late /)])
  })

  test('gets its number, and a token that all attempts of the job share', async () => {
    const seen: JobContext[] = []
    const handler = aHandler((_, context) => void seen.push(context))
    await run(handler, { attempt: 0 })
    await run(handler, { attempt: 2 })

    expect(seen.map(({ jobId, attempt, maxAttempts }) => [jobId, attempt, maxAttempts])).toEqual([
      [7, 1, 3],
      [7, 3, 3],
    ])
    expect(new Set(seen.map(({ idempotencyToken }) => idempotencyToken))).toEqual(new Set(['f00d.7']))
  })

  test('keeps the last note of its handler with its end, whichever that is, cut to 1,000 characters', async () => {
    const noteOf = async (end: () => unknown, notes: unknown[]) => {
      const event = await outcomeOf((_, { note }) => {
        for (const text of notes) note(text as string)
        return end()
      })
      return [event?.event, event?.note]
    }
    const done = () => undefined

    expect(await noteOf(done, ['first', 'last'])).toEqual(['succeed', 'last'])
    expect(await noteOf(throws, ['seen'])).toEqual(['fail', 'seen'])
    expect(await noteOf(() => Promise.reject(new PermanentError('no')), ['seen'])).toEqual(['reject', 'seen'])
    expect(await noteOf(done, ['x'.repeat(2_000)])).toEqual(['succeed', 'x'.repeat(1_000)])
    expect(await noteOf(done, [`${'x'.repeat(999)}\u{1f600}`])).toEqual(['succeed', `${'x'.repeat(999)}\ufffd`])
    for (const none of [[], [''], ['first', ''], [7], [null], [{}]])
      expect((await noteOf(done, none))[1]).toBeUndefined()
  })

  test('keeps the reason that a snooze gives, instead of a note', async () => {
    const snoozing = (reason?: string) =>
      outcomeOf((_, { note }) => {
        note('seen')
        throw new SnoozeError(5, reason)
      })

    expect(await snoozing('the quota is used up')).toMatchObject({ event: 'snooze', note: 'the quota is used up' })
    for (const none of [undefined, '']) expect(await snoozing(none)).toMatchObject({ event: 'snooze', note: 'seen' })
    expect(new SnoozeError(5, 'later').message).toBe('later')
    expect(new SnoozeError(5).message).toBe('snoozed for 5 ms')
  })

  test.each([
    [
      { loopMs: 12_500, threadMs: 12_500 },
      'the process did not run for 12.5 s meanwhile, which does not count against its timeout',
    ],
    [
      { loopMs: 3_000, threadMs: 0 },
      'the event loop stood still for 3.0 s meanwhile: this or another handler blocked it, or the process did not run',
    ],
    [{ loopMs: 1_999, threadMs: 0 }, undefined],
  ])('notes a standstill of %o', async (stood, note) => {
    const stalls = { loopMs: 0, threadMs: 0 }
    const events: (LeaseEvent | null)[] = []
    const options = optionsFor(aHandler(() => void Object.assign(stalls, stood)))
    const runAttempt = createRunAttempt({
      ...options,
      stalls: { loopMs: () => stalls.loopMs, threadMs: () => stalls.threadMs },
    })

    runAttempt(aLeasedJob(), { settled: (event) => events.push(event), ended: () => undefined })
    for (let i = 0; i < 20; i++) await null

    expect(events.map((event) => event?.note)).toEqual([note])
  })

  test('gets a separate copy of the payload: changes by an earlier attempt are gone', async () => {
    const seen: unknown[] = []
    const handler = aHandler((payload: { list: number[] }) => {
      seen.push(structuredClone(payload))
      payload.list.push(1)
    })
    const job = { payload: '{"list":[]}' }

    await run(handler, job)
    await run(handler, job)

    expect(seen).toEqual([{ list: [] }, { list: [] }])
  })

  test('gives its handler the payload as the schema returns it', async () => {
    const seen: unknown[] = []
    const payload = z.object({ at: z.iso.datetime().transform((text) => new Date(text)), n: z.int().default(3) })
    const handler = defineHandler({ type: 'work', payload, run: (given) => void seen.push(given) })

    await run(handler, { payload: '{"at":"2030-01-01T00:00:00Z"}' })

    expect(seen).toEqual([{ at: new Date('2030-01-01T00:00:00Z'), n: 3 }])
  })

  test('makes the job known to everything its handler left behind', async () => {
    const left: unknown[] = []
    await run(() => void setImmediate().then(() => left.push(currentJob.getStore()?.id)))
    await setImmediate()
    await setImmediate()

    expect([left, currentJob.getStore()]).toEqual([[7], undefined])
  })
})

describe('an error that says what to do', () => {
  test('PermanentError rejects the job at once', async () => {
    expect(await outcomeOf(() => Promise.reject(new PermanentError('never', { cause: new Error('why') })))).toEqual({
      id: 7,
      leaseToken: 70,
      event: 'reject',
      error: {
        name: 'PermanentError',
        message: 'never (cause: why)',
        code: 'permanent',
        causes: [{ name: 'Error', message: 'why' }],
        stack: expect.any(String),
      },
    })
  })

  test('a user’s class that extends PermanentError does too', async () => {
    class Gone extends PermanentError {}

    expect(await outcomeOf(() => Promise.reject(new Gone('g')))).toMatchObject({
      event: 'reject',
      error: { name: 'Gone' },
    })
  })

  test('a payload that the handler no longer accepts rejects the job, and does not run it', async () => {
    let ran = false
    const handler = defineHandler({
      type: 'work',
      payload: z.object({ to: z.string() }),
      run: () => {
        ran = true
      },
    })

    const { settled } = await run(handler, { payload: '{"to":1}' })

    expect(settled[0]!.event).toMatchObject({ event: 'reject', error: { name: 'PayloadError' } })
    expect(settled[0]!.event!.error!.message).toMatch(/^payload\.to: /)
    expect(ran).toBe(false)
  })

  test.each<[string, () => Errors | Promise<Errors>]>([
    ['another copy of the package', errorsOfAnotherCopy],
    ['another realm', errorsOfAnotherRealm],
  ])('says so even if it is of %s', async (_, load) => {
    const { PermanentError, RetryAfterError, SnoozeError } = await load()
    const outcome = (thrown: unknown) => outcomeOf(() => Promise.reject(thrown))

    expect(await outcome(new PermanentError('never'))).toMatchObject({ event: 'reject', error: { message: 'never' } })
    expect(await outcome(new RetryAfterError(60_000))).toMatchObject({ event: 'fail', delayMs: 60_000 })
    expect(await outcome(new SnoozeError(60_000))).toMatchObject({ event: 'snooze', delayMs: 60_000 })
  })

  test.each([
    new PayloadError([{ path: 'payload.x', message: 'is wrong' }]),
    new UnknownTypeError('nobody', []),
    new InvalidInputError([{ path: 'queue', message: 'is wrong' }]),
  ])('does not count if it is about another job, which the handler tried to enqueue: %s', async (error) => {
    expect(await outcomeOf(() => Promise.reject(error))).toMatchObject({ event: 'fail', error: { name: error.name } })
  })

  test('a schema that throws fails the attempt: it may be corrected', async () => {
    const payload = z.unknown().transform(throws)
    const handler = { ...aHandler(() => 1), payload }

    expect((await run(handler)).settled[0]!.event).toMatchObject({ event: 'fail', error: { name: 'TypeError' } })
  })

  test('a type without a handler here rejects the job', async () => {
    const { settled } = await run(() => 1, { type: 'nobody' })

    expect(settled[0]!.event).toMatchObject({ event: 'reject', error: { name: 'UnknownTypeError' } })
  })

  test.each<[unknown, number]>([
    [1_500, 1_500],
    [0, 0],
    [0.6, 1],
    [-5, 0],
    [Number.NEGATIVE_INFINITY, 0],
    [Number.POSITIVE_INFINITY, century],
    [1e300, century],
    [Number.NaN, settingsBackoffMs],
    [undefined, settingsBackoffMs],
    ['soon', settingsBackoffMs],
    // What `headers['retry-after']` gives: text of seconds, or nothing.
    ['120', settingsBackoffMs],
    [null, settingsBackoffMs],
    [Symbol('soon'), settingsBackoffMs],
  ])('RetryAfterError and SnoozeError of %o ms wait %d', async (asked, delayMs) => {
    const retry = await outcomeOf(() =>
      Promise.reject(Object.assign(new RetryAfterError(0, 'later'), { delayMs: asked })),
    )
    const asking = Object.assign(new SnoozeError(0), { delayMs: asked })
    const snooze = await outcomeOf(() => Promise.reject(asking))

    expect(retry).toMatchObject({ event: 'fail', delayMs, error: { name: 'RetryAfterError' } })
    const isTaken = typeof asked === 'number' && asked >= 0 && asked <= century
    expect(retry?.error?.message).toMatch(isTaken ? /^later$/ : /^later \(the delayMs that it threw is /)
    const told = isTaken
      ? {}
      : {
          error: expect.objectContaining({
            name: 'SnoozeError',
            message: expect.stringMatching(/^snoozed for 0 ms \(the/),
          }),
        }
    expect(snooze).toEqual({ id: 7, leaseToken: 70, event: 'snooze', delayMs: Math.max(delayMs, 1_000), ...told })
  })

  test('an error whose delay cannot be read waits as long as any failure', async () => {
    const error = Object.defineProperty(new SnoozeError(5), 'delayMs', { get: throws })

    expect(await outcomeOf(() => Promise.reject(error))).toMatchObject({ event: 'snooze', delayMs: 1_000 })
  })

  test.each([
    [0, 4, 1_000],
    [1_500, 999, 1_500],
    [0, 1_400, 1_400],
    [60_000, 59_999, 60_000],
    [60_000, 70_000, 70_000],
  ])(
    'SnoozeError of %d ms after %d transitions waits %d: a history grows ever more slowly',
    async (asked, leaseToken, delayMs) => {
      const { settled } = await run(() => Promise.reject(new SnoozeError(asked)), { leaseToken })

      expect(settled[0]!.event).toMatchObject({ event: 'snooze', delayMs })
    },
  )
})

describe('a payload that the lease left out', () => {
  /** An attempt with it, once it has ended; `read` as that of the store. */
  async function outcomeWith(read: () => string | Promise<string>, abort?: Error) {
    const given: unknown[] = []
    const settled: (LeaseEvent | null)[] = []
    const options = { ...optionsFor(aHandler((payload) => void given.push(payload))) }
    const longPayloads = new LongPayloads({ readPayload: read })
    const attempt = createRunAttempt({ ...options, longPayloads })(aLeasedJob({ payload: null }), {
      settled: (event) => settled.push(event),
      ended() {},
    })
    if (abort) attempt.abort(abort, false)
    await vi.waitFor(() => expect(settled).toHaveLength(1))
    return { given, event: settled[0] }
  }

  test.each([
    ['at once', () => '{"a":1}'],
    ['later', () => Promise.resolve('{"a":1}')],
  ])('is read when its handler is called, if the store answers %s', async (_when, read) => {
    expect(await outcomeWith(read)).toMatchObject({ given: [{ a: 1 }], event: { event: 'succeed' } })
  })

  test.each([
    ['throws', (error: Error) => throwing(error)],
    ['rejects', (error: Error) => Promise.reject(error)],
  ])('and that the store cannot read now, so that it %s, gives the job back', async (_how, fail) => {
    const { given, event } = await outcomeWith(() => fail(new UnavailableError('no')))

    expect(given).toEqual([])
    expect(event).toEqual({ id: 7, leaseToken: 70, event: 'release' })
  })

  test('and that is gone rejects the job', async () => {
    expect(await outcomeWith(() => '')).toMatchObject({ given: [], event: { event: 'reject' } })
  })

  test('and that a damaged file does not give fails the attempt', async () => {
    const { given, event } = await outcomeWith(() => throwing(new Error('malformed')))

    expect(given).toEqual([])
    expect(event).toMatchObject({ event: 'fail', error: { message: 'malformed' } })
  })

  test('is not given to the handler of an attempt that was aborted meanwhile', async () => {
    expect(await outcomeWith(() => '1', new ShutdownError())).toMatchObject({ given: [], event: { event: 'release' } })
  })

  test.each([
    ['256 KiB', 262_144, [1, 2, 3, 4]],
    ['half of that', 131_072, [2, 4, 4, 4]],
    ['64 KiB', 65_536, [4, 4, 4, 4]],
  ])('of %s is read with others of the same turn of the loop up to 256 KiB', async (_size, length, expected) => {
    const readPayload = vi.fn(() => 'x'.repeat(length))
    const longPayloads = new LongPayloads({ readPayload })
    for (let id = 1; id <= 4; id++) void longPayloads.read({ id, leaseToken: 1 })
    const counts: number[] = []
    for (let turn = 1; turn <= 4; turn++) {
      await setImmediate()
      counts.push(readPayload.mock.calls.length)
    }

    expect(counts).toEqual(expected)
  })
})

describe('a handler of which nothing has run', () => {
  const ran: string[] = []
  afterEach(() => expect(ran).toEqual([]))

  test.each<[string, () => unknown, string]>([
    ['a function', () => () => ran.push('x'), 'a function'],
    ['a promise of a function', async () => async () => ran.push('x'), 'a function'],
    [
      'a generator',
      () =>
        (function* () {
          yield ran.push('x')
        })(),
      'an iterator',
    ],
    [
      'an async generator',
      () =>
        (async function* () {
          yield ran.push('x')
        })(),
      'an iterator',
    ],
    [
      'an iterator of its own',
      () => ({
        next: () => ran.push('x'),
        [Symbol.asyncIterator]() {
          return this
        },
      }),
      'an iterator',
    ],
  ])('fails if it returned %s, and says so', async (_, handler, what) => {
    expect(await outcomeOf(handler)).toMatchObject({
      event: 'fail',
      error: { name: 'TypeError', message: `its handler returned ${what}, none of which has run` },
    })
  })

  test.each<[string, () => unknown]>([
    ['an array', () => [1]],
    ['an object with a next', () => ({ next: 5 })],
  ])('does not include one that returned %s', async (_, handler) => {
    expect(await outcomeOf(handler)).toMatchObject({ event: 'succeed' })
  })
})

describe('the delay after a failure', () => {
  test('is the handler’s, which gets the failed attempt and the system’s randomness', async () => {
    const backoffMs = vi.fn((attempt: number, random: () => number) => attempt * 1_000 + random() * 100)

    const { settled } = await run({ ...failing(), backoffMs }, { attempt: 1 })

    expect(settled[0]!.event).toMatchObject({ event: 'fail', delayMs: 2_050 })
    expect(backoffMs).toHaveBeenCalledTimes(1)
  })

  test('is the settings’ if the handler has none', async () => {
    expect((await run(failing())).settled[0]!.event).toMatchObject({ delayMs: settingsBackoffMs })
  })

  test.each<[string, () => unknown, string]>([
    ['throws', throws, 'threw: from within'],
    ['gives NaN', () => Number.NaN, 'gave NaN'],
    ['gives nothing', () => undefined, 'gave undefined'],
    ['gives null', () => null, 'gave null'],
    ['gives a promise', () => Promise.resolve(5), 'gave a promise'],
    ['gives a promise that rejects', () => Promise.reject(new Error('stray')), 'gave a promise'],
    ['gives text', () => '5', 'gave a string'],
    ['gives Infinity', () => Number.POSITIVE_INFINITY, 'gave Infinity'],
    ['gives less than nothing', () => -1, 'gave -1'],
    ['gives what cannot be looked at', () => revokedProxy(), 'gave an object'],
  ])('is the settings’ if the handler’s backoff %s, and its error and the log say so', async (_, backoff, fault) => {
    const { settled, log } = await run({ ...failing(), backoffMs: backoff as () => number })

    expect(settled[0]!.event).toMatchObject({
      event: 'fail',
      delayMs: settingsBackoffMs,
      error: { message: `no (its backoffMs ${fault})` },
    })
    expect(log).toEqual([{ fault: `its backoffMs ${fault}` }])
  })

  test('is the settings’ after a timeout too if the handler’s backoff is broken', async () => {
    useFakeTimers()
    const handler = {
      ...aHandler((_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject))),
      backoffMs: throws,
    }
    const told = start(handler, { timeoutMs: 1_000 })
    await vi.advanceTimersByTimeAsync(1_000)
    useRealTimers()

    expect(told.settled[0]!.event).toMatchObject({
      delayMs: settingsBackoffMs,
      error: { name: 'AttemptTimeoutError', message: expect.stringMatching(/ \(its backoffMs threw: from within\)$/) },
    })
  })

  test.each<[string, () => number, number]>([
    ['gives a thousand years', () => century * 10, century],
    ['gives a fraction', () => 1.4, 1],
    ['gives none', () => 0, 0],
  ])('is valid if the handler’s backoff %s', async (_, backoffMs, delayMs) => {
    expect((await run({ ...failing(), backoffMs })).settled[0]!.event).toMatchObject({ event: 'fail', delayMs })
  })

  test('is requested from the handler as a method call', async () => {
    const handler = {
      ...failing(),
      baseMs: 40,
      backoffMs(this: { baseMs: number }, attempt: number) {
        return this.baseMs * attempt
      },
    }

    expect((await run(handler as Handler)).settled[0]!.event).toMatchObject({ delayMs: 40 })
  })
})

describe('the signal', () => {
  test('is created when it is first read, and only once', async () => {
    const made = vi.spyOn(globalThis, 'AbortController')
    let same = false

    await run(() => 1)
    const unasked = made.mock.calls.length
    await run((_, context) => {
      const { signal } = context
      same = signal === context.signal
    })

    expect([unasked, made.mock.calls.length, same]).toEqual([0, 1, true])
    made.mockRestore()
  })

  test('has already fired if it is first read after the abort', async () => {
    let late: AbortSignal | undefined
    const { attempt } = await run(async (_, context) => {
      await setImmediate()
      await setImmediate()
      late = context.signal
    })
    attempt.abort(new JobCancelledError(), true)
    await setImmediate()
    await setImmediate()
    await setImmediate()

    expect(late?.aborted).toBe(true)
    expect(late?.reason).toBeInstanceOf(JobCancelledError)
  })

  test('keeps the first reason', async () => {
    let signal: AbortSignal | undefined
    const { attempt } = await run((_, context) => {
      signal = context.signal
      return setImmediate()
    })
    attempt.abort(new JobCancelledError(), true)
    attempt.abort(new ShutdownError(), false)

    expect(signal?.reason).toBeInstanceOf(JobCancelledError)
  })
})

describe('an attempt that is aborted', () => {
  test('because its lease is lost reports only that it has ended', async () => {
    for (const end of [() => 1, () => Promise.reject(new Error('e')), () => Promise.reject(new PermanentError('p'))]) {
      const { attempt, settled } = await run(() => setImmediate().then(end))
      attempt.abort(new JobCancelledError(), true)
      await setImmediate()
      await setImmediate()

      expect(settled).toMatchObject([{ event: null, ended: true }])
    }
  })

  test('by a shutdown gives the job back if it throws, and succeeds if it finishes', async () => {
    const abortedThen = async (end: (signal: AbortSignal) => unknown) => {
      const { attempt, settled } = await run((_, { signal }) => setImmediate().then(() => end(signal)))
      attempt.abort(new ShutdownError(), false)
      await setImmediate()
      await setImmediate()
      return settled[0]!.event
    }

    expect(await abortedThen((signal) => signal.throwIfAborted())).toEqual({ id: 7, leaseToken: 70, event: 'release' })
    expect(await abortedThen(() => Promise.reject(new PermanentError('p')))).toMatchObject({ event: 'release' })
    expect(await abortedThen(() => Promise.reject(new SnoozeError(5)))).toMatchObject({ event: 'release' })
    expect(await abortedThen(() => 'done')).toMatchObject({ event: 'succeed' })
  })
})

describe('an attempt that takes too long', () => {
  beforeEach(() => useFakeTimers())
  afterEach(() => useRealTimers())

  test('has its signal fired at its timeout, and fails when it ends after that', async () => {
    let reason: unknown
    const told = start((_, { signal }) => {
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason
          reject(signal.reason)
        })
      })
    })

    await vi.advanceTimersByTimeAsync(999)
    const before = reason
    await vi.advanceTimersByTimeAsync(1)

    expect(before).toBeUndefined()
    expect(reason).toEqual(new AttemptTimeoutError(1_000))
    expect(told.settled).toEqual([
      {
        event: {
          id: 7,
          leaseToken: 70,
          event: 'fail',
          delayMs: settingsBackoffMs,
          error: { name: 'AttemptTimeoutError', message: expect.stringContaining('1000 ms') },
        },
        ended: true,
      },
    ])
  })

  test('does not count the time that it waited for a long payload, only what comes after', async () => {
    const payload = deferred<string>()
    const called = vi.fn(() => new Promise(() => {}))
    const longPayloads = new LongPayloads({ readPayload: () => payload.promise })
    const runAttempt = createRunAttempt({ ...optionsFor(aHandler(called)), longPayloads })
    const attempt = runAttempt(aLeasedJob({ payload: null }), { settled() {}, ended() {} })

    await vi.advanceTimersByTimeAsync(5_000)
    payload.resolve('1')
    await vi.advanceTimersByTimeAsync(999)
    expect([called.mock.calls.length, attempt.aborted]).toEqual([1, null])

    await vi.advanceTimersByTimeAsync(1)
    expect(attempt.aborted).toMatchObject({ reason: expect.any(AttemptTimeoutError) })
  })

  test('and never resolves fails after its grace, keeps its slot, and stays visible', async () => {
    const told = start(() => new Promise(() => {}))

    await vi.advanceTimersByTimeAsync(1_000 + abortGraceMs - 1)
    const withinGrace = told.settled.length
    await vi.advanceTimersByTimeAsync(1)

    expect(withinGrace).toBe(0)
    expect(told.settled).toMatchObject([{ event: { event: 'fail' }, ended: false }])
    expect([told.ended.length, told.stats.active]).toEqual([0, 1])

    await vi.advanceTimersByTimeAsync(86_400_000)
    expect([told.settled.length, told.ended.length]).toEqual([1, 0])
  })

  test('reports since when it runs, how long it may, and when and why it was told to stop', async () => {
    const from = Date.now()
    const { attempt } = start(() => new Promise(() => {}))
    const before = [attempt.startedAt - from, attempt.timeoutMs, attempt.aborted]

    await vi.advanceTimersByTimeAsync(1_000)
    attempt.abort(new ShutdownError(), false)

    expect(before).toEqual([0, 1_000, null])
    expect(attempt.aborted).toEqual({ at: from + 1_000, reason: expect.any(AttemptTimeoutError) })
  })

  test('but finally ends frees its slot once, without a second outcome', async () => {
    for (const end of [() => 'done', throws]) {
      let finish = () => {}
      const told = start(() => new Promise<void>((resolve) => (finish = resolve)).then(end))

      await vi.advanceTimersByTimeAsync(1_000 + abortGraceMs)
      finish()
      await vi.advanceTimersByTimeAsync(0)

      expect([told.settled.length, told.ended.length, told.stats.active]).toEqual([1, 1, 0])
    }
  })

  test.each<[string, () => unknown]>([
    ['resolves', () => 'done'],
    ['throws PermanentError', () => Promise.reject(new PermanentError('p'))],
    ['throws SnoozeError', () => Promise.reject(new SnoozeError(0))],
  ])('fails even if it then %s within its grace', async (_, end) => {
    const told = start(() => new Promise((resolve) => setTimeout(resolve, 1_500)).then(end))

    await vi.advanceTimersByTimeAsync(1_500)

    expect(told.settled).toMatchObject([
      { event: { event: 'fail', error: { name: 'AttemptTimeoutError' } }, ended: true },
    ])
  })

  test('is limited by the job’s own timeout, otherwise its handler’s, otherwise the settings’', async () => {
    const timeoutOf = async (job: Partial<LeasedJob>, handler: Partial<Handler>) => {
      let abortedAt: number | undefined
      const from = Date.now()
      start(
        {
          ...aHandler((_, { signal }) => {
            signal.addEventListener('abort', () => {
              abortedAt = Date.now() - from
            })
            return new Promise(() => {})
          }),
          ...handler,
        },
        job,
      )
      await vi.advanceTimersByTimeAsync(10_000)
      return abortedAt
    }

    expect(await timeoutOf({ timeoutMs: 200 }, { timeoutMs: 300 })).toBe(200)
    expect(await timeoutOf({}, { timeoutMs: 300 })).toBe(300)
    expect(await timeoutOf({}, {})).toBe(1_000)
  })

  test('but is given back by a shutdown before its timeout is released, not failed', async () => {
    const told = start(() => new Promise(() => {}))
    told.attempt.abort(new ShutdownError(), false)

    await vi.advanceTimersByTimeAsync(abortGraceMs)

    expect(told.settled).toMatchObject([{ event: { event: 'release' }, ended: false }])
  })

  test('after it was cancelled keeps its slot beyond its grace, and reports nothing', async () => {
    const told = start(() => new Promise(() => {}))
    told.attempt.abort(new JobCancelledError(), true)

    await vi.advanceTimersByTimeAsync(abortGraceMs)

    expect(told.settled).toMatchObject([{ event: null, ended: false }])
  })

  test('leaves no timer behind if it ends in time', async () => {
    start(() => 1)
    await vi.advanceTimersByTimeAsync(0)

    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('the metrics', () => {
  test('count an abandoned attempt and the next one of the same job separately', () => {
    const stats = new RunStats()
    const [old, next] = [aLeasedJob({ leaseToken: 1 }), aLeasedJob({ leaseToken: 2 })]

    stats.started(old, 0)
    stats.started(next, 0)
    const both = stats.active
    stats.ended(next, 10)
    const one = stats.active
    stats.ended(old, 30)

    expect([both, one, stats.active, stats.avgExecutionMs]).toEqual([2, 1, 0, 20])
  })

  test('have the durations of each type with a handler here, and of no others', () => {
    const stats = new RunStats(['work', 'idle'])
    for (const [type, runAt, tookMs] of [
      ['work', 60, 7],
      ['work', 99, 3],
      ['stray', 0, 1],
    ] as const) {
      const job = aLeasedJob({ type, runAt })
      stats.started(job, 100)
      stats.ended(job, tookMs)
    }

    const { timeInQueue, execution } = stats.durations()
    const byType = stats.byType().map(({ type, ...each }) => [type, each.timeInQueue.sum, each.execution.count])

    expect(byType).toEqual([
      ['work', 41, 2],
      ['idle', 0, 0],
    ])
    expect([timeInQueue.count, timeInQueue.sum, execution.count, execution.sum]).toEqual([2, 41, 2, 10])
  })

  test('are zero before anything has run', () => {
    const { active, avgExecutionMs, avgTimeInQueueMs } = new RunStats()

    expect([active, avgExecutionMs, avgTimeInQueueMs]).toEqual([0, 0, 0])
  })
})

describe('an attempt that completes its job in a transaction of its handler', () => {
  /** Its handler calls `complete`, and then waits for `end`. `hasCompleted`: what the store says. */
  async function completing(hasCompleted: () => Promise<boolean>, complete = async () => {}) {
    const end = deferred<unknown>()
    const handler = aHandler(async (_, context) => {
      await context.complete({ query: async () => [] }).catch(() => {})
      context.signal.addEventListener('abort', () => {})
      return end.promise
    })
    const settled: (LeaseEvent | null)[] = []
    const options = { ...optionsFor(handler), transactions: { complete, hasCompleted } }
    const attempt = createRunAttempt(options)(aLeasedJob(), { settled: (event) => settled.push(event), ended() {} })
    await setImmediate()
    return { attempt, settled, end }
  }

  test('has no outcome of its own once that is committed, however it ends', async () => {
    for (const how of ['resolve', 'reject'] as const) {
      const { settled, end } = await completing(async () => true)
      end[how](new Error('ended'))
      await setImmediate()

      expect(settled).toEqual([null])
    }
  })

  test('sends one if it cannot find out: the store refuses it if there is one', async () => {
    const { settled, end } = await completing(() => Promise.reject(new Error('away')))
    end.resolve(1)
    await setImmediate()

    expect(settled).toMatchObject([{ event: 'fail', error: { name: 'NotCommittedError' } }])
  })

  test('is not told that its lease was lost when its own commit ended it, and is told otherwise', async () => {
    const told = async (isDone: boolean) => {
      const { attempt } = await completing(async () => isDone)
      attempt.abort(new JobCancelledError(), true)
      await setImmediate()
      return attempt.aborted !== null
    }

    expect([await told(true), await told(false)]).toEqual([false, true])
  })

  test('has the result that it gave to complete, and none of what it returns', async () => {
    const given: LeaseEvent[] = []
    const handler = aHandler(async (_, { complete }) => {
      await complete({ query: async () => [] }, { sum: 5 })
      return 1n
    })
    const complete = async (_: unknown, event: LeaseEvent) => void given.push(event)
    const settled: (LeaseEvent | null)[] = []
    const warned: object[] = []
    const transactions = { complete, hasCompleted: async () => true }
    const options = { ...optionsFor(handler, new RunStats(), warned), transactions }
    createRunAttempt(options)(aLeasedJob(), { settled: (event) => settled.push(event), ended() {} })
    await setImmediate()

    expect(warned).toEqual([])
    expect(given).toMatchObject([{ event: 'succeed', result: '{"sum":5}' }])
    expect(settled).toEqual([null])
  })

  test('is rejected, and its transaction untouched, if that result cannot be kept', async () => {
    const handler = aHandler((_, { complete }) => complete({ query: async () => [] }, new Map()))
    const complete = () => Promise.reject(new Error('not to be called'))
    const settled: (LeaseEvent | null)[] = []
    const options = { ...optionsFor(handler), transactions: { complete, hasCompleted: async () => false } }
    createRunAttempt(options)(aLeasedJob(), { settled: (event) => settled.push(event), ended() {} })
    await setImmediate()

    expect(settled).toMatchObject([{ event: 'reject', error: { name: 'ResultError' } }])
  })

  test('succeeds as any other if its client was refused', async () => {
    const refuse = () => Promise.reject(new InvalidInputError([{ path: 'client', message: 'no' }]))
    const { settled, end } = await completing(async () => false, refuse)
    end.resolve(1)
    await setImmediate()

    expect(settled).toMatchObject([{ event: 'succeed' }])
  })
})

type Run = (payload: never, context: JobContext) => unknown

function aHandler(run: Run): Handler {
  return defineHandler({ type: 'work', payload: z.unknown(), run: run as Handler['run'] })
}

function failing(): Handler {
  return aHandler(() => Promise.reject(new Error('no')))
}

function aLeasedJob(given: Partial<LeasedJob> = {}): LeasedJob {
  return {
    id: 7,
    leaseToken: 70,
    type: 'work',
    queue: 'default',
    payload: 'null',
    attempt: 0,
    maxAttempts: 3,
    timeoutMs: null,
    runAt: 0,
    trace: null,
    ...given,
  }
}

function optionsFor(
  handler: Handler,
  stats = new RunStats(),
  warned: object[] = [],
): Parameters<typeof createRunAttempt>[0] {
  const log = { info() {}, warn: (fields: object) => void warned.push(fields), error() {} }
  return {
    registry: new Registry([handler]),
    databaseIdOf: () => 'f00d',
    transactions: { complete: async () => {}, hasCompleted: async () => false },
    longPayloads: new LongPayloads({ readPayload: () => '' }),
    scheduleOf: async () => null,
    timeoutMs: 1_000,
    maxResultBytes: 65_536,
    backoff: () => settingsBackoffMs,
    random: () => 0.5,
    now: vi.isFakeTimers() ? Date.now : () => 0,
    log: () => log,
    reports: new Reports({ report: async () => {} }, timers),
    keepLogs: true,
    stats,
    tracing: { attempt: () => null },
    stalls: { loopMs: () => 0, threadMs: () => 0 },
    timers,
  }
}

/** Begins an attempt. */
function start(handler: Handler | Run, job: Partial<LeasedJob> = {}): Told {
  const settled: Told['settled'] = []
  const ended: number[] = []
  const stats = new RunStats()
  const log: object[] = []
  const made = typeof handler === 'function' ? aHandler(handler) : handler
  const runAttempt = createRunAttempt(optionsFor(made, stats, log))
  const attempt = runAttempt(aLeasedJob(job), {
    settled: (event, isOver) => settled.push({ event, ended: isOver }),
    ended: () => ended.push(1),
  })
  return { attempt, settled, ended, stats, log }
}

/** The same, followed by a turn of the loop, after which a call that waits for nothing has ended. */
async function run(handler: Handler | Run, job: Partial<LeasedJob> = {}): Promise<Told> {
  const told = start(handler, job)
  await new Promise<void>((resolve) => queueMicrotask(resolve))
  for (let i = 0; i < 20; i++) await null
  return told
}

async function outcomeOf(handler: Run): Promise<LeaseEvent | null> {
  const { settled } = await run(handler)
  expect(settled).toHaveLength(1)
  return settled[0]!.event
}

function throws(): never {
  throw new Error('from within')
}

function revokedProxy(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function throwing(error: Error): never {
  throw error
}
