import { type SnapshotFrom, setup } from 'xstate'

/** What can happen to a command over many jobs. */
type BulkEvent =
  /** A user confirms the count. */
  | { readonly type: 'run' }
  /** Move no more. */
  | { readonly type: 'stop' }
  /** Nobody has confirmed it for too long. */
  | { readonly type: 'expire' }
  /** What was under way has come to its end. */
  | { readonly type: 'end' }
  /** The store has refused to go on. */
  | { readonly type: 'fail' }

/**
 * A command over many jobs: first counted, then shown, then confirmed. Pure, as the job's machine is. Tagged `open` while it may still move
 * something.
 */
export const bulkMachine = setup({
  types: { events: {} as BulkEvent, tags: {} as 'open' },
}).createMachine({
  id: 'bulk',
  initial: 'counting',
  states: {
    counting: {
      description: 'finds the jobs that match and notes their ids',
      tags: 'open',
      on: { end: 'ready', stop: 'stopped', fail: 'failed' },
    },
    ready: {
      description: 'shows its count and waits for someone to confirm it',
      tags: 'open',
      on: { run: 'moving', stop: 'stopped', expire: 'expired' },
    },
    moving: {
      description: 'moves the jobs it has noted, a step at a time',
      tags: 'open',
      on: { end: 'done', stop: 'stopping', fail: 'failed' },
    },
    stopping: {
      description: 'finishes its last step',
      tags: 'open',
      on: { end: 'stopped', fail: 'failed' },
    },
    done: { description: 'each job it noted was moved, or refused', type: 'final' },
    stopped: { description: 'stopped before its end; what was moved has moved', type: 'final' },
    failed: { description: 'the store failed; what was moved has moved', type: 'final' },
    expired: { description: 'nobody confirmed it in time; nothing was moved', type: 'final' },
  },
})

export type BulkPhase = SnapshotFrom<typeof bulkMachine>['value']

/** In the order in which it may come through them. */
export const bulkPhases: readonly BulkPhase[] = Object.freeze(Object.keys(bulkMachine.states) as BulkPhase[])
