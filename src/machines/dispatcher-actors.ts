import { performance } from 'node:perf_hooks'
import { type AnyEventObject, fromCallback } from 'xstate'
import { queueMicrotask, timers } from '../runtime/timers.ts'
import type { LeasedJob, LeaseEvent } from './lease.ts'
import { rateMs } from './prefetch.ts'
import type { Assigned, RunningAttempt } from './slots.ts'

/** What an attempt reports while it runs, never before `RunAttempt` has returned. */
interface AttemptReport {
  /**
   * Called once. `event` is null if the lease was lost and there is nothing to commit. `ended` is false if the attempt was aborted but its
   * handler is still running and keeps the slot.
   */
  settled(event: LeaseEvent | null, ended: boolean): void
  /** Called once, later, if `ended` was false: the slot is free. */
  ended(): void
}

/** Makes one attempt. Never throws, whatever the handler does. */
export type RunAttempt = (job: LeasedJob, report: AttemptReport) => RunningAttempt

/** The events sent to a worker. */
type WorkerCommand =
  | { readonly type: 'run'; readonly assigned: Assigned; readonly job: LeasedJob }
  | { readonly type: 'abort'; readonly assigned: Assigned; readonly reason: Error; readonly lost: boolean }

/** How an attempt went; `event` and `ended` as in its report. */
type Outcome = {
  readonly assigned: Assigned
  readonly event: LeaseEvent | null
  readonly ended: boolean
}

/**
 * What these actors send to the dispatcher. `settled` has all outcomes that arrived without a pause, from any worker: an event for each
 * would cost as much as the rest of the loop's work.
 */
export type ActorEvent =
  | { readonly type: 'gathered' }
  | { readonly type: 'measured'; readonly tookMs: number }
  | { readonly type: 'settled'; readonly outcomes: Outcome[] }
  | { readonly type: 'ended'; readonly assigned: Assigned }

type WorkerInput = { readonly runAttempt: RunAttempt; readonly settled: (outcome: Outcome) => void }

/** Calls `send` with everything that arrived without a pause. */
export function gather<T>(send: (all: T[]) => void): (each: T) => void {
  let gathered: T[] = []
  return (each) => {
    if (gathered.push(each) > 1) return
    queueMicrotask(() => {
      const all = gathered
      gathered = []
      send(all)
    })
  }
}

/**
 * A long-lived worker: it gets a job, makes one attempt and answers with an outcome. It never touches the store. It is created once and
 * gets events: spawning a child per job costs ten times as much, and XState keeps finished children.
 */
export const workerLogic = fromCallback<WorkerCommand, WorkerInput>(({ input, receive, sendBack }) => {
  const { runAttempt, settled } = input
  const tell = (event: ActorEvent) => sendBack(event)

  receive((command) => {
    const { assigned } = command
    if (command.type === 'abort') {
      assigned.attempt?.abort(command.reason, command.lost)
      return
    }
    assigned.attempt = runAttempt(command.job, {
      settled: (event, ended) => settled({ assigned, event, ended }),
      // Sent after the outcome, which may still be gathered.
      ended: () => queueMicrotask(() => tell({ type: 'ended', assigned })),
    })
  })
})

type TimersCommand =
  /** `gathered` follows at the end of this turn of the loop. */
  | { readonly type: 'gather' }
  /** `measured` follows after `rateMs`. */
  | { readonly type: 'measure' }
  /** `event` follows at once if it is the first of this turn; each further one gets a turn of its own. */
  | { readonly type: 'inTurn'; readonly event: AnyEventObject }
  /** Nothing follows any more. */
  | { readonly type: 'stop' }

/** Sends the dispatcher its timed events. */
export const timersLogic = fromCallback<TimersCommand>(({ receive, sendBack }) => {
  const send = (event: ActorEvent) => sendBack(event)
  let measuring: NodeJS.Timeout | undefined
  let turnTaken = false
  const stop = () => timers.clearTimeout(measuring)

  receive((command) => {
    switch (command.type) {
      case 'gather':
        timers.setImmediate(() => send({ type: 'gathered' }))
        return
      case 'measure': {
        const begun = performance.now()
        measuring = timers.setTimeout(() => send({ type: 'measured', tookMs: performance.now() - begun }), rateMs)
        measuring.unref()
        return
      }
      case 'inTurn': {
        const { event } = command
        // The outcomes of one part's handlers are sent before the next part's handlers are called.
        if (turnTaken) return void timers.setImmediate(() => sendBack(event))
        turnTaken = true
        timers.setImmediate(() => {
          turnTaken = false
        })
        sendBack(event)
        return
      }
      case 'stop':
        stop()
    }
  })
  return stop
})
