import type Database from 'better-sqlite3'
import type { NewSchedule } from '../../src/index.ts'

const everyMs = 3_000

interface DealtTick {
  readonly seq: number
  readonly event: string
  readonly tick: number
  readonly jobId: number | null
  /** The missed ticks that it dealt with. */
  readonly first: number | null
  readonly last: number | null
}

/** A schedule with a tick every three seconds; the seed chooses what becomes of ticks that cannot run at once. */
export class Pulse {
  readonly schedule: NewSchedule
  readonly #startsAt: number

  constructor(seed: number, startsAt: number) {
    this.#startsAt = startsAt
    this.schedule = {
      ...{ name: 'pulse', everyMs, startsAt: new Date(startsAt), job: { type: 'slow', payload: { pulse: true } } },
      missed: (['one', 'all', 'skip'] as const)[seed % 3]!,
      overlap: seed % 2 === 0 ? 'allow' : 'skip',
    }
  }

  /** What was not as each tick demands: one job, or an event that says why there is none. `gone`: how many of its jobs were removed. */
  check(db: Database.Database): { readonly faults: readonly string[]; readonly gone: number } {
    const since = db.prepare('SELECT since FROM schedules').pluck().get() as number | undefined
    if (since === undefined) return { faults: ['the schedule was never stored'], gone: 0 }
    const dealt = db
      .prepare(
        `SELECT seq, event, tick, job_id AS jobId, details ->> '$.missed.first' AS first, details ->> '$.missed.last' AS last
        FROM schedule_events WHERE event <> 'create' ORDER BY seq`,
      )
      .all() as DealtTick[]
    const made = db
      .prepare(
        `SELECT job_id, cause ->> 'tick' FROM job_events WHERE event = 'enqueue' AND cause ->> 'schedule' = 'pulse'`,
      )
      .raw()
      .all() as [jobId: number, tick: number][]
    const jobs = new Map(dealt.flatMap(({ tick, jobId }) => (jobId === null ? [] : [[jobId, tick] as const])))
    const strays = made.filter(([jobId, tick]) => jobs.get(jobId) !== tick)
    return {
      faults: [
        ...this.#gaps(since, dealt),
        ...strays.map(([jobId, tick]) => `job ${jobId} is for the tick ${tick}, of which the schedule knows nothing`),
      ],
      gone: jobs.size - (made.length - strays.length),
    }
  }

  /** Each tick follows the one before it, or comes with all that were missed between them. */
  #gaps(since: number, dealt: readonly DealtTick[]): string[] {
    let expected = this.#next(since)
    return dealt.flatMap(({ seq, event, tick, first, last }) => {
      const [from, to] = [first ?? tick, last ?? tick]
      const isRight = from === expected && to === tick && (tick - from) % everyMs === 0
      const fault = `seq ${seq} of the schedule, ${event}, deals with the ticks from ${from} to ${to} at ${tick}, not from ${expected} on`
      expected = tick + everyMs
      return isRight ? [] : [fault]
    })
  }

  #next(after: number): number {
    return this.#startsAt + Math.max(0, Math.floor((after - this.#startsAt) / everyMs) + 1) * everyMs
  }
}
