import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, closeSync, openSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { UnavailableError } from '../../src/errors.ts'
import { createJobSystem } from '../../src/index.ts'
import { Random } from '../torture/random.ts'
import { checkWitness, type Line, linesOf } from './witness.ts'

const nodeCount = 4
const leaseMs = 3_000
/** How often a node is killed. */
const killEachMs = 1_000
/** How long a node is frozen: longer than its lease. */
const frozenMs = leaseMs * 1.5
/** How often the server is stopped at once, and how long it is away at most: longer than a lease. */
const stopServerEachMs = 10_000
const serverAwayMs = leaseMs * 1.5
/** Clients that enqueue; they wait while more jobs than that are unfinished. */
const laneCount = 10
const unfinishedMax = 1_500
/** How long the jobs that are left may need in the end. */
const drainMs = 60_000
const schema = 'jobs'

/** A server of PostgreSQL that can be stopped at once. */
export interface Server {
  readonly address: string
  start(): void | Promise<void>
  stop(): void | Promise<void>
}

export interface ClusterOptions {
  readonly lengthMs: number
  readonly seed: number
  readonly folder: string
  /** The built code that the nodes run. */
  readonly build: string
  readonly server: Server
  readonly say: (line: string) => void
}

export interface ClusterReport {
  readonly violations: readonly string[]
  readonly acknowledged: number
  readonly starts: number
  readonly kills: number
  readonly freezes: number
  readonly serverStops: number
  /** Transitions that jobs made together, in one row. */
  readonly shared: number
}

/** Nodes under load, of which one after the other is killed or frozen, on a server that is stopped again and again. */
export async function cluster(options: ClusterOptions): Promise<ClusterReport> {
  return new Cluster(options).run()
}

interface Node {
  readonly process: ChildProcess
  readonly ended: Promise<unknown>
  isFrozen: boolean
}

class Cluster {
  readonly #options: ClusterOptions
  readonly #random: Random
  readonly #file: string
  readonly #witness: number
  readonly #nodes: Node[] = []
  readonly #ids: number[] = []
  readonly #violations: string[] = []
  #counts = { kills: 0, freezes: 0, serverStops: 0, acknowledged: 0 }
  #isOver = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#file = join(options.folder, 'witness')
    this.#witness = openSync(this.#file, 'a')
  }

  async run(): Promise<ClusterReport> {
    const { server, lengthMs, say } = this.#options
    const postgres = { connectionString: server.address, schema }
    const client = await createJobSystem({ postgres, maxQueueDepth: 100_000 })
    await client.start()
    const tail = new Tail(client)
    for (let n = 0; n < nodeCount; n++) this.#nodes.push(this.#startNode())
    const lanes = Array.from({ length: laneCount }, (_, lane) => this.#enqueue(client, lane))
    const begun = performance.now()
    const reporter = setInterval(
      () =>
        say(
          `${Math.round((performance.now() - begun) / 1_000)} s: ${this.#inWords()}, ${tail.size.toLocaleString('en')} transitions read`,
        ),
      Math.min(30_000, lengthMs / 3),
    )
    const faults = [this.#killNodes(), this.#freezeNodes(), this.#stopServer()]
    await setTimeout(lengthMs)
    this.#isOver = true
    await Promise.all([...lanes, ...faults])

    await this.#drain(client)
    clearInterval(reporter)
    for (const node of this.#nodes) node.process.kill('SIGTERM')
    await Promise.all(this.#nodes.map(({ ended }) => ended))
    for (const { process } of this.#nodes)
      if (process.exitCode !== 0) this.#violations.push(`a node ended with ${process.signalCode ?? process.exitCode}`)
    this.#violations.push(...(await tail.end()))
    const { violations } = await client.verify()
    this.#violations.push(...violations.map((violation) => JSON.stringify(violation)))
    await client.stop()

    closeSync(this.#witness)
    const lines = linesOf(this.#file)
    const reader = new pg.Client({ connectionString: server.address })
    await reader.connect()
    this.#violations.push(...(await checkWitness(reader, schema, lines)), ...(await tail.compare(reader)))
    const shared = await reader.query(
      `SELECT coalesce(sum(cardinality(job_ids)), 0)::int AS n FROM ${schema}.event_runs`,
    )
    await reader.end()
    return {
      ...this.#counts,
      shared: shared.rows[0].n,
      starts: lines.filter(({ what }) => what === 'start').length,
      violations: this.#violations,
    }
  }

  #inWords(): string {
    const { acknowledged, kills, freezes, serverStops } = this.#counts
    return `${acknowledged.toLocaleString('en')} acknowledged, ${kills} nodes killed, ${freezes} frozen, ${serverStops} stops of the server`
  }

  #startNode(): Node {
    const { build, server } = this.#options
    const args = [build, server.address, schema, String(leaseMs), this.#file]
    const process = spawn(globalThis.process.execPath, [resolve('test/cluster/node.mjs'), ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    process.stderr!.on('data', (text) => appendFileSync(join(this.#options.folder, 'stderr'), text))
    return { process, ended: once(process, 'close'), isFrozen: false }
  }

  #note(line: Line): void {
    writeSync(this.#witness, `\n${JSON.stringify(line)}`)
  }

  async #enqueue(client: Client, lane: number): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const jobs = Array.from({ length: this.#random.int(1, 60) }, (_, i) => this.#newJob(`${lane} ${n} ${i}`))
      const stored = await this.#patiently(() => client.enqueue(jobs))
      const pairs = stored.map(({ id }, i) => [id, jobs[i]!.idempotencyKey] as const)
      this.#note({ what: 'acknowledged', jobs: pairs })
      this.#counts.acknowledged += pairs.length
      this.#ids.push(...pairs.map(([id]) => id))
      if (this.#random.chance(0.1)) await this.#cancelOne(client)
      while (!this.#isOver && (await this.#unfinished(client)) > unfinishedMax) await setTimeout(200)
    }
  }

  #newJob(idempotencyKey: string) {
    const ends = this.#random.weighted({ well: 90, late: 5, dead: 2, snoozed: 3 })
    const ms = this.#random.weighted({ '0': 50, '5': 40, '300': 10 })
    const payload = { ms: Number(ms), ends, hasChild: this.#random.chance(0.1) }
    const delay = this.#random.chance(0.1) ? { delayMs: 500 } : {}
    return { type: 'work', payload, idempotencyKey, queue: `queue-${this.#random.int(1, 3)}`, ...delay }
  }

  async #cancelOne(client: Client): Promise<void> {
    const id = this.#random.pick(this.#ids.slice(-100))
    const isCancelled = await client.cancel(id).then(
      () => true,
      () => false,
    )
    if (isCancelled) this.#note({ what: 'cancelled', id })
  }

  /** Again while the server is away: the keys make that safe. */
  async #patiently<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error
        await setTimeout(50)
      }
    }
  }

  async #unfinished(client: Client): Promise<number> {
    const {
      succeeded: _succeeded,
      dead: _dead,
      cancelled: _cancelled,
      ...others
    } = await this.#patiently(() => client.counts())
    return Object.values(others).reduce((sum, n) => sum + n, 0)
  }

  async #drain(client: Client): Promise<void> {
    const until = performance.now() + drainMs
    while ((await this.#unfinished(client)) > 0) {
      if (performance.now() > until) return void this.#violations.push('not everything ended', ...(await this.#stuck()))
      await setTimeout(100)
    }
  }

  /** What the database says of it. */
  async #stuck(): Promise<string[]> {
    const reader = new pg.Client({ connectionString: this.#options.server.address })
    await reader.connect()
    const found = await Promise.all(
      [
        'SELECT pid, state, wait_event, xact_start, left(query, 200) AS query FROM pg_stat_activity WHERE datname = current_database()',
        `SELECT * FROM ${schema}.nodes WHERE ended_at IS NULL`,
        `SELECT state, count(*), min(run_at - extract(epoch FROM clock_timestamp()) * 1000) AS due_in FROM ${schema}.jobs WHERE finished_at IS NULL GROUP BY state`,
      ].map((sql) => reader.query(sql)),
    )
    await reader.end()
    return found.flatMap(({ rows }) => rows.map((row) => JSON.stringify(row)))
  }

  async #killNodes(): Promise<void> {
    while (!this.#isOver) {
      await setTimeout(killEachMs)
      const at = this.#nodes.indexOf(this.#random.pick(this.#nodes.filter(({ isFrozen }) => !isFrozen)))
      this.#nodes[at]!.process.kill('SIGKILL')
      await this.#nodes[at]!.ended
      this.#nodes[at] = this.#startNode()
      this.#counts.kills++
    }
  }

  async #freezeNodes(): Promise<void> {
    while (!this.#isOver) {
      const node = this.#random.pick(this.#nodes)
      node.isFrozen = true
      node.process.kill('SIGSTOP')
      await setTimeout(frozenMs)
      node.process.kill('SIGCONT')
      this.#counts.freezes++
      await setTimeout(this.#random.int(0, 1_000))
      node.isFrozen = false
    }
  }

  async #stopServer(): Promise<void> {
    const { server } = this.#options
    while (!this.#isOver) {
      await setTimeout(Math.min(stopServerEachMs, this.#options.lengthMs))
      await server.stop()
      await setTimeout(this.#random.int(0, serverAwayMs))
      await server.start()
      this.#counts.serverStops++
    }
  }
}

type Client = Awaited<ReturnType<typeof createJobSystem>>

/** Reads all transitions as they come, with one cursor, whatever happens. */
class Tail {
  readonly #client: Client
  readonly #newest = new Map<number, number>()
  readonly #violations: string[] = []
  readonly #reading: Promise<void>
  #after = 0
  #isOver = false
  size = 0

  constructor(client: Client) {
    this.#client = client
    this.#reading = this.#read()
  }

  /** After the last transition of all: until it has read everything. */
  async end(): Promise<string[]> {
    this.#isOver = true
    await this.#reading
    return this.#violations
  }

  async compare(reader: pg.Client): Promise<string[]> {
    const { rows } = await reader.query(`SELECT count(*)::int AS n FROM ${schema}.job_events`)
    return rows[0].n === this.size ? [] : [`there are ${rows[0].n} transitions, and a reader saw ${this.size}`]
  }

  async #read(): Promise<void> {
    for (;;) {
      const isLast = this.#isOver
      const page = await this.#client.transitions({ after: this.#after, limit: 1_000 }).catch((error) => {
        if (error instanceof UnavailableError) return null
        throw error
      })
      if (page) {
        for (const { jobId, seq } of page.transitions) this.#see(jobId, seq)
        this.#after = page.last
        if (isLast && page.transitions.length === 0) return
      }
      if (!page || page.transitions.length < 1_000) await setTimeout(50)
    }
  }

  #see(jobId: number, seq: number): void {
    const before = this.#newest.get(jobId) ?? 0
    if (seq !== before + 1) this.#violations.push(`a reader saw transition ${seq} of job ${jobId} after ${before}`)
    this.#newest.set(jobId, seq)
    this.size++
  }
}
