import { ManualClock } from '../runtime/clock.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A clock that stands still until it is moved. The store and the timeouts of attempts use it. */
export class TestClock extends ManualClock {
  readonly #timers = new Map<object, Timer>()
  readonly #listeners = new Set<() => Promise<void>>()

  readonly timers = {
    setTimeout: (run: () => void, ms: number): NodeJS.Timeout => {
      const handle = { ref: () => handle, unref: () => handle, hasRef: () => true }
      this.#timers.set(handle, { at: this.now() + ms, run })
      return handle as unknown as NodeJS.Timeout
    },
    clearTimeout: (handle: NodeJS.Timeout): void => void this.#timers.delete(handle),
  }

  onMove(listener: () => Promise<void>): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Epoch ms of the next timer; null if there is none. */
  get nextTimerAt(): number | null {
    return this.#timers.size === 0 ? null : Math.min(...[...this.#timers.values()].map(({ at }) => at))
  }

  /** Lets time pass until then; resolves when everything due has begun. */
  async moveTo(at: number): Promise<void> {
    this.advance(Math.max(at - this.now(), 0))
    for (const [handle, timer] of [...this.#timers]) {
      if (timer.at > this.now() || !this.#timers.delete(handle)) continue
      timer.run()
    }
    await Promise.all([...this.#listeners].map((listener) => listener()))
  }

  /** Drops the timers of a process that has ended. */
  forget(): void {
    this.#timers.clear()
    this.#listeners.clear()
  }
}

/** A duration in ms: a number of them, or text such as `90s`, `2h` and `1d12h`. Throws `TypeError` on anything else. */
export function durationMs(given: number | string): number {
  const parts = typeof given === 'string' ? [...given.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)] : []
  const isText = parts.length > 0 && parts.map(([whole]) => whole).join('') === String(given).replaceAll(' ', '')
  const ms = isText
    ? parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit as keyof typeof unitMs], 0)
    : given
  if (typeof ms === 'number' && Number.isFinite(ms) && ms >= 0) return Math.round(ms)
  throw new TypeError(`a duration must be a number of ms, or text such as '90s', '2h' or '1d12h'; got ${String(given)}`)
}
