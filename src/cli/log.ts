import { constants, fstatSync, openSync, statSync, writeSync } from 'node:fs'
import { setTimeout } from 'node:timers'
import { isatty } from 'node:tty'
import { pino } from 'pino'
import { harmless } from '../engine/harmless-log.ts'
import type { SystemLog } from '../engine/job-system.ts'
import { escapeControls } from '../job/escape-controls.ts'

/** Bytes of lines that may wait to be read; a line beyond that is dropped. */
const waitingMax = 1_048_576
/** Ms between two attempts to write the waiting lines; doubled from the first to the last. */
const retryMs = { first: 5, last: 500 }
/** Between two tries if nothing else is left to do, in ms. */
const flushRetryMs = 10
/** Errors that pass: the pipe is full, or the disk is. After any other error nobody can get the waiting lines. */
const passing = new Set(['EAGAIN', 'ENOSPC', 'EDQUOT'])

/** The process's log. No line of it blocks, throws or ends anything. */
export interface ProcessLog {
  /** It can also tell why the process ends. */
  readonly log: SystemLog & { fatal(fields: object, message: string): void }
  /** Lines that nobody could be given so far. */
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
        // Something in the fields that cannot be read; why the process ends must be told all the same.
        logger.fatal(message)
      }
    },
  })
  return { log, dropped: () => output.dropped, flush: (patienceMs) => output.flush(patienceMs) }
}

/**
 * Where log lines go. A write never blocks and never throws: what cannot be written now waits, up to a bound, and what is beyond it or can
 * be read by nobody is dropped and counted.
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
   * `descriptor`: one that does not block, see `openWithoutBlocking`. `onRecovered`: called when lines can be written again, with how many
   * were dropped meanwhile.
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
    // Otherwise a try is due already.
    if (this.#timer === undefined) this.#try()
  }

  /** For the end of the process: waits up to `patienceMs` until all is written, blocking whatever else there is to do. */
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

  /** Keeps the last bytes of what waits, with their lines. */
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

/** Standard output as a descriptor that refuses, with EAGAIN, what it would have to wait for. */
function openWithoutBlocking({ fd }: { readonly fd: 1 }): number {
  const isFile = fstatSync(fd).isFile()
  // Node's resolver gives up at symlinks while the last that it looked at was a pipe: imports would get a second copy of a linked package.
  statSync('/')
  // A file takes what it is given at once, or has an error.
  if (isFile) return fd
  if (!isatty(fd)) {
    // libuv has made pipes and sockets non-blocking, as for every program that prints with `console.log`.
    void process.stdout
    return fd
  }
  try {
    // A description of its own: that of the shell which started this process stays as it is.
    return openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return fd
  }
}
