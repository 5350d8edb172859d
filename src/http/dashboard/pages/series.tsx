/** One chart over time: what is drawn from which column of `GET /dashboard/series`. */
interface SeriesOptions {
  readonly title: string
  readonly unit: string
  /** Of the process that is asked; the others are of the whole database. */
  readonly isOfNode?: boolean
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
  { title: 'Time in queue', unit: 'ms', isOfNode: true, lines: quantileLines('in_queue') },
  { title: 'Execution', unit: 'ms', isOfNode: true, lines: quantileLines('execution') },
]

/** Empty frames; the page's script draws into them and owns their content. `ofNode`: words for those of this process alone. */
export function SeriesCharts({ ofNode }: { readonly ofNode: string }) {
  return (
    <div class="columns">
      {seriesCharts.map((chart) => (
        <SeriesChart {...chart} title={`${chart.title}${chart.isOfNode ? ofNode : ''}`} />
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
