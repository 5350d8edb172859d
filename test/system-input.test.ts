import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { IdempotencyConflictError, InvalidInputError, PayloadError, UnknownTypeError } from '../src/errors.ts'
import { defineHandler } from '../src/handlers/define.ts'
import type { JobSystem, NewJob } from '../src/index.ts'
import { fromAnotherRealm } from './support/other-copies.ts'
import { aHandler, openSystem, startAt, startSystem, untilState } from './support/system.ts'
import { cleanUp } from './support/temp.ts'

const mail = defineHandler({
  type: 'mail',
  payload: z.strictObject({ to: z.email(), at: z.iso.datetime().optional() }),
  run() {},
})
const work = aHandler('work', () => {})

/** Mistakes of callers that can share one system, which stores nothing. */
describe('a bad job is refused, every fault by its path, and nothing is stored', () => {
  let system: JobSystem
  beforeAll(async () => {
    ;({ system } = await openSystem({ handlers: [mail, work], maxPayloadBytes: 1_000 }))
    return async () => {
      const { jobs } = await system.list()
      await cleanUp()
      expect(jobs).toEqual([])
    }
  })

  const nine = Array.from({ length: 9 }, (_, n) => n)
  const long = 'x'.repeat(65)
  // As the library's caller writes it, as HTTP's does (undefined: the same), and what is said to be wrong.
  const cases: [object, object | undefined, string[], string[]?][] = [
    [{ payload: 1 }, undefined, ['type']],
    [{ type: 'work' }, undefined, ['payload']],
    [{}, undefined, ['payload', 'type']],
    ...['', ' ', 'a b', '../../x', 'é', 'a\0', long, 5, null, {}].map((type): [object, undefined, string[]] => [
      { type, payload: 1 },
      undefined,
      ['type'],
    ]),
    ...['', '../../x', 'a\n', long, 5, null].map((queue): [object, undefined, string[]] => [
      { type: 'work', payload: 1, queue },
      undefined,
      ['queue'],
    ]),
    ...[-101, 101, 1.5, '5', null, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY].map(
      (priority): [object, undefined, string[]] => [{ type: 'work', payload: 1, priority }, undefined, ['priority']],
    ),
    ...[-1, 1_001, 0.5, '3', null, Number.NaN].map((n): [object, object, string[], string[]] => [
      { type: 'work', payload: 1, maxRetries: n },
      { type: 'work', payload: 1, max_retries: n },
      ['maxRetries'],
      ['max_retries'],
    ]),
    ...[-1, 3_155_760_000_001, 0.5, '5', null, Number.NaN, Number.POSITIVE_INFINITY].map(
      (n): [object, object, string[], string[]] => [
        { type: 'work', payload: 1, delayMs: n },
        { type: 'work', payload: 1, delay_ms: n },
        ['delayMs'],
        ['delay_ms'],
      ],
    ),
    ...[0, -1, 86_400_001, 1.5, '5', null, Number.NaN].map((n): [object, object, string[], string[]] => [
      { type: 'work', payload: 1, timeoutMs: n },
      { type: 'work', payload: 1, timeout_ms: n },
      ['timeoutMs'],
      ['timeout_ms'],
    ]),
    ...['', 'x'.repeat(256), 'a\nb', '\u0000', '\ud800', 5, null].map((key): [object, object, string[], string[]] => [
      { type: 'work', payload: 1, idempotencyKey: key },
      { type: 'work', payload: 1, idempotency_key: key },
      ['idempotencyKey'],
      ['idempotency_key'],
    ]),
    ...[
      'tomorrow',
      '5',
      '2030-01-01',
      '2030-01-01T00:00:00',
      '2030-13-01T00:00:00Z',
      '+275760-09-13T00:00:00Z',
      '9999-12-31T23:59:59.999-00:01',
      null,
    ].map((at): [object, object, string[], string[]] => [
      { type: 'work', payload: 1, runAt: at },
      { type: 'work', payload: 1, run_at: at },
      ['runAt'],
      ['run_at'],
    ]),
    [
      { type: 'work', payload: 1, runAt: 1, delayMs: 1 },
      { type: 'work', payload: 1, run_at: '2030-01-01T00:00:00Z', delay_ms: 1 },
      ['delayMs'],
      ['delay_ms'],
    ],
    [{ type: 'work', payload: 1, foo: 1, bar: 2 }, undefined, ['bar', 'foo']],
    [
      { type: '', queue: '', priority: 1.5, maxRetries: -1, idempotencyKey: '', foo: 1 },
      { type: '', queue: '', priority: 1.5, max_retries: -1, idempotency_key: '', foo: 1 },
      ['foo', 'idempotencyKey', 'maxRetries', 'payload', 'priority', 'queue', 'type'],
      ['foo', 'idempotency_key', 'max_retries', 'payload', 'priority', 'queue', 'type'],
    ],
    [{ type: 'nobody', payload: 1 }, undefined, ['type']],
    [{ type: 'mail', payload: { to: 'x', at: 'y' } }, undefined, ['payload.at', 'payload.to']],
    [{ type: 'work', payload: { a: [1, { b: Number.NaN }] } }, undefined, ['payload.a.1.b']],
    [{ type: 'work', payload: Number.POSITIVE_INFINITY }, undefined, ['payload']],
    [{ type: 'work', payload: 'x'.repeat(999) }, undefined, ['payload']],
    [
      [{ type: 'work', payload: 1 }, { type: '' }, { type: 'work', payload: 1, priority: 'x' }],
      undefined,
      ['1.payload', '1.type', '2.priority'],
    ],
    [
      [
        { type: 'nobody', payload: 1 },
        { type: 'mail', payload: {} },
      ],
      undefined,
      ['0.type', '1.payload.to'],
    ],
    [[{ type: 'work', payload: 1 }, null, []], undefined, ['1', '2']],
    [[], undefined, ['']],
    [Array.from({ length: 1_001 }, () => ({ type: 'work', payload: 1 })), undefined, ['']],
  ]

  test.each(cases)('%j', async (camel, snake, camelPaths, snakePaths) => {
    const viaEnqueue = await faults(() => system.enqueue(camel as NewJob))
    const viaSubmit = await faults(() => system.submit(snake ?? camel))

    expect(viaEnqueue.map(({ path }) => path)).toEqual(camelPaths)
    expect(viaSubmit.map(({ path }) => path)).toEqual(snakePaths ?? camelPaths)
  })

  test.each([null, undefined, 5, 'x', true])('%o instead of a job', async (input) => {
    expect(await faults(() => system.submit(input))).toEqual([
      { path: '', message: 'must be an object that describes one job' },
    ])
  })

  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'payload'],
    ['a function', () => 1, 'payload'],
    ['a symbol', Symbol('s'), 'payload'],
    ['a bigint', { big: 1n }, 'payload.big'],
    ['an array with nothing in it', [undefined], 'payload.0'],
    ['an invalid Date', { at: new Date(Number.NaN) }, 'payload.at'],
    ['a circular object', circular(), 'payload.self'],
    ['a Map', { m: new Map([['a', 1]]) }, 'payload.m'],
    ['an instance', new URLSearchParams('a=1'), 'payload'],
    ['65 levels', nested(65), `payload${'.0'.repeat(64)}`],
    ['100,000 levels', JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), `payload${'.0'.repeat(64)}`],
  ])('a payload that JSON cannot represent: %s', async (_, payload, path) => {
    expect(await faults(() => system.enqueue({ type: 'work', payload }))).toMatchObject([{ path }])
    expect(await faults(() => system.enqueue([{ type: 'work', payload }]))).toMatchObject([{ path: `0.${path}` }])
    const keyed = { type: 'work', payload, idempotencyKey: 'k' }
    expect(await faults(() => system.enqueue(keyed))).toMatchObject([{ path }])
  })

  test('a wrong value is answered with what is allowed, and "required" only if it is missing', async () => {
    const [type] = await faults(() => system.enqueue({ type: 5, payload: 1 } as never))
    const [missing] = await faults(() => system.enqueue({ payload: 1 } as never))
    const [runAt] = await faults(() => system.enqueue({ type: 'work', payload: 1, runAt: 'soon' }))
    const [priority] = await faults(() => system.submit({ type: 'work', payload: 1, priority: '5' }))

    expect(type?.message).toMatch(/^must be 1 to 64 letters/)
    expect(missing?.message).toBe('is required')
    expect(runAt?.message).toMatch(/^must be .*RFC 3339/)
    expect(priority?.message).toBe('must be a whole number from -100 to 100')
  })

  test('the error has the class and the code that say what is wrong', async () => {
    const refusal = (input: object) => system.enqueue(input as NewJob).catch((error: unknown) => error)

    expect(await refusal({ type: '', payload: 1 })).toMatchObject({ name: 'InvalidInputError', code: 'invalid_input' })
    expect(await refusal({ type: 'nobody', payload: 1 })).toBeInstanceOf(UnknownTypeError)
    expect(await refusal({ type: 'nobody', payload: 1 })).toMatchObject({
      code: 'unknown_type',
      message: expect.stringContaining('known types: mail, work'),
    })
    expect(await refusal({ type: 'mail', payload: 1 })).toBeInstanceOf(PayloadError)
    expect(await refusal({ type: 'mail', payload: 1 })).toMatchObject({ code: 'invalid_payload' })
    // Faults of more than one kind are reported together.
    const mixed = await refusal([
      { type: 'nobody', payload: 1 },
      { type: 'mail', payload: 1 },
    ])
    expect(mixed).toBeInstanceOf(InvalidInputError)
    expect(mixed).toMatchObject({ code: 'invalid_input' })
  })

  test('nine jobs with one bad one are all refused', async () => {
    const jobs = nine.map((n) => ({ type: 'work', payload: n === 7 ? Number.NaN : n }))

    await expect(system.enqueue(jobs)).rejects.toMatchObject({ issues: [{ path: '7.payload' }] })
  })
})

describe('a payload', () => {
  test('of any JSON value is stored and returned unchanged', async () => {
    const { system } = await openSystem({ handlers: [work] })
    const payloads = [
      null,
      false,
      0,
      -1.5e-300,
      Number.MAX_VALUE,
      2 ** 53 + 2,
      '',
      'é\u0000\u2028\ud800🙂',
      [],
      [[], [null]],
      {},
      JSON.parse('{"__proto__":{"a":1},"constructor":1,"":2}'),
      nested(64),
    ]

    const jobs = await system.enqueue(payloads.map((payload) => ({ type: 'work', payload })))

    const found = await Promise.all(jobs.map(async ({ id }) => (await system.find(id))?.payload))
    expect(found).toEqual(payloads)
  })

  test('has its −0 stored as 0 and undefined values left out, as in JSON', async () => {
    const { system } = await openSystem({ handlers: [work] })

    const { id } = await system.enqueue({ type: 'work', payload: { zero: -0, none: undefined } })

    expect((await system.find(id))?.payload).toEqual({ zero: 0 })
  })

  test('is checked as it will be stored: a Date as its text', async () => {
    const { system } = await startSystem({ handlers: [mail] })

    const { id } = await system.enqueue({ type: 'mail', payload: { to: 'a@example.com', at: new Date(startAt) } })

    expect(await untilState(system, id, 'succeeded')).toMatchObject({ payload: { at: '2030-01-01T10:00:00.000Z' } })
  })

  test('that its handler could never accept is refused, with the reason', async () => {
    const dates = defineHandler({ type: 'dates', payload: z.object({ at: z.date() }), run() {} })
    const { system } = await openSystem({ handlers: [dates] })

    const refused = system.enqueue({ type: 'dates', payload: { at: new Date() } })

    await expect(refused).rejects.toBeInstanceOf(PayloadError)
    await expect(refused).rejects.toThrow(
      /^payload\.at: .*the schema gets the result of the toJSON of Date, .* \(z\.coerce\.date\(\)\)$/,
    )
  })

  test('with a Date reaches a handler whose schema coerces it as a Date', async () => {
    const seen: unknown[] = []
    const payload = z.strictObject({ at: z.coerce.date() })
    const dates = defineHandler({ type: 'dates', payload, run: (given) => void seen.push(given) })
    const { system } = await startSystem({ handlers: [dates] })

    const { id } = await system.enqueue({ type: 'dates', payload: { at: new Date(startAt) } })
    await untilState(system, id, 'succeeded')

    expect(seen).toEqual([{ at: new Date(startAt) }])
  })

  test('is checked without the members that will not be stored', async () => {
    const { system } = await openSystem({ handlers: [mail] })

    const job = { type: 'mail', payload: { to: 'a@example.com', cc: undefined } }

    await expect(system.enqueue(job)).resolves.toMatchObject({ created: true })
  })

  test('may have as many bytes as allowed, as UTF-8', async () => {
    const { system } = await openSystem({ handlers: [work], maxPayloadBytes: 10 })

    await expect(system.enqueue({ type: 'work', payload: 'éééé' })).resolves.toMatchObject({ created: true })
    await expect(system.enqueue({ type: 'work', payload: 'ééééx' })).rejects.toMatchObject({
      code: 'invalid_payload',
      issues: [{ path: 'payload', message: 'has 11 bytes as JSON; the limit is 10' }],
    })
  })
})

test('a Date of another realm is an instant like any other', async () => {
  const { system } = await openSystem({ handlers: [work] })
  const runAt = fromAnotherRealm(`new Date(${startAt + 1_000})`) as Date

  const { id } = await system.enqueue({ type: 'work', payload: 1, runAt })

  expect(await system.find(id)).toMatchObject({ state: 'scheduled', runAt: startAt + 1_000 })
})

describe('an idempotency key', () => {
  const keyed = { type: 'work', payload: { a: 1, b: 2 }, idempotencyKey: 'k' }

  test('used again returns the first job, whatever became of it', async () => {
    const { system } = await startSystem({ handlers: [work] })
    const first = await system.enqueue(keyed)
    await untilState(system, first.id, 'succeeded')

    const again = await system.enqueue({ ...keyed, payload: { b: 2, a: 1 } })

    expect(again).toEqual({ id: first.id, state: 'succeeded', created: false })
  })

  test('used with other content is a conflict that names the first job', async () => {
    const { system } = await openSystem({ handlers: [work] })
    const first = await system.enqueue(keyed)

    for (const other of [{ payload: { a: 1 } }, { priority: 0 }, { maxRetries: 3 }, { delayMs: 0 }]) {
      const refusal = await system.enqueue({ ...keyed, ...other }).catch((error: unknown) => error)

      expect(refusal).toBeInstanceOf(IdempotencyConflictError)
      expect(refusal).toMatchObject({ code: 'idempotency_conflict', jobId: first.id, index: null })
    }
  })

  test('in an array names the item, and the earlier item if it conflicts with that', async () => {
    const { system } = await openSystem({ handlers: [work] })
    const job = { type: 'work', payload: 1 }

    await expect(system.enqueue([job, keyed, { ...keyed, payload: 2 }])).rejects.toMatchObject({
      jobId: null,
      index: 2,
    })
    expect((await system.list()).jobs).toEqual([])
  })

  test('means the same through both front doors', async () => {
    const { system } = await openSystem({ handlers: [work] })
    const at = startAt + 1_000

    const first = await system.enqueue({ ...keyed, maxRetries: 1, timeoutMs: 5, runAt: new Date(at) })
    const [again] = await system.submit({
      idempotency_key: 'k',
      timeout_ms: 5,
      run_at: new Date(at).toISOString(),
      max_retries: 1,
      payload: { b: 2, a: 1 },
      type: 'work',
    })
    const third = await system.enqueue({ ...keyed, maxRetries: 1, timeoutMs: 5, runAt: at })

    expect([again, third]).toEqual([
      { id: first.id, state: 'scheduled', created: false },
      { id: first.id, state: 'scheduled', created: false },
    ])
  })

  test('used by a hundred simultaneous calls makes one job', async () => {
    const { system } = await openSystem({ handlers: [work] })

    const all = await Promise.all(Array.from({ length: 100 }, () => system.enqueue(keyed)))

    expect(all.filter(({ created }) => created)).toHaveLength(1)
    expect(new Set(all.map(({ id }) => id)).size).toBe(1)
  })

  test.each(['x', 'x'.repeat(255), 'é🙂', 'a b/c?d', '__proto__'])('may be %j', async (idempotencyKey) => {
    const { system } = await openSystem({ handlers: [work] })

    const { id } = await system.enqueue({ ...keyed, idempotencyKey })

    expect((await system.find(id))?.idempotencyKey).toBe(idempotencyKey)
  })
})

/** In the order of their paths. */
async function faults(call: () => Promise<unknown>): Promise<{ path: string; message: string }[]> {
  try {
    await call()
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return [...error.issues].sort((a, b) => (a.path < b.path ? -1 : 1))
  }
  throw new Error('it was taken')
}

function circular(): unknown {
  const self: { self?: unknown } = {}
  self.self = self
  return self
}

function nested(levels: number): unknown {
  return JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)
}
