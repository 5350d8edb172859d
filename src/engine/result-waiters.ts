import { performance } from 'node:perf_hooks'
import { ResultTimeoutError, UnavailableError } from '../errors.ts'
import { type EndedJob, endedLengthMax, type Store } from '../persistence/store.ts'
import type { ClockTimers } from '../runtime/clock.ts'
import { timers } from '../runtime/timers.ts'

/** Jobs of one look, which takes a millisecond or two. */
const lookMax = 500
/** Between two looks at jobs that nobody here has ended, in ms, and as a multiple of what a look took: a twentieth of the time. */
const pauseMs = 25
const pauseTurns = 19
/** The same while the database cannot be read. */
const troubleMs = 1_000

/** How long the last look of all may take, in ms. */
const finishMs = 1_000

interface Options {
  /** In ms; for ever if it is left out. */
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

interface Waiter {
  /** Looks that had begun before it came: what they see may be older. */
  readonly cameAfter: number
  isOverdue: boolean
  resolve(job: EndedJob): void
  /** Ends its wait without an answer. */
  giveUp(reason: unknown): void
  onTimeout(): void
}

/**
 * Waits for jobs to end. Whoever waits is noted first, and only then is the job looked at, so no end falls between. All share one look at a
 * time: at once for jobs that are new here or that this process has ended, and for the others, which another process may end, in turn. Without
 * waiters nothing is read.
 */
export class ResultWaiters {
  readonly #read: Store['ended']
  readonly #timers: ClockTimers
  readonly #waiters = new Map<number, Set<Waiter>>()
  readonly #leaving = new AbortListeners()
  /** To be looked at next. */
  readonly #due = new Set<number>()
  /** Goes round those who wait, also those who come meanwhile. */
  #round = this.#waiters.keys()
  #looks = 0
  #isLooking = false
  #soon: NodeJS.Immediate | undefined
  #later: NodeJS.Timeout | undefined
  #closedBy: (() => Error) | null = null

  /** `clockTimers`: those of the timeouts. */
  constructor(read: Store['ended'], clockTimers: ClockTimers = timers) {
    this.#read = read
    this.#timers = clockTimers
  }

  /** Resolves when the job has ended or does not exist. Rejects with `ResultTimeoutError`, or with the reason of the signal. */
  wait(id: number, { timeoutMs, signal }: Options): Promise<EndedJob> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy) return reject(this.#closedBy())
      if (signal?.aborted) return reject(signal.reason)
      const end = () => {
        if (timeout) this.#timers.clearTimeout(timeout)
        if (signal) this.#leaving.delete(signal, onAbort)
        this.#forget(id, waiter)
      }
      const giveUp = (reason: unknown) => {
        end()
        reject(reason)
      }
      const onAbort = () => giveUp(signal!.reason)
      const waiter: Waiter = {
        cameAfter: this.#looks,
        isOverdue: false,
        resolve(job) {
          end()
          resolve(job)
        },
        giveUp,
        onTimeout: () => giveUp(new ResultTimeoutError(id, timeoutMs!)),
      }
      const timeout =
        timeoutMs === undefined ? null : this.#timers.setTimeout(() => this.#timedOut(id, waiter), timeoutMs)
      if (signal) this.#leaving.add(signal, onAbort)
      const others = this.#waiters.get(id)
      if (others) others.add(waiter)
      else this.#waiters.set(id, new Set([waiter]))
      this.#due.add(id)
      this.#schedule()
    })
  }

  /** These jobs may have ended. */
  look(ids: Iterable<number>): void {
    for (const id of ids) if (this.#waiters.has(id)) this.#due.add(id)
    this.#schedule()
  }

  /** Resolves when every job that may have ended has been looked at, or the database takes too long. */
  async finish(): Promise<void> {
    const giveUpAt = performance.now() + finishMs
    while ((this.#isLooking || this.#due.size > 0) && performance.now() < giveUpAt)
      await new Promise((resolve) => timers.setTimeout(resolve, 1))
  }

  /** Ends every wait, and each that comes later. */
  close(reason: () => Error): void {
    if (this.#closedBy) return
    this.#closedBy = reason
    timers.clearImmediate(this.#soon)
    timers.clearTimeout(this.#later)
    for (const waiter of [...this.#waiters.values()].flatMap((all) => [...all])) waiter.giveUp(reason())
  }

  #schedule(ms = pauseMs): void {
    if (this.#isLooking || this.#closedBy || this.#waiters.size === 0) return
    if (this.#due.size > 0) this.#soon ??= timers.setImmediate(() => void this.#look())
    else this.#later ??= timers.setTimeout(() => void this.#look(), ms)
  }

  async #look(): Promise<void> {
    timers.clearImmediate(this.#soon)
    timers.clearTimeout(this.#later)
    this.#soon = undefined
    this.#later = undefined
    this.#isLooking = true
    const beganAt = performance.now()
    const pause = await this.#lookAt(this.#next())
    this.#isLooking = false
    this.#schedule(Math.max(pause, Math.min((performance.now() - beganAt) * pauseTurns, troubleMs)))
  }

  /** Returns how long to pause, in ms. */
  async #lookAt(ids: readonly number[]): Promise<number> {
    const look = ++this.#looks
    try {
      const jobs = await this.#read(ids)
      for (const [id, job] of jobs) for (const waiter of this.#before(look, id)) waiter.resolve(job)
      const isCut = [...jobs.values()].reduce((sum, { result }) => sum + (result?.length ?? 0), 0) > endedLengthMax
      if (isCut) this.look(ids)
      else for (const id of ids) for (const waiter of this.#before(look, id)) if (waiter.isOverdue) waiter.onTimeout()
      return pauseMs
    } catch (error) {
      const passes = error instanceof UnavailableError
      for (const id of ids)
        for (const waiter of this.#before(look, id)) if (!passes || waiter.isOverdue) waiter.giveUp(error)
      return troubleMs
    }
  }

  /** Those who wait for a job, and came before a look began. */
  #before(look: number, id: number): Waiter[] {
    return [...(this.#waiters.get(id) ?? [])].filter(({ cameAfter }) => cameAfter < look)
  }

  /** Those that are due, or else the next in turn. */
  #next(): number[] {
    const ids: number[] = []
    for (const id of this.#due) {
      if (ids.push(id) === lookMax) break
    }
    for (const id of ids) this.#due.delete(id)
    return ids.length > 0 ? ids : this.#inTurn()
  }

  #inTurn(): number[] {
    const ids: number[] = []
    while (ids.length < lookMax) {
      const next = this.#round.next()
      if (!next.done) ids.push(next.value)
      else {
        this.#round = this.#waiters.keys()
        // The round may have ended with the look before.
        if (ids.length > 0 || this.#waiters.size === 0) break
      }
    }
    return ids
  }

  /** What had ended until now is still an answer: it is looked at once more. */
  #timedOut(id: number, waiter: Waiter): void {
    waiter.isOverdue = true
    this.look([id])
  }

  #forget(id: number, waiter: Waiter): void {
    const all = this.#waiters.get(id)
    all?.delete(waiter)
    if (all?.size !== 0) return
    this.#waiters.delete(id)
    this.#due.delete(id)
    if (this.#waiters.size > 0) return
    timers.clearTimeout(this.#later)
    timers.clearImmediate(this.#soon)
    this.#later = undefined
    this.#soon = undefined
  }
}

/** One listener for each signal, however many wait with it: Node warns of more than ten. */
class AbortListeners {
  readonly #signals = new Map<AbortSignal, { readonly listeners: Set<() => void>; readonly all: () => void }>()

  add(signal: AbortSignal, listener: () => void): void {
    const known = this.#signals.get(signal)
    if (known) return void known.listeners.add(listener)
    const listeners = new Set([listener])
    const all = () => {
      for (const each of [...listeners]) each()
    }
    this.#signals.set(signal, { listeners, all })
    signal.addEventListener('abort', all)
  }

  delete(signal: AbortSignal, listener: () => void): void {
    const known = this.#signals.get(signal)
    if (!known?.listeners.delete(listener) || known.listeners.size > 0) return
    this.#signals.delete(signal)
    signal.removeEventListener('abort', known.all)
  }
}
