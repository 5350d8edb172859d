import { mkdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { violationsOf } from '../crash/points.ts'
import { describeDeath, startVictim, type Victim } from '../crash/points-victim.ts'
import { checkWitness } from '../crash/points-witness.ts'
import { Random } from '../torture/random.ts'
import { Clients } from './clients.ts'
import { figureNames, figures, inTable, inUnit, retentionCosts, Samples, type Trend } from './figures.ts'
import { Witness } from './witness.ts'

/** How long ended jobs are kept, in ms; less in a short run. */
const retentionMs = 120_000
/** The server is ended again and again in the first part of a run, so that the second half measures one process. */
const endingShare = 0.3
/** Ms between two ends; less in a short run. */
const endEachMs = 45_000
/** How long a new server may need for the jobs that arrived while there was none, in ms. */
const settleMs = 10_000
const sampleEachMs = 1_000
const producedEachMs = 100
const megabyte = 1_048_576

export interface SoakOptions {
  readonly lengthMs: number
  readonly seed: number
  readonly folder: string
  readonly say: (line: string) => void
}

/** The p99 from enqueue to start, in ms: before anything was old enough to be removed, and while jobs are being removed. */
export interface RetentionCost {
  readonly without: number
  readonly beside: number
  readonly isCheap: boolean
}

export interface Soaked {
  readonly violations: readonly string[]
  readonly trends: readonly Trend[]
  readonly retention: RetentionCost
  readonly ends: { sigterm: number; sigkill: number }
  readonly acknowledged: number
  readonly starts: number
}

/** A server under a load of every kind, ended and started again, then watched; in the end everything that was seen is compared. */
export async function soak(options: SoakOptions): Promise<Soaked> {
  mkdirSync(options.folder, { recursive: true })
  return new Soak(options).run()
}

class Soak {
  readonly #options: SoakOptions
  readonly #database: string
  readonly #retentionMs: number
  readonly #samples: Samples
  readonly #witness: Witness
  readonly #violations: string[] = []
  readonly #ends = { sigterm: 0, sigkill: 0 }
  readonly #beganAt = performance.now()
  #server: Victim | undefined
  #url = ''
  #runs = 0
  #watchedSince = 0

  constructor(options: SoakOptions) {
    this.#options = options
    this.#database = join(options.folder, 'jobs.db')
    this.#retentionMs = Math.min(retentionMs, options.lengthMs / 5)
    this.#samples = new Samples(options.lengthMs)
    this.#witness = new Witness(this.#database)
  }

  async run(): Promise<Soaked> {
    const { seed, lengthMs, say } = this.#options
    await this.#start()
    const producer = this.#spawn({ produce: producedEachMs })
    const clients = new Clients({
      url: () => this.#url,
      random: new Random(seed),
      witness: this.#witness,
      onSmallPost: (ms) => {
        this.#samples.add('postMedian', this.#nowMs, ms)
        this.#samples.add('postWorst', this.#nowMs, ms)
      },
    })
    await Promise.all([this.#endAgainAndAgain(), this.#watch()])

    // Everything is acknowledged that will be; then one more end during work, and another process that finishes it.
    await clients.stop()
    producer.process.kill('SIGTERM')
    this.#mustEndWell('the producer', await producer.died)
    await this.#end('SIGKILL')
    await this.#finish()

    this.#violations.push(...clients.unexpected)
    const { acknowledgedCount, startCount, refusedCount } = this.#witness
    const answers = [...clients.answers].map(([status, count]) => `${status}: ${count.toLocaleString('en')}`).sort()
    say(
      `answers ${answers.join(', ')}; ${clients.failed} requests without one; ${refusedCount} of the producer refused`,
    )
    const trends = figureNames.map((name) => this.#samples.trend(name))
    const retention = this.#retentionCost(lengthMs)
    say(inTable(trends))
    say(
      `start p99 before anything is removed ${inUnit(retention.without, 'ms')}, beside retention ${inUnit(retention.beside, 'ms')}: ${retention.isCheap ? 'within' : 'MORE THAN'} ${retentionCosts.times} times`,
    )
    this.#witness.close()
    return {
      violations: this.#violations,
      trends,
      retention,
      ends: this.#ends,
      acknowledged: acknowledgedCount,
      starts: startCount,
    }
  }

  get #nowMs(): number {
    return performance.now() - this.#beganAt
  }

  #spawn(work: Parameters<typeof startVictim>[0]['work'], retentionMs = this.#retentionMs): Victim {
    return startVictim({
      build: resolve('dist'),
      database: this.#database,
      run: ++this.#runs,
      settings: { workers: 10, retryBaseMs: 200, retryMaxMs: 2_000, retentionMs },
      lifeMs: this.#options.lengthMs * 2 + 600_000,
      work,
    })
  }

  async #start(): Promise<void> {
    this.#server = this.#spawn({ serve: true })
    const url = await this.#server.serves
    if (typeof url !== 'string') throw new Error(`the server ${describeDeath(await this.#server.died)}`)
    this.#url = url
  }

  /** SIGTERM and SIGKILL in turn. */
  async #endAgainAndAgain(): Promise<void> {
    const partMs = this.#options.lengthMs * endingShare
    const each = Math.min(endEachMs, partMs / 2)
    for (let n = 1; n * each <= partMs; n++) {
      await setTimeout(Math.max(0, n * each - this.#nowMs))
      await this.#end(n % 2 === 1 ? 'SIGTERM' : 'SIGKILL')
      await this.#start()
    }
    this.#watchedSince = this.#nowMs
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { process: child, died } = this.#server!
    child.kill(signal)
    const death = await died
    if (signal === 'SIGTERM') this.#mustEndWell(`the server told to end`, death)
    else if (death.signal !== 'SIGKILL')
      this.#violations.push(`the server ${describeDeath(death)} before it was killed`)
    this.#ends[signal === 'SIGTERM' ? 'sigterm' : 'sigkill']++
  }

  #mustEndWell(who: string, death: Awaited<Victim['died']>): void {
    if (death.code !== 0) this.#violations.push(`${who} ${describeDeath(death)}`)
  }

  /** Removes nothing, so that there is more to compare. */
  async #finish(): Promise<void> {
    this.#mustEndWell('the process that was to finish', await this.#spawn({ finish: true }, 0).died)
    this.#witness.readOn()
    this.#violations.push(...violationsOf(this.#database), ...checkWitness(this.#database))
  }

  /** Takes samples, and reports them each minute. */
  async #watch(): Promise<void> {
    const { lengthMs, say } = this.#options
    const tellEachMs = Math.min(60_000, lengthMs / 5)
    let toldAt = 0
    for (let n = 1; this.#nowMs < lengthMs; n++) {
      await setTimeout(Math.max(0, Math.min(n * sampleEachMs, lengthMs) - this.#nowMs))
      await this.#sample()
      if (this.#nowMs - toldAt < tellEachMs) continue
      const values = figureNames.map((name) => {
        const { name: label, unit } = figures[name]
        return `${label} ${inUnit(this.#samples.between(name, toldAt, this.#nowMs), unit)}`
      })
      say(`${Math.round(this.#nowMs / 1_000)} s: ${values.join(', ')}`)
      toldAt = this.#nowMs
    }
  }

  async #sample(): Promise<void> {
    const now = this.#nowMs
    for (const ms of this.#witness.readOn()) {
      this.#samples.add('startMedian', now, ms)
      this.#samples.add('startWorst', now, ms)
    }
    const sizeOf = (suffix: string) => statSync(`${this.#database}${suffix}`, { throwIfNoEntry: false })?.size ?? 0
    this.#samples.add('log', now, sizeOf('-wal') / megabyte)
    this.#samples.add('database', now, sizeOf('') / megabyte)
    // Between two processes there is none.
    const text = await fetch(`${this.#url}/metrics/prometheus`).then(
      (response) => response.text(),
      () => '',
    )
    const metric = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
    const read = [
      ['rss', metric('process_resident_memory_bytes') / megabyte],
      ['heap', metric('nodejs_heap_size_used_bytes') / megabyte],
      ['descriptors', metric('process_open_fds')],
    ] as const
    for (const [name, value] of read) if (!Number.isNaN(value)) this.#samples.add(name, now, value)
  }

  /** Nothing is removed before the clock of a new process has been steady for as long as jobs are kept. */
  #retentionCost(lengthMs: number): RetentionCost {
    const removesFrom = this.#watchedSince + this.#retentionMs
    const without = this.#samples.between(
      'startWorst',
      this.#watchedSince + Math.min(settleMs, this.#retentionMs / 2),
      removesFrom,
    )
    const beside = this.#samples.between('startWorst', Math.max(removesFrom, lengthMs / 2), lengthMs)
    const isCheap = beside <= Math.max(without * retentionCosts.times, retentionCosts.leastMs)
    return { without, beside, isCheap }
  }
}
