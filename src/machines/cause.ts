/** Everything that can make an event happen, and how a sentence names it. The history keeps the key. */
export const causes = {
  /** By HTTP or by the library: of an event that does not say which. */
  client: 'a client',
  http: 'an HTTP client',
  library: 'the application',
  /** The same of a command. */
  person: 'a user',
  dashboard: 'a user of the dashboard',
  clock: 'the clock',
  dispatcher: 'the dispatcher',
  handler: 'its handler',
  store: 'the store',
  /** What a starting server does with the jobs of a process that has ended. */
  recovery: 'the recovery after the end of a process',
} as const

/** What made an event happen, in one word. */
export type Cause = keyof typeof causes

/** Who made an event happen: the word, and what else is known. */
export interface EventCause {
  readonly cause: Cause
  /** The user that the front door knows. */
  readonly actor?: string
  /** Why, in their words. */
  readonly reason?: string
  /** The id of the bulk action that it was part of. */
  readonly bulk?: string
}

/** `an HTTP client`, `an HTTP client (ada)`: as the subject of a sentence. A later version may have kept a cause that this one does not know. */
export function whoOf({ cause, actor }: EventCause): string {
  const who: string = causes[cause] ?? cause
  return actor === undefined ? who : `${who} (${actor})`
}
