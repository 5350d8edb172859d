/** The results of a torture run so far. */
export interface Tally {
  /** Processes ended by SIGKILL. */
  kills: number
  /** Power cuts: files rebuilt as a disk would have kept them. */
  cuts: number
  /** Files of a database that were removed, replaced, cut, copied or linked while in use. */
  harms: number
  /** Seeds of the simulation that ran to their end. */
  seeds: number
  /** Commands, transitions and events that were compared with the machine. */
  steps: number
  /** How often each edge was taken, `from event to`. */
  readonly edges: Map<string, number>
  /** Violations, in words that begin with how to reproduce them. */
  readonly violations: string[]
}

/** One kind of torture: continues until it is told to end, and counts what it did. */
export type Ordeal = (given: {
  readonly seed: number
  /** Its own folder, which it may leave in any condition. */
  readonly folder: string
  readonly isOver: () => boolean
  readonly tally: Tally
}) => Promise<void>

export function emptyTally(): Tally {
  return { kills: 0, cuts: 0, harms: 0, seeds: 0, steps: 0, edges: new Map(), violations: [] }
}
