import { type ActorRefFrom, emit, type InputFrom, setup } from 'xstate'
import { type ActorEvent, gather, type RunAttempt, timersLogic, workerLogic } from './dispatcher-actors.ts'
import type { Lease, LeasedJob, LeaseEvent, PrefetchLimits, Recovered } from './lease.ts'
import { Prefetch } from './prefetch.ts'
import { Slots } from './slots.ts'

/** With more workers than this, each makes several attempts at once: stopping their parent is quadratic in XState (226 ms at 1,000). */
const workerActorsMax = 100

/** What the dispatcher needs of the store. Any promise that rejects ends the dispatcher. */
interface DispatcherStore {
  readonly prefetch: PrefetchLimits
  recoverOrphans(onProgress: (moved: number) => void): Promise<Recovered>
  lease(request: {
    readonly limit: number
    readonly wait: boolean
    readonly start: true
  }): Promise<readonly LeasedJob[]>
  apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]>
  stopLeasing(): Promise<void>
}

/** Learns what the store has done, even if the dispatcher has ended meanwhile. Never throws. */
interface DispatcherListener {
  /** Recovery continues; this many jobs were requeued so far. */
  recovering(moved: number): void
  recovered(found: Recovered): void
  /** These outcomes are on disk, except for those that were refused. */
  committed(events: readonly LeaseEvent[]): void
}

interface DispatcherInput {
  readonly store: DispatcherStore
  readonly listener: DispatcherListener
  readonly runAttempt: RunAttempt
  /** Simultaneous attempts. */
  readonly workers: number
  /** The abort reasons; the errors are created outside the machine. */
  readonly reasons: { readonly shutdown: () => Error; readonly lost: (cancelled: boolean) => Error }
}

/** The events that the dispatcher emits to others. */
type DispatcherEmitted =
  /** The first job may start. */
  | { readonly type: 'ready' }
  /** Events that came too late: their leases were no longer held. */
  | { readonly type: 'refused'; readonly events: readonly LeaseEvent[] }
  /** Every slot is held by an abandoned handler that does not end: nothing can run any more. */
  | { readonly type: 'allStuck' }

/** The store's answers. */
type StoreEvent =
  | { readonly type: 'recovered' }
  | { readonly type: 'applied'; readonly refused: readonly LeaseEvent[] }
  | { readonly type: 'storeFailed'; readonly error: unknown }

type DispatcherEvent =
  | StoreEvent
  | ActorEvent
  /** The answer to a request for `asked` jobs. */
  | { readonly type: 'leased'; readonly asked: number; readonly jobs: LeasedJob[] }
  /** Leases of ours that ended, but not by our outcome. */
  | { readonly type: 'lost'; readonly leases: readonly (Lease & { readonly cancelled: boolean })[] }
  /** Lease no more jobs, and finish the running ones. */
  | { readonly type: 'drain' }
  /** While draining: abort running jobs. */
  | { readonly type: 'abort' }
  /** While draining: give back what still runs, and do not wait for its handlers. */
  | { readonly type: 'giveUp' }

/** What the dispatcher does in a mode, for the charts. */
type DispatcherTag = 'waiting' | 'executing' | 'stuck' | 'ended'

interface DispatcherContext extends DispatcherInput {
  readonly slots: Slots
  readonly prefetch: Prefetch
  readonly timers: ActorRefFrom<typeof timersLogic>
  readonly workerActors: readonly ActorRefFrom<typeof workerLogic>[]
  /** Sends the dispatcher an event, unless it has ended. */
  readonly send: (event: StoreEvent | ActorEvent) => void
  /** Reports a call of the store that rejected. */
  readonly failed: (error: unknown) => void
}

/**
 * Requests jobs, commits outcomes, and calls the handlers of jobs that have a slot. In this order, outcomes are sent before anything that
 * may take long. One commit takes the outcomes, and leases and starts the jobs.
 */
function proceed(context: DispatcherContext): void {
  const { prefetch, timers, workerActors } = context
  for (let asked = prefetch.ask(); asked; asked = prefetch.ask()) lease(context, asked.limit, asked.wait)
  const events = prefetch.takeCommit()
  if (events) apply(context, events)
  for (const run of prefetch.assign()) workerActors[run.assigned.worker]!.send(run)
  if (prefetch.beginMeasuring()) timers.send({ type: 'measure' })
}

function lease({ store, timers, failed }: DispatcherContext, limit: number, wait: boolean): void {
  store
    .lease({ limit, wait, start: true })
    .then((jobs) => timers.send({ type: 'inTurn', event: { type: 'leased', asked: limit, jobs: [...jobs] } }), failed)
}

function apply({ store, listener, send, failed }: DispatcherContext, events: readonly LeaseEvent[]): void {
  store.apply(events).then((refused) => {
    listener.committed(events)
    send({ type: 'applied', refused })
  }, failed)
}

/**
 * Empties an event that was handled. V8 moves XState's arrays of actions to its old space, and what the events of dead ones hold survives
 * collections of the young generation: 0.6 kB a job, 0.07 with this.
 */
function takeAll<T>(items: T[]): T[] {
  return items.splice(0)
}

/**
 * Gives jobs to workers. Only events drive it: what the store has leased and committed, and what workers report. It calls the store itself
 * and sends itself each answer. Its modes are those of the machine; `prefetch.ts` decides what it does under load, and
 * `dispatcher-actors.ts` when. Its actions must not throw: that would end this actor but leave its children running, so the process must
 * end with it.
 */
export const dispatcherMachine = setup({
  types: {
    context: {} as DispatcherContext,
    events: {} as DispatcherEvent,
    input: {} as DispatcherInput,
    emitted: {} as DispatcherEmitted,
    tags: {} as DispatcherTag,
  },
  actors: { timers: timersLogic, worker: workerLogic },
  guards: {
    idle: ({ context }) => context.prefetch.idle,
    allStuck: ({ context }) => context.slots.allStuck,
  },
  actions: {
    recover: ({ context: { store, listener, send, failed } }) => {
      store
        .recoverOrphans((moved) => listener.recovering(moved))
        .then((found) => {
          listener.recovered(found)
          send({ type: 'recovered' })
        }, failed)
    },
    proceed: ({ context }) => proceed(context),
    stopLeasing: ({ context: { prefetch, store, failed } }) => {
      prefetch.stopLeasing()
      store.stopLeasing().catch(failed)
    },
    abortRunning: ({ context }) => {
      for (const assigned of context.slots.running()) {
        const reason = context.reasons.shutdown()
        context.workerActors[assigned.worker]!.send({ type: 'abort', assigned, reason, lost: false })
      }
    },
    giveUpRunning: ({ context }) => context.prefetch.giveUpRunning(),
    takeLeased: ({ context }, { asked, jobs }: Extract<DispatcherEvent, { type: 'leased' }>) => {
      context.prefetch.started(asked, takeAll(jobs))
      proceed(context)
    },
    takeApplied: ({ context }) => context.prefetch.committed(),
    /**
     * The first outcome goes to the store at once if nothing else is being committed: what follows joins that transaction. Further outcomes
     * of the same turn of the loop go together, or in parts if there are many, so that the store need not wait for all.
     */
    takeSettled: ({ context }, { outcomes }: Extract<ActorEvent, { type: 'settled' }>) => {
      const { prefetch, timers } = context
      for (const { assigned, event, ended } of takeAll(outcomes)) prefetch.settled(assigned, event, ended)
      if (prefetch.isDue) proceed(context)
      else if (prefetch.beginGathering()) timers.send({ type: 'gather' })
    },
    takeMeasured: ({ context }, { tookMs }: Extract<ActorEvent, { type: 'measured' }>) =>
      context.prefetch.measured(tookMs),
    takeEnded: ({ context }, { assigned }: Extract<ActorEvent, { type: 'ended' }>) =>
      context.slots.move(assigned, 'end'),
    takeLost: ({ context }, { leases }: Extract<DispatcherEvent, { type: 'lost' }>) => {
      const cancelled = new Map(leases.map((lease) => [lease.id, lease.cancelled]))
      for (const assigned of context.prefetch.lost(leases)) {
        const reason = context.reasons.lost(cancelled.get(assigned.job.id)!)
        context.workerActors[assigned.worker]!.send({ type: 'abort', assigned, reason, lost: true })
      }
    },
    emitRefused: emit(
      (_, { refused }: Extract<StoreEvent, { type: 'applied' }>) => ({ type: 'refused', events: refused }) as const,
    ),
    die: ({ context }, { error }: Extract<StoreEvent, { type: 'storeFailed' }>) => {
      // The error ends the dispatcher, but its children live on.
      context.timers.send({ type: 'stop' })
      throw error
    },
  },
}).createMachine({
  id: 'dispatcher',
  context: ({ input, spawn, self }) => {
    const send = (event: StoreEvent | ActorEvent) => {
      if (self.getSnapshot().status === 'active') self.send(event)
    }
    const settled = gather<Parameters<InputFrom<typeof workerLogic>['settled']>[0]>((outcomes) =>
      send({ type: 'settled', outcomes }),
    )
    const actors = Math.min(input.workers, workerActorsMax)
    const share = Array.from({ length: actors }, (_, worker) => Math.ceil((input.workers - worker) / actors))
    const slots = new Slots(share)
    return {
      ...input,
      slots,
      prefetch: new Prefetch(slots, input.store.prefetch),
      timers: spawn('timers', { id: 'timers' }),
      workerActors: share.map((_, worker) =>
        spawn('worker', { id: `worker-${worker + 1}`, input: { runAttempt: input.runAttempt, settled } }),
      ),
      send,
      failed: (error) => send({ type: 'storeFailed', error }),
    }
  },
  initial: 'recovering',
  // Events that every mode handles; a mode adds only its own.
  on: {
    leased: { actions: { type: 'takeLeased', params: ({ event }) => event } },
    applied: [
      {
        guard: ({ event }) => event.refused.length > 0,
        actions: ['takeApplied', { type: 'emitRefused', params: ({ event }) => event }],
      },
      { actions: 'takeApplied' },
    ],
    gathered: { actions: 'proceed' },
    measured: { actions: [{ type: 'takeMeasured', params: ({ event }) => event }, 'proceed'] },
    settled: { actions: { type: 'takeSettled', params: ({ event }) => event } },
    ended: { actions: [{ type: 'takeEnded', params: ({ event }) => event }, 'proceed'] },
    lost: { actions: [{ type: 'takeLost', params: ({ event }) => event }, 'proceed'] },
    storeFailed: { actions: { type: 'die', params: ({ event }) => event } },
    drain: '.draining',
    abort: {},
    giveUp: {},
    recovered: {},
  },
  states: {
    recovering: {
      description: 'requeues the jobs of a dead process before anything is leased',
      tags: 'waiting',
      entry: 'recover',
      on: { recovered: 'dispatching' },
    },
    dispatching: {
      description: 'leases and starts jobs for workers that are free or soon will be, and commits their outcomes',
      tags: 'executing',
      entry: ['proceed', emit({ type: 'ready' })],
      always: { guard: 'allStuck', target: 'stuck' },
    },
    stuck: {
      description: 'every slot has a handler that does not end',
      tags: 'stuck',
      entry: emit({ type: 'allStuck' }),
    },
    draining: {
      description: 'leases no more jobs, gives back those whose handler was not called, waits for those that run',
      tags: 'waiting',
      entry: ['stopLeasing', 'proceed'],
      always: { guard: 'idle', target: 'stopped' },
      on: {
        drain: {},
        abort: { actions: 'abortRunning' },
        giveUp: { actions: ['giveUpRunning', 'proceed'] },
      },
    },
    stopped: { description: 'nothing leased, running or uncommitted is left', tags: 'ended', type: 'final' },
  },
})
