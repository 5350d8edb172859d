import type { Facts } from './facts.ts'
import { ago, duration, instant } from './text.ts'

/** A delay longer than this is taken for a mistake of units, in ms. */
const farMs = 366 * 86_400_000

/** How far from now dates are that callers mean, in ms. */
const plausibleMs = 5 * 366 * 86_400_000

/**
 * The date that a caller probably passed as a job's delay, in epoch ms: the delay itself, if it is within some years of the enqueue. Null
 * if it is not.
 */
export function dateGivenAsDelay({ runAt, createdAt }: Facts['jobFacts']['job']): number | null {
  const delayMs = runAt - createdAt
  return Math.abs(delayMs - createdAt) < plausibleMs ? delayMs : null
}

/** What to do about a time that the caller has probably not meant: first the job, then the caller. Null if the time is plausible. */
export function adviceOnDelay({ jobFacts: { job }, now }: Facts): string | null {
  const waitMs = job.runAt - now
  if (waitMs <= farMs) return null
  const date = dateGivenAsDelay(job)
  const cause =
    date === null
      ? `If ${duration(waitMs)} is not what the caller meant, correct the program that enqueues it: a delay is in ms.`
      : `Correct the program that enqueues it, and look for other jobs of it: it probably passed a date (${instant(date)}, ${date > now ? `in ${duration(date - now)}` : ago(date, now)}) as the delay, and must pass it as run_at.`
  return `To run it now, edit it: set \`run_at\` to the present, or to the time that was meant (\`runAt\` in the library). ${cause}`
}
