import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { NewJobRow, Store } from '../../src/persistence/store.ts'
import type { MonotonicClock } from '../../src/runtime/clock.ts'
import { type InProcessStore, openInProcess } from '../simulation/in-process-store.ts'
import { makeUnreliable, type WriteStep } from '../simulation/unreliable-file.ts'
import { VirtualTime } from '../simulation/virtual-time.ts'
import type { Ordeal } from '../torture/ordeal.ts'
import { Random } from '../torture/random.ts'
import { commands } from './commands.ts'
import { Model } from './model.ts'

const startAt = Date.UTC(2030, 0, 1)
export const leaseMs = 1_000
/** How long one call may take, in ms of the simulation. */
const callMs = 10_000

export type OwnerName = 'a' | 'b'

/** A crash that waits for an owner's next transaction: at which step, after how many steps. */
export interface Tear {
  readonly step: WriteStep
  readonly after: number
}

interface Owner {
  process: InProcessStore
  store: Store
  tear: { readonly step: WriteStep; after: number } | null
  torn: boolean
  /** It has recovered or leased, so from now on it expires leases that have run out. */
  expires: boolean
}

/** Two stores on one file, as if both held its lock; each may be ended and opened again, or die within a transaction. */
export class World {
  readonly path: string
  readonly #time: VirtualTime
  readonly #owners = new Map<OwnerName, Owner>()
  #clockOffset = 0
  readonly clock: MonotonicClock = {
    now: () => startAt + Math.floor(this.#time.now) + this.#clockOffset,
    monotonic: () => this.#time.now,
  }

  constructor(path: string, time: VirtualTime) {
    this.path = path
    this.#time = time
  }

  async open(name: OwnerName): Promise<void> {
    const owner: Owner = {
      process: undefined as never,
      store: undefined as never,
      tear: null,
      torn: false,
      expires: false,
    }
    owner.process = openInProcess(
      {
        path: this.path,
        types: ['work'],
        leaseMs,
        maxQueueDepth: 1_000,
        retentionMs: 0,
        owner: { pid: 1, host: name, startedAt: '2030-01-01T00:00:00.000Z' },
        newDatabaseId: 'walk',
        clock: this.clock,
        notify: () => {},
        longestTimeoutMs: () => 0,
      },
      {
        time: this.#time,
        clock: this.clock,
        delayMs: () => 0,
        prepareFile: (db) =>
          makeUnreliable(db, (step) => {
            if (owner.tear?.step !== step || owner.tear.after-- > 0) return null
            owner.tear = null
            owner.torn = true
            return 'crash'
          }),
        endProcess: () => {},
      },
    )
    this.#owners.set(name, owner)
    owner.store = (await this.settled(owner.process.store))!
  }

  /** Lets time pass until a promise has settled; undefined if its process died over it. */
  async settled<T>(promise: Promise<T>, name?: OwnerName): Promise<T | undefined> {
    let result: { value: T } | { error: unknown } | undefined
    promise.then(
      (value) => {
        result = { value }
      },
      (error) => {
        result = { error }
      },
    )
    const owner = name && this.#owners.get(name)
    await this.#time.runUntil(() => result !== undefined || owner?.torn === true, callMs)
    if (owner?.torn) return
    if (!result) throw new Error(`a call was not answered within ${callMs} ms`)
    if ('error' in result) throw result.error
    return result.value
  }

  /** Makes a call on an owner, which may die over it; it is then opened again. */
  async call<T>(name: OwnerName, tear: Tear | null, ask: (store: Store) => Promise<T>): Promise<T | undefined> {
    const owner = this.#owners.get(name)!
    owner.tear = tear && { ...tear }
    const answer = await this.settled(ask(owner.store), name)
    owner.tear = null
    if (!owner.torn) return answer
    await this.kill(name)
    return undefined
  }

  /** It has recovered, or leased. */
  letExpire(name: OwnerName): void {
    this.#owners.get(name)!.expires = true
  }

  expires(name: OwnerName): boolean {
    return this.#owners.get(name)!.expires
  }

  /** Ends an owner abruptly and opens it again. */
  async kill(name: OwnerName): Promise<void> {
    this.#owners.get(name)!.process.kill()
    await this.open(name)
  }

  /** Closes an owner cleanly and opens it again. */
  async restart(name: OwnerName): Promise<void> {
    await this.settled(this.#owners.get(name)!.store.close())
    await this.open(name)
  }

  jump(ms: number): void {
    this.#clockOffset += ms
  }

  end(): void {
    for (const { process } of this.#owners.values()) process.kill()
  }
}

export interface WalkOptions {
  readonly seed: number
  readonly runs?: number
  readonly maxCommands?: number
}

/**
 * Random walks, shrunk if one fails: commands to two stores on one real file, compared with the machine itself after each. Returns how many
 * commands were compared and how often each edge was taken; throws with the shortest failing walk.
 */
export async function walk(folder: string, { seed, runs = 20, maxCommands = 120 }: WalkOptions) {
  const edges = new Map<string, number>()
  let steps = 0
  const property = fc.asyncProperty(fc.commands(commands, { maxCommands, size: 'max' }), async (walk) => {
    const own = mkdtempSync(join(folder, 'walk-'))
    const time = new VirtualTime(new Random(seed))
    const restore = time.install()
    const world = new World(join(own, 'jobs.db'), time)
    const model = new Model(world.path)
    try {
      await world.open('a')
      await world.open('b')
      model.open()
      await fc.asyncModelRun(() => ({ model, real: world }), walk)
    } finally {
      world.end()
      restore()
      model.close()
      steps += model.steps
      for (const edge of model.taken) edges.set(edge, (edges.get(edge) ?? 0) + 1)
      rmSync(own, { recursive: true, force: true })
    }
  })
  await fc.assert(property, { numRuns: runs, seed })
  return { steps, edges }
}

/** Walks until it is told to end. */
export const walks: Ordeal = async ({ seed, folder, isOver, tally }) => {
  for (let next = seed; !isOver(); next++) {
    try {
      const { steps, edges } = await walk(folder, { seed: next })
      tally.steps += steps
      for (const [edge, times] of edges) tally.edges.set(edge, (tally.edges.get(edge) ?? 0) + times)
    } catch (error) {
      tally.violations.push(`npm run test:torture -- --walk ${next}: ${error instanceof Error ? error.message : error}`)
    }
  }
}

/** A job as the walks enqueue it. */
export function aWalkJob(given: Partial<NewJobRow>): NewJobRow {
  return {
    type: 'work',
    queue: 'default',
    payload: '{}',
    priority: 0,
    maxAttempts: 2,
    timeoutMs: null,
    runAt: null,
    delayMs: null,
    idempotency: null,
    unique: null,
    cause: null,
    trace: null,
    ...given,
  }
}
