import fc from 'fast-check'
import { expect, test } from 'vitest'
import { defaults } from '../../src/config.ts'
import { InvalidInputError, PayloadError } from '../../src/errors.ts'
import { type Naming, newJobSchema } from '../../src/job/fields.ts'
import { Rejection } from '../../src/job/rejection.ts'
import { toRow, toRows } from '../../src/job/request.ts'

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

/** The steps in which an array is checked, by a registry that refuses every payload that is `bad`. */
function check(jobs: readonly unknown[], naming: Naming) {
  const refusal = (at: string) => [{ path: `${at}.payload`, message: 'is bad' }]
  const registry = {
    check: (_type: string, payload: unknown, at: string) =>
      payload === 'bad' ? new Rejection(refusal(at), () => new PayloadError(refusal(at))) : {},
  }
  return toRows(jobs, naming, '{"cause":"http"}', { settings: defaults, registry })
}

test('the wrong fields of an array come before what handlers refuse of earlier items', () => {
  const bad = { type: 'email', payload: 'bad' }
  const faults = (jobs: readonly unknown[]) => {
    try {
      return [...check(jobs, 'camelCase')]
    } catch (error) {
      return (error as InvalidInputError).issues.map(({ path }) => path)
    }
  }

  expect(faults([bad, bad])).toEqual(['0.payload', '1.payload'])
  expect(faults([bad, { ...bad, queue: '' }, bad, { ...bad, priority: 'high' }])).toEqual(['1.queue', '3.priority'])
})

test('a field that a job only inherits does not count', () => {
  const job = Object.assign(Object.create({ queue: 'slow', nonsense: 1 }), { type: 'email', payload: 1 })

  expect(parse(job, 'camelCase')).toMatchObject({ row: { type: 'email', queue: 'default' } })
})

test('while an array of HTTP is checked others get their turn after sixteen small items, or a large one', () => {
  const jobs = (count: number, payload: unknown) => Array.from({ length: count }, () => ({ type: 'email', payload }))

  expect([...check(jobs(64, 'x'), 'snake_case')].length).toBe(4)
  expect([...check(jobs(5, 'x'.repeat(20_000)), 'snake_case')].length).toBe(5)
  expect([...check(jobs(64, 'x'), 'camelCase')].length).toBe(0)
})
