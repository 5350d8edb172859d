import { writeSync } from 'node:fs'

/** How often the loop beats, and the thread looks, in ms. */
export const beatMs = 100
/** Beyond the longest timeout of the running jobs, for handlers that block the loop but would still end. */
const graceMs = 10_000
/** A look that comes later than this after the one before was held up itself (SIGSTOP, a suspended machine) and proves nothing. */
const lateMs = 5 * beatMs
const beatAt = 0
const longestTimeoutAt = 1

/** Shared between loop and thread: how often the loop has beaten, and the longest timeout of what it runs, in ms. */
export function createPulse(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8))
}

/** Called by the loop while it turns. `longestTimeoutMs`: of the attempts that run now, 0 where none does. */
export function beat(pulse: Int32Array, longestTimeoutMs: number): void {
  Atomics.store(pulse, longestTimeoutAt, longestTimeoutMs)
  Atomics.add(pulse, beatAt, 1)
}

/** Called by the loop before it runs what may take that long: the next beat comes too late to say so where that blocks the loop. */
export function raiseTimeout(pulse: Int32Array, timeoutMs: number): void {
  if (Atomics.load(pulse, longestTimeoutAt) < timeoutMs) Atomics.store(pulse, longestTimeoutAt, timeoutMs)
}

/**
 * Watches from the store's thread for a loop that a handler has blocked for good: nothing else could end it, since timeouts and signals
 * wait for that loop. `look` is called about every `beatMs` with a monotonic instant.
 */
export class Watchdog {
  readonly #pulse: Int32Array
  #beats = -1
  #stillMs = 0
  #lookedAt = 0

  constructor(pulse: Int32Array) {
    this.#pulse = pulse
  }

  /** For how long the loop has stood still, where that is longer than any running attempt may take; else null. */
  look(at: number): number | null {
    const beats = Atomics.load(this.#pulse, beatAt)
    const sinceLast = at - this.#lookedAt
    this.#stillMs = beats === this.#beats ? this.#stillMs + (sinceLast > lateMs ? 0 : sinceLast) : 0
    this.#beats = beats
    this.#lookedAt = at
    const longestTimeoutMs = Atomics.load(this.#pulse, longestTimeoutAt)
    return this.#stillMs > longestTimeoutMs + graceMs ? this.#stillMs : null
  }
}

/** Ends the process as a crash does, so that recovery does the rest; the line is written past the blocked loop. */
export function killBlockedProcess(stillMs: number, runningIds: readonly number[]): void {
  const msg =
    'the event loop has been blocked for longer than any running job may take; ending the process with SIGKILL'
  writeSync(1, `${JSON.stringify({ level: 60, msg, blocked_ms: Math.round(stillMs), running_jobs: runningIds })}\n`)
  process.kill(process.pid, 'SIGKILL')
}
