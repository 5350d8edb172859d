import { timers } from '../../runtime/timers.ts'

/** How many times as long as a look took its task rests: with an old snapshot open, the rows of many ended jobs lie in the way. */
const restShare = 10
/** At most, in ms: it may have taken long because the server was away. */
const restMaxMs = 1_000

/** How long nothing must have happened before looks are rarer, and the pause then, in ms: whoever stores a job notifies those who wait. */
const quietAfterMs = 1_000
const quietPauseMs = 250

/** What a node saw when it looked for something to do: in how many ms a job will be due (null: none), and how long ago it had something. */
interface Seen {
  readonly tookMs: number
  readonly dueInMs: number | null
  readonly quietMs: number
}

/** The pause after a look, in ms. */
export function restAfter({ tookMs, dueInMs, quietMs }: Seen, leastMs: number): number {
  const least = Math.max(leastMs, Math.min(restShare * tookMs, restMaxMs))
  if (quietMs < quietAfterMs) return least
  return Math.max(least, Math.min(dueInMs ?? quietPauseMs, quietPauseMs))
}

/** Runs each of some tasks again and again, a pause after its end, until it is stopped. A task that fails is tried again after its pause. */
export class Intervals {
  readonly #keepsAlive: boolean
  readonly #timers = new Set<NodeJS.Timeout>()
  #stopped = false
  #running = new Set<Promise<void>>()

  /** `keepsAlive`: the process does not end by itself before `stop`, even if it has no connection meanwhile. */
  constructor(keepsAlive: boolean) {
    this.#keepsAlive = keepsAlive
  }

  /** `pauseMs`: or what the task answers, if that is a number. Returns what ends the pause at once. */
  every(pauseMs: number, task: () => Promise<unknown>): () => void {
    let timer: NodeJS.Timeout | undefined
    const run = () => {
      if (timer) this.#timers.delete(timer)
      timer = undefined
      const running = task()
        .catch(() => {})
        .then((pause) => {
          this.#running.delete(running)
          wait(typeof pause === 'number' ? pause : pauseMs)
        })
      this.#running.add(running)
    }
    const wait = (ms: number) => {
      if (this.#stopped) return
      timer = timers.setTimeout(run, ms)
      if (!this.#keepsAlive) timer.unref()
      this.#timers.add(timer)
    }
    wait(pauseMs)
    return () => {
      if (!timer || this.#stopped) return
      timers.clearTimeout(timer)
      run()
    }
  }

  /** Resolves when none runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) timers.clearTimeout(timer)
    await Promise.all(this.#running)
  }
}
