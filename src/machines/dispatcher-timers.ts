import { performance } from 'node:perf_hooks'
import { fromCallback } from 'xstate'
import { timers } from '../runtime/timers.ts'
import type { LeasedJob } from './lease.ts'
import { rateMs } from './prefetch.ts'

type TimersCommand =
  /** `gathered` comes at the end of this turn of the loop. */
  | { readonly type: 'gather' }
  /** `measured` comes in `rateMs`. */
  | { readonly type: 'measure' }
  /** `event` comes at once if it is the first of this turn, others each in a turn of their own. */
  | { readonly type: 'inTurn'; readonly event: LeasedReply }
  /** Nothing comes any more. */
  | { readonly type: 'stop' }

/** The store has answered a request for `asked` jobs. */
export interface LeasedReply {
  readonly type: 'leased'
  readonly asked: number
  readonly jobs: LeasedJob[]
}

export type TimersEvent =
  | { readonly type: 'gathered' }
  | { readonly type: 'measured'; readonly tookMs: number }
  | LeasedReply

/** Tells the dispatcher when the time has come. */
export const timersLogic = fromCallback<TimersCommand>(({ receive, sendBack }) => {
  const send = (event: TimersEvent) => sendBack(event)
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
        // What one part's handlers have done is on its way before the next part's are called.
        if (turnTaken) return void timers.setImmediate(() => send(event))
        turnTaken = true
        timers.setImmediate(() => {
          turnTaken = false
        })
        send(event)
        return
      }
      case 'stop':
        stop()
    }
  })
  return stop
})
