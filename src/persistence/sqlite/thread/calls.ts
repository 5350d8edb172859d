import { countJobs } from '../../sql/ranges.ts'
import { countBatched, fromBatches, intoBatches, lengthBatched } from '../batches.ts'
import { storageFailure } from '../file/storage-failure.ts'
import type { Writer } from '../write/writer.ts'
import type { Part } from './group-commit.ts'
import type { HeldLeases } from './held-leases.ts'
import { part } from './maintenance.ts'
import type { Answers, Operation, Rejection, Reply, Request, Requests } from './protocol.ts'

/** The most events of one commit, if they come from more than one call. */
const commitEventsMax = 10_000
/** A transaction with this many events accepts no more calls that arrive while it runs: larger ones are no cheaper, and callers wait. */
const joinEventsMax = 1_000
/** Characters of payloads after which a transaction accepts no further call: more would hold up those that come after it. */
const commitLengthMax = 4_194_304
/** How long a call may wait for another process that holds the file before it is refused, in ms. */
export const busyTimeoutMs = 2_000

/** Outcomes and maintenance are tried until they are stored. Calls that their callers can repeat are refused in the end. */
const mustBeStored: ReadonlySet<Operation> = new Set(['apply', 'recover', 'sweep', 'noteStop'])

/** Calls that are rejected once nothing can be stored any more. */
const refusable: ReadonlySet<Operation> = new Set(['enqueue', 'report', 'send', 'amend', 'command', 'moveSchedules'])

interface Call<Op extends Operation = Operation> {
  readonly id: number
  /** Monotonic ms. */
  readonly since: number
  readonly request: Request & { readonly op: Op }
}

const noJobs: Answers['lease'] = { facts: '[]', payloads: [], traces: null }

/** The loop's unanswered requests: turned into parts of transactions, and settled when those are on disk. */
export class Calls {
  readonly #writer: Writer
  readonly #held: HeldLeases
  #pending: Call[] = []
  #waitingLeases: Call<'lease'>[] = []
  #leasing = true
  /** Events of the current transaction. */
  #eventsTaken = 0
  /** Characters of the payloads that it stores. */
  #lengthTaken = 0
  #leaseTaken = false
  #reply: {
    settled: [number, Answers[Operation]][]
    refused: [number, Rejection][]
    events: Reply['events'][number][]
  } = {
    settled: [],
    refused: [],
    events: [],
  }
  /** There may be jobs for the waiting leases. */
  lookForReady = false
  /** When the last call came, in monotonic ms. */
  lastCameAt = Number.NEGATIVE_INFINITY
  /** A call was refused because another process holds the file; until the next commit. */
  refusedAsBusy = false
  /** A caller wants maintenance to be done now. */
  sweepAsked = false

  constructor(writer: Writer, held: HeldLeases) {
    this.#writer = writer
    this.#held = held
  }

  accept(requests: Requests): void {
    const since = performance.now()
    this.lastCameAt = since
    for (const [id, request] of requests) this.#pending.push({ id, since, request })
  }

  get isPending(): boolean {
    return this.#pending.length > 0
  }

  /** Takes the call to close, if there is one; `first`: only if no earlier call is left. */
  takeClose(first: boolean): boolean {
    const close = this.#pending.find(({ request }) => request.op === 'close')
    if (!close || (first && this.#pending[0] !== close)) return false
    this.#settle(close, null)
    return true
  }

  notify(event: Reply['events'][number]): void {
    this.#reply.events.push(event)
  }

  /** The reply to send to the loop; null if there is none. Each reply is returned once. */
  takeReply(): Reply | null {
    const reply = this.#reply
    if (reply.settled.length + reply.refused.length + reply.events.length === 0) return null
    this.#reply = { settled: [], refused: [], events: [] }
    return reply
  }

  /** The parts of the next transaction. */
  takeParts(): Part[] {
    this.#eventsTaken = 0
    this.#lengthTaken = 0
    this.#leaseTaken = false
    return this.#takePending()
  }

  /**
   * Calls that arrived meanwhile, to join the current transaction: another flush of the disk costs more than the wait for this one. Last
   * comes one lease for all waiting callers, so that it sees what the same transaction has stored.
   */
  takeMore(): Part[] {
    if (this.#leaseTaken) return []
    const parts = this.#eventsTaken < joinEventsMax ? this.#takePending('joining') : []
    if (parts.length > 0) return parts
    this.#leaseTaken = true
    return this.#takeLease()
  }

  /** There is nothing else to do, but there may be jobs for waiting leases. */
  takeLeaseAlone(): Part[] {
    this.#leaseTaken = true
    return this.lookForReady ? this.#takeLease() : []
  }

  #takePending(joining?: 'joining'): Part[] {
    const calls = this.#pending
    this.#pending = []
    const parts: Part[] = []
    for (const call of calls) {
      const size = sizeOf(call.request)
      const isTooMuch =
        this.#eventsTaken > 0 && (this.#eventsTaken + size > commitEventsMax || this.#lengthTaken > commitLengthMax)
      // This transaction's maintenance was chosen before this sweep arrived.
      const isTooLate = joining && call.request.op === 'sweep'
      if (call.request.op === 'close' || this.#pending.length > 0 || isTooMuch || isTooLate) {
        this.#pending.push(call)
        continue
      }
      this.#eventsTaken += size
      if (call.request.op === 'enqueue') this.#lengthTaken += lengthBatched(call.request.batches)
      parts.push(...this.#partsOf(call))
    }
    return parts
  }

  #takeLease(): Part[] {
    if (this.#waitingLeases.length === 0) return []
    const asked = this.#waitingLeases.map(({ request }) => request)
    return [
      part(
        (now) => this.#writer.lease(asked, now),
        (claim) => this.#leased(claim),
      ),
    ]
  }

  /** Nothing can be stored any more: callers get an error; outcomes wait for the restart, which recovers their jobs. */
  refuseAll(message: string): void {
    const calls = this.#pending
    this.#pending = []
    for (const call of calls) {
      const { op } = call.request
      if (refusable.has(op)) this.#refuse(call, 'unavailable', message)
      else if (op === 'abandon' || op === 'stopLeasing') this.#partsOf(call)
      else if (op === 'close') this.#pending.push(call)
    }
  }

  /** What a call wants to commit; empty if it is settled without a commit. */
  #partsOf(call: Call): Part[] {
    const { request } = call
    switch (request.op) {
      case 'enqueue':
        return [this.#enqueuePart({ ...call, request })]
      case 'apply':
        return this.#part(
          call,
          (now) => this.#writer.apply(request.sets, now, request),
          (refused: Answers['apply']) => this.#held.follow(request.sets, refused),
        )
      case 'report':
        return this.#part(call, (now) => this.#writer.report(request.reports, now))
      case 'send':
        return this.#part(
          call,
          (now) => this.#writer.send(request.command, request.id, now, request.cause),
          ({ outcome }: Answers['send']) => outcome === 'done' && this.#takeAway([request.id]),
        )
      case 'amend': {
        const { id, changes, cause, requeue } = request
        return this.#part(call, (now) => this.#writer.amend(id, changes, now, cause, requeue))
      }
      case 'command':
        return this.#part(
          call,
          (now) => this.#writer.command(request.command, request.ids, request.state, now, request.cause),
          (moved: Answers['command']) => this.#takeAway(moved),
        )
      case 'moveSchedules':
        return this.#part(call, (now) => this.#writer.moveSchedules(request, now))
      case 'recover':
        return this.#part(call, (now) => this.#writer.recoverOrphans(request.after, now))
      case 'noteStop':
        return this.#part(call, () => this.#writer.noteStop())
      case 'sweep':
        this.sweepAsked = true
        return this.#part(call, () => null)
      case 'abandon':
        this.#held.drop(request.leases)
        this.#settle(call, null)
        return []
      case 'stopLeasing':
        this.#leasing = false
        for (const waiting of this.#waitingLeases.splice(0)) this.#settle(waiting, noJobs)
        this.#settle(call, null)
        return []
      case 'lease':
        if (this.#leasing) this.#waitingLeases.push(call as Call<'lease'>)
        else this.#settle(call, noJobs)
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
        done: (answer: never) => {
          then?.(answer)
          this.#settle(call, answer)
        },
        failed: (error) => this.#failed(call, error),
      },
    ]
  }

  #enqueuePart(call: Call<'enqueue'>): Part {
    const { firstCallId, counts, batches } = call.request
    const calls = counts?.length ?? countBatched(batches)
    let singles: Part[] | undefined
    const split = () => {
      this.#settle(call, null)
      singles = fromBatches(batches, counts).map((jobs, index) => {
        const id = firstCallId + index
        const jobsOfOne = { firstCallId: id, counts: [jobs.length], batches: intoBatches(jobs) }
        return this.#enqueuePart({ id, since: call.since, request: { op: 'enqueue', ...jobsOfOne } })
      })
      return singles
    }
    return {
      run: (now) => this.#writer.enqueue(call.request, now),
      split: calls > 1 ? split : undefined,
      done: (answer: Answers['enqueue']) => this.#settle(call, answer),
      // After a split nobody waits for the call itself.
      failed: (error) => {
        if (singles) for (const each of singles) each.failed(error)
        else this.#failed(call, error)
      },
    }
  }

  #leased({ jobs, payloads, traces, aside: { unhandled, unreadable }, more }: ReturnType<Writer['lease']>): void {
    this.lookForReady = more
    if (unreadable.length > 0) this.notify({ type: 'unreadable', ids: unreadable })
    if (unhandled.size > 0) {
      const count = [...unhandled.values()].reduce((sum, n) => sum + n, 0)
      this.notify({ type: 'unhandled', types: [...unhandled.keys()], count })
    }
    let next = 0
    this.#waitingLeases = this.#waitingLeases.filter((call) => {
      const { limit, wait, start } = call.request
      const from = next
      next = Math.min(from + limit, jobs.length)
      if (next === from && wait) return true
      const given = jobs.slice(from, next)
      this.#held.add(given, start)
      const own = traces.size === 0 ? null : JSON.stringify(given.map(([id]) => traces.get(id) ?? null))
      this.#settle(call, { facts: JSON.stringify(given), payloads: payloads.slice(from, next), traces: own })
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
    if (storageFailure(error) === 'corrupt') this.#pending.push(call)
    else if (storageFailure(error) === 'busy') {
      if (isPatient || performance.now() - call.since < busyTimeoutMs) this.#pending.push(call)
      else this.#refuseAsBusy(call)
    } else if (storageFailure(error) === 'full') {
      if (isPatient) this.#pending.push(call)
      else this.#refuse(call, 'full', 'the disk that holds the database is full')
    } else if (storageFailure(error) === 'moved')
      this.#refuse(call, 'unavailable', (error as Error).message.replace('jobmachine: ', ''))
    else this.#refuse(call, 'broken invariant', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  #settle(call: Call, answer: Answers[Operation]): void {
    this.#reply.settled.push([call.id, answer])
  }

  #refuseAsBusy(call: Call): void {
    this.refusedAsBusy = true
    this.#refuse(call, 'unavailable', 'another process has locked the database for too long')
  }

  #refuse(call: Call, kind: Rejection['kind'], message: string): void {
    this.#reply.refused.push([call.id, { kind, message }])
  }
}

/** Events that a call may write. */
function sizeOf(request: Request): number {
  if (request.op === 'enqueue') return countBatched(request.batches)
  if (request.op === 'apply') return request.sets.reduce((sum, { ranges }) => sum + countJobs(ranges), 0)
  if (request.op === 'command') return request.ids.length
  if (request.op === 'report') return request.size
  if (request.op === 'amend') return 2
  if (request.op === 'moveSchedules') return request.count
  return request.op === 'send' ? 1 : 0
}
