/** The job of every figure: it does nothing, so that everything else is measured. */
export const noop = { type: 'noop', payload: { message: 'sixteen letters.' } } as const
/** As the engine and the bare limit both store it: 30 bytes. */
export const payloadText = JSON.stringify(noop.payload)

/** In figures that count jobs. */
export const jobsPerRun = 50_000
/** Run before the clock starts, so that neither side is measured while its code is still cold. */
export const warmUpJobs = 5_000
/** The longest measurement of a rate; a slow machine completes fewer jobs. */
export const measureMs = 15_000
export const lanes = 100
export const workers = 100
/** Jobs in one transaction of the bare limit, unless a figure says otherwise. */
export const limitBatch = 100
/** Jobs in one call of a bulk enqueue. */
export const bulkBatch = 1_000

/** Jobs done, and how long that took. */
export interface Work {
  readonly count: number
  readonly ms: number
}

export function perSecond({ count, ms }: Work): number {
  return (count / ms) * 1_000
}

/** Calls `step` until it has done `count` in total, or time is up; `step` returns how much it did. */
export function repeat(count: number, step: () => number, forMs = measureMs): Work {
  const begun = performance.now()
  let done = 0
  while (done < count && performance.now() - begun < forMs) done += step()
  return { count: done, ms: performance.now() - begun }
}

/** The same in this many lanes, each of which begins a step when its previous one has ended. */
export async function repeatInLanes(
  width: number,
  count: number,
  step: () => Promise<number>,
  forMs = measureMs,
): Promise<Work> {
  const begun = performance.now()
  let begunSteps = 0
  let done = 0
  const lane = async () => {
    while (begunSteps < count && performance.now() - begun < forMs) {
      begunSteps++
      // Not `done += await …`, which would add to the value of `done` before the wait.
      const more = await step()
      done += more
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  return { count: done, ms: performance.now() - begun }
}
