import { describe, expect, test } from 'vitest'
import * as errors from '../src/errors.ts'
import { errorsOfAnotherCopy, errorsOfAnotherRealm } from './support/other-copies.ts'

type Errors = typeof errors
type AnyClass = new (...given: never[]) => object
const classes = Object.entries<unknown>(errors).filter(
  (entry): entry is [string, AnyClass] => typeof entry[1] === 'function',
)

describe.each<[string, () => Errors | Promise<Errors>]>([
  ['another copy of the package', errorsOfAnotherCopy],
  ['another realm', errorsOfAnotherRealm],
])('an error of %s', (_, load) => {
  test('is an instance of its own class here, of the classes above it and of no others', async () => {
    const other: Record<string, unknown> = { ...(await load()) }

    for (const [name, kind] of classes) {
      const foreign = Object.create((other[name] as AnyClass).prototype)
      const told = classes.filter(([, known]) => foreign instanceof known).map(([known]) => known)

      expect(told.sort(), name).toEqual(lineOf(kind).sort())
    }
  })

  test('of a user’s class that extends one of them is recognised by the class that it extends', async () => {
    const { PermanentError } = await load()
    class CardDeclined extends PermanentError {
      override readonly code = 'E_CARD'
    }
    const thrown = new CardDeclined('no')

    expect(thrown instanceof errors.PermanentError).toBe(true)
    expect(thrown instanceof errors.RetryAfterError).toBe(false)
  })
})

test('a user’s class that extends one of ours has only its own instances', () => {
  class CardDeclined extends errors.PermanentError {}
  class PermanentError extends errors.PermanentError {}

  expect(new CardDeclined('no') instanceof CardDeclined).toBe(true)
  expect(new errors.PermanentError('no') instanceof CardDeclined).toBe(false)
  expect(new errors.PermanentError('no') instanceof PermanentError).toBe(false)
})

test.each<[string, unknown]>([
  ['null', null],
  ['text', 'PermanentError'],
  ['an error of the same name and code', Object.assign(new Error('no'), { name: 'PermanentError', code: 'permanent' })],
  ['a function', () => 0],
  ['a Proxy that throws at everything', new Proxy({}, { get: throws, getPrototypeOf: throws })],
  ['a Proxy of nothing any more', revoked()],
])('%s is not one of our errors', (_, value) => {
  expect(value instanceof errors.JobSystemError).toBe(false)
  expect(value instanceof errors.PermanentError).toBe(false)
})

/** The names from a class up to `JobSystemError`. */
function lineOf(kind: unknown): string[] {
  if (kind === Error) return []
  return [(kind as AnyClass).name, ...lineOf(Object.getPrototypeOf(kind))]
}

function throws(): never {
  throw new Error('from within')
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
