import type Database from 'better-sqlite3'
import type {
  DuePage,
  DueSchedule,
  ScheduleEntry,
  ScheduleHistoryRow,
  SchedulePage,
  ScheduleStore,
} from '../../schedules.ts'
import {
  duePlace,
  type EntryColumns,
  scheduleEventColumns,
  scheduleHasTag,
  selectDue,
  selectEntries,
  toEntry,
  toPage,
  withinLength,
} from '../../sql/schedules.ts'

/** The reads of schedules, over any connection. */
export class ScheduleReader {
  readonly #db: Database.Database
  readonly #list: Database.Statement
  readonly #listAll: Database.Statement
  readonly #find: Database.Statement
  readonly #history: Database.Statement
  readonly #due: Database.Statement
  readonly #nextTick: Database.Statement

  constructor(db: Database.Database) {
    this.#db = db
    const ordered = 'ORDER BY schedules.name, schedules.id DESC LIMIT :limit'
    const isAfter = `(:after IS NULL OR schedules.name > :after)`
    this.#list = db.prepare(`${selectEntries} WHERE ${isAfter} AND ${scheduleHasTag('live')} ${ordered}`)
    this.#listAll = db.prepare(`${selectEntries} WHERE ${isAfter} AND schedules.id = (
      SELECT max(id) FROM schedules AS others WHERE others.name = schedules.name) ${ordered}`)
    this.#find = db.prepare(`${selectEntries} WHERE schedules.name = ? ORDER BY schedules.id DESC LIMIT 1`)
    this.#history = db.prepare(`
      SELECT ${scheduleEventColumns} FROM schedule_events WHERE schedule_id = :id AND seq < :before ORDER BY seq DESC LIMIT :limit`)
    this.#due = db.prepare(`${selectDue} AND ${duePlace} <= :now AND (${duePlace}, schedules.id) > (:tick, :id)
      ORDER BY ${duePlace}, schedules.id LIMIT :limit`)
    this.#nextTick = db
      .prepare(`SELECT next_tick FROM schedules WHERE ${scheduleHasTag('ticking')} AND ${duePlace} > ?
        ORDER BY ${duePlace} LIMIT 1`)
      .pluck()
  }

  list({ after, limit, ended = false }: Parameters<ScheduleStore['list']>[0]): SchedulePage {
    const rows = (ended ? this.#listAll : this.#list).iterate({ after, limit: limit + 1 }) as Iterable<EntryColumns>
    return toPage(rows, limit)
  }

  find(name: string): ScheduleEntry | undefined {
    const row = this.#find.get(name) as EntryColumns | undefined
    return row && toEntry(row)
  }

  history(id: number, page: { readonly before: number; readonly limit: number }): ScheduleHistoryRow[] {
    return this.#history.all({ id, ...page }) as ScheduleHistoryRow[]
  }

  due(now: number, after: DuePage['next'], limit: number): DuePage {
    return this.#db.transaction((): DuePage => {
      const [tick, id] = after ?? [-1, 0]
      const due = withinLength(this.#due.iterate({ now, tick, id, limit }) as Iterable<DueSchedule>)
      const last = due.at(-1)
      if (last) return { now, due, next: [last.nextTick ?? 0, last.id], nextTick: null }
      return { now, due, next: null, nextTick: (this.#nextTick.get(now) as number | undefined) ?? null }
    })()
  }
}
