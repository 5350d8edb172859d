import { performance } from 'node:perf_hooks'
import { type ActorRefFrom, emit, fromCallback, setup } from 'xstate'
import { timers } from '../runtime/timers.ts'
import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import { Ledger, paceMs, type Room } from './ledger.ts'
import { gather, type Outcome, type RunAttempt, type WorkerEvent, workerLogic } from './worker.ts'

/** Beyond this many, workers make several attempts at once: stopping their parent is quadratic in XState (226 ms at 1,000). */
const workerActorsMax = 100

/** What the dispatcher asks of the store; every promise that rejects ends the dispatcher. */
export interface DispatcherStore {
  lease(request: Room & { start: true }): Promise<readonly LeasedJob[]>
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
  | ({ readonly type: 'lease' } & Room)
  | { readonly type: 'apply'; readonly events: readonly LeaseEvent[] }
  | { readonly type: 'gather' }
  | { readonly type: 'pace' }
  | { readonly type: 'stopLeasing' }

type StoreEvent =
  | { readonly type: 'recovered' }
  | { readonly type: 'leased'; readonly asked: number; readonly jobs: LeasedJob[] }
  | { readonly type: 'applied'; readonly refused: readonly LeaseEvent[] }
  | { readonly type: 'gathered' }
  | { readonly type: 'paced'; readonly tookMs: number }
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

/** Turns the store's promises into events. */
const storeLogic = fromCallback<StoreCommand, DispatcherStore>(({ input: store, receive, sendBack }) => {
  const tell = (event: StoreEvent) => sendBack(event)
  let pacing: NodeJS.Timeout | undefined
  const failed = (error: unknown) => {
    // The dispatcher dies of it, and its children live on.
    timers.clearTimeout(pacing)
    tell({ type: 'storeFailed', error })
  }
  let turnTaken = false
  /**
   * The first of a turn at once, others each in a turn of its own: what one part's handlers have done is on its way before the next part's are
   * called.
   */
  const inTurn = (call: () => void) => {
    if (turnTaken) return void timers.setImmediate(call)
    turnTaken = true
    timers.setImmediate(() => {
      turnTaken = false
    })
    call()
  }

  receive((command) => {
    switch (command.type) {
      case 'recover':
        store.recover().then(() => tell({ type: 'recovered' }), failed)
        return
      case 'lease': {
        const { room, wait } = command
        store
          .lease({ room, wait, start: true })
          .then((jobs) => inTurn(() => tell({ type: 'leased', asked: room, jobs: [...jobs] })), failed)
        return
      }
      case 'apply':
        store.apply(command.events).then((refused) => tell({ type: 'applied', refused }), failed)
        return
      case 'gather':
        timers.setImmediate(() => tell({ type: 'gathered' }))
        return
      case 'pace': {
        const begun = performance.now()
        pacing = timers.setTimeout(() => tell({ type: 'paced', tookMs: performance.now() - begun }), paceMs)
        pacing.unref()
        return
      }
      case 'stopLeasing':
        store.stopLeasing().catch(failed)
    }
  })
  return () => timers.clearTimeout(pacing)
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
  readonly storeActor: ActorRefFrom<typeof storeLogic>
  readonly workerActors: readonly ActorRefFrom<typeof workerLogic>[]
}

/**
 * Asks for jobs, commits outcomes, and calls the handlers of jobs that have a slot, in this order: what was done is on its way before anything
 * that may take long. One commit takes the outcomes, and leases and starts the jobs.
 */
function proceed({ ledger, storeActor, workerActors }: DispatcherContext): void {
  for (let room = ledger.takeRoom(); room; room = ledger.takeRoom()) storeActor.send({ type: 'lease', ...room })
  const events = ledger.takeCommit()
  if (events) storeActor.send({ type: 'apply', events })
  for (const assigned of ledger.assign()) workerActors[assigned.worker]!.send({ type: 'run', assigned })
  if (ledger.beginPacing()) storeActor.send({ type: 'pace' })
}

/**
 * Leaves nothing in an event that was heard. V8 puts XState's arrays of actions among the old objects, and what the events of dead ones hold
 * outlives collections of the young generation: 0.6 kB a job, 0.07 with this.
 */
function takeAll<T>(items: T[]): T[] {
  return items.splice(0)
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
    proceed: ({ context }) => proceed(context),
    stopLeasing: ({ context }) => {
      context.ledger.stopLeasing()
      context.storeActor.send({ type: 'stopLeasing' })
    },
    abortRunning: ({ context }) => {
      for (const assigned of context.ledger.running()) {
        const reason = context.reasons.shutdown()
        context.workerActors[assigned.worker]!.send({ type: 'abort', assigned, reason, lost: false })
      }
    },
    giveUpRunning: ({ context }) => context.ledger.giveUpRunning(),
    takeLeased: ({ context }, { asked, jobs }: Extract<StoreEvent, { type: 'leased' }>) => {
      context.ledger.started(asked, takeAll(jobs))
      proceed(context)
    },
    takeApplied: ({ context }) => context.ledger.committed(),
    tellRefused: emit(
      (_, { refused }: Extract<StoreEvent, { type: 'applied' }>) => ({ type: 'refused', events: refused }) as const,
    ),
    /**
     * The first outcome goes to the store at once, where it has nothing else to commit: what follows joins that transaction. Others that come
     * in the same turn of the loop go together; many of them in parts, so that the store need not wait for all.
     */
    takeSettled: ({ context }, { outcomes }: Extract<WorkerEvent, { type: 'settled' }>) => {
      const { ledger, storeActor } = context
      for (const { assigned, event, ended } of takeAll(outcomes)) ledger.settled(assigned, event, ended)
      if (ledger.isDue) proceed(context)
      else if (ledger.beginGathering()) storeActor.send({ type: 'gather' })
    },
    takePaced: ({ context }, { tookMs }: Extract<StoreEvent, { type: 'paced' }>) => context.ledger.paced(tookMs),
    takeEnded: ({ context }, { assigned }: Extract<WorkerEvent, { type: 'ended' }>) => context.ledger.ended(assigned),
    takeLost: ({ context }, { leases }: Extract<DispatcherEvent, { type: 'lost' }>) => {
      const cancelled = new Map(leases.map((lease) => [lease.id, lease.cancelled]))
      for (const assigned of context.ledger.lost(leases)) {
        const reason = context.reasons.lost(cancelled.get(assigned.job.id)!)
        context.workerActors[assigned.worker]!.send({ type: 'abort', assigned, reason, lost: true })
      }
    },
    die: (_, { error }: Extract<StoreEvent, { type: 'storeFailed' }>) => {
      throw error
    },
  },
}).createMachine({
  id: 'dispatcher',
  context: ({ input, spawn, self }) => {
    const settled = gather<Outcome>((outcomes) => self.send({ type: 'settled', outcomes }))
    const actors = Math.min(input.workers, workerActorsMax)
    const slots = Array.from({ length: actors }, (_, worker) => Math.ceil((input.workers - worker) / actors))
    return {
      ...input,
      ledger: new Ledger(slots),
      storeActor: spawn('store', { id: 'store', input: input.store }),
      workerActors: slots.map((_, worker) =>
        spawn('worker', { id: `worker-${worker + 1}`, input: { runAttempt: input.runAttempt, settled } }),
      ),
    }
  },
  initial: 'recovering',
  // What can come in any mode; a mode adds only what it does besides.
  on: {
    leased: { actions: { type: 'takeLeased', params: ({ event }) => event } },
    applied: [
      {
        guard: ({ event }) => event.refused.length > 0,
        actions: ['takeApplied', { type: 'tellRefused', params: ({ event }) => event }],
      },
      { actions: 'takeApplied' },
    ],
    gathered: { actions: 'proceed' },
    paced: { actions: [{ type: 'takePaced', params: ({ event }) => event }, 'proceed'] },
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
      description: 'moves the jobs of a dead process on before anything is leased',
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
      description: 'every slot is held by a handler that does not end',
      tags: 'stuck',
      entry: emit({ type: 'allStuck' }),
    },
    draining: {
      description: 'leases no more, gives back what no handler was called for, waits for what runs',
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
