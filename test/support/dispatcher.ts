import { setImmediate } from 'node:timers/promises'
import { type Actor, createActor, type EmittedFrom, type InputFrom, type SnapshotFrom } from 'xstate'
import { JobCancelledError, LeaseLostError, ShutdownError } from '../../src/errors.ts'
import { dispatcherMachine } from '../../src/machines/dispatcher.ts'
import type { LeasedJob, LeaseEvent, Recovered } from '../../src/machines/lease.ts'
import { type Deferred, deferred } from './deferred.ts'
import { aPrefetch, assign } from './prefetch.ts'
import { whenDone } from './temp.ts'

type DispatcherStore = InputFrom<typeof dispatcherMachine>['store']
type DispatcherEmitted = EmittedFrom<typeof dispatcherMachine>
type AttemptReport = Parameters<InputFrom<typeof dispatcherMachine>['runAttempt']>[1]
type LeaseRequest = Parameters<DispatcherStore['lease']>[0]

export const nothingFound: Recovered = { leased: 0, running: 0, suspects: 0, wasStopping: false }

/** A store that answers when the test tells it to. */
export class FakeStore implements DispatcherStore {
  readonly prefetch = { withinMs: 10, mostAtLeast: 0 }
  readonly recovery = deferred<Recovered>()
  readonly leases: (Deferred<readonly LeasedJob[]> & LeaseRequest)[] = []
  readonly commits: (Deferred<readonly LeaseEvent[]> & { events: readonly LeaseEvent[] })[] = []
  /** Each call, and each job whose handler was called, in order. */
  readonly calls: string[] = []
  stopping = deferred()

  constructor() {
    this.stopping.resolve()
  }

  /** Call it to report how many jobs recovery has moved so far. */
  recovering: (moved: number) => void = () => {}

  recoverOrphans(onProgress: (moved: number) => void): Promise<Recovered> {
    this.calls.push('recover')
    this.recovering = onProgress
    return this.recovery.promise
  }

  lease(request: LeaseRequest): Promise<readonly LeasedJob[]> {
    this.calls.push('lease')
    const asked = { ...deferred<readonly LeasedJob[]>(), ...request }
    this.leases.push(asked)
    return asked.promise
  }

  apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]> {
    this.calls.push(`apply ${events.map(({ event, id }) => `${event} ${id}`).join(', ')}`)
    const commit = { ...deferred<readonly LeaseEvent[]>(), events }
    this.commits.push(commit)
    return commit.promise
  }

  async stopLeasing(): Promise<void> {
    this.calls.push('stopLeasing')
    for (const asked of this.leases.splice(0)) asked.resolve([])
    return this.stopping.promise
  }

  /** The number of jobs that it was asked for and has not answered. */
  get limit(): number {
    return this.leases.reduce((sum, { limit }) => sum + limit, 0)
  }

  /** Answers the oldest leases: these jobs are leased and started, on disk. */
  answer(...jobs: LeasedJob[]): void {
    for (let left = jobs; left.length > 0; ) {
      const { limit, resolve } = this.leases.shift()!
      resolve(left.slice(0, limit))
      left = left.slice(limit)
    }
  }

  /** The same, and lets the dispatcher handle it. */
  async give(...jobs: LeasedJob[]): Promise<void> {
    this.answer(...jobs)
    await turn()
  }

  /** Puts the oldest commit on disk, except for what is refused. */
  async commit(refused: (event: LeaseEvent) => boolean = () => false): Promise<readonly LeaseEvent[]> {
    const { events, resolve } = this.commits.shift()!
    resolve(events.filter(refused))
    await turn()
    return events
  }
}

/** One attempt that the dispatcher began; the test decides how it ends. */
export class FakeAttempt {
  readonly aborts: { readonly reason: Error; readonly lost: boolean }[] = []
  readonly job: LeasedJob
  readonly #report: AttemptReport

  constructor(job: LeasedJob, report: AttemptReport) {
    this.job = job
    this.#report = report
  }

  /** Its handler has ended. */
  end(event: LeaseEvent['event'] | null): void {
    const { id, leaseToken } = this.job
    this.#report.settled(event && { id, leaseToken, event }, true)
  }

  /** Its grace has passed and its handler is still running. */
  stick(): void {
    const { id, leaseToken } = this.job
    this.#report.settled({ id, leaseToken, event: 'fail' }, false)
  }

  unstick(): void {
    this.#report.ended()
  }
}

export interface StartedDispatcher {
  readonly actor: Actor<typeof dispatcherMachine>
  readonly store: FakeStore
  /** The newest attempt of each job, by job id. */
  readonly attempts: Map<number, FakeAttempt>
  readonly emitted: DispatcherEmitted[]
  /** What its listener was told, in order. */
  readonly heard: string[]
  readonly errors: unknown[]
  mode(): SnapshotFrom<typeof dispatcherMachine>['value']
}

/** A dispatcher in `recovering`, over a fake store and attempts that the test ends. */
export function startDispatcher(workers: number): StartedDispatcher {
  const store = new FakeStore()
  const attempts = new Map<number, FakeAttempt>()
  const emitted: DispatcherEmitted[] = []
  const heard: string[] = []
  const errors: unknown[] = []
  const actor = createActor(dispatcherMachine, {
    input: {
      store,
      listener: {
        recovering: (moved) => heard.push(`recovering ${moved}`),
        recovered: ({ leased, running }) => heard.push(`recovered ${leased + running}`),
        committed: (events) => heard.push(`committed ${events.map(({ id }) => id).join(', ')}`),
      },
      workers,
      runAttempt: (job, report) => {
        const attempt = new FakeAttempt(job, report)
        store.calls.push(`run ${job.id}`)
        attempts.set(job.id, attempt)
        const abort = (reason: Error, lost: boolean) => void attempt.aborts.push({ reason, lost })
        return { startedAt: 0, timeoutMs: 0, aborted: null, stall: { stoppedMs: 0, blockedMs: 0 }, abort }
      },
      reasons: {
        shutdown: () => new ShutdownError(),
        lost: (cancelled) => (cancelled ? new JobCancelledError() : new LeaseLostError()),
      },
    },
  })
  actor.on('*', (event) => emitted.push(event))
  actor.subscribe({ error: (error) => errors.push(error) })
  actor.start()
  whenDone(() => actor.stop())
  return { actor, store, attempts, emitted, heard, errors, mode: () => actor.getSnapshot().value }
}

/** The same after recovery, in `dispatching`. */
export async function startDispatching(workers: number): Promise<StartedDispatcher> {
  const started = startDispatcher(workers)
  started.store.recovery.resolve(nothingFound)
  await turn()
  return started
}

/** How many outcomes of this many slots are worth a separate message while a commit is in progress. */
export function partOf(slots: number): number {
  const { prefetch } = aPrefetch([slots])
  const settle = () => {
    const job = { id: 1, leaseToken: 1 } as LeasedJob
    prefetch.started(0, [job])
    const [assigned] = assign(prefetch)
    prefetch.settled(assigned!, { ...job, event: 'succeed' }, true)
  }
  settle()
  prefetch.takeCommit()
  let settled = 0
  for (; !prefetch.isDue && settled < slots; settled++) settle()
  return settled
}

/** Lets promises settle, and nothing else. */
export async function tick(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

/** Lets everything that is ready happen: promises, and what is gathered until the end of a turn of the loop. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await setImmediate()
}
