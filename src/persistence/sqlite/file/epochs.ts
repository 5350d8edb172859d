import type Database from 'better-sqlite3'
import { type Epoch, parseEpochs } from '../../epoch.ts'
import type { Progress } from './mark.ts'

/** How far above the highest known id a new epoch begins, at least, and the multiple at which it begins, so that every id shows it. */
const leap = 1_000_000
/** More than a database can give out in a millisecond, for when nothing says how far the lost period went. */
const idsPerMs = 1_000
const farthestMs = 315_576_000_000

/** Oldest first; the first began with the file. Empty if the file is new. */
export function readEpochs(db: Database.Database): readonly Epoch[] {
  const read = (name: string) =>
    db.prepare('SELECT value FROM meta WHERE name = ?').pluck().get(name) as string | undefined
  const id = read('database_id')
  if (id === undefined) return []
  return parseEpochs(id, read('epochs'))
}

/** The first schema version with `event_runs`; before it each event had a row. */
const countedFrom = 4

/** How far the database, of any schema version, has come according to its own rows, and when. */
export function progressOf(db: Database.Database): Progress & { readonly at: number } {
  const isCounted = (db.pragma('user_version', { simple: true }) as number) >= countedFrom
  // Not `AS id`: ORDER BY would take that for the id, and read all events.
  const newest = isCounted ? 'id + length - 1 AS last_id, at FROM event_runs' : 'id AS last_id, at FROM job_events'
  const [transitions, at, jobs, createdAt] = db
    .prepare(`
      WITH newest AS (SELECT ${newest} ORDER BY id DESC LIMIT 1)
      SELECT (SELECT last_id FROM newest), (SELECT at FROM newest), (SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'), (SELECT value FROM meta WHERE name = 'created_at')`)
    .raw()
    .get() as (number | string | null)[]
  return {
    epoch: readEpochs(db).at(-1)!.id,
    transitions: Number(transitions ?? 0),
    jobs: Number(jobs ?? 0),
    at: Number(at ?? createdAt ?? 0),
  }
}

/**
 * Begins an epoch, in one transaction. `mark`: how far the lost period went, if that is known; otherwise it is assumed to have continued
 * from the newest transition until `now`, faster than any database can.
 */
export function beginEpoch(db: Database.Database, id: string, mark: Progress | null, now: number): void {
  db.transaction(() => {
    const { at, ...known } = progressOf(db)
    const lostMs = mark ? 0 : Math.min(Math.max(now - at, 0), farthestMs)
    const first = (own: number, marked: number) =>
      Math.ceil((Math.max(own, marked) + Math.max(leap, lostMs * idsPerMs)) / leap) * leap + 1
    const epoch: Epoch = {
      id,
      firstJob: first(known.jobs, mark?.jobs ?? 0),
      firstTransition: first(known.transitions, mark?.transitions ?? 0),
    }
    const later = [...readEpochs(db).slice(1), epoch]
    db.prepare(`INSERT OR REPLACE INTO meta (name, value) VALUES ('epochs', ?)`).run(JSON.stringify(later))
    db.prepare(`DELETE FROM meta WHERE name = 'backup'`).run()
    db.prepare(`DELETE FROM sqlite_sequence WHERE name = 'jobs'`).run()
    db.prepare(`INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)`).run(epoch.firstJob - 1)
  }).immediate()
}
