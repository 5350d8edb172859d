import { replaceTimers } from '../support/engine-timers.ts'
import type { Random } from '../torture/random.ts'

/** Who runs: the event loop of the simulated process, its store's thread, or the world around it, which survives them. */
export type Side = 'loop' | 'thread' | 'world'

interface Scheduled {
  readonly id: number
  readonly side: Side
  readonly run: () => void
  readonly everyMs: number | null
  at: number
}

const real = { setTimeout, clearTimeout, setImmediate, clearImmediate, setInterval, clearInterval }
/** Events at one instant; if there are more, something loops. */
const eventsAtOnceMax = 20_000
/** The longest delay of a timer, in ms: a legal one, but nothing may rely on it. */
const latenessMs = 3

/**
 * Time that passes when nothing is left to do: one event at a time, in an order that the seed chooses as far as a real machine leaves it
 * open. While it is installed it replaces the global timers, the engine's and `performance.now`.
 */
export class VirtualTime {
  readonly #random: Random
  readonly #scheduled = new Map<number, Scheduled>()
  readonly #heldUntil: Record<Side, number> = { loop: 0, thread: 0, world: 0 }
  #lastId = 0
  #atOnce = 0
  #side: Side = 'world'
  /** Monotonic ms. */
  now = 0
  /** Events that have run. */
  steps = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Replaces the global timers with its own, until the returned function is called. */
  install(): () => void {
    const late = (ms: number) => Math.max(ms, 1) + this.#random.int(0, latenessMs)
    const timer = (run: (...given: never[]) => void, ms: number, everyMs: number | null, given: unknown[]) =>
      this.#handle(this.schedule(ms, this.#side, () => run(...(given as never[])), everyMs))
    const own = {
      setTimeout: (run: () => void, ms = 0, ...given: unknown[]) => timer(run, late(ms), null, given),
      setInterval: (run: () => void, ms = 0, ...given: unknown[]) => timer(run, late(ms), Math.max(ms, 1), given),
      setImmediate: (run: () => void, ...given: unknown[]) => timer(run, 0, null, given),
      clearTimeout: (handle?: { id: number }) => this.cancel(handle?.id),
      clearInterval: (handle?: { id: number }) => this.cancel(handle?.id),
      clearImmediate: (handle?: { id: number }) => this.cancel(handle?.id),
    }
    Object.assign(globalThis, own)
    const restoreEngine = replaceTimers(own)
    performance.now = () => this.now
    return () => {
      Object.assign(globalThis, real)
      restoreEngine()
      Reflect.deleteProperty(performance, 'now')
    }
  }

  /** Runs something `ms` from now, on a side, and again every `everyMs`; returns its id. */
  schedule(ms: number, side: Side, run: () => void, everyMs: number | null = null): number {
    const id = ++this.#lastId
    this.#scheduled.set(id, { id, side, run, everyMs, at: this.now + ms })
    return id
  }

  cancel(id: number | undefined): void {
    if (id !== undefined) this.#scheduled.delete(id)
  }

  /** The process has ended, and with it everything that it had planned. */
  dropProcess(): void {
    for (const { id, side } of this.#scheduled.values()) if (side !== 'world') this.#scheduled.delete(id)
    this.#heldUntil.loop = 0
    this.#heldUntil.thread = 0
  }

  /** Nothing of these sides runs for that long: a loop that a handler blocks, a machine that sleeps. */
  hold(sides: readonly Side[], ms: number): void {
    for (const side of sides) this.#heldUntil[side] = Math.max(this.#heldUntil[side], this.now + ms)
  }

  /** Lets events happen until `holds` is true, or the time has come; returns which. */
  async runUntil(holds: () => boolean, horizonMs: number): Promise<boolean> {
    const end = this.now + horizonMs
    while (!holds()) {
      const next = this.#next()
      if (!next || this.#dueAt(next) > end) return false
      this.#count(this.#dueAt(next))
      if (next.everyMs === null) this.#scheduled.delete(next.id)
      else next.at = this.now + next.everyMs
      this.#side = next.side
      next.run()
      await this.settle()
      this.#side = 'world'
    }
    return true
  }

  /** Every promise that is settled by now has been handled. */
  async settle(): Promise<void> {
    await new Promise((resolve) => real.setImmediate(resolve))
  }

  #count(at: number): void {
    this.#atOnce = at > this.now ? 0 : this.#atOnce + 1
    if (this.#atOnce > eventsAtOnceMax) throw new Error(`more than ${eventsAtOnceMax} events at ${this.now} ms`)
    this.now = Math.max(this.now, at)
    this.steps++
  }

  #next(): Scheduled | undefined {
    let first: Scheduled | undefined
    // In the order of scheduling, which decides between equals.
    for (const each of this.#scheduled.values()) if (!first || this.#dueAt(each) < this.#dueAt(first)) first = each
    return first
  }

  #dueAt({ at, side }: Scheduled): number {
    return Math.max(at, this.#heldUntil[side])
  }

  #handle(id: number) {
    const handle = { id, ref: () => handle, unref: () => handle, hasRef: () => true }
    return handle
  }
}
