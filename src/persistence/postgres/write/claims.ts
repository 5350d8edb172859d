import { edgesOn, eventTypes, hasTag } from '../../../machines/edges.ts'
import type { LeasedJob } from '../../store.ts'
import type { Capacity, ClaimBounds, Done, Step } from './step.ts'
import type { Suspects } from './suspects.ts'

interface LeaseRequest extends Capacity {
  readonly wait: boolean
}

interface Waiting extends LeaseRequest {
  resolve(jobs: readonly LeasedJob[]): void
}

/** What makes a job ready that may have been in line before. */
const makesReady = new Set<string>(eventTypes.filter((event) => edgesOn(event).some(({ to }) => hasTag(to, 'ready'))))

/** Those who ask in one transaction. */
export interface Taken {
  readonly room: readonly Capacity[]
  readonly waiting: readonly Waiting[]
  /** Transactions that had written when it was taken. */
  readonly since: number
  /** How often the bounds had been given up, and the highest priority in each queue of what was stored since then. */
  readonly givenUp: number
  readonly meanwhile: Map<string, number>
}

/** Those who wait for jobs. */
export class Claims {
  readonly #handled: readonly string[]
  readonly #suspects: Suspects
  #wish = () => {}
  #waiting: Waiting[] = []
  /** There may be jobs for those who wait. */
  #look = false
  #stopped = false
  /** Only a hint. */
  #served = ''
  /** Likewise: what comes before them is found at the end of their time at the latest. */
  #bounds: ClaimBounds = {}
  #givenUp = 0
  #writes = 0
  readonly #inFlight = new Set<Taken>()
  #onEmpty: (() => void)[] = []
  /** A suspect is in line or runs alone: claims are made one at a time. */
  #alone = false
  #aloneRuns = false
  #aloneAgain = false
  #besideSuspects = false
  /** A suspect is being claimed, and how many have been. */
  #suspectAsked = false
  #suspectsAnswered = 0

  /** `handled`: types that have a handler here. */
  constructor(handled: readonly string[], suspects: Suspects) {
    this.#handled = handled
    this.#suspects = suspects
  }

  /** `wish`: called when a transaction is wanted. */
  onWish(wish: () => void): void {
    this.#wish = wish
  }

  lease(request: LeaseRequest): Promise<readonly LeasedJob[]> {
    if (this.#stopped) return Promise.resolve([])
    return new Promise((resolve) => {
      this.#waiting.push({ ...request, resolve })
      this.lookAgain()
    })
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** A suspect is in line or runs alone. */
  get isAlone(): boolean {
    return this.#alone
  }

  /** A job may be ready. */
  lookAgain(): void {
    this.#look = true
    if (this.#alone) this.#claimAlone()
    else this.#wish()
  }

  /** Answers those who wait, and all later, with nothing; resolves when none is on its way any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const { resolve } of this.#waiting.splice(0)) resolve([])
    await this.#empty()
  }

  /** Returns what says, whenever it is called, whether all claims that are under way now have been answered. */
  whetherAnswered(): () => boolean {
    const underWay = [...this.#inFlight]
    const suspects = this.#suspectsAnswered + (this.#suspectAsked ? 1 : 0)
    return () => this.#suspectsAnswered >= suspects && !underWay.some((taken) => this.#inFlight.has(taken))
  }

  /** Those whom the next transaction asks for, if it has anything else to do or there may be jobs; it may write so many events. */
  take(events: number, isOther: boolean): Taken | null {
    if (this.#alone || this.#waiting.length === 0 || !(isOther || this.#look)) return null
    const room: Capacity[] = []
    let left = events
    for (const { limit, start } of this.#waiting) {
      const most = Math.min(limit, Math.floor(left / (start ? 2 : 1)))
      if (most === 0) break
      room.push({ limit: most, start })
      left -= most * (start ? 2 : 1)
    }
    if (room.length === 0) return null
    this.#look = this.#waiting.length > room.length
    const waiting = this.#waiting.splice(0, room.length)
    const taken = { room, waiting, since: this.#writes, givenUp: this.#givenUp, meanwhile: new Map() }
    this.#inFlight.add(taken)
    return taken
  }

  terms(taken: Taken | null): Step['claim'] {
    const besideSuspects = taken !== null && this.#besideSuspects
    return { handled: this.#handled, served: this.#served, bounds: this.#bounds, besideSuspects }
  }

  /** Jobs may have come in front of those that were claimed last: claims look from the front again. */
  giveUpBounds(): void {
    this.#bounds = {}
    this.#givenUp++
  }

  /** The same where this may bring any. To be called before it is stored and afterwards, for other claims may be made meanwhile. */
  makeWay({ newJobs, changes }: Pick<Step, 'newJobs' | 'changes'>): void {
    if (changes.some(({ event }) => makesReady.has(event))) this.giveUpBounds()
    if (this.#inFlight.size === 0 && this.#isUnbounded) return
    for (const { job } of newJobs) {
      const { queue, priority } = job
      for (const { meanwhile } of this.#inFlight)
        meanwhile.set(queue, Math.max(priority, meanwhile.get(queue) ?? priority))
      if (priority > (this.#bounds[queue]?.priority ?? priority))
        this.#bounds = Object.fromEntries(Object.entries(this.#bounds).filter(([other]) => other !== queue))
    }
  }

  get #isUnbounded(): boolean {
    return Object.keys(this.#bounds).length === 0
  }

  /** What a transaction did, the jobs that it leased for them, and whether it wrote anything else. */
  give(taken: Taken | null, done: Done, jobs: readonly LeasedJob[], wrote: boolean): void {
    if (wrote) this.#writes++
    if (taken) {
      if (done.met) this.#alone = true
      this.#besideSuspects = false
      this.#served = done.served ?? this.#served
      if (taken.givenUp === this.#givenUp) this.#bounds = boundsAfter(taken, done)
      let next = 0
      const left = taken.waiting.filter(({ wait, resolve }, index) => {
        const { limit } = taken.room[index]!
        next += limit
        const given = jobs.slice(next - limit, next)
        const waitsOn = done.met || (given.length === 0 && wait && !this.#stopped)
        if (!waitsOn) resolve(given)
        return waitsOn
      })
      this.#waiting.unshift(...left)
      this.#landed(taken)
      // Another transaction may have stored some since this one looked.
      if (done.met || (left.length > 0 && this.#writes > taken.since + (wrote ? 1 : 0))) this.#look = true
    }
    if (this.#waiting.length > 0 && (this.#look || (wrote && !taken))) this.lookAgain()
  }

  putBack(taken: Taken | null): void {
    if (!taken) return
    this.#waiting.unshift(...taken.waiting)
    this.#look = true
    // What it had locked was passed over by claims that were made meanwhile.
    this.giveUpBounds()
    this.#landed(taken)
  }

  #landed(taken: Taken): void {
    this.#inFlight.delete(taken)
    if (this.#stopped) for (const { resolve } of this.#waiting.splice(0)) resolve([])
    if (this.#inFlight.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  async #empty(): Promise<void> {
    while (this.#inFlight.size > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
  }

  /** Makes claims one at a time until no suspect is in line, or one runs alone. */
  #claimAlone(): void {
    this.#aloneAgain = true
    if (this.#aloneRuns) return
    this.#aloneRuns = true
    const ended = () => {
      this.#aloneRuns = false
    }
    this.#makeClaims().then(ended, ended)
  }

  async #makeClaims(): Promise<void> {
    while (this.#aloneAgain && this.#alone && this.#waiting.length > 0) {
      this.#aloneAgain = false
      await this.#empty()
      const [first] = this.#waiting
      if (!first) return
      this.#suspectAsked = true
      const next = await this.#suspects.next(first.start).catch(() => null)
      this.#suspectAsked = false
      this.#suspectsAnswered++
      if (next === null) return
      if (next === 'none') {
        this.#alone = false
        this.#besideSuspects = true
        this.lookAgain()
        return
      }
      if (next !== 'wait') {
        this.#waiting = this.#waiting.filter((other) => other !== first)
        first.resolve([next])
      }
      for (const { wait, resolve } of this.#waiting) if (!wait) resolve([])
      this.#waiting = this.#waiting.filter(({ wait }) => wait)
    }
  }
}

/** Those that nothing was stored in front of meanwhile. */
function boundsAfter({ meanwhile }: Taken, { bounds }: Done): ClaimBounds {
  const found = Object.entries(bounds ?? {})
  return Object.fromEntries(found.filter(([queue, { priority }]) => (meanwhile.get(queue) ?? priority) <= priority))
}
