/**
 * A period in the life of a database between two losses. If a file has gone back, through a restored backup or an accepted loss, callers
 * still have the ids that it gave out later. So a new epoch has its own id, and gives out higher ids.
 */
export interface Epoch {
  readonly id: string
  /** Jobs and transitions with these ids or higher belong to it. */
  readonly firstJob: number
  readonly firstTransition: number
}

/** Oldest first, from what `meta` has: the id of the first, which began with the database, and the later ones as JSON. */
export function parseEpochs(databaseId: string, later = '[]'): readonly Epoch[] {
  return [{ id: databaseId, firstJob: 0, firstTransition: 0 }, ...(JSON.parse(later) as Epoch[])]
}

/** The id of the epoch to which a job belongs. */
export function epochOf(epochs: readonly Epoch[], jobId: number): string {
  return epochs.findLast(({ firstJob }) => firstJob <= jobId)!.id
}
