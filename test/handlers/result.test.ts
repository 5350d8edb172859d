import { type as arktype } from 'arktype'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ResultError } from '../../src/errors.ts'
import { type AnyHandler, defineHandler, type Handler } from '../../src/handlers/define.ts'
import { toResult } from '../../src/handlers/result.ts'

const maxBytes = 65_536

const plain = defineHandler({ type: 'work', payload: z.unknown(), run() {} })

function withSchema(result: NonNullable<Handler['result']>): AnyHandler {
  return defineHandler({ type: 'work', payload: z.unknown(), result, run: () => undefined })
}

const keep = (returned: unknown, handler: AnyHandler = plain) => toResult(handler, returned, maxBytes)

/** The issues for which a value is refused. */
function issuesOf(returned: unknown, handler: AnyHandler = plain) {
  try {
    return keep(returned, handler)
  } catch (error) {
    expect(error).toBeInstanceOf(ResultError)
    return (error as ResultError).issues.map(({ path, message }) => `${path}: ${message}`)
  }
}

const cyclic: Record<string, unknown> = {}
cyclic.self = { cyclic }

describe('what a handler returns', () => {
  test.each([
    ['nothing', undefined, undefined],
    ['null', null, 'null'],
    ['a number', 5, '5'],
    ['a text', 'ünï', '"ünï"'],
    ['an object', { a: [1, { b: true }], left: undefined }, '{"a":[1,{"b":true}]}'],
    ['what has a toJSON', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['−0', -0, '0'],
    ['half a character', '\ud800', String.raw`"\ud800"`],
  ])('is kept as JSON: %s', (_, returned, kept) => {
    expect(keep(returned)).toBe(kept)
  })

  const unless = 'a handler whose result nobody needs returns nothing'

  test.each<[string, unknown, string]>([
    ['a bigint', { sum: 1n }, `result.sum: a bigint cannot be stored as JSON; use text; ${unless}`],
    ['a function', { f() {} }, `result.f: a function cannot be stored as JSON; ${unless}`],
    ['a symbol', Symbol('x'), `result: a symbol cannot be stored as JSON; ${unless}`],
    ['NaN', [Number.NaN], `result.0: NaN is not a JSON number; ${unless}`],
    ['a Map', new Map(), `result: a Map cannot be stored as JSON; use an object or an array; ${unless}`],
    ['an Error', new Error('a value'), `result: an Error cannot be stored as JSON; use its message; ${unless}`],
    [
      'a promise inside',
      { a: Promise.resolve(1) },
      `result.a: a Promise cannot be stored as JSON; await it first; ${unless}`,
    ],
    ['a cycle', cyclic, `result.self.cyclic: contains itself; JSON has no cycles; ${unless}`],
    ['a hole', [undefined], `result.0: undefined in an array; use null; ${unless}`],
    [
      'a class instance',
      new URLSearchParams(),
      `result: an instance of URLSearchParams cannot be stored as JSON; use a plain object, or add a toJSON to its class; ${unless}`,
    ],
    ['bytes', Buffer.from('x'), `result: bytes cannot be stored as JSON; use text, such as base64; ${unless}`],
    [
      'too many bytes',
      'é'.repeat(32_768),
      `result: has 65538 bytes as JSON; the limit is 65536 (maxResultBytes, MAX_RESULT_BYTES); ${unless}`,
    ],
    [
      'too many members',
      Array.from({ length: 65_537 }, () => 1),
      `result: has more than 65536 members and elements; ${unless}`,
    ],
  ])('is refused with its path and what to do: %s', (_, returned, fault) => {
    expect(issuesOf(returned)).toEqual([fault])
  })

  test('may have exactly as many bytes as are allowed', () => {
    expect(keep('é'.repeat(32_767))).toHaveLength(32_769)
  })

  test('is refused with all its faults', () => {
    expect(issuesOf({ a: 1n, b: Number.NaN })).toEqual([
      'result.a: a bigint cannot be stored as JSON; use text',
      `result.b: NaN is not a JSON number; ${unless}`,
    ])
  })
})

describe.each([
  ['zod', z.object({ width: z.number() })],
  ['valibot', v.object({ width: v.number() })],
  ['arktype', arktype({ width: 'number', '+': 'delete' })],
])('a result schema of %s', (_, schema) => {
  test('decides what is kept, so that nothing else of it leaves the handler', () => {
    expect(keep({ width: 5, secret: 'x' }, withSchema(schema))).toBe('{"width":5}')
  })

  test('refuses what does not match, with its path', () => {
    expect(issuesOf({ width: 'wide' }, withSchema(schema))).toEqual([expect.stringMatching(/^result\.width: /)])
    expect(issuesOf(undefined, withSchema(schema))).toEqual([expect.stringMatching(/^result: /)])
  })
})

describe('a result schema', () => {
  test('may make of a value what is then kept', () => {
    const upper = withSchema(z.string().transform((text) => text.toUpperCase()))
    expect(keep('a', upper)).toBe('"A"')
    const asMap = withSchema(z.string().transform(() => new Map()))
    expect(issuesOf('a', asMap)).toEqual([expect.stringMatching(/^result: a Map cannot be stored/)])
    expect(keep(undefined, withSchema(z.undefined()))).toBeUndefined()
  })

  test('that throws is a fault of the result, with its cause', () => {
    const throwing = withSchema(
      z.string().refine(() => {
        throw new RangeError('from the schema')
      }),
    )
    expect(issuesOf('a', throwing)).toEqual(['result: cannot be checked: its schema threw'])
  })

  test('must be a schema that checks at once', () => {
    const handler = (result: unknown) => () => withSchema(result as NonNullable<Handler['result']>)
    expect(handler({ width: z.number() })).toThrow(
      'handler "work": result must be a Standard Schema (zod, valibot, arktype, …), got an object of schemas; wrap it',
    )
    expect(handler(z.any().refine(async () => true))).toThrow(
      'handler "work": result\'s schema validates asynchronously',
    )
  })
})
