import { performance } from 'node:perf_hooks'
import type pg from 'pg'
import { OutcomeUnknownError, UnavailableError } from '../../../errors.ts'
import { timers } from '../../../runtime/timers.ts'
import { toLeased } from '../../leased-facts.ts'
import type { LeasedJob } from '../../store.ts'
import { connect, cutLate, pinPlansSql, type Settings, writerLocksSql } from '../connection.ts'
import { eventsAfter } from '../event-runs.ts'
import { failureOf } from '../failure.ts'
import { leasedJobsSql, stepSql } from '../functions.ts'
import type { Health } from '../health.ts'
import { fencedCall } from '../node/row.ts'
import { type Done, type Step, type StepRow, stepValues } from './step.ts'

/** Between two tries, in ms: of what the server rolled back because of others, and to connect. */
const retryMs = 5
/** Tries of a transaction that others are in the way of. */
const triesMax = 50
const reconnectMs = { first: 20, most: 1_000 }
/** How long what has not been sent yet waits for a server that is not there, in ms. */
const patienceMs = 2_000

/** What a step did, and the jobs that it leased. */
interface Answer {
  readonly done: Done
  readonly jobs: readonly LeasedJob[]
}

/** Whose writers these are. */
export interface WriterNode {
  readonly id: number
  readonly claimCause: string
  /** The instant that a test's clock shows; null: the server's clock counts. */
  now(): number | null
}

/**
 * A connection that writes, one transaction after the other. Each has a number, which the transaction writes down first of all. So when a
 * connection breaks before the answer has come, the number tells whether it was committed, and takes the place of one that was not: that
 * can then never be committed.
 */
export class Writer {
  readonly #settings: Settings
  readonly #health: Health
  readonly #node: () => WriterNode
  #client: pg.Client | null = null
  /** In the database, and of which node it is. */
  #id = 0
  #nodeId = 0
  #calls = 0
  #closed = false
  /** Since when it cannot connect, monotonic ms. */
  #lostAt: number | null = null
  /** The answer to its last step was lost, and it does not know yet what became of it. */
  isLookingBack = false

  constructor(settings: Settings, health: Health, node: () => WriterNode) {
    this.#settings = settings
    this.#health = health
    this.#node = node
  }

  /** The connection, before anything is written: the schema may be missing, and the node. */
  async connect(): Promise<pg.Client> {
    const client: pg.Client = await connect(this.#settings, () => {
      if (this.#client === client) this.#client = null
    })
    try {
      await client.query(pinPlansSql)
      await client.query(writerLocksSql)
    } catch (error) {
      client.end().catch(() => {})
      throw error
    }
    this.#client = client
    return client
  }

  /** Resolves when it is ready to write. */
  async open(): Promise<void> {
    await this.#ofNode(this.#client ?? (await this.connect()))
  }

  /**
   * Commits a step, whatever becomes of the connection meanwhile. Rejects with `UnavailableError` if the server has been away for a while and
   * the step was not sent, else with the driver's error if the server refused it: nothing of it is stored.
   */
  async run(step: Step): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      const client = await this.#connected(patienceMs, (client) => this.#ofNode(client))
      const { current, count } = this.#settings.addresses
      try {
        const answer = await this.#send(client, step)
        this.#health.committed(answer.done.events > 0)
        return answer
      } catch (error) {
        const failure = failureOf(error)
        if (failure === 'lost') {
          this.#drop(client, error as Error)
          const answer = await this.#lookBack(step)
          if (answer) return answer
        } else if (failure === 'refused' && tries < count) {
          this.#settings.addresses.leave(current)
          this.#drop(client, error as Error)
        } else if (failure === 'retry' && tries < triesMax) await sleep(retryMs)
        else {
          // Nothing of this step is stored, and none that this writer sends ever will be.
          if (failure === 'given up' || failure === 'moved') this.#nodeId = 0
          throw error
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const client = this.#client
    this.#client = null
    if (!client) return
    const left = new Set([client])
    cutLate(left)
    await client.end().catch(() => {})
    left.clear()
  }

  async #send(client: pg.Client, step: Step): Promise<Answer> {
    const node = this.#node()
    const own = {
      given: node.now(),
      node: this.#nodeId,
      claim_cause: node.claimCause,
      writer: this.#id,
      call: this.#calls + 1,
    }
    const values = stepValues(step, own)
    const { rows } = await client.query<StepRow[]>({ name: 'step', text: stepSql, values, rowMode: 'array' } as never)
    this.#calls++
    const jobs = rows as unknown as StepRow[]
    const facts = jobs.pop()!.at(-1) as string
    return { done: JSON.parse(facts), jobs: jobs.map(toJob) }
  }

  /**
   * After a broken connection: what the last step did, if it was committed. Undefined: it was not, and never will be. The server may still
   * work on it, and hold the row of its number: whatever goes wrong here, the answer is not known yet.
   */
  async #lookBack(step: Step): Promise<Answer | undefined> {
    this.isLookingBack = true
    try {
      return await this.#connected(Number.POSITIVE_INFINITY, (client) => this.#ask(client, step))
    } catch (error) {
      // Its next number may be taken.
      this.#nodeId = 0
      throw error instanceof OutcomeUnknownError ? error : new OutcomeUnknownError(error as Error)
    } finally {
      this.isLookingBack = false
    }
  }

  /** It asks as the writer that sent the step, though its node may have come back under another id meanwhile. */
  async #ask(client: pg.Client, step: Step): Promise<Answer | undefined> {
    const call = this.#calls + 1
    // Without a first event: so that it is told from the step's own number, should this answer be lost too.
    await client.query(takeNumberSql, [this.#id, call])
    const { rows } = await client.query<{ firstEvent: number | null }>(firstEventSql, [this.#id, call])
    if (!rows[0]) throw new OutcomeUnknownError(new Error('this node was declared dead long ago'))
    const { firstEvent } = rows[0]
    const answer = firstEvent === null ? undefined : await this.#remember(client, step, firstEvent)
    this.#calls = call
    return answer
  }

  /** What a transaction did, from the events that it wrote. */
  async #remember(client: pg.Client, step: Step, first: number): Promise<Answer> {
    const { rows } = await client.query<{ jobId: number; event: string; at: number }>(
      `SELECT job_id AS "jobId", event, at FROM ${eventsAfter('$1::bigint', '$1::bigint + 4096', '4096')} ORDER BY id`,
      [first],
    )
    const took = new Set(rows.map(({ jobId, event }) => `${event} ${jobId}`))
    const named = new Set(
      step.changes.flatMap(({ event, jobs }) =>
        event === 'claim' || event === 'lease' ? jobs.map(({ id }) => id) : [],
      ),
    )
    const claimed = rows.filter(({ event, jobId }) => event === 'lease' && !named.has(jobId)).map(({ jobId }) => jobId)
    const jobs = await client.query({
      text: leasedJobsSql,
      values: [claimed, this.#nodeId],
      rowMode: 'array',
    })
    const moved = step.changes.map(({ event, jobs, requeue }) => {
      // An amend that requeues has nothing else to change sometimes.
      const taken = event === 'claim' ? 'lease' : requeue ? 'requeue' : event
      const ids = jobs.flatMap(({ id }) => (took.has(`${taken} ${id}`) ? [id] : []))
      return ids.length === jobs.length ? null : ids
    })
    const now = rows[0]?.at ?? 0
    const { served } = step.claim
    const lastEvent = first + 4_095
    const done = {
      now,
      lastEvent,
      events: rows.length,
      moved,
      served,
      bounds: null,
      aside: null,
      met: false,
      blocks: null,
    }
    return { done, jobs: (jobs.rows as unknown as StepRow[]).map(toJob) }
  }

  #drop(client: pg.Client | null, error: Error): void {
    this.#lostAt ??= performance.now()
    this.#health.disconnected(this, error.message)
    if (this.#client === client) this.#client = null
    client?.end().catch(() => {})
  }

  /** Tries until it is connected, and until `use` has done its part; if patience has no end, whatever goes wrong there. */
  async #connected<Result>(patience: number, use: (client: pg.Client) => Promise<Result>): Promise<Result> {
    for (let wait = reconnectMs.first; ; wait = Math.min(2 * wait, reconnectMs.most)) {
      if (this.#closed) throw new UnavailableError('the system is stopped')
      const { current } = this.#settings.addresses
      let client = this.#client
      try {
        client ??= await this.connect()
        const result = await use(client)
        this.#lostAt = null
        this.#health.connected(this)
        return result
      } catch (error) {
        const failure = failureOf(error)
        const isAway = failure === 'lost' || failure === 'refused'
        if (error instanceof OutcomeUnknownError || (!isAway && patience < Number.POSITIVE_INFINITY)) throw error
        if (isAway) {
          if (client && failure === 'refused') this.#settings.addresses.leave(current)
          this.#drop(client, error as Error)
          const { message } = error as Error
          if (performance.now() - this.#lostAt! >= patience)
            throw new UnavailableError(`the database cannot be reached: ${message}`, { cause: error })
        }
        await sleep(wait)
      }
    }
  }

  /** A node that comes back under another id has other writers. */
  async #ofNode(client: pg.Client): Promise<pg.Client> {
    const { id } = this.#node()
    if (id === this.#nodeId) return client
    const { rows } = await client.query<{ id: number }>(addWriterSql, [id])
    if (!rows[0]) throw Object.assign(new Error('this node was declared dead'), { code: 'JM001' })
    this.#id = rows[0].id
    this.#nodeId = id
    this.#calls = 0
    return client
  }
}

const takeNumberSql = 'UPDATE writers SET last_call = $2, first_event_id = NULL WHERE id = $1 AND last_call = $2 - 1'
/** Of a call that was committed last, also by a writer that has been fenced. */
const firstEventSql = `
  SELECT CASE WHEN last_call IN ($2::bigint, ${fencedCall('$2::bigint')}) THEN first_event_id END AS "firstEvent" FROM writers WHERE id = $1`
/** A node that was declared dead may have been forgotten: nobody would take what its writers lease. */
const addWriterSql = `
  INSERT INTO writers (node_id) SELECT id FROM nodes WHERE id = $1 AND ended_at IS NULL FOR SHARE RETURNING id`

function toJob(row: StepRow): LeasedJob {
  return toLeased(row, row[8], row[9])
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => timers.setTimeout(resolve, ms))
}
