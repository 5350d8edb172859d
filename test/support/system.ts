import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { expect } from 'vitest'
import { z } from 'zod'
import { defineHandler, type Handler, type JobContext } from '../../src/handlers/define.ts'
import {
  createJobSystem,
  type HistoryEvent,
  type Job,
  type JobState,
  type JobSystem,
  type JobSystemOptions,
  type SystemLog,
} from '../../src/index.ts'
import { ManualClock } from '../../src/runtime/clock.ts'
import { databaseAt } from './database.ts'
import { deferred } from './deferred.ts'
import { openStore } from './store.ts'
import { tempFolder, whenDone } from './temp.ts'

/** One line of the log. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** A system with its clock, its log, and its error when it could not continue. */
export interface OpenedSystem {
  readonly system: JobSystem
  readonly clock: ManualClock
  readonly log: readonly LogLine[]
  readonly fatal: readonly Error[]
  readonly path: string
}

export interface OpenOptions extends Partial<JobSystemOptions> {
  /** The handlers by type; `null` for a producer. */
  readonly runs?: Readonly<Record<string, Run>> | null
}

export type Run = (payload: never, context: JobContext) => unknown

/** Ten in the morning of some day. */
export const startAt = Date.UTC(2030, 0, 1, 10)

/** A handler that accepts any payload and calls `run`. */
export function aHandler(type: string, run: Run, more: Partial<Handler> = {}): Handler {
  return defineHandler({ type, payload: z.unknown(), run: run as Handler['run'], ...more })
}

/**
 * Opens a system on its own file, with a manual clock and jitter that uses the middle by default; stopped without grace when its test ends.
 * It runs nothing before its `start`.
 */
export async function openSystem({
  runs = {},
  database: path = join(tempFolder(), 'jobs.db'),
  ...options
}: OpenOptions = {}): Promise<OpenedSystem> {
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock(startAt)
  const lines: LogLine[] = []
  const fatal: Error[] = []
  const handlers = runs === null ? undefined : Object.entries(runs).map(([type, run]) => aHandler(type, run))
  const system = await createJobSystem({
    random: () => 0.5,
    log: logInto(lines),
    onFatal: (error) => fatal.push(error),
    ...(handlers ? { handlers } : {}),
    ...options,
    ...(await databaseAt(path)),
    clock,
  })
  whenDone(() => system.stop({ graceMs: 0 }))
  return { system, clock, log: lines, fatal, path }
}

/** The same, started. */
export async function startSystem(options: OpenOptions = {}): Promise<OpenedSystem> {
  const opened = await openSystem(options)
  await opened.system.start()
  return opened
}

/** One worker, busy until `blocker` is resolved, and a job that another owner of the file has leased but not started. */
export async function withLeasedJob() {
  const blocker = deferred()
  const ran: unknown[] = []
  const opened = await startSystem({
    workers: 1,
    runs: {
      work: (payload) => {
        ran.push(payload)
        return payload === 'blocker' ? blocker.promise : undefined
      },
    },
  })
  const { system, path, clock } = opened
  const [busy, waiting] = await system.enqueue(['blocker', 'leased'].map((payload) => ({ type: 'work', payload })))
  await untilCalled(system, busy!.id)
  const { store: other } = await openStore({ path, clock })
  await other.lease({ limit: 1, wait: false })
  return { ...opened, ran, blocker, leased: waiting!.id, other }
}

function logInto(lines: LogLine[]): SystemLog {
  const at = (level: LogLine['level']) => (fields: object, message: string) => {
    if (!isOfMachine(message)) lines.push({ level, fields: fields as Record<string, unknown>, message })
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: () => logInto(lines) }
}

/** Whether a log line says that the machine was busy, which may happen at any moment of any test. */
export function isOfMachine(line: string): boolean {
  return line.includes('the event loop was blocked')
}

/**
 * Waits until `what` is true, checking every few ms of real time, and less often the longer it takes: for what the system does not report.
 */
export async function until(what: () => unknown, patienceMs = 90_000): Promise<void> {
  const since = performance.now()
  while (!(await what())) {
    const waitedMs = performance.now() - since
    if (waitedMs > patienceMs) throw new Error(`not within ${patienceMs} ms: ${what}`)
    await setTimeout(Math.min(20, 2 + waitedMs / 100))
  }
}

/** The job once it is in that state. */
export async function untilState(system: JobSystem, id: number, state: JobState): Promise<Job> {
  let job: Job | undefined
  try {
    await until(async () => {
      job = await system.find(id)
      return job?.state === state
    })
  } catch (error) {
    throw new Error(`job ${id} is ${job?.state}, not ${state}`, { cause: error })
  }
  return job!
}

/** Waits until this server has called the job's handler; before that the start of the job is already on disk and visible to readers. */
export function untilCalled(system: JobSystem, id: number): Promise<void> {
  return until(() => system.activity().workers.some(({ jobId, since }) => jobId === id && since !== null))
}

/** Resolves when that many jobs have ended. */
export async function untilFinished(system: JobSystem, count: number): Promise<void> {
  await until(async () => {
    const { succeeded, dead, cancelled } = await system.counts()
    return succeeded + dead + cancelled === count
  })
}

/** The history in one line: `enqueue lease start succeed`. */
export async function eventsOf(system: JobSystem, id: number): Promise<string> {
  const history = await system.history(id)
  assertWhole(history)
  return history.map(({ event }) => event).join(' ')
}

/** `seq` has no gap, and each transition begins where the previous one ended. */
export function assertWhole(history: readonly HistoryEvent[]): void {
  expect(history.map(({ seq }) => seq)).toEqual(history.map((_, index) => index + 1))
  expect(history.map(({ from }) => from)).toEqual([null, ...history.slice(0, -1).map(({ to }) => to)])
}
