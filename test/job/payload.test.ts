import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toStoredPayload } from '../../src/job/payload.ts'
import { fromAnotherRealm } from '../support/other-copies.ts'

class Money {
  #amount = 5
  readonly currency = 'EUR'
  get amount(): number {
    return this.#amount
  }
}
class Decimal {
  toJSON(): string {
    return '1.50'
  }
}
class Rows extends Array<number> {}

const anything = fc.anything({
  maxDepth: 4,
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
})

describe('a payload', () => {
  test('that is accepted comes back equal, or as its toJSON says', () => {
    fc.assert(
      fc.property(anything, (value) => {
        const stored = toStoredPayload(value) ?? { value, faults: [], converted: new Map() }
        if (stored.faults.length > 0 || stored.converted.size > 0) return
        const readBack: unknown = JSON.parse(JSON.stringify(stored.value))

        expect(isDeepStrictEqual(readBack, stored.value)).toBe(true)
        expect(isDeepStrictEqual(stored.value, asJsonHasIt(value))).toBe(true)
      }),
      { numRuns: 5_000 },
    )
  })

  test('of any JSON is accepted unchanged', () => {
    fc.assert(fc.property(fc.json(), (text) => toStoredPayload(JSON.parse(text)) === undefined))
  })

  test.each<[string, unknown, string, string]>([
    ['a Map', new Map([['a', 1]]), '', 'a Map cannot be stored as JSON; use an object or an array'],
    [
      'a Map of another realm',
      fromAnotherRealm('new Map()'),
      '',
      'a Map cannot be stored as JSON; use an object or an array',
    ],
    ['a Set', { items: [1, new Set()] }, '.items.1', 'a Set cannot be stored as JSON; use an array'],
    ['a promise', { user: Promise.resolve(1) }, '.user', 'a Promise cannot be stored as JSON; await it first'],
    ['an error', { error: new TypeError('x') }, '.error', 'an Error cannot be stored as JSON; use its message'],
    ['a RegExp', /x/, '', 'a RegExp cannot be stored as JSON; use its source'],
    ['a Buffer', Buffer.from('x'), '', 'bytes cannot be stored as JSON; use text, such as base64'],
    ['a typed array', new Float64Array(1), '', 'bytes cannot be stored as JSON; use text, such as base64'],
    ['an ArrayBuffer', new ArrayBuffer(1), '', 'bytes cannot be stored as JSON; use text, such as base64'],
    ['a boxed number', new Number(5), '', 'a boxed primitive cannot be stored as JSON; use the primitive'],
    ['a bigint', { n: 1n }, '.n', 'a bigint cannot be stored as JSON; use text'],
    ['a function', { f: () => 1 }, '.f', 'a function cannot be stored as JSON'],
    ['a symbol', [Symbol('s')], '.0', 'a symbol cannot be stored as JSON'],
    ['NaN', [[Number.NaN]], '.0.0', 'NaN is not a JSON number'],
    ['an invalid Date', { at: new Date(Number.NaN) }, '.at', 'an invalid Date'],
    [
      'an instance',
      new Money(),
      '',
      'an instance of Money cannot be stored as JSON; use a plain object, or add a toJSON to its class',
    ],
    [
      'an instance of a class without a name',
      new (class {})(),
      '',
      'an instance of a class cannot be stored as JSON; use a plain object, or add a toJSON to its class',
    ],
    [
      'an instance of the platform',
      { q: new URLSearchParams('a=1') },
      '.q',
      'an instance of URLSearchParams cannot be stored as JSON; use a plain object, or add a toJSON to its class',
    ],
    [
      'an array of a class',
      Rows.of(1),
      '',
      'an instance of Rows cannot be stored as JSON; use a plain object, or add a toJSON to its class',
    ],
    [
      'an object with inherited members',
      Object.create({ a: 1 }),
      '',
      'an instance of Object cannot be stored as JSON; use a plain object, or add a toJSON to its class',
    ],
    // biome-ignore lint/suspicious/noSparseArray: what it is about
    ['a hole', [1, , 3], '.1', 'a hole in an array; use null'],
    ['undefined in an array', [undefined], '.0', 'undefined in an array; use null'],
    [
      'an array with a member',
      Object.assign([1], { extra: 2 }),
      '.extra',
      'is a property of an array; JSON keeps only its elements',
    ],
    [
      'a symbol key',
      { a: { [Symbol('x')]: 1 } },
      '.a',
      'has a member with the symbol key Symbol(x), which JSON does not keep',
    ],
    ['a hidden member', Object.defineProperty({}, 'a', { value: 1 }), '.a', 'is not enumerable; JSON does not keep it'],
    [
      'a getter that throws',
      {
        get a() {
          throw new Error('no')
        },
      },
      '.a',
      'cannot be read: no',
    ],
    [
      'a toJSON that throws',
      {
        a: {
          toJSON() {
            throw new Error('no')
          },
        },
      },
      '.a',
      'cannot be read: no',
    ],
    ['a toJSON that gives nothing', [{ toJSON() {} }], '.0', 'its toJSON gives nothing'],
    [
      'a toJSON that gives what is none',
      { toJSON: () => ({ m: new Map() }) },
      '.m',
      'a Map cannot be stored as JSON; use an object or an array',
    ],
    ['a cycle', cyclic(), '.a.self', 'contains itself; JSON has no cycles'],
    [
      'a Proxy that throws',
      new Proxy(
        {},
        {
          ownKeys() {
            throw new Error('no')
          },
        },
      ),
      '',
      'cannot be read: no',
    ],
    ['nothing', undefined, '', 'is required'],
  ])('with %s is refused by its path', (_, value, path, message) => {
    expect(toStoredPayload(value)?.faults).toEqual([{ path, message }])
  })

  test.each<[string, unknown, unknown]>([
    ['a Date', { at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }],
    ['a Date of another realm', [fromAnotherRealm('new Date(0)')], ['1970-01-01T00:00:00.000Z']],
    ['a URL', { url: new URL('http://a/') }, { url: 'http://a/' }],
    ['an instance that has one', [new Decimal()], ['1.50']],
    ['a Map that was given one', Object.assign(new Map([['a', 1]]), { toJSON: () => [['a', 1]] }), [['a', 1]]],
  ])('with %s is what its toJSON returns', (_, value, stored) => {
    expect(toStoredPayload(value)).toMatchObject({ value: stored, faults: [] })
  })

  test('has its toJSON called once, as by JSON.stringify', () => {
    const at = { toJSON: () => new Date(0) }

    expect(toStoredPayload({ at })?.faults).toEqual([
      { path: '.at', message: expect.stringContaining('an instance of Date cannot be stored') },
    ])
  })

  test.each<[string, unknown, unknown]>([
    ['members that are undefined', { a: 1, b: undefined, c: { d: undefined } }, { a: 1, c: {} }],
    ['−0', [-0, { z: -0 }], [0, { z: 0 }]],
    ['no prototype', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ['objects and arrays of another realm', fromAnotherRealm('({ a: [{ b: 1 }] })'), { a: [{ b: 1 }] }],
    ['one value at two places', twice(), { a: { x: 1 }, b: { x: 1 } }],
    ['a Proxy of a plain object', new Proxy({ a: 1 }, {}), { a: 1 }],
  ])('with %s is accepted as JSON writes it', (_, value, stored) => {
    const converted = toStoredPayload(value)
    const taken = converted ? converted.value : value

    expect(taken).toEqual(stored)
    expect(isDeepStrictEqual(JSON.parse(JSON.stringify(taken)), stored)).toBe(true)
  })

  test.each<[string, (count: number) => unknown]>([
    ['elements', (count) => Array(count).fill(1)],
    ['texts', (count) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'text']))],
    ['members of members', (count) => ({ a: { b: Array(count - 2).fill('text') } })],
    ['zeros that are negative', (count) => Array(count).fill(-0)],
    ['Dates', (count) => Array.from({ length: count }, () => new Date(0))],
  ])('has a limited number of %s', (_, make) => {
    const faultsOf = (value: unknown) => toStoredPayload(value, 100)?.faults ?? []

    expect(faultsOf(make(100))).toEqual([])
    expect(faultsOf(make(101))).toEqual([{ path: '', message: 'has more than 100 members and elements' }])
  })

  test('with one value in very many places is refused before all are visited', () => {
    let value: object = {}
    for (let level = 0; level < 50; level++) value = { a: value, b: value }

    expect(toStoredPayload(value)?.faults).toEqual([{ path: '', message: 'has more than 10000 members and elements' }])
  })

  test('has its first 20 faults reported, and no more of a billion', () => {
    const { faults } = toStoredPayload({ hole: new Array(1e9) })!

    expect(faults).toHaveLength(20)
    expect(faults.at(-1)).toEqual({ path: '.hole.19', message: 'a hole in an array; use null' })
  })
})

/** A value as JSON returns it: without undefined members and −0, with plain prototypes. */
function asJsonHasIt(value: unknown): unknown {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(asJsonHasIt)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(kept.map(([key, member]) => [key, asJsonHasIt(member)]))
}

function cyclic(): unknown {
  const a: { self?: unknown } = {}
  a.self = a
  return { a }
}

function twice(): unknown {
  const shared = { x: 1 }
  return { a: shared, b: shared }
}
