import { pino } from 'pino'
import { harmless } from '../engine/harmless-log.ts'
import type { SystemLog } from '../engine/job-system.ts'
import { LogOutput, openWithoutBlocking } from './log-output.ts'

/** A log that can also tell why the process ends. */
export interface ServerLog extends SystemLog {
  fatal(fields: object, message: string): void
}

/** The process's log. No line of it blocks, throws or ends anything. */
export interface ProcessLog {
  readonly log: ServerLog
  /** Lines that nobody could be given so far. */
  dropped(): number
  /** For the end of the process: waits up to `patienceMs` until every line is out. */
  flush(patienceMs: number): void
}

/** Structured JSON lines on standard output: written before the call returns, where its reader keeps up. */
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
