/** A job to store, or several at once. */
interface Coming {
  readonly queue: string
  readonly count?: number
}

/** A queue with too many waiting jobs, and how many there are. */
interface FullQueue {
  readonly queue: string
  readonly depth: number
}

/**
 * Reserves room for jobs in their queues; if one is full, in none, and returns that one. `depths`: how many jobs wait, with those that have
 * reserved room. `depthOf`: where that number comes from; a queue without one accepts all.
 */
export function reserveInQueues(
  coming: readonly Coming[],
  max: number,
  depths: Map<string, number>,
  depthOf = (queue: string) => depths.get(queue),
): FullQueue | undefined {
  const counts = new Map<string, number>()
  for (const { queue, count = 1 } of coming) counts.set(queue, (counts.get(queue) ?? 0) + count)
  for (const [queue, count] of counts) {
    const depth = depthOf(queue)
    if (depth !== undefined && depth + count > max) return { queue, depth }
  }
  for (const [queue, count] of counts) {
    const depth = depths.get(queue)
    if (depth !== undefined) depths.set(queue, depth + count)
  }
  return undefined
}
