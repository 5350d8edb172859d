import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromBatches, intoBatches } from '../../../src/persistence/sqlite/batches.ts'
import type { NewJobRow } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'

const job = fc.record({
  type: fc.constantFrom('work', 'other'),
  queue: fc.constantFrom('default', 'mail'),
  priority: fc.constantFrom(0, -3),
  maxAttempts: fc.constantFrom(1, 2),
  timeoutMs: fc.constantFrom(null, 50),
  runAt: fc.constantFrom(null, 9),
  delayMs: fc.constantFrom(null, 9),
  cause: fc.constantFrom(null, '{"cause":"http"}', '{"cause":"schedule"}'),
  payload: fc.json(),
  idempotency: fc.option(fc.record({ key: fc.string({ unit: 'grapheme' }), content: fc.string() })),
  unique: fc.option(
    fc.record({
      key: fc.string(),
      until: fc.constantFrom<'ended' | 'started' | number>('ended', 'started', 7),
      onConflict: fc.constantFrom('return', 'refuse'),
    }),
  ),
  trace: fc.option(fc.record({ traceparent: fc.string(), tracestate: fc.option(fc.string()) })),
}) satisfies fc.Arbitrary<NewJobRow>

test('batches hold exactly the jobs that they were made from, in order', () => {
  fc.assert(
    fc.property(fc.array(job), (jobs) => {
      const batches = intoBatches(jobs)

      expect(fromBatches(batches, null)).toEqual(jobs.map((job) => [job]))
      expect(fromBatches(batches, [1, jobs.length - 1]).flat()).toEqual(jobs)
      expect(batches.reduce((sum, { count }) => sum + count, 0)).toBe(jobs.length)
    }),
  )
})

test('jobs that differ in their payloads, keys, traces and most fields share one batch', () => {
  const keyed = (key: string) => aJob({ idempotency: { key, content: `of ${key}` } })

  expect(intoBatches([])).toEqual([])
  const alike = { count: 2, differing: [], keys: null, rows: null, traces: null }
  expect(intoBatches([aJob({ payload: '1' }), aJob({ payload: '2' })])).toMatchObject([alike])
  expect(intoBatches([keyed('a'), keyed('b')])).toMatchObject([
    { ...alike, keys: '["a","b"]', rows: '[["a","of a"],["b","of b"]]' },
  ])
  expect(intoBatches([aJob(), keyed('b')])).toMatchObject([
    { ...alike, keys: '["b"]', rows: '[[null,null],["b","of b"]]' },
  ])
  const traced = aJob({ trace: { traceparent: 'a', tracestate: null } })
  expect(intoBatches([aJob(), traced])).toMatchObject([{ ...alike, traces: '[null,["a",null]]' }])
})

test.each<Partial<NewJobRow>>([
  { type: 'other' },
  { queue: 'mail' },
  { priority: 1 },
  { maxAttempts: 9 },
  { timeoutMs: 1 },
])('jobs of which one has %j are one batch, which names the field that differs', (difference) => {
  const [name] = Object.keys(difference) as (keyof NewJobRow)[]
  const rows = JSON.stringify([[aJob()[name!]], [difference[name!]], [aJob()[name!]]])

  expect(intoBatches([aJob(), aJob(difference), aJob()])).toMatchObject([{ count: 3, differing: [name], rows }])
})

test('jobs with a cause each are one batch, and jobs that share one make another', () => {
  const causes = (...all: (string | null)[]) =>
    intoBatches(all.map((cause) => aJob({ cause }))).map((batch) => batch.causes ?? [batch.cause, batch.count])

  expect(causes('a', null, 'c')).toEqual(['["a",null,"c"]'])
  expect(causes('a', 'a', 'b', 'b', 'a')).toEqual([
    ['a', 2],
    ['b', 2],
    ['a', 1],
  ])
  expect(causes('a', 'b', 'b', 'b')).toEqual(['["a","b"]', ['b', 2]])
})

test.each<Partial<NewJobRow>>([{ runAt: 1 }, { delayMs: 1 }])(
  'jobs of which one has %j make three batches',
  (difference) => {
    expect(intoBatches([aJob(), aJob(difference), aJob()]).map(({ count }) => count)).toEqual([1, 1, 1])
  },
)

test('long payloads are kept apart, because to pack them into one text costs more than it saves', () => {
  const texts = (length: number) => [`"${'"'.repeat(length)}"`, '{}']
  const jobsOf = (length: number) => texts(length).map((payload) => aJob({ payload }))

  expect(intoBatches(jobsOf(8_000))).toMatchObject([{ payloads: JSON.stringify(texts(8_000)) }])
  expect(intoBatches(jobsOf(9_000))).toMatchObject([{ payloads: texts(9_000) }])
  for (const jobs of [jobsOf(8_000), jobsOf(9_000)]) expect(fromBatches(intoBatches(jobs), [2])).toEqual([jobs])
})
