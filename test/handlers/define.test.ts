import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { PayloadError } from '../../src/errors.ts'
import { exponential } from '../../src/handlers/backoff.ts'
import { checkPayload, defineHandler, type Handler } from '../../src/handlers/define.ts'
import { faultsOf } from '../support/attempt.ts'
import { parsePayload } from '../support/payload.ts'

const payload = z.unknown()
const run = () => {}

describe('a handler', () => {
  test('is returned as it was declared', () => {
    const handler: Handler = { type: 'work', payload, run, timeoutMs: 5, maxRetries: 0, backoffMs: () => 1 }

    expect(defineHandler(handler)).toBe(handler)
  })

  test.each(['a', 'A.b_c:d-9', '0', 'x'.repeat(64)])('may be named %s', (type) => {
    expect(() => defineHandler({ type, payload, run })).not.toThrow()
  })

  test.each(['', '.a', '-a', 'a b', 'a/b', '../../x', 'é', 'a\n', 'a\0', 'x'.repeat(65), 'x'.repeat(10_000)])(
    'may not be named %j',
    (type) => {
      expect(() => defineHandler({ type, payload, run })).toThrow(TypeError)
    },
  )

  test.each<[string, object]>([
    ['no run', { run: undefined }],
    ['a run that is no function', { run: 'x' }],
    ['no schema', { payload: undefined }],
    ['a schema that is none', { payload: {} }],
    ['a timeout of nothing', { timeoutMs: 0 }],
    ['a timeout beyond a day', { timeoutMs: 86_400_001 }],
    ['a timeout that is no number', { timeoutMs: Number.NaN }],
    ['a fraction of a retry', { maxRetries: 1.5 }],
    ['fewer retries than none', { maxRetries: -1 }],
    ['a generator that is to run', { *run() {} }],
    ['an async generator that is to run', { async *run() {} }],
    ['a backoff that is no function', { backoffMs: 1_000 }],
    ['an async backoff', { backoffMs: async () => 1_000 }],
    ['a member that it has not', { retries: 5 }],
    ['more retries than 1,000', { maxRetries: 1_001 }],
  ])('is refused with %s, by name', (_, wrong) => {
    expect(() => defineHandler({ type: 'work', payload, run, ...wrong })).toThrow(/^handler "work": /)
  })

  test.each<[unknown, RegExp]>([
    [
      { type: 'work', payload, handler: run },
      /^handler "work": handler is not a property of a handler; did you mean run\?$/,
    ],
    [
      { type: 'work', payload, run, timeout: 5 },
      /^handler "work": timeout is not a property of a handler; did you mean timeoutMs\?$/,
    ],
    [{ type: 'work', payload, run, maxAttempts: 5 }, /did you mean maxRetries\?$/],
    [{ payload, run }, /^handler without a type: type must be 1 to 64 letters/],
    [run, /^a handler must be an object of type, payload and run, got the function run; wrap it: /],
    [null, /^a handler must be an object of type, payload and run, got null$/],
  ])('that is not valid is refused with what to do: %o', (given, sentence) => {
    expect(() => defineHandler(given as never)).toThrow(sentence)
  })

  test('of a class may have additional members', () => {
    class Mailer {
      readonly type = 'mail'
      readonly payload = payload
      readonly transport = {}
      run(): void {}
    }

    expect(() => defineHandler(new Mailer())).not.toThrow()
  })

  test('accepts a timeout of a day and 1,000 retries', () => {
    expect(() => defineHandler({ type: 'work', payload, run, timeoutMs: 86_400_000, maxRetries: 1_000 })).not.toThrow()
  })

  test('with a schema that validates asynchronously is refused', () => {
    const asynchronous = z.unknown().refine(async () => true)

    expect(() => defineHandler({ type: 'work', payload: asynchronous, run })).toThrow(/asynchronously/)
  })

  test('with a schema that throws is refused and leaves no unhandled rejection', async () => {
    const { stray, stop } = straying()

    expect(() => defineHandler({ type: 'work', payload: z.unknown().transform(throws), run })).toThrow(/throws/)
    await setImmediate()
    await setImmediate()

    expect(stray).toEqual([])
    stop()
  })
})

describe('a payload', () => {
  const handler = defineHandler({
    type: 'work',
    payload: z.strictObject({ to: z.array(z.object({ email: z.email() })), n: z.number().default(1) }),
    run,
  })

  test('arrives as its schema returns it', () => {
    expect(parsePayload(handler, { to: [] })).toEqual({ to: [], n: 1 })
  })

  test('has every fault reported, with its path', () => {
    expect(faultsOf(handler, { to: [{ email: 'x' }, {}], n: 'y', z: 1 }).map((fault) => fault.split(': ')[0])).toEqual([
      'payload.to.0.email',
      'payload.to.1.email',
      'payload.n',
      'payload',
    ])
  })

  test('with a million faults in a schema of any library has a hundred reported, in kilobytes', () => {
    const issues = Array.from({ length: 1_000_000 }, () => ({ message: 'is wrong', path: ['a'] }))
    const long = Array.from({ length: 1_000 }, () => ({ message: 'x'.repeat(10_000), path: ['y'.repeat(10_000)] }))
    const told = (found: typeof issues) => {
      const validate = (value: unknown) => (value === undefined ? { value } : { issues: found })
      const payload = { '~standard': { version: 1, vendor: 'mine', validate } } as const
      try {
        parsePayload(defineHandler({ type: 'work', payload, run }), 1)
      } catch (error) {
        return error as PayloadError
      }
      throw new Error('it was taken')
    }

    expect(told(issues).issues).toHaveLength(100)
    expect(told(issues).message.length).toBeLessThan(20_000)
    expect(told(long).issues[0]!.message).toBe(`${'x'.repeat(1_000)}…`)
    expect(told(long).message.length).toBeLessThan(20_000)
  })

  test('has the name that its caller gives it', () => {
    expect(checkPayload(handler, { to: 1 }, '3.payload').issues).toMatchObject([{ path: '3.payload.to' }])
  })

  test('that its handler does not accept causes a PayloadError with its code', () => {
    expect(() => parsePayload(handler, null)).toThrow(PayloadError)
    expect(() => parsePayload(handler, null)).toThrow(expect.objectContaining({ code: 'invalid_payload' }))
  })

  test('whose check throws leaves no unhandled rejection, which would end the process', async () => {
    const { stray, stop } = straying()
    const fragile = defineHandler({
      type: 'work',
      payload: z.any().refine((given) => given === undefined || given.list.length > 0),
      run,
    })

    expect(() => parsePayload(fragile, {})).toThrow(TypeError)
    await setImmediate()
    await setImmediate()

    expect(stray).toEqual([])
    stop()
  })

  test('may be checked by any Standard Schema, including one whose paths are objects', () => {
    const validate = () => ({ issues: [{ message: 'no', path: [{ key: 'a' }, 0, Symbol('s')] }] })
    const own: Handler = { type: 'own', payload: { '~standard': { version: 1, vendor: 'own', validate } }, run }

    expect(faultsOf(defineHandler(own), {})).toEqual(['payload.a.0.Symbol(s): no'])
  })
})

describe('exponential backoff', () => {
  test.each([
    { base: 1, max: 2 },
    { baseMs: '1', maxMs: 2 },
    { baseMs: 1, maxMs: -1 },
    { baseMs: Number.NaN, maxMs: 1 },
  ])('is refused if it could give no delay: %j', (given) => {
    expect(() => exponential(given as never)).toThrow(/^exponential needs a (baseMs|maxMs) of 0 or more ms, got /)
  })

  const backoff = exponential({ baseMs: 1_000, maxMs: 60_000 })
  const delays = (random: number) => [1, 2, 3, 6, 7, 1_000].map((attempt) => backoff(attempt, () => random))

  test('doubles from its base to its limit, and then uses a point in the upper half', () => {
    expect(delays(0)).toEqual([500, 1_000, 2_000, 16_000, 30_000, 30_000])
    expect(delays(0.5)).toEqual([750, 1_500, 3_000, 24_000, 45_000, 45_000])
    expect(delays(1 - Number.EPSILON)).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000])
  })

  test('is a finite number for any attempt', () => {
    expect(backoff(1e9, () => 0.3)).toBe(39_000)
  })
})

function throws(): never {
  throw new Error('from within')
}

/** Catches uncaught errors. */
function straying() {
  const stray: unknown[] = []
  const others = process.listeners('unhandledRejection')
  const listen = (error: unknown) => void stray.push(error)
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', listen)
  const stop = () => {
    process.removeListener('unhandledRejection', listen)
    for (const other of others) process.on('unhandledRejection', other)
  }
  return { stray, stop }
}
