/** One chart over time: what is drawn by which column of `GET /dashboard/series`. */
export interface SeriesOptions {
  readonly title: string
  readonly unit: string
  readonly lines: readonly { readonly name: string; readonly label: string; readonly colour: string }[]
}

/** An empty frame; the page's script draws into it and owns what is there. */
export function SeriesChart({ title, unit, lines }: SeriesOptions) {
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
