import type { JobSystem, Quantiles, Sample } from '../../../engine/front-door.ts'
import { reply } from '../../reply.ts'

/** One chart over time: what is drawn by which column of `GET /dashboard/series`. */
interface SeriesOptions {
  readonly title: string
  readonly unit: string
  readonly lines: readonly { readonly name: string; readonly label: string; readonly colour: string }[]
}

const quantileLines = (name: string) => [
  { name: `${name}_p50_ms`, label: 'Median', colour: '--held' },
  { name: `${name}_p95_ms`, label: '95th percentile', colour: '--waiting' },
  { name: `${name}_p99_ms`, label: '99th percentile', colour: '--bad' },
]

const seriesCharts: readonly SeriesOptions[] = [
  {
    title: 'Throughput',
    unit: '/s',
    lines: [
      { name: 'enqueued_per_s', label: 'Enqueued', colour: '--waiting' },
      { name: 'started_per_s', label: 'Started', colour: '--executing' },
      { name: 'succeeded_per_s', label: 'Succeeded', colour: '--good' },
    ],
  },
  {
    title: 'Failures',
    unit: '/s',
    lines: [
      { name: 'failed_per_s', label: 'Attempts failed', colour: '--bad' },
      { name: 'retried_per_s', label: 'Of these, to be retried', colour: '--waiting' },
    ],
  },
  { title: 'Time in queue', unit: 'ms', lines: quantileLines('in_queue') },
  { title: 'Execution', unit: 'ms', lines: quantileLines('execution') },
]

/** Empty frames; the page's script draws into them and owns what is there. */
export function SeriesCharts() {
  return (
    <div class="columns">
      {seriesCharts.map((chart) => (
        <SeriesChart {...chart} />
      ))}
    </div>
  )
}

function SeriesChart({ title, unit, lines }: SeriesOptions) {
  return (
    <figure class="card">
      <figcaption>
        <h2>
          {title} <span class="muted">({unit})</span>
        </h2>
      </figcaption>
      <section
        class="series"
        aria-label={`${title} over the last half hour: ${lines.map(({ label }) => label).join(', ')}`}
        id={`series-${lines[0]!.name}`}
        data-own
        data-unit={unit}
        data-lines={JSON.stringify(lines)}
      >
        <noscript>This chart needs a script; /metrics/prometheus has the same data.</noscript>
      </section>
    </figure>
  )
}

/** `GET /dashboard/series`: the last half hour by columns of one length, oldest first; rates in events a second, `null` if nothing happened. */
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
