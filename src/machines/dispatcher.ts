import { type ActorRefFrom, assign, emit, fromCallback, setup } from 'xstate'
import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import { Ledger } from './ledger.ts'
import { type RunAttempt, type WorkerEvent, workerLogic } from './worker.ts'

/** Beyond this many, workers make several attempts at once: stopping their parent is quadratic in XState (226 ms at 1,000). */
const workerActorsMax = 100

/** What the dispatcher asks of the store; every promise that rejects ends the dispatcher. */
export interface DispatcherStore {
  lease(request: { room: number; wait: true }): Promise<readonly LeasedJob[]>
  apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]>
  stopLeasing(): Promise<void>
  recover(): Promise<void>
}

export interface DispatcherInput {
  readonly store: DispatcherStore
  readonly runAttempt: RunAttempt
  /** Attempts made at once. */
  readonly workers: number
  /** The abort reasons, made where errors are. */
  readonly reasons: { readonly shutdown: () => Error; readonly lost: (cancelled: boolean) => Error }
}

type StoreCommand =
  | { readonly type: 'recover' }
  | { readonly type: 'lease'; readonly room: number }
  | { readonly type: 'apply'; readonly events: readonly LeaseEvent[] }
  | { readonly type: 'gather' }
  | { readonly type: 'stopLeasing' }

type StoreEvent =
  | { readonly type: 'recovered' }
  | { readonly type: 'leased'; readonly asked: number; readonly jobs: readonly LeasedJob[] }
  | { readonly type: 'applied'; readonly events: readonly LeaseEvent[]; readonly refused: readonly LeaseEvent[] }
  | { readonly type: 'gathered' }
  | { readonly type: 'storeFailed'; readonly error: unknown }

export type DispatcherEvent =
  | StoreEvent
  | WorkerEvent
  /** Leases of ours that ended otherwise than by our outcome. */
  | { readonly type: 'lost'; readonly leases: readonly (Lease & { readonly cancelled: boolean })[] }
  /** Lease no more, and finish what runs. */
  | { readonly type: 'drain' }
  /** While draining: abort what runs. */
  | { readonly type: 'abort' }
  /** While draining: give back what still runs, and wait for its handlers no longer. */
  | { readonly type: 'giveUp' }

/** Turns the store's promises into events; at most a few calls of each kind are under way. */
const storeLogic = fromCallback<StoreCommand, DispatcherStore>(({ input: store, receive, sendBack }) => {
  const tell = (event: StoreEvent) => sendBack(event)
  const failed = (error: unknown) => tell({ type: 'storeFailed', error })

  receive((command) => {
    switch (command.type) {
      case 'recover':
        store.recover().then(() => tell({ type: 'recovered' }), failed)
        return
      case 'lease':
        store
          .lease({ room: command.room, wait: true })
          .then((jobs) => tell({ type: 'leased', asked: command.room, jobs }), failed)
        return
      case 'apply':
        store
          .apply(command.events)
          .then((refused) => tell({ type: 'applied', events: command.events, refused }), failed)
        return
      case 'gather':
        setImmediate(() => tell({ type: 'gathered' }))
        return
      case 'stopLeasing':
        store.stopLeasing().catch(failed)
    }
  })
})

/** What it is doing in a mode, for the pictures. */
type DispatcherTag = 'waiting' | 'executing' | 'stuck' | 'ended'

/** What the dispatcher lets others know. */
export type DispatcherEmitted =
  /** The first job may start. */
  | { readonly type: 'ready' }
  /** Events that came too late: their leases were no longer held. */
  | { readonly type: 'refused'; readonly events: readonly LeaseEvent[] }
  /** Every slot is held by a handler that was given up and does not end: nothing can run any more. */
  | { readonly type: 'allStuck' }

interface DispatcherContext extends DispatcherInput {
  readonly ledger: Ledger
  /** A drain has lost its patience: what runs is aborted, and what was still being started is given back instead of run. */
  readonly aborting: boolean
  readonly storeActor: ActorRefFrom<typeof storeLogic>
  readonly workerActors: readonly ActorRefFrom<typeof workerLogic>[]
}

/** Asks for as many jobs as there is room for. */
function lease({ ledger, storeActor }: DispatcherContext): void {
  const room = ledger.takeRoom()
  if (room > 0) storeActor.send({ type: 'lease', room })
}

/** Commits what there is, unless a commit is under way: then its end will. */
function commit({ ledger, storeActor }: DispatcherContext): void {
  const events = ledger.takeCommit()
  if (events) storeActor.send({ type: 'apply', events })
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}

/**
 * Gives jobs to workers. Driven by events alone: what the store has leased, what it has committed, what workers report. The modes are the
 * machine's, the accounts the ledger's. Nothing fallible happens in its actions: a throw would kill this actor and leave its children
 * running, so its death must end the process.
 */
export const dispatcherMachine = setup({
  types: {
    context: {} as DispatcherContext,
    events: {} as DispatcherEvent,
    input: {} as DispatcherInput,
    emitted: {} as DispatcherEmitted,
    tags: {} as DispatcherTag,
  },
  actors: { store: storeLogic, worker: workerLogic },
  guards: {
    idle: ({ context }) => context.ledger.idle,
    allStuck: ({ context }) => context.ledger.allStuck,
  },
  actions: {
    recover: ({ context }) => context.storeActor.send({ type: 'recover' }),
    lease: ({ context }) => lease(context),
    commit: ({ context }) => commit(context),
    stopLeasing: ({ context }) => {
      context.ledger.stopLeasing()
      context.storeActor.send({ type: 'stopLeasing' })
    },
    losePatience: assign({ aborting: true }),
    abortRunning: ({ context }) => {
      for (const { job, worker } of context.ledger.running()) {
        context.workerActors[worker]!.send({
          type: 'abort',
          job,
          reason: context.reasons.shutdown(),
          lost: false,
        })
      }
    },
    giveUpRunning: ({ context }) => context.ledger.giveUpRunning(),
    takeLeased: ({ context }, { asked, jobs }: Extract<StoreEvent, { type: 'leased' }>) =>
      context.ledger.leased(asked, jobs),
    /** The next commit is on its way before the handlers run, so that the thread commits while the loop works. */
    takeApplied: ({ context }, { events, refused }: Extract<StoreEvent, { type: 'applied' }>) => {
      const started = context.ledger.committed(events, refused)
      if (context.aborting) for (const { job } of started) context.ledger.settled(job, release(job), 0, true)
      lease(context)
      commit(context)
      if (context.aborting) return
      for (const { job, worker } of started) context.workerActors[worker]!.send({ type: 'run', job })
    },
    tellRefused: emit(
      (_, { refused }: Extract<StoreEvent, { type: 'applied' }>) => ({ type: 'refused', events: refused }) as const,
    ),
    /** Outcomes that come in the same turn of the loop go into the same commit. */
    takeSettled: ({ context }, { job, event, tookMs, ended }: Extract<WorkerEvent, { type: 'settled' }>) => {
      context.ledger.settled(job, event, tookMs, ended)
      if (context.ledger.beginGathering()) context.storeActor.send({ type: 'gather' })
    },
    takeEnded: ({ context }, { job }: Extract<WorkerEvent, { type: 'ended' }>) => context.ledger.ended(job),
    takeLost: ({ context }, { leases }: Extract<DispatcherEvent, { type: 'lost' }>) => {
      const cancelled = new Map(leases.map((lease) => [lease.id, lease.cancelled]))
      for (const { job, worker } of context.ledger.lost(leases)) {
        const reason = context.reasons.lost(cancelled.get(job.id)!)
        context.workerActors[worker]!.send({ type: 'abort', job, reason, lost: true })
      }
    },
    die: (_, { error }: Extract<StoreEvent, { type: 'storeFailed' }>) => {
      throw error
    },
  },
}).createMachine({
  id: 'dispatcher',
  context: ({ input, spawn }) => {
    const actors = Math.min(input.workers, workerActorsMax)
    const slots = Array.from({ length: actors }, (_, worker) => Math.ceil((input.workers - worker) / actors))
    return {
      ...input,
      ledger: new Ledger(slots),
      aborting: false,
      storeActor: spawn('store', { id: 'store', input: input.store }),
      workerActors: slots.map((_, worker) =>
        spawn('worker', { id: `worker-${worker + 1}`, input: { worker, runAttempt: input.runAttempt } }),
      ),
    }
  },
  initial: 'recovering',
  // What can come in any mode; a mode adds only what it does besides.
  on: {
    leased: { actions: [{ type: 'takeLeased', params: ({ event }) => event }, 'lease', 'commit'] },
    applied: [
      {
        guard: ({ event }) => event.refused.length > 0,
        actions: [
          { type: 'takeApplied', params: ({ event }) => event },
          { type: 'tellRefused', params: ({ event }) => event },
        ],
      },
      { actions: { type: 'takeApplied', params: ({ event }) => event } },
    ],
    gathered: { actions: ['lease', 'commit'] },
    settled: { actions: { type: 'takeSettled', params: ({ event }) => event } },
    ended: { actions: [{ type: 'takeEnded', params: ({ event }) => event }, 'lease', 'commit'] },
    lost: { actions: [{ type: 'takeLost', params: ({ event }) => event }, 'lease', 'commit'] },
    storeFailed: { actions: { type: 'die', params: ({ event }) => event } },
    drain: '.draining',
    abort: {},
    giveUp: {},
    recovered: {},
  },
  states: {
    recovering: {
      description: 'moves the jobs of a dead process on before anything is leased',
      tags: 'waiting',
      entry: 'recover',
      on: { recovered: 'dispatching' },
    },
    dispatching: {
      description: 'leases jobs, starts them on free workers and commits their outcomes',
      tags: 'executing',
      entry: ['lease', emit({ type: 'ready' })],
      always: { guard: 'allStuck', target: 'stuck' },
    },
    stuck: {
      description: 'every slot is held by a handler that does not end',
      tags: 'stuck',
      entry: emit({ type: 'allStuck' }),
    },
    draining: {
      description: 'leases no more, gives back what has not started, waits for what runs',
      tags: 'waiting',
      entry: ['stopLeasing', 'commit'],
      always: { guard: 'idle', target: 'stopped' },
      on: {
        drain: {},
        abort: { actions: ['losePatience', 'abortRunning'] },
        giveUp: { actions: ['giveUpRunning', 'commit'] },
      },
    },
    stopped: { description: 'nothing leased, running or uncommitted is left', tags: 'ended', type: 'final' },
  },
})
