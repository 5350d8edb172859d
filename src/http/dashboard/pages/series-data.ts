import type { JobSystem, Quantiles, Sample } from '../../../engine/front-door.ts'
import { reply } from '../../reply.ts'

/**
 * `GET /dashboard/series`: the last half hour in columns of the same length, oldest first; rates in events per second, `null` if nothing
 * happened.
 */
export function showSeries(system: JobSystem): Response {
  const samples = system.series()
  const rate = (countOf: (sample: Sample) => number) =>
    samples.map((sample) => (countOf(sample) * 1_000) / Math.max(sample.spanMs, 1))
  return reply({
    at: samples.map(({ at }) => at),
    enqueued_per_s: rate(({ enqueued }) => enqueued),
    started_per_s: rate(({ started }) => started),
    succeeded_per_s: rate(({ succeeded }) => succeeded),
    failed_per_s: rate(({ failed }) => failed),
    retried_per_s: rate(({ retried }) => retried),
    ...quantiles('in_queue', samples, ({ timeInQueueMs }) => timeInQueueMs),
    ...quantiles('execution', samples, ({ executionMs }) => executionMs),
  })
}

function quantiles(name: string, samples: readonly Sample[], of: (sample: Sample) => Quantiles | null) {
  return Object.fromEntries(
    (['p50', 'p95', 'p99'] as const).map((q) => [`${name}_${q}_ms`, samples.map((sample) => of(sample)?.[q] ?? null)]),
  )
}
