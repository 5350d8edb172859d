import { describe, expect, test } from 'vitest'
import { leastTimeInQueueMs } from '../../bench/queueing.ts'

const workload = { jobs: 50_000, jobsASecond: 500, attemptMs: 100 }

/** Queues in order, worker by worker, without any cost but the jobs' own. */
function simulated({ jobs, jobsASecond, workers, attemptMs }: typeof workload & { workers: number }): number {
  const freeAt = Array.from({ length: workers }, () => 0)
  let waited = 0
  for (let job = 0; job < jobs; job++) {
    const comesAt = (job * 1_000) / jobsASecond
    const startsAt = Math.max(comesAt, freeAt[job % workers]!)
    freeAt[job % workers] = startsAt + attemptMs
    waited += startsAt - comesAt
  }
  return waited / jobs
}

describe('the least average time in queue', () => {
  test.each([
    [10, 200_000],
    [20, 75_000],
    [50, 0],
    [100, 0],
  ])('with %i workers is %i ms for 50,000 jobs of 100 ms that arrive at 500 a second', (workers, ms) => {
    expect(leastTimeInQueueMs({ ...workload, workers })).toBeCloseTo(ms)
  })

  test.each([10, 20, 50, 500])('with %i workers is what a queue without overhead takes', (workers) => {
    const least = leastTimeInQueueMs({ ...workload, workers })

    expect(Math.abs(simulated({ ...workload, workers }) - least)).toBeLessThan(workload.attemptMs)
  })
})
