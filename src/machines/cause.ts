/** Everything that can cause an event, and how a sentence names it. The history keeps the key. */
export const causes = {
  /** HTTP or the library, for an event that does not say which. */
  client: 'a client',
  http: 'an HTTP client',
  library: 'the application',
  /** An INSERT into the view `new_jobs`. */
  sql: 'an SQL client',
  /** The same for a command. */
  person: 'a user',
  dashboard: 'a user of the dashboard',
  clock: 'the clock',
  schedule: 'a schedule',
  dispatcher: 'the dispatcher',
  handler: 'its handler',
  store: 'the store',
  /** A starting server that recovers the jobs of a process that has ended. */
  recovery: 'the recovery after the end of a process',
} as const

/** What caused an event, in one word. */
export type Cause = keyof typeof causes

/** Who caused an event: the word, and what else is known. */
export interface EventCause {
  readonly cause: Cause
  /** The user, as the front door knows them. */
  readonly actor?: string
  /** Their reason, in their words. */
  readonly reason?: string
  /** The id of the bulk action that the event was part of. */
  readonly bulk?: string
  /** The schedule that made the job, at this tick (epoch ms; left out if a user asked for the job). */
  readonly schedule?: string
  readonly tick?: number
  /** How many missed ticks the job stands for, if more than its own. */
  readonly missed?: number
  /** The first of them, in epoch ms. */
  readonly firstMissed?: number
  /** The process that claimed the job, where several share the jobs. */
  readonly node?: { readonly id: number; readonly host: string; readonly pid: number }
}

/**
 * `an HTTP client`, `an HTTP client (ada)`, `the dispatcher of process 12 on db1, node 3`: the subject of a sentence. A later version may have
 * stored a cause that this version does not know.
 */
export function whoOf({ cause, actor, schedule, node }: EventCause): string {
  const who: string =
    cause === 'schedule' && schedule !== undefined ? `the schedule ${schedule}` : (causes[cause] ?? cause)
  if (node !== undefined) return `${who} of process ${node.pid} on ${node.host}, node ${node.id}`
  return actor === undefined ? who : `${who} (${actor})`
}
