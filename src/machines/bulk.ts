import { type SnapshotFrom, setup } from 'xstate'

/** What can happen to a bulk action. */
type BulkEvent =
  /** A user confirms the count. */
  | { readonly type: 'run' }
  /** Change no more jobs. */
  | { readonly type: 'stop' }
  /** Nobody has confirmed it for too long. */
  | { readonly type: 'expire' }
  /** The count or the run has ended. */
  | { readonly type: 'end' }
  /** The store has refused to continue. */
  | { readonly type: 'fail' }

/** A bulk action: it is counted, then shown, then confirmed. Pure, like the job's machine. Tagged `open` while it may still change jobs. */
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
      description: 'changes the counted jobs, step by step',
      tags: 'open',
      on: { end: 'done', stop: 'stopping', fail: 'failed' },
    },
    stopping: {
      description: 'finishes its last step',
      tags: 'open',
      on: { end: 'stopped', fail: 'failed' },
    },
    done: { description: 'each counted job was changed or refused', type: 'final' },
    stopped: { description: 'stopped before its end; jobs changed so far stay changed', type: 'final' },
    failed: { description: 'the store failed; jobs changed so far stay changed', type: 'final' },
    expired: { description: 'nobody confirmed it in time; no job was changed', type: 'final' },
  },
})

export type BulkPhase = SnapshotFrom<typeof bulkMachine>['value']

/** In the order in which an action may go through them. */
export const bulkPhases: readonly BulkPhase[] = Object.freeze(Object.keys(bulkMachine.states) as BulkPhase[])
