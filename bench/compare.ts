import type { Bench, Figure, Question, Unit } from './question.ts'
import { median, rounded } from './statistics.ts'

/** One run: a value for each figure, and what else is worth knowing. */
export interface Reading<Name extends string> {
  readonly values: Readonly<Record<Name, number>>
  /** By name, their medians go into the figures' detail. */
  readonly notes?: Readonly<Record<string, number>>
}

/** Makes one run in a folder that is its own. */
export type Measure<Name extends string> = (folder: string, bench: Bench) => Reading<Name> | Promise<Reading<Name>>

export interface Comparison<Name extends string> {
  readonly about: string
  readonly units: Readonly<Record<Name, Unit>>
  readonly engine: Measure<Name>
  /** The same work in bare SQLite. */
  readonly limit: Measure<Name>
  /** What the figures are about: jobs, workers, batch. */
  readonly detail: Readonly<Record<string, unknown>>
}

/** Stands in every figure's detail. */
const everywhere = { durability: 'WAL, synchronous=FULL: an acknowledged job survives a power cut', payloadBytes: 30 }

/** A question whose runs take turns between engine and limit, so that a busy moment of the machine hits both. */
export function comparing<Name extends string>(comparison: Comparison<Name>): Question {
  const { about, units, engine, limit, detail } = comparison
  const names = Object.keys(units) as Name[]
  return {
    names,
    about,
    async measure(bench: Bench): Promise<Figure[]> {
      const { runs, scratch, progress } = bench
      const readings = { engine: [] as Reading<Name>[], limit: [] as Reading<Name>[] }
      for (let run = 1; run <= runs; run++) {
        progress.say(`${names.join(', ')}: run ${run} of ${runs}, the bare limit`)
        readings.limit.push(await scratch.during((folder) => limit(folder, bench)))
        progress.say(`${names.join(', ')}: run ${run} of ${runs}, the engine`)
        readings.engine.push(await scratch.during((folder) => engine(folder, bench)))
      }
      return names.map((name) => {
        const values = readings.engine.map((reading) => reading.values[name])
        const value = median(values)
        const bare = median(readings.limit.map((reading) => reading.values[name]))
        return {
          name,
          value: rounded(value),
          unit: units[name],
          limit: rounded(bare),
          share: rounded(lessIsBetter(units[name]) ? bare / value : value / bare),
          detail: {
            about,
            ...everywhere,
            ...detail,
            runs,
            min: rounded(Math.min(...values)),
            max: rounded(Math.max(...values)),
            ...notesOf(readings.engine),
            ...notesOf(readings.limit),
          },
        }
      })
    },
  }
}

function lessIsBetter(unit: Unit): boolean {
  return unit === 'ms' || unit === 'MB'
}

function notesOf(readings: readonly Reading<string>[]): Record<string, number> {
  const names = Object.keys(readings[0]?.notes ?? {})
  return Object.fromEntries(
    names.map((name) => [name, rounded(median(readings.map(({ notes }) => notes?.[name] ?? Number.NaN)))]),
  )
}
