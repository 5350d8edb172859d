import { performance } from 'node:perf_hooks'
import { timers } from '../runtime/timers.ts'
import type { Store } from './store.ts'
import { beatMs, type Heartbeat, idleBeatMs, stallMs } from './watchdog.ts'

/** An event loop that was blocked for longer than this, in ms, is reported. */
const stallToldMs = 1_000

/**
 * The loop's half of the watchdog: beats while the loop turns, and counts for how long it did not. While nothing runs it beats less often,
 * because each beat wakes the process.
 */
export class LoopBeat {
  readonly #heartbeat: Heartbeat
  readonly #longestTimeoutMs: () => number
  readonly #onStall: (ms: number) => void
  #beating: NodeJS.Timeout | undefined
  #pauseMs = beatMs
  /** Monotonic ms. */
  #beatAt = performance.now()
  /** In total, as the heartbeats have shown. */
  #stalledMs = 0

  /** `longestTimeoutMs`: of the running attempts, 0 if there are none. `onStall` gets for how long the loop was blocked, if that was long. */
  constructor(heartbeat: Heartbeat, longestTimeoutMs: () => number, onStall: (ms: number) => void) {
    this.#heartbeat = heartbeat
    this.#longestTimeoutMs = longestTimeoutMs
    this.#onStall = onStall
    this.#beat(beatMs)
  }

  /** Includes time that no heartbeat has shown yet, because other timers may fire before it. */
  get stalls(): Store['stalls'] {
    return {
      loopMs: () => this.#stalledMs + this.#stallMs(),
      threadMs: () => this.#heartbeat.threadStalledMs,
    }
  }

  /** An attempt with this timeout begins. */
  letLive(timeoutMs: number): void {
    if (this.#pauseMs > beatMs) this.#beat(beatMs)
    this.#heartbeat.raiseTimeout(timeoutMs)
  }

  /** The last beat: the thread may wait for a sign that its last words were heard. */
  stop(): void {
    timers.clearTimeout(this.#beating)
    this.#pauseMs = beatMs
    this.#heartbeat.beat(0)
  }

  #beat(pauseMs: number): void {
    const stalledMs = this.#stallMs()
    this.#beatAt = performance.now()
    this.#stalledMs += stalledMs
    this.#pauseMs = pauseMs
    this.#heartbeat.beat(this.#longestTimeoutMs(), pauseMs)
    timers.clearTimeout(this.#beating)
    this.#beating = timers.setTimeout(() => this.#beat(this.#isIdle() ? idleBeatMs : beatMs), pauseMs)
    this.#beating.unref()
    if (stalledMs > stallToldMs) this.#onStall(stalledMs)
  }

  /** No attempt runs, nor has one begun since the last beat. */
  #isIdle(): boolean {
    return this.#longestTimeoutMs() === 0 && this.#heartbeat.longestTimeoutMs === 0
  }

  #stallMs(): number {
    return stallMs(performance.now() - this.#beatAt - (this.#pauseMs - beatMs))
  }
}

/** Of a process that runs nothing. */
export const noStalls: Store['stalls'] = { loopMs: () => 0, threadMs: () => 0 }
