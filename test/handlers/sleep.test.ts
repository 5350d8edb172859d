import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { JobCancelledError, PayloadError } from '../../src/errors.ts'
import { builtinHandlers } from '../../src/handlers/builtin.ts'
import { sleep } from '../../src/handlers/sleep.ts'
import { attempt, failureOf } from '../support/attempt.ts'
import { parsePayload } from '../support/payload.ts'

const day = 86_400_000

describe('a sleep', () => {
  test('lasts as long as requested', async () => {
    const before = performance.now()

    await attempt(sleep(), { ms: 5 })

    // Timers count whole milliseconds.
    expect(performance.now() - before).toBeGreaterThan(3.9)
  })

  test('of zero ends', async () => {
    await expect(attempt(sleep(), { ms: 0 })).resolves.toBeUndefined()
  })

  test('of a day ends at once when aborted, with the reason, and leaves nothing behind', async () => {
    const { signal, ...abort } = abortable()

    const failure = failureOf(sleep(), { ms: day }, { signal })
    abort.now(new JobCancelledError())

    expect(await failure).toBeInstanceOf(JobCancelledError)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('does not begin if the attempt was already aborted', async () => {
    const failure = await failureOf(sleep(), { ms: day }, { signal: AbortSignal.abort(new JobCancelledError()) })

    expect(failure).toBeInstanceOf(JobCancelledError)
  })

  test('may last a day: no timeout in the settings cuts it short', () => {
    expect(parsePayload(sleep(), { ms: day })).toEqual({ ms: day })
    expect(sleep().timeoutMs).toBe(day)
  })

  test.each([
    {},
    { ms: -1 },
    { ms: day + 1 },
    { ms: 1.5 },
    { ms: '5' },
    { ms: Number.NaN },
    { ms: null },
    { ms: 1, s: 1 },
    [],
    'ms',
    null,
  ])('refuses %j', (payload) => {
    expect(() => parsePayload(sleep(), payload)).toThrow(PayloadError)
  })
})

test('the built-in handlers are email, webhook and sleep', () => {
  const handlers = builtinHandlers({ smtp: {}, webhook: { allowPrivate: false }, retryMaxMs: 1_000, now: () => 0 })

  expect(handlers.map(({ type }) => type)).toEqual(['email', 'webhook', 'sleep'])
})

function abortable() {
  const controller = new AbortController()
  return { signal: controller.signal, now: (reason: Error) => controller.abort(reason) }
}
