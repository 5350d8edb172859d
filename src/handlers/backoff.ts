/** The delay in ms before the attempt after `attempt` (from 1); `random` is uniform in [0, 1). */
export type Backoff = (attempt: number, random: () => number) => number

interface ExponentialBackoff {
  /** Before the second attempt. */
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * Doubles from `baseMs` to `maxMs`, then takes a random point in the upper half, so that jobs that failed together do not come back
 * together ("equal jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
export function exponential({ baseMs, maxMs }: ExponentialBackoff): Backoff {
  for (const [name, ms] of Object.entries({ baseMs, maxMs })) {
    if (!(Number.isFinite(ms) && ms >= 0)) throw new TypeError(`exponential needs a ${name} of 0 or more ms, got ${ms}`)
  }
  return (attempt, random) => {
    const full = Math.min(maxMs, baseMs * 2 ** (attempt - 1))
    return Math.round(full / 2 + (random() * full) / 2)
  }
}
