import { constants, fstatSync, openSync, statSync, writeSync } from 'node:fs'
import { setTimeout } from 'node:timers'
import { isatty } from 'node:tty'
import { pino } from 'pino'
import { harmless } from '../engine/harmless-log.ts'
import type { SystemLog } from '../engine/job-system.ts'
import { escapeControls } from '../job/escape-controls.ts'

/** Bytes of log lines that may wait to be written; further lines are dropped. */
const waitingMax = 1_048_576
/** Ms between two attempts to write the waiting lines; doubled from the first to the last. */
const retryMs = { first: 5, last: 500 }
/** Ms between two attempts when the process ends and has nothing else to do. */
const flushRetryMs = 10
/** Temporary errors: the pipe or the disk is full. After any other error the waiting lines are lost. */
const passing = new Set(['EAGAIN', 'ENOSPC', 'EDQUOT'])

/** The process's log. Writing a line never blocks, throws or ends the process. */
export interface ProcessLog {
  /** Has `fatal` too, which says why the process ends. */
  readonly log: SystemLog & { fatal(fields: object, message: string): void }
  /** The number of lines dropped so far. */
  dropped(): number
  /** For the end of the process: waits up to `patienceMs` until every line is out. */
  flush(patienceMs: number): void
}

/** Structured JSON lines on standard output: written before the call returns, if its reader keeps up. */
export function createLog(level: string): ProcessLog {
  const output = new LogOutput(openWithoutBlocking({ fd: 1 }), (lines) =>
    logger.warn({ lines }, 'log lines were dropped: they could not be written, or nobody read them'),
  )
  const logger = pino({ level, timestamp: pino.stdTimeFunctions.isoTime }, output)
  const log = Object.assign(harmless(logger), {
    fatal(fields: object, message: string) {
      try {
        logger.fatal(fields, message)
      } catch {
        // A field could not be read, but the log must still say why the process ends.
        logger.fatal(message)
      }
    },
  })
  return { log, dropped: () => output.dropped, flush: (patienceMs) => output.flush(patienceMs) }
}

/**
 * Where log lines go. A write never blocks and never throws: lines that cannot be written now wait, up to a limit. Further lines, and lines
 * that nobody can read, are dropped and counted.
 */
export class LogOutput {
  readonly #descriptor: number
  readonly #onRecovered: (dropped: number) => void
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #retryInMs = retryMs.first
  #timer: NodeJS.Timeout | undefined
  #untold = 0
  /** Lines dropped so far. */
  dropped = 0

  /**
   * `descriptor`: a non-blocking one, see `openWithoutBlocking`. `onRecovered` is called with the number of dropped lines when lines can be
   * written again.
   */
  constructor(descriptor: number, onRecovered: (dropped: number) => void) {
    this.#descriptor = descriptor
    this.#onRecovered = onRecovered
  }

  write(line: string): void {
    const bytes = Buffer.from(escapeControls(line))
    if (this.#waitingBytes + bytes.length > waitingMax) {
      this.#drop(1)
      return
    }
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    // If a timer runs, it tries soon enough.
    if (this.#timer === undefined) this.#try()
  }

  /** For the end of the process: waits up to `patienceMs` until all lines are written, and blocks the event loop meanwhile. */
  flush(patienceMs: number): void {
    const giveUpAt = performance.now() + patienceMs
    while (this.#send() === 'EAGAIN' && performance.now() < giveUpAt) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, flushRetryMs)
    }
  }

  #try(): void {
    this.#timer = undefined
    const before = this.#waitingBytes
    this.#send()
    if (this.#waitingBytes < before) this.#retryInMs = retryMs.first
    if (this.#waitingBytes === 0) return
    this.#timer = setTimeout(() => this.#try(), this.#retryInMs).unref()
    this.#retryInMs = Math.min(2 * this.#retryInMs, retryMs.last)
  }

  /** Writes the waiting lines; returns the code of the error that prevented it, or null. */
  #send(): string | null {
    let rest = Buffer.concat(this.#waiting)
    let error: string | null = null
    while (rest.length > 0 && error === null) {
      try {
        rest = rest.subarray(writeSync(this.#descriptor, rest))
      } catch (thrown) {
        error = (thrown as NodeJS.ErrnoException).code ?? 'unknown'
      }
    }
    if (error !== null && !passing.has(error)) {
      this.#drop(this.#waiting.length)
      rest = rest.subarray(rest.length)
    }
    this.#keep(rest)
    if (error === null) this.#tellDropped()
    return error
  }

  /** Keeps the unwritten rest of the waiting lines. */
  #keep(rest: Buffer): void {
    let begun = this.#waitingBytes - rest.length
    while (this.#waiting.length > 0 && begun >= this.#waiting[0]!.length) begun -= this.#waiting.shift()!.length
    if (begun > 0) this.#waiting[0] = this.#waiting[0]!.subarray(begun)
    this.#waitingBytes = rest.length
  }

  #drop(lines: number): void {
    this.dropped += lines
    this.#untold += lines
  }

  #tellDropped(): void {
    const dropped = this.#untold
    if (dropped === 0) return
    this.#untold = 0
    this.#onRecovered(dropped)
  }
}

/** Standard output as a descriptor on which a write fails with EAGAIN instead of blocking. */
function openWithoutBlocking({ fd }: { readonly fd: 1 }): number {
  const isFile = fstatSync(fd).isFile()
  // Node's resolver fails on symlinks if the last path that it looked at was a pipe; imports would then get a second copy of a linked
  // package.
  statSync('/')
  // A write to a file never waits for a reader; it succeeds or fails.
  if (isFile) return fd
  if (!isatty(fd)) {
    // libuv has already made pipes and sockets non-blocking, as for every program that prints with `console.log`.
    void process.stdout
    return fd
  }
  try {
    // A separate file description, so that the shell which started this process keeps its own unchanged.
    return openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return fd
  }
}
