import uPlot from './uplot.js'

/** Ms between two requests for new samples: the server takes one as often. */
const pollMs = 2_000
const heightPx = 190

/** One line of a chart, as the page describes it. */
interface Line {
  /** The name of the column in `Series`. */
  readonly name: string
  readonly label: string
  /** The custom property with its colour. */
  readonly colour: string
}

/** `GET /dashboard/series`: columns of the same length, oldest first; `at` in epoch ms. */
type Series = { readonly at: number[] } & Readonly<Record<string, (number | null)[]>>

/** Draws each `.series` of the page, as its `data-lines` says, and updates it. */
const figures = [...document.querySelectorAll<HTMLElement>('.series')]
let series: Series = { at: [] }
let charts: uPlot[] = []
draw()
void follow()
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
new ResizeObserver(() => {
  for (const [index, chart] of charts.entries()) chart.setSize({ width: widthOf(figures[index]!), height: heightPx })
}).observe(document.getElementById('main')!)

async function follow(): Promise<never> {
  for (;;) {
    if (!document.hidden) await load()
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

async function load(): Promise<void> {
  try {
    const answer = await fetch(new URL('../dashboard/series', import.meta.url))
    if (!answer.ok || answer.redirected) return
    series = await answer.json()
  } catch {
    // The page's own refresh reports that the server does not answer.
    return
  }
  for (const [index, chart] of charts.entries()) fill(chart, figures[index]!)
}

/** While nobody points at a moment, the legend shows the last one. */
function fill(chart: uPlot, figure: HTMLElement): void {
  chart.setData(dataOf(linesOf(figure)))
  if (chart.cursor.idx === null || chart.cursor.idx === undefined) chart.setLegend({ idx: series.at.length - 1 })
}

function draw(): void {
  for (const chart of charts) chart.destroy()
  charts = figures.map((figure) => new uPlot(optionsOf(figure), dataOf(linesOf(figure)), figure))
}

function optionsOf(figure: HTMLElement): uPlot.Options {
  const colours = getComputedStyle(document.documentElement)
  const colour = (name: string) => colours.getPropertyValue(name)
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
  }
  const unit = figure.dataset.unit ?? ''
  return {
    width: widthOf(figure),
    height: heightPx,
    cursor: { y: false },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => short(tick)) },
    ],
    series: [
      { label: 'Time', value: (_: uPlot, at: number | null) => (at === null ? '–' : clock(at)) },
      ...linesOf(figure).map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 2,
        spanGaps: false,
        value: (_: uPlot, value: number | null) => (value === null ? '–' : `${short(value)} ${unit}`),
      })),
    ],
  }
}

function dataOf(lines: readonly Line[]): uPlot.AlignedData {
  return [series.at.map((at) => at / 1_000), ...lines.map(({ name }) => series[name] ?? [])] as uPlot.AlignedData
}

function linesOf(figure: HTMLElement): Line[] {
  return JSON.parse(figure.dataset.lines ?? '[]')
}

function widthOf(figure: HTMLElement): number {
  return Math.max(figure.clientWidth, 200)
}

function short(value: number): string {
  return value >= 10_000 ? `${Math.round(value / 1_000)}k` : `${Math.round(value * 100) / 100}`
}

/** The reader's local time of day; `at` in epoch seconds. */
function clock(at: number): string {
  return new Date(at * 1_000).toTimeString().slice(0, 8)
}
