import { Quotas, type RetentionRules } from '../../job/retention.ts'
import { countStates } from '../../machines/edges.ts'
import type { EdgeCount, JobRow } from '../store.ts'
import type { Duties } from './duties.ts'
import { retainSql } from './functions.ts'
import type { Reads } from './reads.ts'

/** Jobs that one step looks at. */
const walkMax = 1_000

/** What of a job decides whether it is removed. */
type SeenName = 'id' | 'type' | 'state' | 'createdAt' | 'finishedAt'
type Seen = readonly Pick<JobRow, SeenName>[]

/**
 * Removes jobs, with all that is theirs: those that ended long enough ago by a walk up the ids, and those that are beyond the number that is
 * kept of their kind by a walk down. Neither has an index of its own.
 */
export class Retention {
  readonly #reads: Reads
  readonly #duties: Duties
  readonly #rules: RetentionRules
  readonly #counts: () => Promise<readonly EdgeCount[]>
  #walkedTo = 0
  /** The walk down; null while there is none. */
  #countedDownTo: number | null = null
  #quotas: Quotas

  /** `counts`: the kept counts of the schema. */
  constructor(reads: Reads, duties: Duties, rules: RetentionRules, counts: () => Promise<readonly EdgeCount[]>) {
    this.#reads = reads
    this.#duties = duties
    this.#rules = rules
    this.#counts = counts
    this.#quotas = new Quotas(rules)
  }

  /** Goes on with the walks by one step; false at their end. */
  async step(now: number): Promise<boolean> {
    return (this.#countedDownTo === null && (await this.#walk(now))) || this.#countDown()
  }

  /**
   * False at its end, if no job of a whole step was created early enough to have ended long enough ago. One alone proves nothing: it may have
   * come while the clock was wrong.
   */
  async #walk(now: number): Promise<boolean> {
    const oldest = now - this.#rules.shortestMs
    if (oldest === Number.NEGATIVE_INFINITY) return false
    const seen = await this.#reads.all<Seen[number]>(nextSql, { after: this.#walkedTo })
    const old = seen.filter(({ createdAt }) => createdAt <= oldest)
    await this.#remove(old.filter((job) => this.#rules.isOver(job, now)))
    const goesOn = seen.length === walkMax && old.length > 0
    this.#walkedTo = goesOn ? seen.at(-1)!.id : 0
    return goesOn
  }

  /** False at its end, which is at the oldest job. */
  async #countDown(): Promise<boolean> {
    if (this.#countedDownTo === null) {
      if (this.#rules.countedStates.length === 0) return false
      if (!this.#rules.mayExceed(countStates(await this.#counts()))) return false
      this.#countedDownTo = Number.MAX_SAFE_INTEGER
      this.#quotas = new Quotas(this.#rules)
    }
    const seen = await this.#reads.all<Seen[number]>(beforeSql, { before: this.#countedDownTo })
    await this.#remove(seen.filter((job) => this.#quotas.isBeyond(job)))
    this.#countedDownTo = seen.length === walkMax ? seen.at(-1)!.id : null
    return this.#countedDownTo !== null
  }

  /** Those that have not changed since they were seen. */
  async #remove(jobs: Seen): Promise<void> {
    if (jobs.length === 0) return
    await this.#reads.all(retainSql, {
      ids: jobs.map(({ id }) => id),
      finishedAts: jobs.map(({ finishedAt }) => finishedAt),
    })
    await this.#duties.note('retention')
  }
}

const columns = 'id, type, state, created_at AS "createdAt", finished_at AS "finishedAt"'
const nextSql = `SELECT ${columns} FROM jobs WHERE id > :after ORDER BY id LIMIT ${walkMax}`
const beforeSql = `SELECT ${columns} FROM jobs WHERE id < :before ORDER BY id DESC LIMIT ${walkMax}`
