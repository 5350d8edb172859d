import { DatabaseUnusableError } from '../../errors.ts'
import type { CopyTarget } from '../postgres/copy/copy-target.ts'
import { failureOf } from '../postgres/failure.ts'
import { type Total, totalsSql, type WholeJobs } from '../sqlite/read/whole-jobs.ts'
import type { CopyStep } from './copy-step.ts'
import { differenceOf, type KnownRow, problemOf, type WholeJob } from './whole-job.ts'

/** The end of the tail is near when fewer transitions than this are left: they take less than a second. */
const nearTransitions = 2_000

/**
 * Copies jobs from a file into a schema. Each is checked against its own history before, and read back and compared after; so what was
 * copied while the file was in use need not be compared again, unless it changes.
 */
export class JobCopy {
  readonly #target: CopyTarget
  readonly #onStep: (step: CopyStep) => void
  #replays = new Map<number, string>()
  /** Written and read back. */
  transitions = 0

  constructor(target: CopyTarget, onStep: (step: CopyStep) => void) {
    this.#target = target
    this.#onStep = onStep
  }

  /** Each job once, by rising id, then what has happened meanwhile, until little is left. */
  async copyAll(source: WholeJobs): Promise<void> {
    const of = source.totals().reduce((sum, { count }) => sum + count, 0)
    // Those that come later are in the tail, or a fast producer would be followed for ever.
    const { jobs: lastId } = source.facts()
    let copied = source.countUpTo(this.#target.state!.lastJob)
    while (this.#target.state!.lastJob < lastId) {
      this.#onStep({ step: 'copying', jobs: copied, of })
      const jobs = source.after(this.#target.state!.lastJob)
      const last = jobs.at(-1)?.row.id
      if (last === undefined) break
      // An earlier run may have followed a part of their histories.
      const known = await this.#target.rows(jobs.map(({ row }) => row.id))
      const rest = jobs.map((job) => ({ ...job, events: job.events.slice(known.get(job.row.id)?.seq ?? 0) }))
      await this.#write(source, rest, known, { lastJob: last })
      copied += jobs.length
    }
    await this.#copyReplays(source)
    await this.#removeGone(source)
    let before = Number.POSITIVE_INFINITY
    // Where as much happens as can be copied, no further turn brings the end nearer.
    for (let left = this.#leftOf(source); left >= nearTransitions && left < before; left = this.#leftOf(source)) {
      before = left
      await this.follow(source)
    }
  }

  /** What has happened in the file until now. */
  async follow(source: WholeJobs): Promise<void> {
    const { transitions } = source.facts()
    while (this.#target.state!.lastTransition < transitions && (await this.#followOnce(source)) > 0);
  }

  #leftOf(source: WholeJobs): number {
    return source.facts().transitions - this.#target.state!.lastTransition
  }

  /** The rest, when nobody writes the file any more. Rejects if both sides are not the same then. */
  async finish(source: WholeJobs): Promise<void> {
    await this.follow(source)
    await this.#copyReplays(source)
    await this.#copyReports(source)
    if ((await this.#differenceOf(source)) !== null) await this.#removeGone(source)
    const difference = await this.#differenceOf(source)
    if (difference !== null) throw different(difference)
    await this.#target.writeUniqueKeys(source.uniqueKeys())
    await this.#target.writeSchedules(source.schedules())
  }

  /** Returns how many jobs it met. */
  async #followOnce(source: WholeJobs): Promise<number> {
    const { lastTransition } = this.#target.state!
    const { ids, last } = source.changedAfter(lastTransition)
    for (let left = ids; left.length > 0; ) {
      const known = await this.#target.rows(left)
      const page = source.of(left, known)
      // First: the key of one that is gone may be that of another now.
      if (page.gone.length > 0) await this.#target.remove(page.gone)
      await this.#write(source, page.jobs, known, {})
      left = page.left
    }
    if (last > lastTransition) await this.#target.remove([], { lastTransition: last })
    return ids.length
  }

  async #write(
    source: WholeJobs,
    jobs: readonly WholeJob[],
    known: ReadonlyMap<number, KnownRow>,
    progress: { lastJob?: number },
  ): Promise<void> {
    for (const job of jobs) assertRight(job, known.get(job.row.id))
    const changed = jobs.filter(({ row }) => known.get(row.id)?.seq !== row.seq)
    if (changed.length === 0 && progress.lastJob === undefined) return
    const stored = await this.#target.write(changed, known, progress).catch(async (error) => {
      if (failureOf(error) !== 'key') throw error
      await this.#removeGone(source)
      return this.#target.write(changed, known, progress)
    })
    for (const job of changed) {
      const { id } = job.row
      const copy = stored.get(id)
      const difference = copy ? differenceOf(job, copy) : 'it is not there'
      if (difference !== null) throw different(`job ${id}: ${difference}`)
      this.transitions += job.events.length
    }
  }

  /** Removes what retention has removed from the file since it was copied. */
  async #removeGone(source: WholeJobs): Promise<void> {
    for (let after = 0; ; ) {
      const copied = await this.#target.idsAfter(after)
      const last = copied.at(-1)
      if (last === undefined) return
      const kept = source.idsBetween(after, last)
      const gone = copied.filter((id) => !kept.has(id))
      if (gone.length > 0) await this.#target.remove(gone)
      after = last
    }
  }

  async #copyReplays(source: WholeJobs): Promise<void> {
    const replays = source.replays()
    const changed = replays.filter(({ id, n, lastAt }) => this.#replays.get(id) !== `${n} ${lastAt}`)
    await this.#target.writeReplays(changed)
    this.#replays = new Map(replays.map(({ id, n, lastAt }) => [id, `${n} ${lastAt}`]))
  }

  /** Of jobs that a server held when it ended: their handlers may have reported more since their last transition. */
  async #copyReports(source: WholeJobs): Promise<void> {
    for (let left = source.held(); left.length > 0; ) {
      const page = source.of(left, await this.#target.rows(left))
      await this.#target.writeReports(page.jobs)
      left = page.left
    }
  }

  /** In which kind of jobs the two sides differ, in words. */
  async #differenceOf(source: WholeJobs): Promise<string | null> {
    const text = ({ count, seqs, mixed }: Total) => `${count} ${seqs} ${mixed}`
    const key = ({ state, queue, type }: Total) => `${state}, queue ${queue}, type ${type}`
    const there = new Map((await this.#target.all<Total & object>(totalsSql)).map((total) => [key(total), total]))
    for (const total of source.totals()) {
      const other = there.get(key(total))
      if (!other || text(other) !== text(total))
        return `jobs that are ${key(total)}: ${total.count} in the file, ${other?.count ?? 0} in the database`
      there.delete(key(total))
    }
    const [more] = there.values()
    return more ? `jobs that are ${key(more)}: none in the file, ${more.count} in the database` : null
  }
}

function assertRight(job: WholeJob, known: KnownRow | undefined): void {
  const { id, seq } = job.row
  if (known && known.seq > seq)
    throw different(`job ${id}: its history ends with seq ${seq} in the file and ${known.seq} in the database`)
  const fault = problemOf(job, known)
  if (fault !== null)
    throw new DatabaseUnusableError(
      `job ${id} of the file is damaged: ${fault}. See jobmachine verify; nothing was switched`,
    )
}

function different(what: string): DatabaseUnusableError {
  return new DatabaseUnusableError(
    `the file and the database are not the same. ${what}. No process can start on the database: run this again. If the file was replaced or restored since the copy began, drop the schema first`,
  )
}
