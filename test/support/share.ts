import { beforeEach } from 'vitest'

/**
 * Whether the long proofs run whole, as in `npm run test:proof`, or only the share of each that `npm test` runs: fewer seeds, points, kills
 * or bugs, chosen in advance, so that a share is always the same. Read only here.
 */
export const isWhole = process.env.PROOFS === 'whole'

/** How much of a proof runs. */
export function shareOf<T>({ share, whole }: { readonly share: T; readonly whole: T }): T {
  return isWhole ? whole : share
}

/** Of each group of tests in this file a share runs the first, and then one in `each`. */
export function shareOfEachGroup(each: number): void {
  const begun = new Map<unknown, number>()
  beforeEach(({ task, skip }) => {
    const before = begun.get(task.suite) ?? 0
    begun.set(task.suite, before + 1)
    skip(!isWhole && before % each > 0, 'npm run test:proof runs it')
  })
}
