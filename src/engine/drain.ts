import type { Actor } from 'xstate'
import type { dispatcherMachine } from '../machines/dispatcher.ts'
import { timers } from '../runtime/timers.ts'
import type { SystemLog } from './job-system.ts'

/** How long aborted handlers may take to end once a shutdown's grace is over, in ms. */
const abortedGraceMs = 1_000
/** How long a stop waits for its last commit, if the storage is in trouble, in ms. */
const lastCommitMs = 2_000

/**
 * Ends a dispatcher: it starts no more jobs, and its handlers get `graceMs` to end before they are aborted. Resolves when all their outcomes
 * are stored, or when it has given up. `running`: how many handlers run now.
 */
export async function drain(
  dispatcher: Actor<typeof dispatcherMachine>,
  graceMs: number,
  log: SystemLog,
  running: () => number,
): Promise<void> {
  const stopped = new Promise<void>((resolve) => dispatcher.subscribe({ complete: resolve, error: () => resolve() }))
  dispatcher.send({ type: 'drain' })
  if (await within(graceMs, stopped)) return
  log.warn({ running: running() }, 'the grace period is over; aborting the running jobs')
  dispatcher.send({ type: 'abort' })
  if (await within(abortedGraceMs, stopped)) return
  dispatcher.send({ type: 'giveUp' })
  if (await within(lastCommitMs, stopped)) return
  log.error({}, 'the last results could not be stored; the next start recovers their jobs')
  // Its commits are refused when the store closes, which must not make this stop fail.
  dispatcher.stop()
}

/** Whether `done` came within `ms`. */
async function within(ms: number, done: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = timers.setTimeout(() => resolve(false), ms)
  })
  const inTime = await Promise.race([done.then(() => true), late])
  timers.clearTimeout(timer)
  return inTime
}
