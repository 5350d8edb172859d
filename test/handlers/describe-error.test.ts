import { describe, expect, test } from 'vitest'
import { PermanentError } from '../../src/errors.ts'
import { describeError } from '../../src/handlers/describe-error.ts'

describe('what is stored of an error', () => {
  test('is its name and message', () => {
    expect(describeError(new TypeError('no such thing'))).toEqual({ name: 'TypeError', message: 'no such thing' })
    expect(describeError(new PermanentError('never'))).toEqual({ name: 'PermanentError', message: 'never' })
  })

  test('tells its causes, three at most', () => {
    const chain = [5, 4, 3, 2, 1].reduce<Error | undefined>((cause, n) => new Error(`e${n}`, { cause }), undefined)

    expect(describeError(chain).message).toBe('e1 (cause: e2 (cause: e3 (cause: e4)))')
  })

  test('tells a cause that is no error', () => {
    expect(describeError(new Error('outer', { cause: 'inner' })).message).toBe('outer (cause: inner)')
    expect(describeError(new Error('outer', { cause: { code: 7 } })).message).toBe('outer (cause: {"code":7})')
  })

  test('ends where an error is its own cause', () => {
    const error = new Error('round')
    error.cause = error

    expect(describeError(error).message).toBe('round (cause: round (cause: round (cause: round)))')
  })

  test('of one without a message is what else it tells', () => {
    // As Node.js reports a refused connection to a name with two addresses.
    const refused = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })

    expect(describeError(refused)).toEqual({ name: 'AggregateError', message: '{"code":"ECONNREFUSED"}' })
    expect(describeError(new Error())).toEqual({ name: 'Error', message: 'no message' })
  })

  test('has no stack and nothing of its other properties', () => {
    const error = Object.assign(new Error('m'), { password: 'secret' })

    expect(describeError(error)).toEqual({ name: 'Error', message: 'm' })
  })

  test('is cut to a bound, name and message, however long they are', () => {
    const error = new Error('m'.repeat(50_000_000), { cause: new Error('c'.repeat(50_000_000)) })
    error.name = 'N'.repeat(1_000)

    const { name, message } = describeError(error)

    expect([name.length, message.length]).toEqual([100, 2_000])
    expect([name.at(-1), message.at(-1)]).toEqual(['…', '…'])
  })

  test('fits its bound to the last character', () => {
    const exact = 'm'.repeat(2_000)

    expect(describeError(new Error(exact)).message).toBe(exact)
  })

  test('is cut between characters, not within one, and is well-formed Unicode', () => {
    const smiles = describeError(new Error('🙂'.repeat(2_000))).message

    expect(smiles.isWellFormed()).toBe(true)
    expect(describeError(new Error('a\ud83d')).message).toBe('a\ufffd')
  })
})

describe('what is stored of something else that was thrown', () => {
  test.each([
    [undefined, 'thrown undefined', 'undefined'],
    [null, 'thrown null', 'null'],
    ['a text', 'thrown string', 'a text'],
    ['', 'thrown string', ''],
    [42, 'thrown number', '42'],
    [10n, 'thrown bigint', '10'],
    [Symbol('s'), 'thrown symbol', 'Symbol(s)'],
    [true, 'thrown boolean', 'true'],
    [{ code: 1 }, 'Error', '{"code":1}'],
    [{}, 'Error', 'no message'],
    [{ name: 'Mine', message: 'own' }, 'Mine', 'own'],
    [['a'], 'Error', '["a"]'],
  ])('%o', (thrown, name, message) => {
    expect(describeError(thrown)).toEqual({ name, message })
  })

  test('function', () => {
    expect(describeError(() => 1)).toMatchObject({ name: 'thrown function' })
  })
})

describe('nothing thrown can break it', () => {
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
  ])('%s', (_, thrown) => {
    const described = describeError(thrown)

    expect(described).toEqual({ name: expect.any(String), message: expect.any(String) })
    expect(described.name).not.toBe('')
  })
})

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
