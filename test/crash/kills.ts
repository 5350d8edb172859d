import { mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Settings } from '../../src/config.ts'
import type { Ordeal, Tally } from '../torture/ordeal.ts'
import { Random } from '../torture/random.ts'
import { allCrashes, violationsOf } from './points.ts'
import { type CrashAt, crashBuild, describeDeath, startVictim } from './points-victim.ts'
import { checkInterrupted, checkWitness, crashNote, edgeCounts } from './points-witness.ts'

/** How many kills one file survives; then everything on it must finish. */
const killsOfFile = { least: 5, most: 25 }
/** When one comes, in ms after the process serves. */
const killMs = { least: 50, most: 500 }
const verifiedEvery = 3

/** Violations reported for one file: a single fault affects many jobs. */
const toldMax = 20

/** One process in four dies at a random crash point, if it reaches it; one in six is told to stop before it is killed. */
const crashShare = 1 / 4
const stopShare = 1 / 6

/**
 * Servers under load, killed with SIGKILL at a random moment and restarted, again and again on one file; a new file now and then. The seed
 * makes the choices, but not the timing of the machine: the same seed finds the same bug soon, not at once.
 */
export const kills: Ordeal = async ({ seed, folder, isOver, tally }) => {
  const random = new Random(seed).next
  const builds = { shipped: resolve('dist'), crashing: crashBuild(join(folder, 'crashing')) }
  for (let file = 1; !isOver(); file++) {
    const life = new FileLife({ seed, folder: join(folder, `${file}`), random, builds, tally })
    await life.live(isOver)
  }
}

interface Given {
  readonly seed: number
  readonly folder: string
  readonly random: () => number
  readonly builds: { readonly shipped: string; readonly crashing: string }
  readonly tally: Tally
}

/** The life of one file, from its creation to the end of its last job. */
class FileLife {
  readonly #given: Given
  readonly #database: string
  readonly #settings: Partial<Settings>
  readonly #found: string[] = []
  #run = 0

  constructor(given: Given) {
    this.#given = given
    this.#database = join(given.folder, 'jobs.db')
    // Some files forget ended jobs, after times within which a kill still comes.
    const retentionMs = this.#chance(1 / 3) ? this.#between(1, 1_000) : 0
    this.#settings = { workers: this.#between(1, 20), retryBaseMs: 10, retryMaxMs: 100, retentionMs }
  }

  async live(isOver: () => boolean): Promise<void> {
    mkdirSync(this.#given.folder, { recursive: true })
    const count = this.#between(killsOfFile.least, killsOfFile.most)
    while (this.#run < count && !isOver()) {
      await this.#kill()
      if (this.#run % verifiedEvery === 0) this.#found.push(...violationsOf(this.#database))
    }
    await this.#finish()
    this.#report()
  }

  async #kill(): Promise<void> {
    const crashAt = this.#chance(crashShare) ? this.#oneOf(possibleCrashes) : undefined
    const afterMs = this.#between(killMs.least, killMs.most)
    const stopAfterMs = this.#chance(stopShare) ? this.#between(0, afterMs) : afterMs
    const victim = startVictim({
      build: crashAt ? this.#given.builds.crashing : this.#given.builds.shipped,
      database: this.#database,
      run: ++this.#run,
      settings: this.#settings,
      crashAt,
      work: { load: this.#between(0, 2 ** 31) },
    })
    await victim.serves
    await setTimeout(stopAfterMs)
    if (stopAfterMs < afterMs) victim.process.kill('SIGTERM')
    await setTimeout(afterMs - stopAfterMs)
    victim.process.kill('SIGKILL')
    const death = await victim.died
    if (death.signal === 'SIGKILL') this.#given.tally.kills++
    // A process that was told to stop may have ended.
    else if (death.code !== 0) this.#found.push(`run ${this.#run} ${describeDeath(death)}`)
    const note = crashNote(this.#database, victim.process.pid)
    if (note) this.#found.push(...checkInterrupted(this.#database, note))
  }

  /** By a process that runs the shipped code. */
  async #finish(): Promise<void> {
    const victim = startVictim({
      build: this.#given.builds.shipped,
      database: this.#database,
      run: ++this.#run,
      settings: { ...this.#settings, workers: 50 },
      work: { finish: true },
    })
    const death = await victim.died
    if (death.code !== 0) this.#found.push(`the process that was to finish ${describeDeath(death)}`)
    this.#found.push(...violationsOf(this.#database), ...checkWitness(this.#database))
  }

  /** A file without a violation is removed; another is kept for inspection. */
  #report(): void {
    const { seed, folder, tally } = this.#given
    for (const [edge, times] of edgeCounts(this.#database)) tally.edges.set(edge, (tally.edges.get(edge) ?? 0) + times)
    for (const what of this.#found.slice(0, toldMax))
      tally.violations.push(`kills, seed ${seed}, file kept as ${this.#database}: ${what}`)
    if (this.#found.length === 0) rmSync(folder, { recursive: true })
  }

  #chance(share: number): boolean {
    return this.#given.random() < share
  }

  #between(least: number, most: number): number {
    return least + Math.floor(this.#given.random() * (most - least + 1))
  }

  #oneOf(crashes: readonly CrashAt[]): CrashAt {
    return crashes[this.#between(0, crashes.length - 1)]!
  }
}

const possibleCrashes: readonly CrashAt[] = [...allCrashes().values()].flat()
