import type { Bench, Figure, Question, Unit } from './question.ts'
import { median, rounded } from './statistics.ts'

/** One run: a value for each figure, with notes. */
export interface Reading<Name extends string> {
  readonly values: Readonly<Record<Name, number>>
  /** By name; their medians go into the figures' detail. */
  readonly notes?: Readonly<Record<string, number>>
  /** Goes into the detail unchanged, from the last run. */
  readonly detail?: Readonly<Record<string, unknown>>
}

/** Makes one run in its own folder. */
export type Measure<Name extends string> = (folder: string, bench: Bench) => Reading<Name> | Promise<Reading<Name>>

export interface Comparison<Name extends string> {
  readonly about: string
  readonly units: Readonly<Record<Name, Unit>>
  readonly engine: Measure<Name>
  /** The same work without the engine; left out if there is nothing to compare with. */
  readonly limit?: Measure<Name>
  /** One run, whatever `--runs` says, because one takes minutes. */
  readonly once?: boolean
  /** What the figures are about: jobs, workers, batch. */
  readonly detail: Readonly<Record<string, unknown>>
}

/** Part of every figure's detail. */
export const everywhere = {
  durability: 'WAL, synchronous=FULL: an acknowledged job survives a power cut',
  payloadBytes: 30,
}

/** A question whose runs alternate between engine and limit, so that a busy moment of the machine affects both. */
export function comparing<Name extends string>(comparison: Comparison<Name>): Question {
  const { about, units, engine, limit, once = false, detail } = comparison
  const names = Object.keys(units) as Name[]
  return {
    names,
    about,
    async measure(bench: Bench): Promise<Figure[]> {
      const { scratch, progress } = bench
      const runs = once ? 1 : bench.runs
      const readings = { engine: [] as Reading<Name>[], limit: [] as Reading<Name>[] }
      for (let run = 1; run <= runs; run++) {
        const which = `${names.join(', ')}: run ${run} of ${runs}`
        if (limit) {
          progress.say(`${which}, the limit`)
          readings.limit.push(await scratch.during((folder) => limit(folder, bench)))
        }
        progress.say(`${which}, the engine`)
        readings.engine.push(await scratch.during((folder) => engine(folder, bench)))
      }
      return names.map((name) => {
        const values = readings.engine.map((reading) => reading.values[name])
        const value = median(values)
        return {
          name,
          value: rounded(value),
          unit: units[name],
          ...(limit
            ? besideLimit(value, median(readings.limit.map((reading) => reading.values[name])), units[name])
            : {}),
          detail: {
            about,
            ...everywhere,
            ...detail,
            runs,
            ...(runs > 1 ? { min: rounded(Math.min(...values)), max: rounded(Math.max(...values)) } : {}),
            ...notesOf(readings.engine),
            ...notesOf(readings.limit),
            ...readings.engine.at(-1)?.detail,
          },
        }
      })
    },
  }
}

/** A limit of 0 has no share, because nothing reaches it. */
function besideLimit(value: number, limit: number, unit: Unit): Pick<Figure, 'limit' | 'share'> {
  if (limit === 0) return { limit }
  return { limit: rounded(limit), share: rounded(lessIsBetter(unit) ? limit / value : value / limit) }
}

function lessIsBetter(unit: Unit): boolean {
  return unit === 'ms' || unit === 'MB' || unit === 'bytes' || unit === '%'
}

function notesOf(readings: readonly Reading<string>[]): Record<string, number> {
  const names = Object.keys(readings[0]?.notes ?? {})
  return Object.fromEntries(
    names.map((name) => [name, rounded(median(readings.map(({ notes }) => notes?.[name] ?? Number.NaN)))]),
  )
}
