import { existsSync, readFileSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { hasTag } from '../../src/machines/edges.ts'
import type { JobState } from '../../src/machines/job.ts'
import { openForReading } from '../../src/persistence/sqlite/file/connection.ts'
import { resultOf } from '../../src/persistence/sqlite/read/rows.ts'
import { retention } from '../../src/persistence/store.ts'
import { type CrashAt, crashNoteOf, witnessOf } from './points-victim.ts'

/** What a victim recorded as it happened: its own account, not the queue's. */
export type Line = { readonly run: number } & (
  | { readonly what: 'asked'; readonly jobs: readonly { readonly idempotencyKey: string }[] }
  | { readonly what: 'acknowledged'; readonly jobs: readonly (readonly [id: number, key: string])[] }
  | { readonly what: 'amending' | 'amended'; readonly id: number }
  | { readonly what: 'commanding'; readonly event: 'cancel' | 'requeue'; readonly id: number }
  | { readonly what: 'commanded'; readonly event: 'cancel' | 'requeue'; readonly id: number }
  | {
      readonly what: 'start'
      readonly id: number
      readonly token: string
      readonly key: string
      readonly attempt: number
      readonly at: number
    }
  | { readonly what: 'effect'; readonly id: number; readonly outcome: 'ended' | 'rejected' | 'threw' }
  | { readonly what: 'fatal'; readonly message: string }
  | { readonly what: 'refused'; readonly code: string }
  | { readonly what: 'orphaned' }
)

/** What a process recorded before it killed itself. */
export interface CrashNote extends CrashAt {
  readonly pid: number
  /** The jobs that took the edge: stored ones with the `seq` that it gives them, new ones by key, executing ones with their attempt. */
  readonly jobs: readonly {
    readonly id?: number
    readonly seq?: number
    readonly key?: string
    readonly attempt?: number
  }[]
}

interface Row {
  readonly id: number
  readonly key: string
  readonly state: JobState
}

/** The lines of all victims on a file. A line that a death cut short does not count. */
export function witnessed(database: string): Line[] {
  return linesOf<Line>(witnessOf(database))
}

/** What the process with that pid recorded before it killed itself; undefined if it recorded nothing. */
export function crashNote(database: string, pid: number | undefined): CrashNote | undefined {
  return linesOf<CrashNote>(crashNoteOf(database)).findLast((note) => note.pid === pid)
}

/** Whether the interrupted edge happened completely, if its commit had returned, or else not at all. Check before a restart. */
export function checkInterrupted(database: string, note: CrashNote): string[] {
  return reading(database, (db) => {
    const step = db
      .prepare(`
      SELECT CASE WHEN seq = 1 THEN 'new' ELSE from_state END || ' ' || event || ' ' || to_state AS edge
      FROM job_events WHERE job_id = ? AND seq = ?`)
      .pluck()
    const idOf = db.prepare('SELECT id FROM jobs WHERE idempotency_key = ?').pluck()
    const parts = db
      .prepare(`SELECT (SELECT count(*) FROM jobs WHERE id = :id) + (SELECT count(*) FROM job_payloads WHERE job_id = :id)
      + (SELECT count(*) > 0 FROM job_events WHERE job_id = :id) + (SELECT ${resultOf(':id')} IS NOT NULL)`)
      .pluck()
    const last = db.prepare('SELECT event, attempt FROM job_events WHERE job_id = ? ORDER BY seq DESC LIMIT 1')
    const isStored = note.point === 'committed'
    const wrong = note.jobs.flatMap(({ id = null, seq, key, attempt }) => {
      if (note.point === 'effect') {
        const { event, attempt: started } = last.get(id) as { event: string; attempt: number }
        return event === 'start' && started === attempt
          ? []
          : [`job ${id} has ${event} as its last event, not its start`]
      }
      if (note.edge.endsWith(retention)) {
        const all = note.edge.startsWith('succeeded') ? 4 : 3
        return parts.get({ id }) === (isStored ? 0 : all)
          ? []
          : [`job ${id} has ${parts.get({ id })} of its ${all} parts`]
      }
      const edge = key === undefined ? step.get(id, seq) : step.get(idOf.get(key) ?? null, 1)
      return edge === (isStored ? note.edge : undefined) ? [] : [`job ${id ?? key} has taken ${edge ?? 'no edge'}`]
    })
    return wrong.map((what) => `after death at "${note.point} ${note.edge}" ${what}`)
  })
}

/** Whether the file, on which everything has finished, agrees with what its victims saw. */
export function checkWitness(database: string): string[] {
  return reading(database, (db) => new WitnessCheck(db, witnessed(database)).run())
}

/** Whether a job whose effect was done but not reported ran again in a later run, with the same token: a crash costs no attempt. */
export function checkRunAgain(database: string, note: CrashNote, run: number): string[] {
  const starts = witnessed(database).flatMap((line) => (line.what === 'start' ? [line] : []))
  return note.jobs.flatMap(({ id, attempt }) => {
    const [before, after] = [
      starts.filter((start) => start.id === id && start.run <= run),
      starts.filter((start) => start.id === id && start.run > run),
    ]
    if (after.length === 0) return [`job ${id}, attempt ${attempt}, did not run again after its effect`]
    return after.some(({ token }) => token !== before[0]!.token) ? [`job ${id} ran again with another token`] : []
  })
}

/** How far a file has been migrated. */
export interface Schema {
  readonly version: number
  /** How many tables, indexes and triggers there are. */
  readonly parts: number
}

export function schemaOf(database: string): Schema {
  return reading(database, (db) => ({
    version: db.pragma('user_version', { simple: true }) as number,
    parts: db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() as number,
  }))
}

/** How often each edge was taken on a file, according to the file: `from event to`. */
export function edgeCounts(database: string): [edge: string, times: number][] {
  return reading(database, (db) => {
    const counts = db.prepare(`SELECT trim(from_state || ' ' || event || ' ' || to_state), n FROM edge_counts`).raw()
    return counts.all() as [string, number][]
  })
}

class WitnessCheck {
  readonly #lines: readonly Line[]
  readonly #rows: ReadonlyMap<number, Row>
  readonly #times: ReadonlyMap<string, number>
  readonly #removed: number
  /** Successes that have not what their handlers returned. */
  readonly #withoutResult: readonly string[]

  constructor(db: Database.Database, lines: readonly Line[]) {
    this.#lines = lines
    const rows = db.prepare('SELECT id, idempotency_key AS key, state FROM jobs').all() as Row[]
    this.#rows = new Map(rows.map((row) => [row.id, row]))
    const counts = db.prepare('SELECT job_id, event, count(*) FROM job_events GROUP BY 1, 2').raw().all()
    this.#times = new Map((counts as [number, string, number][]).map(([id, event, n]) => [`${id} ${event}`, n]))
    const removed = db.prepare('SELECT coalesce(sum(n), 0) FROM edge_counts WHERE event = ?').pluck()
    this.#removed = removed.get(retention) as number
    this.#withoutResult = db
      .prepare(`
        SELECT 'job ' || id || ' succeeded, and its result is ' || coalesce(result, 'lost')
        FROM (SELECT id, ${resultOf('jobs.id')} AS result FROM jobs WHERE state = 'succeeded')
        WHERE (result ->> 'id' = id) IS NOT TRUE`)
      .pluck()
      .all() as string[]
  }

  run(): string[] {
    return [
      ...this.#checkAcknowledged(),
      ...this.#checkAsked(),
      ...this.#checkCalls(),
      ...this.#checkEnds(),
      ...this.#withoutResult,
      ...this.#of('fatal').map(({ message }) => `a process could not go on: ${message}`),
    ]
  }

  #of<What extends Line['what']>(what: What): Extract<Line, { what: What }>[] {
    return this.#lines.filter((line): line is Extract<Line, { what: What }> => line.what === what)
  }

  /** I1: every acknowledged job is there, or was removed after it ended. */
  #checkAcknowledged(): string[] {
    const jobs = this.#of('acknowledged').flatMap((line) => line.jobs)
    const gone = new Set(jobs.filter(([id]) => !this.#rows.has(id)).map(([id]) => id))
    const ended = new Set([
      ...this.#of('effect').flatMap(({ id, outcome }) => (outcome === 'threw' ? [] : [id])),
      ...this.#of('commanding').map(({ id }) => id),
    ])
    return [
      ...(gone.size > this.#removed
        ? [`${gone.size} acknowledged jobs are gone, retention removed ${this.#removed}`]
        : []),
      ...[...gone].filter((id) => !ended.has(id)).map((id) => `job ${id} was acknowledged, is gone and never ended`),
      ...jobs
        .filter(([id, key]) => this.#rows.has(id) && this.#rows.get(id)!.key !== key)
        .map(([id, key]) => `job ${id}, acknowledged for ${key}, is that of ${this.#rows.get(id)!.key}`),
    ]
  }

  /** I2: every job was requested by somebody, and every requested job exists, because callers without an answer asked again. */
  #checkAsked(): string[] {
    const asked = new Set(this.#of('asked').flatMap(({ jobs }) => jobs.map(({ idempotencyKey }) => idempotencyKey)))
    const keys = new Set([...this.#rows.values()].map(({ key }) => key))
    const missing = [...asked].filter((key) => !keys.has(key))
    return [
      ...[...keys].filter((key) => !asked.has(key)).map((key) => `nobody asked for the job of ${key}`),
      ...(missing.length > this.#removed
        ? [`${missing.length} jobs asked for are missing: ${missing.slice(0, 5)}`]
        : []),
    ]
  }

  /** Handlers were called at most as often as there are starts; answered commands are in the history. */
  #checkCalls(): string[] {
    const seen = new Map<string, number>()
    const tokens = new Map<number, string>()
    const wrong: string[] = []
    const count = (id: number, event: string) => seen.set(`${id} ${event}`, (seen.get(`${id} ${event}`) ?? 0) + 1)
    for (const { id, event } of this.#of('commanded')) count(id, event)
    for (const { id } of this.#of('amended')) count(id, 'amend')
    for (const { id, token, key } of this.#of('start')) {
      count(id, 'start')
      if ((tokens.get(id) ?? token) !== token)
        wrong.push(`job ${id} ran with the tokens ${tokens.get(id)} and ${token}`)
      tokens.set(id, token)
      const row = this.#rows.get(id)
      if (row && row.key !== key) wrong.push(`job ${id} ran with the payload of ${key}`)
    }
    if (new Set(tokens.values()).size < tokens.size) wrong.push('two jobs ran with one token')
    for (const [what, times] of seen) {
      const stored = this.#times.get(what) ?? 0
      if (times > stored && this.#rows.has(Number(what.split(' ')[0])))
        wrong.push(`job ${what}: ${times} seen, ${stored} stored`)
    }
    return wrong
  }

  /** I13: everything has ended; succeeded jobs had their effect, and cancelled jobs were cancelled by somebody. */
  #checkEnds(): string[] {
    const effects = new Set(this.#of('effect').flatMap(({ id, outcome }) => (outcome === 'ended' ? [id] : [])))
    const told = new Set(this.#of('commanding').flatMap(({ id, event }) => (event === 'cancel' ? [id] : [])))
    return [...this.#rows.values()].flatMap(({ id, state }) => {
      if (!hasTag(state, 'ended')) return [`job ${id} is ${state} in the end`]
      if (state === 'succeeded' && !effects.has(id)) return [`job ${id} succeeded without its effect`]
      return state === 'cancelled' && !told.has(id) ? [`job ${id} is cancelled, and nobody told it`] : []
    })
  }
}

function reading<T>(database: string, read: (db: Database.Database) => T): T {
  const db = openForReading(database)
  try {
    return read(db)
  } finally {
    db.close()
  }
}

/** Empty if no process has come far enough to write one. */
function linesOf<Kind>(path: string): Kind[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Kind]
      } catch {
        return []
      }
    })
}
