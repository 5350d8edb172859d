import { Admission, type AdmissionFacts } from '../../admission.ts'
import type { IncomingJob } from '../../new-jobs.ts'
import type { EnqueuedJob } from '../../store.ts'
import type { OwnNode } from '../nodes.ts'
import type { Reads } from '../reads.ts'
import { holderIn, keyUsersSql, uniquesOf } from '../unique-keys.ts'
import { type QueueDepths, unlimited } from './depths.ts'
import type { JobIds } from './job-ids.ts'

/** Lets new jobs in: those with keys, or close to a limit, one transaction at a time; the others without a look at the database. */
export class Admissions {
  readonly #reads: Reads
  readonly #node: Pick<OwnNode, 'now'>
  readonly #depths: QueueDepths
  readonly #ids: JobIds
  #turn: Promise<void> = Promise.resolve()

  constructor(reads: Reads, node: Pick<OwnNode, 'now'>, depths: QueueDepths, ids: JobIds) {
    this.#reads = reads
    this.#node = node
    this.#depths = depths
    this.#ids = ids
  }

  /** `blocks`: of ids, to reserve with the next transaction. `leave`: to be called when the transaction is over. */
  async enter<Job extends IncomingJob>(calls: readonly (readonly Job[])[]) {
    const jobs = calls.flat()
    // Mostly there are some, for each transaction brings more.
    if (!this.#ids.has(jobs.length)) await this.#ids.reserve(this.#reads, jobs.length)
    const keys = jobs.flatMap(({ idempotency }) => idempotency?.key ?? [])
    const uniques = uniquesOf(jobs)
    const isFree = keys.length + uniques.length === 0 && (jobs.length === 0 || this.#depths.hasRoom(jobs.length))
    const leave = isFree ? () => {} : await this.#takeTurn()
    try {
      const keyed = await this.#keyed(keys)
      const holders = await this.#holders(uniques)
      const room = isFree ? unlimited : await this.#depths.look(jobs)
      const facts = {
        ...room,
        keyed: (key: string) => keyed.get(key),
        holder: holderIn(holders),
        nextId: () => this.#ids.next(),
        canAmend: true,
      }
      const admission = new Admission(calls, facts)
      this.#depths.expect(admission.newJobs.length)
      return { admission, blocks: this.#ids.blocksFor(0), leave }
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

  async #holders(uniques: ReturnType<typeof uniquesOf>): Promise<Parameters<typeof holderIn>[0]> {
    if (uniques.length === 0) return []
    return this.#reads.all(keysSql, { uniques: JSON.stringify(uniques), given: this.#node.now() })
  }

  async #keyed(keys: readonly string[]): Promise<Map<string, ReturnType<AdmissionFacts['keyed']>>> {
    if (keys.length === 0) return new Map()
    const rows = await this.#reads.all<Omit<EnqueuedJob, 'created'> & { key: string; content: string }>(
      'SELECT idempotency_key AS key, id, state, content FROM jobs WHERE idempotency_key = ANY (:keys::text[])',
      { keys },
    )
    return new Map(rows.map(({ key, content, ...job }) => [key, { job: { ...job, created: false }, content }]))
  }
}

const keysSql = keyUsersSql(':uniques::json', 'instant(:given::bigint)')
