import { pino } from 'pino'
import type { SystemLog } from './job-system.ts'

/** A log that can also tell why the process ends. */
export interface ServerLog extends SystemLog {
  fatal(fields: object, message: string): void
}

/** Structured JSON lines on standard output, written before the call returns, so that the last ones are there after a crash. */
export function createLog(level: string): ServerLog {
  return pino({ level, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 1, sync: true }))
}
