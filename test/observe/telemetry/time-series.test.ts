import { expect, test } from 'vitest'
import { countStates } from '../../../src/machines/edges.ts'
import { RunStats } from '../../../src/observe/telemetry/run-stats.ts'
import { TimeSeries } from '../../../src/observe/telemetry/time-series.ts'
import type { CommitStats, EdgeCount } from '../../../src/persistence/store.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { deferred } from '../../support/deferred.ts'
import { startAt, startSystem, until, untilCalled, untilFinished, untilState } from '../../support/system.ts'

const noCommits = { bounds: [10], counts: [0, 0], count: 0, sum: 0 }
const job = {
  id: 1,
  leaseToken: 2,
  type: 'work',
  payload: '1',
  attempt: 0,
  maxAttempts: 4,
  timeoutMs: null,
  runAt: startAt,
}

/** A series over counts, commits and attempts that the test invents; all are zero at first. */
function aSeries() {
  const clock = new ManualClock(startAt)
  const stats = new RunStats(['work'])
  const state = {
    edges: [] as EdgeCount[] | Error,
    commits: { durationMs: noCommits, events: noCommits } as CommitStats,
  }
  const series = new TimeSeries(
    {
      edges: async () => {
        if (state.edges instanceof Error) throw state.edges
        return state.edges
      },
      durations: () => stats.durations(),
      commits: () => state.commits,
      now: () => clock.now(),
    },
    [],
  )
  const sampleAfter = (ms: number) => {
    clock.advance(ms)
    return series.sample()
  }
  return { clock, stats, state, series, sampleAfter }
}

test('a sample has the current values and the changes since the one before', async () => {
  const { stats, state, series, sampleAfter } = aSeries()
  state.edges = [
    { from: 'new', event: 'enqueue', to: 'queued', count: 10 },
    { from: 'queued', event: 'lease', to: 'leased', count: 4 },
  ]
  await sampleAfter(2_000)
  stats.started(job, startAt + 15)
  stats.ended(job, 150)
  state.commits = { ...state.commits, durationMs: { bounds: [10], counts: [3, 1], count: 4, sum: 40 } }
  state.edges = [
    { from: 'new', event: 'enqueue', to: 'queued', count: 13 },
    { from: 'queued', event: 'lease', to: 'leased', count: 9 },
    { from: 'leased', event: 'start', to: 'running', count: 8 },
    { from: 'leased', event: 'expire', to: 'queued', count: 1 },
    { from: 'running', event: 'succeed', to: 'succeeded', count: 3 },
    { from: 'running', event: 'fail', to: 'retrying', count: 2 },
    { from: 'running', event: 'reject', to: 'dead', count: 1 },
    { from: 'running', event: 'expire', to: 'retrying', count: 1 },
  ]
  await sampleAfter(3_000)

  const [first, second] = series.since(0)

  expect(first).toMatchObject({ at: startAt + 2_000, spanMs: 2_000, enqueued: 10, started: 0 })
  expect(first).toMatchObject({ timeInQueueMs: null, executionMs: null, commits: 0, meanCommitMs: null })
  expect(second).toEqual({
    at: startAt + 5_000,
    spanMs: 3_000,
    states: { ...countStates([]), queued: 5, running: 1, retrying: 3, succeeded: 3, dead: 1 },
    enqueued: 3,
    started: 8,
    succeeded: 3,
    failed: 4,
    retried: 3,
    timeInQueueMs: { p50: 15, p95: 19.5, p99: 19.9 },
    executionMs: { p50: 150, p95: 195, p99: 199 },
    commits: 4,
    meanCommitMs: 10,
  })
})

test('a failed read leaves a gap, which the next sample covers', async () => {
  const { state, series, sampleAfter } = aSeries()
  await sampleAfter(2_000)
  state.edges = new Error('busy')
  await sampleAfter(2_000)
  state.edges = [{ from: 'new', event: 'enqueue', to: 'queued', count: 7 }]

  await sampleAfter(2_000)

  expect(series.since(0).map(({ spanMs, enqueued }) => [spanMs, enqueued])).toEqual([
    [2_000, 0],
    [4_000, 7],
  ])
})

test('half an hour of samples is kept', async () => {
  const { clock, series, sampleAfter } = aSeries()

  for (let i = 0; i < 905; i++) await sampleAfter(2_000)

  const samples = series.since(0)
  expect(samples.length).toBe(900)
  expect([samples[0]!.at, samples.at(-1)!.at]).toEqual([clock.now() - 899 * 2_000, clock.now()])
})

test('a reader gets the samples after its newest one', async () => {
  const { series, sampleAfter } = aSeries()
  for (let i = 0; i < 3; i++) await sampleAfter(2_000)

  const after = (ms: number) => series.since(startAt + ms).map(({ at }) => at - startAt)

  expect([after(0), after(2_000), after(6_000)]).toEqual([[2_000, 4_000, 6_000], [4_000, 6_000], []])
})

test('if the clock is set back the series starts again, and a reader gets all of it', async () => {
  const { clock, series, sampleAfter } = aSeries()
  await sampleAfter(60_000)
  const after = series.since(0)[0]!.at
  clock.set(startAt)
  await sampleAfter(2_000)

  const samples = series.since(after)

  expect(samples.map(({ at, spanMs }) => [at - startAt, spanMs])).toEqual([[2_000, 0]])
})

test('no two samples have the same instant', async () => {
  const { series, sampleAfter } = aSeries()
  await sampleAfter(2_000)

  await sampleAfter(0)

  expect(series.since(0).length).toBe(1)
})

test('a serving server takes samples without being asked', async () => {
  const blocker = deferred()
  const { system, clock } = await startSystem({ workers: 2, runs: { work: (payload) => payload && blocker.promise } })
  const jobs = await system.enqueue([false, true].map((payload) => ({ type: 'work', payload })))
  await untilState(system, jobs[0]!.id, 'succeeded')
  await untilCalled(system, jobs[1]!.id)
  clock.advance(2_000)

  await until(() => system.series().length > 0)

  const [sample] = system.series()
  expect(sample).toMatchObject({ at: clock.now(), spanMs: 2_000, enqueued: 2, started: 2, succeeded: 1, failed: 0 })
  expect(sample!.states).toMatchObject({ running: 1, succeeded: 1 })
  expect(sample!.timeInQueueMs).not.toBeNull()
  expect(sample!.commits).toBeGreaterThan(1)
  expect(system.series({ after: sample!.at })).toEqual([])
  blocker.resolve()
  await untilFinished(system, 2)
})

test('a producer takes no samples', async () => {
  const { system } = await startSystem({ runs: null })

  expect(system.series()).toEqual([])
})
