import type { EnqueueResult } from '../store.ts'
import type { Claim } from './claims.ts'
import { isBroken, isBusy, isFull } from './connection.ts'
import type { Part } from './group-commit.ts'
import type { HeldLeases } from './held-leases.ts'
import { part } from './housekeeping.ts'
import type { Answers, Ask, Operation, Refusal, Request, Tell } from './protocol.ts'
import type { Writer } from './writer.ts'

/** Jobs stored by one commit, where they come from more than one call. */
const commitJobsMax = 10_000
/** How long a call may wait for another process that holds the file before it is refused, in ms. */
export const busyPatienceMs = 2_000

/** Outcomes and housekeeping are tried until they are stored; what its caller can ask again is refused in the end. */
const mustBeStored: ReadonlySet<Operation> = new Set(['apply', 'recover', 'sweep'])

interface Call<Op extends Operation = Operation> {
  readonly id: number
  /** Monotonic ms. */
  readonly since: number
  readonly request: Request & { readonly op: Op }
}

/** What the loop has asked of the thread and not been answered: turned into parts of transactions, settled when those are on disk. */
export class Calls {
  readonly #writer: Writer
  readonly #held: HeldLeases
  /** A commit may have given a job an earlier instant. */
  readonly #lookForDue: () => void
  #pending: Call[] = []
  #waitingLeases: Call<'lease'>[] = []
  #leasing = true
  #tell: { settled: [number, Answers[Operation]][]; refused: [number, Refusal][]; notices: Tell['notices'][number][] } =
    {
      settled: [],
      refused: [],
      notices: [],
    }
  /** There may be jobs for the leases that wait. */
  lookForReady = false
  /** A caller wants the housekeeping done now. */
  sweepAsked = false

  constructor(writer: Writer, held: HeldLeases, lookForDue: () => void) {
    this.#writer = writer
    this.#held = held
    this.#lookForDue = lookForDue
  }

  accept(ask: Ask): void {
    const since = performance.now()
    for (const [id, request] of ask) this.#pending.push({ id, since, request })
  }

  get isPending(): boolean {
    return this.#pending.length > 0
  }

  /** The call to close, if there is one; `first`: only where nothing was asked before it. */
  takeClose(first: boolean): boolean {
    const close = this.#pending.find(({ request }) => request.op === 'close')
    if (!close || (first && this.#pending[0] !== close)) return false
    this.#settle(close, null)
    return true
  }

  notify(notice: Tell['notices'][number]): void {
    this.#tell.notices.push(notice)
  }

  /** What is to be told to the loop, which is told once; null where there is nothing. */
  takeTell(): Tell | null {
    const tell = this.#tell
    if (tell.settled.length + tell.refused.length + tell.notices.length === 0) return null
    this.#tell = { settled: [], refused: [], notices: [] }
    return tell
  }

  /**
   * The parts of the next transaction. One `apply` at a time: while the next waits, the loop already runs what this one started.
   */
  takeParts(): Part[] {
    const calls = this.#pending
    this.#pending = []
    const enqueues: Call<'enqueue'>[] = []
    const parts: Part[] = []
    let jobs = 0
    let applying = false
    for (const call of calls) {
      const { op } = call.request
      if (is(call, 'enqueue')) {
        jobs += call.request.jobs.length
        if (enqueues.length > 0 && jobs > commitJobsMax) this.#pending.push(call)
        else enqueues.push(call)
      } else if (op === 'close' || (applying && op === 'apply')) this.#pending.push(call)
      else parts.push(...this.#partsOf(call))
      applying ||= op === 'apply'
    }
    if (enqueues.length > 0) parts.push(this.#enqueuePart(enqueues))
    return parts
  }

  /** One lease for all who wait, to run last, so that it sees what the same transaction has stored. */
  takeLease(inTransaction: boolean): Part[] {
    if (this.#waitingLeases.length === 0 || !(inTransaction || this.lookForReady)) return []
    const room = this.#waitingLeases.reduce((sum, { request }) => sum + request.room, 0)
    return [
      part(
        (now) => this.#writer.lease(room, now),
        (claim) => this.#leased(claim),
      ),
    ]
  }

  /** Nothing can be stored any more: callers are told; outcomes wait for the restart, which recovers their jobs. */
  refuseAll(message: string): void {
    const calls = this.#pending
    this.#pending = []
    for (const call of calls) {
      const { op } = call.request
      if (op === 'enqueue' || op === 'cancel' || op === 'requeue' || op === 'command')
        this.#refuse(call, 'unavailable', message)
      else if (op === 'abandon' || op === 'stopLeasing') this.#partsOf(call)
      else if (op === 'close') this.#pending.push(call)
    }
  }

  /** What a call wants committed; nothing where it is settled without. */
  #partsOf(call: Call): Part[] {
    const { request } = call
    switch (request.op) {
      case 'apply':
        return this.#part(
          call,
          (now) => this.#writer.apply(request.events, now),
          (refused: Answers['apply']) => {
            this.#held.follow(request.events, refused)
            this.#lookForDue()
          },
        )
      case 'cancel':
        return this.#part(
          call,
          (now) => this.#writer.cancel(request.id, now),
          () => this.#takeAway([request.id]),
        )
      case 'requeue':
        return this.#part(call, (now) => this.#writer.requeue(request.id, now))
      case 'command':
        return this.#part(
          call,
          (now) => this.#writer.command(request.command, request.ids, request.state, now),
          (moved: Answers['command']) => this.#takeAway(moved),
        )
      case 'recover':
        return this.#part(
          call,
          (now) => this.#writer.recoverOrphans(request.after, request.rank, now),
          this.#lookForDue,
        )
      case 'sweep':
        this.sweepAsked = true
        return this.#part(call, () => null)
      case 'abandon':
        this.#held.drop(request.leases)
        this.#settle(call, null)
        return []
      case 'stopLeasing':
        this.#leasing = false
        for (const waiting of this.#waitingLeases.splice(0)) this.#settle(waiting, [])
        this.#settle(call, null)
        return []
      case 'lease':
        if (this.#leasing) this.#waitingLeases.push(call as Call<'lease'>)
        else this.#settle(call, [])
        this.lookForReady = true
        return []
      default:
        throw new Error(`the store's thread knows no ${request.op}`)
    }
  }

  #part(call: Call, run: (now: number) => Answers[Operation], then?: (answer: never) => void): Part[] {
    return [
      {
        run,
        done: (answer: Answers[Operation]) => {
          then?.(answer as never)
          this.#settle(call, answer)
        },
        failed: (error) => this.#failed(call, error),
      },
    ]
  }

  #enqueuePart(calls: readonly Call<'enqueue'>[]): Part {
    const jobsOfCalls = calls.map(({ request }) => request.jobs)
    return {
      run: (now) => this.#writer.enqueue(jobsOfCalls, now),
      split: () => calls.map((call) => this.#enqueuePart([call])),
      done: (results: EnqueueResult[]) => {
        for (const [index, call] of calls.entries()) this.#settle(call, results[index]!)
        this.#lookForDue()
      },
      failed: (error) => {
        for (const call of calls) this.#failed(call, error)
      },
    }
  }

  #leased({ jobs, unhandled, more }: Claim): void {
    this.lookForReady = more
    this.#held.add(jobs)
    if (unhandled.size > 0) {
      const count = [...unhandled.values()].reduce((sum, n) => sum + n, 0)
      this.notify({ type: 'unhandled', types: [...unhandled.keys()], count })
    }
    let next = 0
    this.#waitingLeases = this.#waitingLeases.filter((call) => {
      const share = jobs.slice(next, next + call.request.room)
      next += share.length
      if (share.length === 0 && call.request.wait) return true
      this.#settle(call, share)
      return false
    })
  }

  #takeAway(ids: readonly number[]): void {
    const leases = ids.flatMap((id) => this.#held.of(id) ?? [])
    if (leases.length === 0) return
    this.#held.drop(leases)
    this.notify({ type: 'lost', leases: leases.map((lease) => ({ ...lease, cancelled: true })) })
  }

  #failed(call: Call, error: unknown): void {
    const isPatient = mustBeStored.has(call.request.op)
    // The file cannot be written any more: `refuseAll` follows.
    if (isBroken(error)) this.#pending.push(call)
    else if (isBusy(error)) {
      if (isPatient || performance.now() - call.since < busyPatienceMs) this.#pending.push(call)
      else this.#refuse(call, 'unavailable', 'another process has held a lock on the database for too long')
    } else if (isFull(error)) {
      if (isPatient) this.#pending.push(call)
      else this.#refuse(call, 'full', 'the disk that holds the database is full')
    } else
      this.#refuse(call, 'broken invariant', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  #settle(call: Call, answer: Answers[Operation]): void {
    this.#tell.settled.push([call.id, answer])
  }

  #refuse(call: Call, kind: Refusal['kind'], message: string): void {
    this.#tell.refused.push([call.id, { kind, message }])
  }
}

function is<Op extends Operation>(call: Call, op: Op): call is Call<Op> {
  return call.request.op === op
}
