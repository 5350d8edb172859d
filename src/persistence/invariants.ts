/**
 * The invariants that a file can show. It cannot show what callers were told (I1), the order of starts, or how soon jobs end: tests with an
 * outside witness prove those.
 */
export const invariants = {
  I1: 'every job is there and complete',
  I2: 'every job was enqueued, and no id is used twice',
  I3: 'the history of each job is gap-free, and each step an edge of the machine',
  I4: 'replaying the history through the machine gives the row',
  I5: 'a job has a lease exactly while it is held, and one at most',
  I7: 'no job has more attempts than it may',
  I8: 'what was enqueued is there or was removed by retention',
  I9: 'there is one job for each idempotency key',
  I10: 'a unique key has one holder at most, for as long as it should',
  I11: 'a schedule deals with each tick once, and its history leads to its row',
  I14: "SQLite's own checks find nothing, and the schema is the one that guards the file",
} as const

/** A broken invariant. */
export interface Violation {
  readonly invariant: keyof typeof invariants
  /** Null if it is about the whole file. */
  readonly jobId: number | null
  /** What is wrong, with the rows that show it. */
  readonly message: string
}

/** What a check of the whole database found. */
export interface VerifyReport {
  readonly jobs: number
  readonly events: number
  /** The first 1,000. */
  readonly violations: readonly Violation[]
  /** How many there are. */
  readonly violationCount: number
}
