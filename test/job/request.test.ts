import fc from 'fast-check'
import { expect, test } from 'vitest'
import { defaults } from '../../src/config.ts'
import { InvalidInputError } from '../../src/errors.ts'
import { newJobSchema } from '../../src/job/fields.ts'
import { toRow } from '../../src/job/request.ts'

/** The row of a job, or what is wrong with it. */
function parse(job: unknown, naming: 'camelCase' | 'snake_case') {
  try {
    return { row: toRow(job, naming, '{"cause":"library"}', { settings: defaults, registry: null }) }
  } catch (error) {
    if (error instanceof InvalidInputError) return { issues: error.issues }
    throw error
  }
}

/** Fields, each with valid and invalid values. */
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

const spelt = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const anyJob = fc.record(anyField, { requiredKeys: ['type', 'payload'] })
const onWire = (job: object) => Object.fromEntries(Object.entries(job).map(([name, value]) => [spelt(name), value]))

test('HTTP accepts exactly the jobs that its description allows', () => {
  fc.assert(
    fc.property(anyJob.map(onWire), ({ payload, ...job }) => {
      const isAllowed =
        newJobSchema.safeParse({ ...job, payload: 1 }).success &&
        (job.run_at === undefined || job.delay_ms === undefined)

      const parsed = parse({ ...job, payload: 1 }, 'snake_case')

      expect('row' in parsed).toBe(isAllowed)
    }),
    { numRuns: 500 },
  )
})

test('both front doors treat a job alike, and find the same faults', () => {
  const withoutDates = anyJob.filter(({ runAt }) => runAt === undefined || typeof runAt === 'string')
  fc.assert(
    fc.property(withoutDates, (job) => {
      const library = parse(job, 'camelCase')
      const http = parse(onWire(job), 'snake_case')

      if ('row' in library) expect(http).toEqual(library)
      else {
        const found = 'issues' in http ? http.issues.map(({ path }) => path) : []
        expect(found).toEqual(library.issues.map(({ path }) => spelt(path)))
      }
    }),
    { numRuns: 500 },
  )
})

test('a value is checked whatever the jobs before it had', () => {
  const accepts = (priority: unknown, naming: 'camelCase' | 'snake_case') =>
    'row' in parse({ type: 'email', payload: 1, priority }, naming)

  const accepted = [5, 5, '5', 5, [5], 5.5, 101, 101, 5].map((value) => accepts(value, 'snake_case'))

  expect(accepted).toEqual([true, true, false, true, false, false, false, false, true])
})
