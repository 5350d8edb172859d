import { performance } from 'node:perf_hooks'
import { timers } from '../runtime/timers.ts'
import type { Store } from './store.ts'
import { beatMs, type Heartbeat, stallMs } from './watchdog.ts'

/** An event loop that was blocked for longer than this, in ms, is reported. */
const stallToldMs = 1_000

/** The loop's half of the watchdog: beats while the loop turns, and counts for how long it did not. */
export class LoopBeat {
  readonly #heartbeat: Heartbeat
  readonly #beating: NodeJS.Timeout
  /** Monotonic ms. */
  #beatAt = performance.now()
  /** In total, as the heartbeats have shown. */
  #stalledMs = 0

  /** `longestTimeoutMs`: of the running attempts, 0 if there are none. `onStall` gets for how long the loop was blocked, if that was long. */
  constructor(heartbeat: Heartbeat, longestTimeoutMs: () => number, onStall: (ms: number) => void) {
    this.#heartbeat = heartbeat
    this.#beating = timers.setInterval(() => {
      const stalledMs = stallMs(performance.now() - this.#beatAt)
      this.#beatAt = performance.now()
      this.#stalledMs += stalledMs
      heartbeat.beat(longestTimeoutMs())
      if (stalledMs > stallToldMs) onStall(stalledMs)
    }, beatMs)
    this.#beating.unref()
  }

  /** Includes time that no heartbeat has shown yet, because other timers may fire before it. */
  get stalls(): Store['stalls'] {
    return {
      loopMs: () => this.#stalledMs + stallMs(performance.now() - this.#beatAt),
      threadMs: () => this.#heartbeat.threadStalledMs,
    }
  }

  /** An attempt with this timeout begins. */
  letLive(timeoutMs: number): void {
    this.#heartbeat.raiseTimeout(timeoutMs)
  }

  /** The last beat: the thread may wait for a sign that its last words were heard. */
  stop(): void {
    timers.clearInterval(this.#beating)
    this.#heartbeat.beat(0)
  }
}

/** Of a process that runs nothing. */
export const noStalls: Store['stalls'] = { loopMs: () => 0, threadMs: () => 0 }
