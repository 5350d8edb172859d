import { countStates, isAfter, jobStates } from '../machines/edges.ts'
import type { JobNode, JobState } from '../machines/job.ts'
import type { ReplayState } from '../machines/replay.ts'
import { type EdgeCount, retention, type VerifyReport, type Violation } from './store.ts'

/** How many violations a report lists; more are only counted. */
export const violationsMax = 1_000

/** A job's row, as far as its history leads to it. */
export interface CheckedRow extends ReplayState {
  readonly id: number
  /** Whether it is JSON; null if there is none. */
  readonly payloadIsValid: boolean | null
  readonly resultIsValid: boolean | null
}

const replayedFields = [
  'state',
  'seq',
  'attempt',
  'crashes',
  'leaseToken',
  'startedAt',
  'finishedAt',
  'maxAttempts',
  'payloads',
] as const satisfies (keyof ReplayState)[]

/** Only the history of a job that was changed tells them; null otherwise. */
const changedFields = ['priority', 'runAt'] as const satisfies (keyof ReplayState)[]

/** How often each edge stands in the histories. */
export type Taken = readonly {
  readonly from: JobState | null
  readonly event: string
  readonly to: JobState
  readonly count: number
}[]

/** What a check of a whole database finds, whichever it is. */
export class Checks {
  readonly #violations: Violation[] = []
  #violationCount = 0
  jobs = 0
  events = 0

  tell(invariant: Violation['invariant'], jobId: number | null, message: string): void {
    this.#violationCount++
    if (this.#violations.length < violationsMax) this.#violations.push({ invariant, jobId, message })
  }

  /** What another check found. */
  add(other: Checks): void {
    const { jobs, events, violations, violationCount } = other.report()
    this.jobs += jobs
    this.events += events
    this.#violationCount += violationCount
    this.#violations.push(...violations.slice(0, violationsMax - this.#violations.length))
  }

  /** The row is what its history leads to. */
  checkRow(row: CheckedRow, end: ReplayState): void {
    this.jobs++
    for (const field of [...replayedFields, ...changedFields.filter((name) => end[name] !== null)]) {
      if (row[field] === end[field]) continue
      this.tell(
        'I4',
        row.id,
        `the row has ${field} ${row[field]}, its history leads to ${end[field]} at seq ${end.seq}`,
      )
    }
    if (row.attempt > row.maxAttempts) this.tell('I7', row.id, `attempt ${row.attempt} of ${row.maxAttempts}`)
    if (row.payloadIsValid === null) this.tell('I1', row.id, 'its payload is missing')
    if (row.payloadIsValid === false) this.tell('I1', row.id, 'its payload is not JSON')
    if (row.resultIsValid === false) this.tell('I1', row.id, 'its result is not JSON')
    if (row.resultIsValid !== null && !isAfter('succeed', row.state))
      this.tell('I4', row.id, `it has a result and is ${row.state}: only a job that has succeeded has one`)
  }

  /**
   * Conservation: what went into a state less what went out of it is what is there; each edge was taken as often as is kept. All three of one
   * instant; `taken` is not asked for once retention has removed histories.
   */
  checkCounts(kept: readonly EdgeCount[], found: ReadonlyMap<JobState, number>, taken: () => Taken): void {
    const counted = countStates(kept)
    for (const state of jobStates) {
      const [there, should] = [found.get(state) ?? 0, counted[state]]
      if (there !== should) this.tell('I8', null, `${there} jobs are ${state}, the kept counts say ${should}`)
    }
    if (!kept.some(({ event }) => event === retention)) this.#checkEdges(kept, taken())
  }

  #checkEdges(kept: readonly EdgeCount[], found: Taken): void {
    const key = (from: JobNode | null, event: string, to: string | null) => `${from ?? 'new'} ${event} ${to}`
    const taken = new Map(found.map(({ from, event, to, count }) => [key(from, event, to), count]))
    const counts = new Map(kept.map(({ from, event, to, count }) => [key(from, event, to), count]))
    for (const edge of new Set([...taken.keys(), ...counts.keys()])) {
      const [times, should] = [taken.get(edge) ?? 0, counts.get(edge) ?? 0]
      if (times !== should)
        this.tell(
          'I8',
          null,
          `the edge "${edge}" occurs ${times} times in the history, but ${should} in the kept counts`,
        )
    }
  }

  report(): VerifyReport {
    const { jobs, events } = this
    return { jobs, events, violations: this.#violations, violationCount: this.#violationCount }
  }
}
