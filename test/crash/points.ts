import { resolve } from 'node:path'
import { edges, hasTag, statesWithTag } from '../../src/machines/edges.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import { retention } from '../../src/persistence/store.ts'
import { type CrashAt, describeDeath, points, startVictim } from './points-victim.ts'
import {
  type CrashNote,
  checkInterrupted,
  checkRunAgain,
  checkWitness,
  crashNote,
  type Schema,
  schemaOf,
  witnessed,
} from './points-witness.ts'

/** For a file on which victims live and die: short delays, and one worker, so that waiting and running jobs are distinct. */
const settings = { workers: 1, retryBaseMs: 10, retryMaxMs: 50 }
/** Keeps ended jobs as briefly as possible. */
const forgetful = { ...settings, retentionMs: 1, retention: { dead: { ms: 1 } } }

/** All places to die, by event: each point on the way of each edge of the machine, and of each removal by retention. */
export function allCrashes(): Map<string, CrashAt[]> {
  const crashes = new Map<string, CrashAt[]>()
  const add = (event: string, edge: string, effect: boolean) => {
    const along = points.filter((point) => effect || point !== 'effect').map((point) => ({ point, edge }))
    crashes.set(event, [...(crashes.get(event) ?? []), ...along])
  }
  for (const { from, event, to } of edges) {
    // What a handler's end leads to. An expiry and a cancellation come from elsewhere.
    const isOutcome = hasTag(from, 'executing') && event !== 'expire' && event !== 'cancel'
    add(event, `${from} ${event} ${to}`, isOutcome)
  }
  for (const state of statesWithTag('ended')) add(retention, `${state} ${retention}`, false)
  return crashes
}

/** One point of every twelfth event, the next at the next. */
export function someCrashes(): Map<string, CrashAt[]> {
  const chosen = [...allCrashes().values()].filter((_, turn) => turn % 12 === 0)
  return new Map([['every twelfth event', chosen.map((crashes, turn) => crashes[turn % crashes.length]!)]])
}

/**
 * Kills one process after another on one file, each at the next crash point; the process after each death recovers from it. The last one
 * runs the shipped code and finishes everything. Returns the violations and how many processes died.
 */
export async function runChain(given: {
  /** Made by `crashBuild`. */
  readonly build: string
  readonly database: string
  readonly crashes: readonly CrashAt[]
}): Promise<{ kills: number; wrong: string[] }> {
  const chain = new Chain(given.build, given.database)
  for (const crashAt of given.crashes) await chain.die(crashAt)
  await chain.finish()
  return { kills: chain.kills, wrong: chain.wrong }
}

class Chain {
  readonly #build: string
  readonly #database: string
  readonly #effects: { readonly note: CrashNote; readonly run: number }[] = []
  readonly wrong: string[] = []
  #run = 0
  kills = 0

  constructor(build: string, database: string) {
    this.#build = build
    this.#database = database
  }

  async die(crashAt: CrashAt): Promise<void> {
    const tell = (what: string) => this.wrong.push(`armed "${crashAt.point} ${crashAt.edge}": ${what}`)
    const note = await this.#dieAt(crashAt, tell)
    if (!note) return
    for (const what of checkInterrupted(this.#database, note)) tell(what)
    for (const what of violationsOf(this.#database)) tell(what)
    if (note.point === 'effect') this.#effects.push({ note, run: this.#run })
  }

  async finish(): Promise<void> {
    const victim = startVictim({
      build: resolve('dist'),
      database: this.#database,
      run: ++this.#run,
      settings: { ...settings, workers: 20 },
      work: { finish: true },
    })
    const death = await victim.died
    if (death.code !== 0) this.wrong.push(`the process that was to finish ${describeDeath(death)}`)
    this.wrong.push(...violationsOf(this.#database), ...checkWitness(this.#database))
    for (const { note, run } of this.#effects) this.wrong.push(...checkRunAgain(this.#database, note, run))
  }

  /** If an edge is taken at the start, because of what a process left behind, a process that dies by itself comes first. */
  async #dieAt(crashAt: CrashAt, tell: (what: string) => void): Promise<CrashNote | undefined> {
    for (let mayPrepare = true; ; mayPrepare = false) {
      const victim = startVictim({
        build: this.#build,
        database: this.#database,
        run: ++this.#run,
        settings: crashAt.edge.endsWith(retention) ? forgetful : settings,
        crashAt,
        work: { take: crashAt.edge },
      })
      const death = await victim.died
      if (death.signal === 'SIGKILL') this.kills++
      const note = crashNote(this.#database, victim.process.pid)
      if (note && death.signal === 'SIGKILL') return note
      const prepared = witnessed(this.#database).some(({ what, run }) => what === 'orphaned' && run === this.#run)
      if (prepared && mayPrepare) continue
      tell(prepared ? 'the edge was not taken by what was left for it' : `the process ${describeDeath(death)}`)
      return
    }
  }
}

/** Kills a process while it migrates the file to its newest schema; returns the file's schema after that. */
export async function dieMigrating(build: string, database: string, point: CrashAt['point']): Promise<Schema> {
  const crashAt = { point, edge: 'migration' }
  const { died } = startVictim({ build, database, run: 0, settings, crashAt, work: { finish: true } })
  const death = await died
  if (death.signal !== 'SIGKILL') throw new Error(`armed "${point} migration": the process ${describeDeath(death)}`)
  return schemaOf(database)
}

/** The violations that `verify` reports for a file. */
export function violationsOf(database: string): string[] {
  const { violations } = verifyFile(database)
  return violations.map(({ invariant, jobId, message }) => `${invariant}, job ${jobId}: ${message}`)
}
