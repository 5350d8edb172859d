/**
 * Whether the long proofs run whole, as in `npm run test:proof`, or only the share of each that `npm test` runs: fewer seeds, points, kills
 * or bugs, chosen in advance, so that a share is always the same. Read only here.
 */
export const isWhole = process.env.PROOFS === 'whole'

/** How much of a proof runs. */
export function shareOf<T>({ share, whole }: { readonly share: T; readonly whole: T }): T {
  return isWhole ? whole : share
}
