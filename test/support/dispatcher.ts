import { setImmediate } from 'node:timers/promises'
import { type Actor, createActor, type SnapshotFrom } from 'xstate'
import { JobCancelledError, LeaseLostError, ShutdownError } from '../../src/errors.ts'
import { type DispatcherEmitted, type DispatcherStore, dispatcherMachine } from '../../src/machines/dispatcher.ts'
import type { LeasedJob, LeaseEvent } from '../../src/machines/lease.ts'
import type { AttemptReport } from '../../src/machines/worker.ts'
import { type Deferred, deferred } from './deferred.ts'
import { whenDone } from './temp.ts'

/** A store that answers when the test says so. */
export class FakeStore implements DispatcherStore {
  readonly recovery = deferred()
  readonly leases: (Deferred<readonly LeasedJob[]> & { room: number })[] = []
  readonly commits: (Deferred<readonly LeaseEvent[]> & { events: readonly LeaseEvent[] })[] = []
  /** Each call that came, in order. */
  readonly calls: string[] = []
  stopping = deferred()

  constructor() {
    this.stopping.resolve()
  }

  recover(): Promise<void> {
    this.calls.push('recover')
    return this.recovery.promise
  }

  lease({ room }: { room: number }): Promise<readonly LeasedJob[]> {
    this.calls.push(`lease ${room}`)
    const asked = { ...deferred<readonly LeasedJob[]>(), room }
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

  /** Answers the oldest lease. */
  async give(...jobs: LeasedJob[]): Promise<void> {
    this.leases.shift()!.resolve(jobs)
    await turn()
  }

  /** Puts the oldest commit on disk, less what is refused. */
  async commit(refused: (event: LeaseEvent) => boolean = () => false): Promise<readonly LeaseEvent[]> {
    const { events, resolve } = this.commits.shift()!
    resolve(events.filter(refused))
    await turn()
    return events
  }
}

/** One attempt that the dispatcher began; the test says how it ends. */
export class FakeAttempt {
  readonly aborts: { readonly reason: Error; readonly lost: boolean }[] = []
  readonly job: LeasedJob
  readonly #report: AttemptReport

  constructor(job: LeasedJob, report: AttemptReport) {
    this.job = job
    this.#report = report
  }

  /** Its handler has ended. */
  end(event: LeaseEvent['event'] | null, tookMs = 1_000): void {
    const { id, leaseToken } = this.job
    this.#report.settled(event && { id, leaseToken, event }, tookMs, true)
  }

  /** Its grace has passed and its handler goes on. */
  stick(): void {
    const { id, leaseToken } = this.job
    this.#report.settled({ id, leaseToken, event: 'fail' }, 1_000, false)
  }

  unstick(): void {
    this.#report.ended()
  }
}

export interface StartedDispatcher {
  readonly actor: Actor<typeof dispatcherMachine>
  readonly store: FakeStore
  /** By job id, the newest attempt of each. */
  readonly attempts: Map<number, FakeAttempt>
  /** How many attempts were begun and have not ended, at most. */
  readonly emitted: DispatcherEmitted[]
  readonly errors: unknown[]
  mode(): SnapshotFrom<typeof dispatcherMachine>['value']
}

/** A dispatcher in `recovering`, over a fake store and attempts that the test ends. */
export function startDispatcher(workers: number): StartedDispatcher {
  const store = new FakeStore()
  const attempts = new Map<number, FakeAttempt>()
  const emitted: DispatcherEmitted[] = []
  const errors: unknown[] = []
  const actor = createActor(dispatcherMachine, {
    input: {
      store,
      workers,
      runAttempt: (job, report) => {
        const attempt = new FakeAttempt(job, report)
        attempts.set(job.id, attempt)
        return { abort: (reason, lost) => void attempt.aborts.push({ reason, lost }) }
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
  return { actor, store, attempts, emitted, errors, mode: () => actor.getSnapshot().value }
}

/** The same, recovered: it dispatches. */
export async function startDispatching(workers: number): Promise<StartedDispatcher> {
  const started = startDispatcher(workers)
  started.store.recovery.resolve()
  await turn()
  return started
}

/** Lets everything that is ready happen: promises, and what gathers until the end of a turn of the loop. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await setImmediate()
}
