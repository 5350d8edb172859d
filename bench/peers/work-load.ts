import { setTimeout as sleep } from 'node:timers/promises'
import { bulkBatch, lanes, noop, repeatInLanes, type Work, workers } from '../load.ts'
import { MixedJobs } from '../mixed.ts'
import type { Peer, PeerOptions } from './peer.ts'

/** Ms between two checks of a peer's counts, once its last handler was called. */
const lookMs = 2
/** The jobs of every other call of the mixed workload. */
const arrayLength = 50
/** For a peer that looks for jobs every two seconds. */
const patienceMs = 2_500

const batch: readonly string[] = Array.from({ length: bulkBatch }, () => noop.payload.message)

/** An instant, and how many jobs had begun by then. */
export interface Mark {
  readonly at: number
  readonly begun: number
}

/** A peer at work: what it was given, what has begun, what it has finished. */
export class WorkLoad {
  readonly #peer: Peer
  readonly #attempts: Attempts
  readonly #mixedJobs = new MixedJobs()
  #given = 0
  #mixedCalls = 0

  private constructor(peer: Peer, attempts: Attempts) {
    this.#peer = peer
    this.#attempts = attempts
  }

  /** `onRun` is called too, as the first line of every handler. */
  static async open(
    open: (options: PeerOptions) => Promise<Peer>,
    workers: number,
    onRun?: PeerOptions['onRun'],
  ): Promise<WorkLoad> {
    const attempts = new Attempts()
    const peer = await open({
      workers,
      onRun(message, run) {
        onRun?.(message, run)
        attempts.add()
      },
    })
    return new WorkLoad(peer, attempts)
  }

  get hasBulkCall(): boolean {
    return this.#peer.enqueueMany !== undefined
  }

  start(): Promise<void> {
    return this.#peer.start()
  }

  /** Processor time used so far, in µs: by this process, and by the peer's server if it has one that is known. */
  async cpu(): Promise<{ readonly client: number; readonly server: number | undefined }> {
    const { user, system } = process.cpuUsage()
    return { client: user + system, server: await this.#peer.serverCpu?.() }
  }

  /** Returns the number of acknowledged jobs, like the next method. */
  async enqueueOne(message: string = noop.payload.message): Promise<number> {
    await this.#peer.enqueue(message)
    this.#given++
    return 1
  }

  /** 1,000 jobs, in one call if the peer has one for many. */
  async enqueueBatch(): Promise<number> {
    if (this.#peer.enqueueMany) {
      await this.#peer.enqueueMany(batch)
      this.#given += bulkBatch
    } else {
      for (let count = 0; count < bulkBatch; count++) await this.enqueueOne()
    }
    return bulkBatch
  }

  /** Enqueues this many, in thousands, or fewer when time is up. */
  fill(count: number, forMs: number): Promise<Work> {
    return repeatInLanes(1, count / bulkBatch, () => this.enqueueBatch(), forMs)
  }

  /** The same one by one, from this many callers, each of which awaits its own. */
  enqueueInLanes(count: number, forMs: number, width = lanes): Promise<Work> {
    return repeatInLanes(width, count, () => this.enqueueOne(), forMs)
  }

  get knowsMixed(): boolean {
    return this.#peer.enqueueMixed !== undefined
  }

  /** The same as `fill` with jobs of the mixed workload. */
  fillMixed(count: number, forMs: number): Promise<Work> {
    return repeatInLanes(1, count / bulkBatch, () => this.#enqueueMixed(bulkBatch), forMs)
  }

  /** Jobs of the mixed workload by 100 callers, by calls with one job and with 50 in turn; none is delayed. */
  enqueueMixedInLanes(count: number, forMs: number): Promise<Work> {
    const step = () => this.#enqueueMixed(this.#mixedCalls++ % 2 === 0 ? 1 : arrayLength, true)
    return repeatInLanes(lanes, (2 * count) / (1 + arrayLength), step, forMs)
  }

  async #enqueueMixed(count: number, atOnce = false): Promise<number> {
    const jobs = this.#mixedJobs.many(count)
    await this.#peer.enqueueMixed!(atOnce ? jobs.map(({ delayMs: _, ...job }) => job) : jobs)
    this.#given += count
    return count
  }

  mark(): Mark {
    return { at: performance.now(), begun: this.#attempts.count }
  }

  /** Resolves when this many have begun in total, or time is up. */
  begun(count: number, forMs: number): Promise<void> {
    return this.#attempts.reach(count, performance.now() + forMs)
  }

  /**
   * Resolves when everything given is finished, or at `forMs` after the mark, later if that was too short for one job per worker; returns
   * what was finished since.
   */
  async finished({ at, begun }: Mark, forMs: number): Promise<Work> {
    const deadline = at + forMs
    await this.#attempts.reach(this.#given, deadline)
    for (;;) {
      const left = await this.#peer.left()
      const now = performance.now()
      const work = { count: Math.max(0, this.#given - left - begun), ms: now - at }
      if (left === 0 || now > deadline + (work.count < workers ? patienceMs : 0)) return work
      await sleep(lookMs)
    }
  }
}

/** Counts handlers that have begun; one wait at a time. */
class Attempts {
  count = 0
  #wanted = Number.POSITIVE_INFINITY
  #deadline = Number.POSITIVE_INFINITY
  #wake = () => {}

  add(): void {
    this.count++
    // Checks the time too: a peer that waits for nothing outside while it has jobs never lets a timer run.
    if (this.count >= this.#wanted || performance.now() > this.#deadline) this.#wake()
  }

  async reach(count: number, deadline: number): Promise<void> {
    if (this.count >= count) return
    this.#wanted = count
    this.#deadline = deadline
    const reached = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    await Promise.race([reached, sleep(Math.max(0, deadline - performance.now()))])
    this.#wanted = Number.POSITIVE_INFINITY
    this.#deadline = Number.POSITIVE_INFINITY
  }
}
