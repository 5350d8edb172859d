import type Database from 'better-sqlite3'
import type { KeyHolder } from '../../new-jobs.ts'
import type { JobRange } from '../../sql/ranges.ts'
import { takes } from '../../sql/transitions.ts'
import { isKeyAwaited, isKeyExpired, isKeyFreed, wasStarted } from '../../sql/unique-keys.ts'

/** A job that would take its key back, and who holds that now. */
interface Claimant {
  readonly id: number
  readonly name: string
  readonly holder: number | null
}

/** Which job holds which unique key. As long as none is held, that is all that a transaction asks. */
export class UniqueKeys {
  readonly #sql: ReturnType<typeof prepare>
  /** Whether any key is held; null: not asked yet in this transaction. */
  #areHeld: boolean | null = null

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  /** Call it first in each transaction. */
  begin(): void {
    this.#areHeld = null
  }

  holder(type: string, key: string, now: number): KeyHolder | undefined {
    const [holder, next] = this.#sql.users.all({ type, key, now }) as (KeyHolder['job'] & Record<string, number>)[]
    if (!holder || holder.isLapsed) return
    const { id, state, hasBegun, createdAt } = holder
    const waiting = next ? { id: next.id, state: next.state, createdAt: next.createdAt! } : null
    return { job: { id, state }, hasBegun: hasBegun === 1, createdAt: createdAt!, next: waiting }
  }

  /** For new jobs of one type with consecutive ids: a JSON array with the `unique` of each, null for one without. */
  insert(first: number, type: string, uniques: string, now: number): void {
    this.#sql.freeLapsed.run({ type, uniques, now })
    this.#sql.insert.run({ first, type, uniques, now })
    this.#areHeld = true
  }

  /** Call it after an event that may have ended the hold of some of the jobs; returns the ids of those that waited for that. */
  free(ranges: readonly JobRange[]): number[] {
    this.#areHeld ??= this.#sql.isHeld.get() !== undefined
    if (!this.#areHeld) return []
    const freed = this.#sql.free.all({
      ranges: JSON.stringify(ranges.map(([first, last]) => [first, last])),
    }) as number[]
    return freed.length === 0 ? [] : (this.#sql.promote.all({ list: JSON.stringify(freed) }) as number[])
  }

  /** Those of ended jobs that cannot take their keys back, for another job holds it, or an earlier one of them will, each with that job. */
  heldByOthers(ids: readonly number[], now: number): ReadonlyMap<number, number> {
    const held = new Map<number, number>()
    if (this.#sql.newest.get() === null) return held
    const list = JSON.stringify(ids)
    this.#sql.freeLapsedOf.run({ list, now })
    const claimants = this.#sql.claimants.all({ list }) as Claimant[]
    const first = new Map<string, number>()
    for (const { id, name, holder } of claimants) {
      const other = holder ?? first.get(name)
      if (other === undefined) first.set(name, id)
      else held.set(id, other)
    }
    return held
  }

  /** Call it after an event by which ended jobs live again. */
  takeBack(ranges: readonly JobRange[]): void {
    if (this.#sql.newest.get() === null) return
    this.#sql.takeBack.run({ ranges: JSON.stringify(ranges.map(([first, last]) => [first, last])) })
    this.#areHeld = null
  }
}

function prepare(db: Database.Database) {
  const lapsed = isKeyExpired('unique_jobs', ':now')
  const inRanges = `json_each(:ranges) AS range CROSS JOIN unique_jobs ON unique_jobs.job_id BETWEEN range.value ->> 0 AND range.value ->> 1
    CROSS JOIN jobs ON jobs.id = unique_jobs.job_id`
  const isNumber = `typeof(value ->> '$.until') = 'integer'`
  return {
    isHeld: db.prepare('SELECT 1 FROM unique_jobs WHERE place IS NOT NULL LIMIT 1'),
    newest: db.prepare('SELECT max(job_id) FROM unique_jobs').pluck(),
    users: db.prepare(`
      SELECT jobs.id, jobs.state, jobs.created_at AS createdAt, ${wasStarted} AS hasBegun, (${lapsed}) IS TRUE AS isLapsed FROM unique_jobs JOIN jobs ON jobs.id = job_id
      WHERE unique_jobs.type = :type AND unique_key = :key AND place IS NOT NULL ORDER BY place`),
    freeLapsed: db.prepare(`
      UPDATE unique_jobs SET place = NULL WHERE type = :type AND ${lapsed}
        AND unique_key IN (SELECT value ->> '$.key' FROM json_each(:uniques))`),
    insert: db.prepare(`
      INSERT INTO unique_jobs (job_id, type, unique_key, until, frees_at, place)
      SELECT :first + key, :type, value ->> '$.key', iif(${isNumber}, 'time', value ->> '$.until'),
        iif(${isNumber}, :now + (value ->> '$.until'), NULL), iif(value ->> '$.behind' IS NULL, 1, 2)
      FROM json_each(:uniques) WHERE type <> 'null'`),
    free: db
      .prepare(`
        UPDATE unique_jobs SET place = NULL WHERE place IS NOT NULL
          AND job_id IN (SELECT unique_jobs.job_id FROM ${inRanges} WHERE (${isKeyFreed}) OR (${isKeyAwaited}))
        RETURNING job_id`)
      .pluck(),
    promote: db
      .prepare(`
        UPDATE unique_jobs SET place = 1 WHERE place = 2 AND (type, unique_key) IN (
          SELECT freed.type, freed.unique_key FROM json_each(:list) AS item CROSS JOIN unique_jobs AS freed ON freed.job_id = item.value)
        RETURNING job_id`)
      .pluck(),
    freeLapsedOf: db.prepare(`
      UPDATE unique_jobs SET place = NULL WHERE ${lapsed} AND (type, unique_key) IN (
        SELECT own.type, own.unique_key FROM json_each(:list) AS item CROSS JOIN unique_jobs AS own ON own.job_id = item.value)`),
    claimants: db.prepare(`
      SELECT jobs.id, own.type || ' ' || own.unique_key AS name,
        (SELECT job_id FROM unique_jobs AS other
         WHERE other.type = own.type AND other.unique_key = own.unique_key AND other.place IS NOT NULL
         ORDER BY place LIMIT 1) AS holder
      FROM json_each(:list) AS item CROSS JOIN unique_jobs AS own ON own.job_id = item.value CROSS JOIN jobs ON jobs.id = own.job_id
      WHERE own.place IS NULL AND own.until <> 'time' AND ${takes('requeue')} ORDER BY jobs.id`),
    takeBack: db.prepare(`
      UPDATE unique_jobs SET place = 1 WHERE place IS NULL AND job_id IN (
        SELECT unique_jobs.job_id FROM ${inRanges} WHERE unique_jobs.until <> 'time' AND NOT (${isKeyFreed}))`),
  }
}
