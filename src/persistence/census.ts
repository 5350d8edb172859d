import type { JobState } from '../machines/job.ts'
import { type CensusCount, censusPairsMax, censusRest } from './store.ts'

/**
 * Pairs of type and queue that are kept during the walk. If there are more, those that seem rare are counted with the rest from then on.
 */
const pairsHeldMax = 10_000

interface Pair {
  readonly type: string
  readonly queue: string
  readonly states: Map<JobState, number>
  jobs: number
}

/** The counts so far; bounded, however many queues there are. */
export class Census {
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
