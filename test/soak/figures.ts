/** How the samples of one window become one value. */
type Reduction = 'median' | 'least' | 'p99'

export interface Figure {
  readonly name: string
  readonly unit: string
  readonly of: Reduction
  /** How much it may grow over the second half and still count as flat: a share of its level, or this much if that is more. */
  readonly mayGrow: { readonly share: number; readonly least: number }
}

/** Everything that is watched, and the limits of what counts as flat. */
export const figures = {
  rss: { name: 'RSS', unit: 'MB', of: 'median', mayGrow: { share: 0.1, least: 10 } },
  heap: { name: 'heap', unit: 'MB', of: 'least', mayGrow: { share: 0.15, least: 5 } },
  descriptors: { name: 'descriptors', unit: '', of: 'median', mayGrow: { share: 0, least: 3 } },
  log: { name: '-wal', unit: 'MB', of: 'median', mayGrow: { share: 0.25, least: 4 } },
  database: { name: 'jobs.db', unit: 'MB', of: 'median', mayGrow: { share: 0.1, least: 1 } },
  postMedian: { name: 'POST p50', unit: 'ms', of: 'median', mayGrow: { share: 0.25, least: 1 } },
  postWorst: { name: 'POST p99', unit: 'ms', of: 'p99', mayGrow: { share: 0.5, least: 10 } },
  startMedian: { name: 'start p50', unit: 'ms', of: 'median', mayGrow: { share: 0.25, least: 1 } },
  startWorst: { name: 'start p99', unit: 'ms', of: 'p99', mayGrow: { share: 0.5, least: 10 } },
} as const satisfies Readonly<Record<string, Figure>>

export type FigureName = keyof typeof figures
export const figureNames = Object.keys(figures) as FigureName[]

/**
 * The limit of the p99 from enqueue to start, relative to the same server before anything was old enough to be removed; or this many ms.
 */
export const retentionCosts = { times: 1.5, leastMs: 10 }

/** The number of windows of a whole run. */
const windows = 40

export interface Trend {
  readonly figure: Figure
  /** The median of its windows. */
  readonly level: number
  /** Over the second half, as the median of the slopes between all pairs of windows. */
  readonly growth: number
  readonly isFlat: boolean
}

/** Samples of every figure with their times, in ms since the run began. */
export class Samples {
  readonly #lengthMs: number
  readonly #samples = new Map<FigureName, [atMs: number, value: number][]>(figureNames.map((name) => [name, []]))

  constructor(lengthMs: number) {
    this.#lengthMs = lengthMs
  }

  add(name: FigureName, atMs: number, value: number): void {
    this.#samples.get(name)!.push([atMs, value])
  }

  /** A figure's value from one instant to another; NaN if there is no sample. */
  between(name: FigureName, fromMs: number, toMs: number): number {
    const values = this.#samples.get(name)!.flatMap(([at, value]) => (at >= fromMs && at < toMs ? [value] : []))
    return reduce(values, figures[name].of)
  }

  /** For the second half. */
  trend(name: FigureName): Trend {
    const figure: Figure = figures[name]
    const step = this.#lengthMs / windows
    const values = Array.from({ length: windows / 2 }, (_, index) => {
      const from = this.#lengthMs / 2 + index * step
      return this.between(name, from, from + step)
    })
    const points = values.flatMap((value, index) => (Number.isNaN(value) ? [] : [[index, value] as const]))
    const slopes = points.flatMap(([x, y], index) => points.slice(index + 1).map(([x2, y2]) => (y2 - y) / (x2 - x)))
    const level = quantile(
      points.map(([, value]) => value),
      0.5,
    )
    const growth = quantile(slopes, 0.5) * (windows / 2)
    const { share, least } = figure.mayGrow
    return { figure, level, growth, isFlat: growth <= Math.max(share * level, least) }
  }
}

function reduce(values: readonly number[], how: Reduction): number {
  return how === 'least' ? quantile(values, 0) : quantile(values, how === 'p99' ? 0.99 : 0.5)
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export function inTable(trends: readonly Trend[]): string {
  const rows = trends.map(({ figure, level, growth, isFlat }) => [
    figure.name,
    inUnit(level, figure.unit),
    `${growth < 0 ? '' : '+'}${inUnit(growth, figure.unit)}`,
    isFlat ? 'flat' : 'NOT FLAT',
  ])
  const table = [['', 'level', 'growth over the second half', ''], ...rows]
  return table.map((row) => row.map((cell, column) => cell.padEnd([14, 12, 29, 0][column]!)).join('')).join('\n')
}

export function inUnit(value: number, unit: string): string {
  return `${Number.isNaN(value) ? '?' : value.toFixed(1)} ${unit}`.trim()
}
