import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { payloadText } from '../load.ts'
import type { Bench, Figure } from '../question.ts'
import type { Scratch } from '../scratch.ts'
import { median, rounded } from '../statistics.ts'
import type { Entry } from './catalogue.ts'
import type { Task } from './measure-process.ts'
import type { Measurement, Reading } from './measurements.ts'
import { answerOf } from './processes.ts'

/** A measurement that has not ended by then never will. */
const processMs = 45_000
const script = join(import.meta.dirname, 'measure-process.js')

/** Why a peer has no figures, or not all. */
export interface Gap {
  readonly peer: string
  readonly reason: string
}

/** All peers with one kind of work. */
export interface Comparison {
  readonly figures: readonly Figure[]
  readonly gaps: readonly Gap[]
}

/**
 * Measures all peers with one kind of work. They take turns, so that a busy moment of the machine affects all; one that failed is left out
 * from then on.
 */
export async function compare(bench: Bench, measurement: Measurement, entries: readonly Entry[]): Promise<Comparison> {
  const asked = entries.filter(({ does }) => does.includes(measurement.kind))
  const readings = new Map<Entry, Reading[]>(asked.map((entry) => [entry, []]))
  const gaps: Gap[] = []
  for (let run = 1; run <= bench.runs; run++) {
    for (const [entry, taken] of readings) {
      bench.progress.say(`${measurement.names.join(', ')}: run ${run} of ${bench.runs}, ${entry.name}`)
      try {
        taken.push(await measureOnce(bench.scratch, entry, measurement))
      } catch (error) {
        readings.delete(entry)
        gaps.push({ peer: entry.name, reason: `${measurement.names[0]} failed: ${(error as Error).message}` })
      }
    }
  }
  return { figures: [...readings].flatMap(([entry, taken]) => figuresOf(entry, measurement, taken)), gaps }
}

/** One run: a new folder, a new server if the peer needs one, a new process. Nothing of them is left when it resolves. */
function measureOnce(scratch: Scratch, entry: Entry, { names }: Measurement): Promise<Reading> {
  const { peer, variant, service, runtime } = entry
  return scratch.during(async (folder) => {
    const server = service && 'start' in service ? await service.start(folder) : undefined
    try {
      // Earlier writes must not be flushed during the measurement.
      execFileSync('sync')
      const task: Task = { peer, place: { folder, variant, ...(server && { port: server.port }) }, figure: names[0]! }
      const path = runtime && 'path' in runtime ? runtime.path : process.execPath
      const answer = await answerOf(path, [script, JSON.stringify(task)], { forMs: processMs, cwd: folder })
      return JSON.parse(answer) as Reading
    } finally {
      await server?.stop()
    }
  })
}

function figuresOf(entry: Entry, { names, unit, about, detail }: Measurement, readings: readonly Reading[]): Figure[] {
  const { name: peer, survives, settings } = entry
  return names.flatMap((figure) => {
    const values = readings.flatMap((reading) => reading[figure] ?? [])
    if (values.length === 0) return []
    const all = {
      ...{ peer, figure, about, survives, settings },
      ...{ payloadBytes: payloadText.length, ...detail, runs: values.length },
      ...{ min: rounded(Math.min(...values)), max: rounded(Math.max(...values)) },
    }
    return {
      name: `${peer}.${figure}`,
      value: rounded(median(values)),
      unit: figure.endsWith('_us') ? 'µs' : unit,
      detail: all,
    }
  })
}
