import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseJob } from '../src/jobs.ts'

/** Fields, each with values that are taken and values that are not. */
const anyField = {
  type: fc.constantFrom('email', 'a.b:c-d_1', '', ' no', 7, undefined),
  payload: fc.oneof(
    fc.json().map((text): unknown => JSON.parse(text)),
    fc.constantFrom(undefined, Number.NaN, new Date(0), { a: undefined }),
  ),
  queue: fc.constantFrom('default', 'x'.repeat(65), null, undefined),
  priority: fc.constantFrom(0, 100, 101, 1.5, '1', undefined),
  maxRetries: fc.constantFrom(0, 1_000, -1, undefined),
  idempotencyKey: fc.constantFrom('order-1', '', undefined),
  runAt: fc.constantFrom('2030-01-31T09:30:00Z', 0, new Date(0), 'soon', undefined),
  delayMs: fc.constantFrom(0, 60_000, -1, undefined),
  timeoutMs: fc.constantFrom(1, 0, undefined),
  unknown: fc.constantFrom(1),
}

test.each(['camelCase', 'snake_case'] as const)(
  'a plain job in %s is taken as one that is looked at whole',
  (naming) => {
    const spelt = (name: string) =>
      naming === 'camelCase' ? name : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    const given = fc
      .record(anyField, { requiredKeys: ['type', 'payload'] })
      .map((job) => Object.fromEntries(Object.entries(job).map(([name, value]) => [spelt(name), value])))

    fc.assert(
      fc.property(given, (job) => {
        // Without a prototype it is not plain.
        const whole = Object.assign(Object.create(null), job)
        expect(parseJob(job, naming)).toEqual(parseJob(whole, naming))
      }),
      { numRuns: 1_000 },
    )
  },
)
