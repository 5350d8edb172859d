import { stateOf } from '../../new-jobs.ts'
import type { EnqueueResult, NewJobRow } from '../../store.ts'
import type { Reads } from '../reads.ts'
import { type Admission, admit, type KeyedJob } from './admission.ts'
import type { QueueDepths } from './depths.ts'
import type { JobIds } from './job-ids.ts'

/** Calls that come into one transaction. */
export interface Entry extends Pick<Admission, 'newJobs'> {
  readonly results: readonly EnqueueResult[]
  /** Jobs that are the answer to a key that was used again, each as often. */
  readonly replayed: readonly number[]
  readonly blocks: number
  /** They were stored at that instant. */
  stored(now: number): void
  /** The transaction is over. */
  leave(): void
}

const unlimited = { total: 0, max: Number.POSITIVE_INFINITY, perQueueMax: Number.POSITIVE_INFINITY, queues: new Map() }

/** Lets new jobs in: those with keys, or close to a limit, one transaction at a time; the others without a look at the database. */
export class Admissions {
  readonly #reads: Reads
  readonly #depths: QueueDepths
  readonly #ids: JobIds
  #turn: Promise<void> = Promise.resolve()

  constructor(reads: Reads, depths: QueueDepths, ids: JobIds) {
    this.#reads = reads
    this.#depths = depths
    this.#ids = ids
  }

  async enter(calls: readonly (readonly NewJobRow[])[]): Promise<Entry> {
    const jobs = calls.flat()
    await this.#reserve(jobs.length)
    const keys = jobs.flatMap(({ idempotency }) => idempotency?.key ?? [])
    const isFree = keys.length === 0 && (jobs.length === 0 || this.#depths.hasRoom(jobs.length))
    const leave = isFree ? () => {} : await this.#takeTurn()
    try {
      const admission = isFree
        ? admit(calls, new Map(), unlimited, () => this.#ids.next())
        : admit(calls, await this.#keyed(keys), await this.#depths.look(jobs), () => this.#ids.next())
      this.#depths.expect(admission.newJobs.length)
      const replayed = admission.results.flatMap(replaysIn)
      const blocks = this.#ids.blocksFor(0)
      return { ...admission, replayed, blocks, stored: (now) => tellStates(admission, now), leave }
    } catch (error) {
      leave()
      throw error
    }
  }

  async #takeTurn(): Promise<() => void> {
    const before = this.#turn
    let leave = () => {}
    this.#turn = new Promise((resolve) => {
      leave = resolve
    })
    await before
    return leave
  }

  async #keyed(keys: readonly string[]): Promise<Map<string, KeyedJob>> {
    if (keys.length === 0) return new Map()
    const rows = await this.#reads.all<KeyedJob & { key: string }>(
      'SELECT idempotency_key AS key, id, state, content FROM jobs WHERE idempotency_key = ANY (:keys::text[])',
      { keys },
    )
    return new Map(rows.map(({ key, ...job }) => [key, job]))
  }

  /** Mostly there are some, for each transaction brings more. */
  async #reserve(count: number): Promise<void> {
    if (this.#ids.has(count)) return
    const blocks = this.#ids.blocksFor(count)
    const rows = await this.#reads.all<{ first: number }>(
      `SELECT nextval('job_ids') AS first FROM generate_series(1, :blocks::integer)`,
      {
        blocks,
      },
    )
    this.#ids.add(rows.map(({ first }) => first))
  }
}

function replaysIn(result: EnqueueResult): number[] {
  return result.outcome === 'stored' ? result.jobs.flatMap(({ id, created }) => (created ? [] : [id])) : []
}

/** As the server decides them. */
function tellStates({ newJobs }: Admission, now: number): void {
  for (const { job, answers } of newJobs) {
    const state = stateOf(job, now)
    for (const answer of answers) answer.state = state
  }
}
