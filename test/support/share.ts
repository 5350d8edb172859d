/**
 * Whether the long proofs run whole, as `npm run test:proof` has them, or the share of each that `npm test` runs: fewer seeds, points, kills
 * or bugs, chosen in advance, so that a share is the same each time. Read here alone.
 */
export const isWhole = process.env.PROOFS === 'whole'

/** How much of a proof runs. */
export function shareOf<T>({ share, whole }: { readonly share: T; readonly whole: T }): T {
  return isWhole ? whole : share
}
