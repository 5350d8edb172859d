import { readFile } from 'node:fs/promises'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { PermanentError } from '../../src/errors.ts'
import { describeError } from '../../src/handlers/describe-error.ts'
import type { StoredError } from '../../src/machines/stored-error.ts'

class CardDeclined extends Error {
  readonly code = 'E_CARD'
}

describe('what is stored of an error', () => {
  test('is its name and message', () => {
    expect(described(new TypeError('no such thing'))).toEqual({ name: 'TypeError', message: 'no such thing' })
    expect(described(new PermanentError('never'))).toEqual({
      name: 'PermanentError',
      message: 'never',
      code: 'permanent',
    })
    expect(described(new DOMException('cloned wrongly', 'DataCloneError'))).toMatchObject({ name: 'DataCloneError' })
  })

  test('is the name of its class if the error sets none', () => {
    expect(described(new CardDeclined('no'))).toEqual({ name: 'CardDeclined', message: 'no', code: 'E_CARD' })
    expect(described(Object.assign(new CardDeclined('no'), { name: 'Mine' })).name).toBe('Mine')
    expect(described(runInNewContext('new RangeError("far")'))).toEqual({ name: 'RangeError', message: 'far' })
  })

  test('is its code and the system call’s name', async () => {
    const missing: unknown = await readFile('/nowhere/at/all').catch((error: unknown) => error)

    expect(described(missing)).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'open' })
    expect(described(Object.assign(new Error('m'), { code: 5 }))).toEqual({ name: 'Error', message: 'm', code: 5 })
    expect(described(Object.assign(new Error('m'), { code: {}, errno: 'x', syscall: 1 }))).toEqual(plain('m'))
  })

  test('includes at most three of its causes', () => {
    const chain = [5, 4, 3, 2, 1].reduce<Error | undefined>((cause, n) => new Error(`e${n}`, { cause }), undefined)

    expect(described(chain)).toEqual({
      ...plain('e1 (cause: e2 (cause: e3 (cause: e4)))'),
      causes: [plain('e2'), plain('e3'), plain('e4')],
    })
  })

  test('includes a cause that is not an error', () => {
    expect(describeError(new Error('outer', { cause: 'inner' })).message).toBe('outer (cause: inner)')
    expect(describeError(new Error('outer', { cause: { code: 7 } }))).toMatchObject({
      message: 'outer (cause: Object was thrown, not an error: {"code":7})',
      causes: [{ code: 7 }],
    })
  })

  test('ends if an error is its own cause', () => {
    const error = new Error('round')
    error.cause = new Error('and round', { cause: error })

    expect(described(error).message).toBe('round (cause: and round)')
  })

  test.each<[string, Error, string]>([
    ['without a message', new AggregateError([new Error('a'), new CardDeclined('b')]), '2 errors: a; b'],
    ['with one', new AggregateError([new Error('a')], 'all failed'), 'all failed (1 error: a)'],
    ['that is a cause', new Error('m', { cause: new AggregateError([new Error('a')]) }), 'm (cause: 1 error: a)'],
    ['of nothing', new AggregateError([]), 'AggregateError without a message'],
    ['of what is no error', new AggregateError(['a', undefined]), '2 errors: a; undefined was thrown, not an error'],
  ])('describes the errors of an AggregateError: one %s', (_, error, message) => {
    expect(describeError(error).message).toBe(message)
  })

  test('includes at most ten errors of an AggregateError, and says how many there are', () => {
    const refused = (n: number) => Object.assign(new Error(`refused ${n}`), { code: 'ECONNREFUSED' })
    const error = new AggregateError(Array.from({ length: 12 }, (_, n) => refused(n)))

    const { message, errors } = describeError(error)

    expect(message).toMatch(/^12 errors: refused 0; .*refused 9; and 2 more$/)
    expect(errors).toHaveLength(10)
    expect(errors?.[9]).toEqual({ name: 'Error', message: 'refused 9', code: 'ECONNREFUSED' })
  })

  test('includes both errors of a SuppressedError', () => {
    const parts = { name: 'SuppressedError', error: new Error('inner'), suppressed: new Error('the real one') }

    expect(described(Object.assign(new Error('disposal failed'), parts))).toEqual({
      name: 'SuppressedError',
      message: 'disposal failed (2 errors: inner; the real one)',
      errors: [plain('inner'), plain('the real one')],
    })
  })

  test('includes none of its other properties', () => {
    const error = Object.assign(new Error('m'), { password: 'secret' })

    expect(described(error)).toEqual({ name: 'Error', message: 'm' })
    expect(JSON.stringify(describeError(Object.assign(new Error(), { password: 'secret' })))).not.toContain('secret')
  })

  test('includes its frames and those of its causes, without the message before them', () => {
    function inner() {
      return new Error('line 1\nline 2')
    }
    function outer() {
      return new Error('outer', { cause: inner() })
    }

    const lines = describeError(outer()).stack!.split('\n')

    expect(lines[0]).toMatch(/^at outer .*describe-error\.test/)
    const cause = lines.findIndex((line) => line.startsWith('cause: '))
    expect(lines[cause]).toBe('cause: Error: line 1')
    expect(lines.slice(cause + 1).find((line) => line.startsWith('at '))).toMatch(/^at inner .*describe-error\.test/)
  })

  test('includes a bounded part of the stack, however deep it is', () => {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = Number.POSITIVE_INFINITY
    const deep = (n: number): Error => (n === 0 ? new Error('deep') : deep(n - 1))
    const stack = describeError(deep(1_000)).stack!
    Error.stackTraceLimit = limit

    expect(stack.split('\n')).toHaveLength(10)
    const long = Object.assign(new Error('long'), { stack: `Error: long\n    at ${'f'.repeat(50_000_000)}` })
    expect(describeError(long).stack!.length).toBeLessThanOrEqual(4_000)
  })

  test('cuts name and message to a limit, however long they are', () => {
    const error = new Error('m'.repeat(50_000_000), { cause: new Error('c'.repeat(50_000_000)) })
    error.name = 'N'.repeat(1_000)

    const { name, message } = describeError(error)

    expect([name.length, message.length]).toEqual([100, 2_000])
    expect([name.at(-1), message.at(-1)]).toEqual(['…', '…'])
  })

  test('fits its limit to the last character', () => {
    const exact = 'm'.repeat(2_000)

    expect(describeError(new Error(exact)).message).toBe(exact)
  })

  test('is cut between characters, not inside one, and is well-formed Unicode', () => {
    const smiles = describeError(new Error('🙂'.repeat(2_000))).message

    expect(smiles.isWellFormed()).toBe(true)
    expect(describeError(new Error('a\ud83d')).message).toBe('a\ufffd')
  })
})

describe('what is stored of something else that was thrown', () => {
  test.each([
    [undefined, 'thrown undefined', 'undefined was thrown, not an error'],
    [null, 'thrown null', 'null was thrown, not an error'],
    ['a text', 'thrown string', 'a text'],
    ['', 'thrown string', 'an empty string was thrown, not an error'],
    [42, 'thrown number', '42 was thrown, not an error'],
    [10n, 'thrown bigint', '10 was thrown, not an error'],
    [Symbol('s'), 'thrown symbol', 'Symbol(s) was thrown, not an error'],
    [true, 'thrown boolean', 'true was thrown, not an error'],
    [() => 1, 'thrown function', 'a function was thrown, not an error'],
    [{ reason: 1 }, 'Object', 'Object was thrown, not an error: {"reason":1}'],
    [{}, 'Object', 'Object was thrown, not an error'],
    [{ name: 'Mine', message: 'own' }, 'Mine', 'own'],
    [['a'], 'Array', 'Array was thrown, not an error: ["a"]'],
    [new URLSearchParams('a=1'), 'URLSearchParams', 'URLSearchParams was thrown, not an error'],
    [new Error(), 'Error', 'Error without a message'],
  ])('%o', (thrown, name, message) => {
    expect(described(thrown)).toEqual({ name, message })
  })
})

describe('nothing that is thrown can break it', () => {
  const throws = () => {
    throw new Error('from within')
  }

  test.each<[string, unknown]>([
    ['getters that throw', Object.defineProperties({}, { name: { get: throws }, message: { get: throws } })],
    ['a cause that throws', Object.defineProperty(new Error('outer'), 'cause', { get: throws })],
    ['a message that is no text', Object.assign(new Error(), { message: { toString: throws } })],
    ['a toJSON that throws', { toJSON: throws }],
    ['a toJSON that gives nothing', { toJSON: () => undefined }],
    ['a function whose toString throws', Object.assign(() => 0, { toString: throws })],
    ['a circular object', circular()],
    ['an object with a bigint', { big: 1n }],
    ['an object without a prototype', Object.create(null)],
    ['a Proxy that throws at everything', hostileProxy()],
    ['a revoked Proxy', revokedProxy()],
    ['a Proxy around an error', new Proxy(new Error('within'), {})],
    ['a stack that throws', Object.defineProperty(new Error('m'), 'stack', { get: throws })],
    ['an AggregateError of what throws', new AggregateError([hostileProxy(), revokedProxy()])],
    ['a revoked Proxy for errors', Object.assign(new Error('m'), { errors: revokedProxy() })],
    [
      'ever new causes',
      {
        get cause() {
          return Object.create(this as object)
        },
      },
    ],
    ['a billion errors', Object.assign(new Error('m'), { errors: new Array(1e9) })],
  ])('%s', (_, thrown) => {
    const stored = describeError(thrown)

    expect(stored).toMatchObject({ name: expect.stringMatching(/./), message: expect.stringMatching(/./) })
    expect(JSON.stringify(stored).length).toBeLessThan(20_000)
  })
})

/** Without the stack. */
function described(thrown: unknown): StoredError {
  const { stack: _, ...error } = describeError(thrown)
  return error
}

function plain(message: string): StoredError {
  return { name: 'Error', message }
}

function circular(): unknown {
  const self: { self?: unknown } = {}
  self.self = self
  return self
}

function hostileProxy(): unknown {
  const trap = () => {
    throw new Error('trap')
  }
  return new Proxy({}, { get: trap, has: trap, getPrototypeOf: trap, ownKeys: trap, getOwnPropertyDescriptor: trap })
}

function revokedProxy(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
