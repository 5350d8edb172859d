/** A workload whose average time in queue has a calculated bound. */
export interface Workload {
  readonly jobs: number
  readonly jobsASecond: number
  readonly workers: number
  readonly attemptMs: number
}

/**
 * The least possible average time in queue if work arrives faster than it is done, in ms: the n-th job arrives after n / λ and starts after
 * n × e / W, so that the average waits n / 2 × (e / W − 1 / λ). 0 if the workers keep up.
 */
export function leastTimeInQueueMs({ jobs, jobsASecond, workers, attemptMs }: Workload): number {
  return Math.max(0, (jobs / 2) * (attemptMs / workers - 1_000 / jobsASecond))
}
