/** The longest delay that a handler may request: 100 years, as for `delay_ms`. */
const delayMaxMs = 3_155_760_000_000

/** A delay that SQLite and `setTimeout` support, whatever a handler requests. */
function boundedDelay(delayMs: number): number {
  return Math.round(Math.min(Math.max(delayMs, 0), delayMaxMs))
}

/** The result of a handler's `backoffMs`, in ms, or a text that says what is wrong with it. */
export function handlerBackoff(backoffMs: () => unknown): number | string {
  let given: unknown
  try {
    given = backoffMs()
  } catch (error) {
    return `its backoffMs threw${messageOf(error)}`
  }
  if (Number.isFinite(given) && (given as number) >= 0) return boundedDelay(given as number)
  // A rejection that nobody handles would end the process.
  if (isThenable(given)) Promise.resolve(given).then(undefined, () => {})
  return `its backoffMs gave ${named(given)}`
}

/** A requested delay, in ms; undefined if it cannot be used. `fault` says what is wrong with it. */
interface RequestedDelay {
  readonly delayMs?: number
  readonly fault?: string
}

/** The delay that a handler's error requests. A value out of range counts as the nearer end of the range. */
export function requestedDelay(error: { readonly name: string; readonly delayMs: unknown }): RequestedDelay {
  try {
    const { delayMs } = error
    const is = `the delayMs that it threw is ${named(delayMs)}`
    if (typeof delayMs !== 'number' || Number.isNaN(delayMs)) return { fault: is }
    const bounded = boundedDelay(delayMs)
    if (delayMs < 0) return { delayMs: bounded, fault: `${is}, so it counts as 0` }
    return delayMs > delayMaxMs ? { delayMs: bounded, fault: `${is}, so it counts as 100 years` } : { delayMs: bounded }
  } catch (fault) {
    return { fault: `the delayMs that it threw cannot be read${messageOf(fault)}` }
  }
}

function named(value: unknown): string {
  if (typeof value === 'number' || value === undefined || value === null) return `${value}`
  if (isThenable(value)) return 'a promise'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  try {
    return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
  } catch {
    return false
  }
}

function messageOf(error: unknown): string {
  try {
    return `: ${String((error as Error).message)}`.slice(0, 200)
  } catch {
    return ''
  }
}
