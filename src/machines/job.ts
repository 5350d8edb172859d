import { assign, type SnapshotFrom, setup } from 'xstate'
import { guards } from './guards.ts'
import type { JobEvent, JobFacts } from './job-event.ts'

export type { JobEvent, JobFacts }

const failed = [
  { guard: 'attemptsRemain', target: 'retrying', actions: 'forgetCrashes' },
  { target: 'dead', actions: 'forgetCrashes' },
] as const
const fellSilent = [{ guard: 'attemptsRemain', target: 'retrying' }, { target: 'dead' }] as const
/** Where a job goes that nothing but its `run_at` holds back. */
const released = [{ guard: 'runAtLiesAhead', target: 'scheduled' }, { target: 'queued' }] as const
/** A crash does not depend on the attempts, which limit what the handler reports. */
const crashed = [
  { guard: 'mayCrashAgain', target: 'retrying', actions: ['giveAttemptBack', 'countCrash'] },
  { guard: 'crashed', target: 'dead', actions: ['giveAttemptBack', 'countCrash'] },
] as const

/** A changed job waits for its `run_at` in `later` if that lies ahead; otherwise it may run now. */
const amended = <Later extends string>(later: Later) =>
  [
    { guard: 'runAtLiesAhead', target: later, reenter: true },
    { target: 'queued', reenter: true },
  ] as const

/**
 * The lifecycle of one job: pure, without timers or I/O. Every state and event name in the system comes from here. `compile.ts` compiles it
 * into the table from which the store's SQL, the schema's checks and the pictures are generated.
 *
 * Tags group states: `waiting` counts against the queue's limit, `blocked` waits for another job, `ready` may be leased, `timed` waits for
 * its `run_at`, `held` has a lease, `executing` has a handler called or about to be, `ended` has a `finished_at`, `expendable` may be
 * removed by retention.
 */
export const jobMachine = setup({
  types: { context: {} as JobFacts, events: {} as JobEvent, input: {} as JobFacts, tags: {} as JobTag },
  guards,
  actions: {
    countAttempt: assign({ attempt: ({ context }) => context.attempt + 1 }),
    giveAttemptBack: assign({ attempt: ({ context }) => context.attempt - 1 }),
    countCrash: assign({ crashes: ({ context }) => context.crashes + 1 }),
    forgetCrashes: assign({ crashes: 0 }),
    beginAnew: assign({ attempt: 0, crashes: 0 }),
  },
}).createMachine({
  id: 'job',
  context: ({ input }) => input,
  initial: 'new',
  states: {
    new: {
      description: 'not stored; replay begins here',
      on: { enqueue: [{ guard: 'isBlocked', target: 'blocked' }, ...released] },
    },
    blocked: {
      description: 'waits until the job that holds its unique key has ended',
      tags: ['waiting', 'blocked'],
      on: { unblock: released, cancel: 'cancelled', amend: { target: 'blocked', reenter: true } },
    },
    scheduled: {
      description: 'has a run_at in the future',
      tags: ['waiting', 'timed'],
      on: { due: 'queued', cancel: 'cancelled', amend: amended('scheduled') },
    },
    queued: {
      description: 'may run now, waits for a worker',
      tags: ['waiting', 'ready'],
      on: { lease: 'leased', cancel: 'cancelled', amend: amended('scheduled') },
    },
    leased: {
      description: 'claimed by a dispatcher, the handler not called',
      tags: 'held',
      on: {
        start: { target: 'running', actions: 'countAttempt' },
        release: 'queued',
        expire: 'queued',
        cancel: 'cancelled',
      },
    },
    running: {
      description: 'its start is on disk, the handler called or about to be',
      tags: ['held', 'executing'],
      on: {
        succeed: { target: 'succeeded', actions: 'forgetCrashes' },
        fail: failed,
        reject: { target: 'dead', actions: 'forgetCrashes' },
        snooze: { target: 'scheduled', actions: ['giveAttemptBack', 'forgetCrashes'] },
        release: { target: 'queued', actions: 'giveAttemptBack' },
        expire: [...crashed, ...fellSilent],
        cancel: 'cancelled',
      },
    },
    retrying: {
      description: 'an attempt failed or broke off, waits until it may run again',
      tags: ['waiting', 'timed'],
      on: { due: 'queued', cancel: 'cancelled', amend: amended('retrying') },
    },
    succeeded: {
      description: 'done; nothing leaves it',
      tags: ['ended', 'expendable'],
      type: 'final',
    },
    dead: {
      description: 'dead letter: no attempts are left, the handler ruled out a retry, or it killed the process',
      tags: 'ended',
      on: { requeue: { target: 'queued', actions: 'beginAnew' }, cancel: 'cancelled' },
    },
    cancelled: {
      description: 'stopped by a user',
      tags: ['ended', 'expendable'],
      on: { requeue: { target: 'queued', actions: 'beginAnew' } },
    },
  },
})

export type JobTag = 'waiting' | 'blocked' | 'ready' | 'timed' | 'held' | 'executing' | 'ended' | 'expendable'
export type GuardName = keyof typeof guards
export type EventType = JobEvent['type']
/** The initial node `new` is never stored or counted. */
export type JobNode = SnapshotFrom<typeof jobMachine>['value']
export type JobState = Exclude<JobNode, 'new'>
