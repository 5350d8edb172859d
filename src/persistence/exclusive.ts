import { exclusiveMs } from '../machines/guards.ts'

/** The most suspects that are examined at once. */
export const suspectsMax = 1_000

/** A suspect that was started and runs alone. `since`: epoch ms. `toItsEnd`: not only for the first seconds. */
export interface Exclusive {
  readonly id: number
  readonly leaseToken: number
  readonly since: number
  readonly toItsEnd: boolean
}

/** Whether others may start beside it although it has not ended; a clock that was set back ends its time too. */
export function mayShare({ since, toItsEnd }: Exclusive, now: number): boolean {
  return !toItsEnd && (now < since || now >= since + exclusiveMs)
}
