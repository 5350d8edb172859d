import { Worker } from 'node:worker_threads'
import { ownThread } from '../runtime/own-thread.ts'

/** How often the loop beats, and how often the thread checks, in ms. */
export const beatMs = 100
/** The same while nothing runs. */
export const idleBeatMs = 1_000
/** Time beyond the longest timeout of the running jobs, for handlers that block the loop but would still end, in ms. */
const graceMs = 10_000
/**
 * A check that comes later than this after the previous one was held up itself (SIGSTOP, a suspended machine) and proves nothing. A
 * heartbeat that is later than this shows a stall.
 */
const lateMs = 5 * beatMs
/** The most of one stall that is counted, in ms: no attempt may take longer. */
const stallMax = 86_400_000
/** How long the log line about it may take, in ms. */
const lastLineMs = 1_000
const beatAt = 0
const longestTimeoutAt = 1
const threadStalledAt = 2
const restAt = 3

/**
 * Shared between loop and thread: how often the loop has beaten, the longest timeout of its running attempts, how long the thread itself
 * has been stopped in total, and how much longer than `beatMs` the loop rests until it beats again, all in ms.
 */
export class Heartbeat {
  readonly memory: Int32Array

  /** `memory`: that of the heartbeat on the other thread. */
  constructor(memory: Int32Array = new Int32Array(new SharedArrayBuffer(16))) {
    this.memory = memory
  }

  /**
   * Called by the loop while it turns. `longestTimeoutMs`: of the running attempts, 0 if there are none. `pauseMs`: when it beats again at
   * the latest.
   */
  beat(longestTimeoutMs: number, pauseMs: number = beatMs): void {
    if (this.restMs !== pauseMs - beatMs) Atomics.store(this.memory, restAt, pauseMs - beatMs)
    // In this order, and read in the reverse order: a check between the two must not see a blocked loop while nothing may run.
    Atomics.add(this.memory, beatAt, 1)
    Atomics.store(this.memory, longestTimeoutAt, longestTimeoutMs)
  }

  /**
   * Called by the loop before it runs an attempt with this timeout: if the attempt blocks the loop, the next heartbeat is too late to
   * report it.
   */
  raiseTimeout(timeoutMs: number): void {
    if (this.longestTimeoutMs < timeoutMs) Atomics.store(this.memory, longestTimeoutAt, timeoutMs)
  }

  get longestTimeoutMs(): number {
    return Atomics.load(this.memory, longestTimeoutAt)
  }

  get beats(): number {
    return Atomics.load(this.memory, beatAt)
  }

  get restMs(): number {
    return Atomics.load(this.memory, restAt)
  }

  /** Called by the thread when it was stopped itself for this long. */
  addThreadStall(ms: number): void {
    Atomics.add(this.memory, threadStalledAt, Math.min(Math.round(ms), stallMax))
  }

  get threadStalledMs(): number {
    return Atomics.load(this.memory, threadStalledAt)
  }
}

/** For how long the loop stalled between two heartbeats, or since the last one, in ms; 0 if it was not longer than usual. */
export function stallMs(sinceBeatMs: number): number {
  const heldUpMs = sinceBeatMs - beatMs
  return heldUpMs > lateMs ? Math.min(Math.round(heldUpMs), stallMax) : 0
}

/**
 * Watches from a thread of the store for a loop that a handler has blocked for good: nothing else could end it, because timeouts and signals
 * wait for that loop. `look` is called about every `beatMs`, or after the pause that it is told, with a monotonic instant.
 */
export class Watchdog {
  readonly #heartbeat: Heartbeat
  #beats = -1
  #stillMs = 0
  #lookedAt: number | null = null

  constructor(heartbeat: Heartbeat) {
    this.#heartbeat = heartbeat
  }

  /** The number of heartbeats so far. */
  get beats(): number {
    return this.#heartbeat.beats
  }

  /** Whether an attempt runs, as far as the loop has said. */
  get isNeeded(): boolean {
    return this.#heartbeat.longestTimeoutMs > 0
  }

  /** How long the loop has been blocked, if that is longer than any running attempt may take; else null. */
  look(at: number, pauseMs: number = beatMs): number | null {
    const { longestTimeoutMs, restMs } = this.#heartbeat
    const { beats } = this.#heartbeat
    const sinceLast = this.#lookedAt === null ? 0 : at - this.#lookedAt
    const isLate = sinceLast > lateMs + pauseMs - beatMs
    if (isLate) this.#heartbeat.addThreadStall(sinceLast)
    this.#stillMs = beats === this.#beats ? this.#stillMs + (isLate ? 0 : sinceLast) : 0
    this.#beats = beats
    this.#lookedAt = at
    return this.#stillMs > longestTimeoutMs + restMs + graceMs ? this.#stillMs : null
  }
}

/**
 * Ends the process like a crash, so that recovery does the rest, and writes a line without the blocked loop. The reader of that line may be
 * gone or stalled, so a separate thread writes it, and this one waits no longer than `lastLineMs`.
 */
export function killBlockedProcess(stillMs: number, runningIds: readonly number[]): void {
  const msg = 'the event loop was blocked for longer than any running job may take; ending the process with SIGKILL'
  const line = JSON.stringify({ level: 60, msg, blocked_ms: Math.round(stillMs), running_jobs: runningIds })
  try {
    const written = new Int32Array(new SharedArrayBuffer(4))
    new Worker(writeLine, { eval: true, workerData: { line: `${line}\n`, written }, ...ownThread })
    Atomics.wait(written, 0, 0, lastLineMs)
  } finally {
    process.kill(process.pid, 'SIGKILL')
  }
}

/** Not a file, because the one that this program was loaded from may be gone by now. A full pipe that does not block is tried again. */
const writeLine = `
  const { workerData: { line, written } } = require('node:worker_threads')
  const { writeSync } = require('node:fs')
  for (let rest = Buffer.from(line); rest.length > 0; ) {
    try { rest = rest.subarray(writeSync(1, rest)) } catch (error) {
      if (error.code !== 'EAGAIN') break
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
  Atomics.store(written, 0, 1)
  Atomics.notify(written, 0)`
