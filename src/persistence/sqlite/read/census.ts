import { performance } from 'node:perf_hooks'
import type Database from 'better-sqlite3'
import type { JobState } from '../../../machines/job.ts'
import { timers } from '../../../runtime/timers.ts'
import { type CensusCount, censusPairsMax, censusRest } from '../../store.ts'

/** Rows that one step reads, as for a list. */
const stepMax = 20_000
/**
 * Pairs of type and queue that are kept during the walk. If there are more, those that seem rare are counted with the rest from then on.
 */
const pairsHeldMax = 10_000

/** Counts the jobs of a file. It deliberately has no index for that, because an index would slow down every transition. */
export class CensusTaker {
  readonly #step: Database.Statement

  constructor(db: Database.Database) {
    this.#step = db.prepare(`
      SELECT type, queue, state, count(*) AS count, max(id) AS last
      FROM (SELECT id, type, queue, state FROM jobs WHERE id > ? ORDER BY id LIMIT ?)
      GROUP BY type, queue, state`)
  }

  /** Walks up the ids in steps, and rests after each for as long as it took, so that other waiting reads get their turn. */
  async take(): Promise<CensusCount[]> {
    const census = new Census()
    for (let after = 0; ; ) {
      const begunAt = performance.now()
      const found = this.#step.all(after, stepMax) as (CensusCount & { last: number })[]
      census.add(found)
      const seen = found.reduce((sum, { count }) => sum + count, 0)
      if (seen < stepMax) return census.counts()
      after = found.reduce((last, group) => Math.max(last, group.last), after)
      await new Promise((resolve) => timers.setTimeout(resolve, performance.now() - begunAt))
    }
  }
}

interface Pair {
  readonly type: string
  readonly queue: string
  readonly states: Map<JobState, number>
  jobs: number
}

/** The counts so far; bounded, however many queues there are. */
class Census {
  #pairs = new Map<string, Pair>()
  readonly #rest: Pair = { type: censusRest, queue: censusRest, states: new Map(), jobs: 0 }

  add(found: readonly CensusCount[]): void {
    for (const { type, queue, state, count } of found) {
      const name = `${type} ${queue}`
      const pair = this.#pairs.get(name) ?? { type, queue, states: new Map(), jobs: 0 }
      this.#pairs.set(name, pair)
      addTo(pair, state, count)
    }
    if (this.#pairs.size > pairsHeldMax) this.#keepLargest(pairsHeldMax)
  }

  counts(): CensusCount[] {
    this.#keepLargest(censusPairsMax)
    const pairs = [...this.#pairs.values(), this.#rest]
    return pairs.flatMap(({ type, queue, states }) =>
      [...states].map(([state, count]) => ({ type, queue, state, count })),
    )
  }

  #keepLargest(max: number): void {
    const sorted = [...this.#pairs].sort(([, a], [, b]) => b.jobs - a.jobs)
    for (const [, { states }] of sorted.slice(max)) {
      for (const [state, count] of states) addTo(this.#rest, state, count)
    }
    this.#pairs = new Map(sorted.slice(0, max))
  }
}

function addTo(pair: Pair, state: JobState, count: number): void {
  pair.jobs += count
  pair.states.set(state, (pair.states.get(state) ?? 0) + count)
}
