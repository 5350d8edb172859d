import { performance } from 'node:perf_hooks'
import type pg from 'pg'
import { OutcomeUnknownError, StorageFullError, UnavailableError } from '../../errors.ts'
import { timers } from '../../runtime/timers.ts'
import type { Addresses } from './addresses.ts'
import { configOf, cutLate, type Settings, setUp } from './connection.ts'
import { failureOf } from './failure.ts'

/** How long a read waits for a server that is not there, and between two tries, in ms. */
const patienceMs = 2_000
const retryMs = 20
/** How long a connection is kept that nobody uses, in ms. */
const idleMs = 30_000

/** What a statement is bound to, by name. */
export type Values = Readonly<Record<string, unknown>>

/** Runs a statement, and gives its rows. */
export type Query = <Row>(sql: string, values?: Values) => Promise<Row[]>

/** Statements with the parameters that they name, as the driver counts them. */
const counted = new Map<string, { readonly text: string; readonly names: readonly string[] }>()

function count(sql: string) {
  const names: string[] = []
  const text = sql.replace(/(?<![:\w]):([a-zA-Z_]+)/g, (_, name: string) => {
    if (!names.includes(name)) names.push(name)
    return `$${names.indexOf(name) + 1}`
  })
  return { text, names }
}

function bind(sql: string, values: Values) {
  const { text, names } = counted.get(sql) ?? count(sql)
  counted.set(sql, { text, names })
  return { text, values: names.map((name) => toParameter(values[name])) }
}

/** No id, limit or instant has a fraction: a number that is not whole equals none. */
function toParameter(value: unknown): unknown {
  return typeof value === 'number' && !Number.isSafeInteger(value) ? null : (value ?? null)
}

/** Reads, on connections of their own. */
export class Reads {
  readonly #pool: pg.Pool
  readonly #clients = new Set<pg.ClientBase>()
  readonly #addresses: Addresses
  #closed = false
  #isClosing = false

  constructor(settings: Settings, max: number) {
    const { driver, addresses } = settings
    class Client extends driver.Client {
      constructor(config: pg.ClientConfig) {
        super({ ...config, connectionString: addresses.current })
      }
    }
    const onConnect = async (client: pg.ClientBase) => {
      // A pool hears those that are idle only.
      client.on('error', () => {})
      await setUp(client, settings)
    }
    const options = {
      ...configOf(settings),
      Client: Client as never,
      max,
      min: 0,
      idleTimeoutMillis: idleMs,
      onConnect,
    }
    this.#addresses = addresses
    this.#pool = new driver.Pool(options)
    this.#pool.on('error', () => {})
    this.#pool.on('connect', (client) => this.#clients.add(client))
    this.#pool.on('remove', (client) => this.#clients.delete(client))
  }

  /** The rows of a statement whose parameters are named as in SQLite. Rejects with `UnavailableError` if the database cannot be read now. */
  async all<Row>(sql: string, values: Values = {}): Promise<Row[]> {
    const { rows } = await this.#retried(() => this.#pool.query(bind(sql, values)))
    return rows as Row[]
  }

  /** All that `read` asks, as it was at one instant; asked again from the start if its connection breaks. */
  inSnapshot<Result>(read: (query: Query) => Promise<Result>): Promise<Result> {
    return this.#retried(async () => {
      const client = await this.#pool.connect()
      const query = async <Row>(sql: string, values: Values = {}) =>
        (await client.query(bind(sql, values))).rows as Row[]
      try {
        await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY')
        const result = await read(query)
        await client.query('COMMIT')
        client.release()
        return result
      } catch (error) {
        client.release(true)
        throw error
      }
    })
  }

  /**
   * Writes in one transaction. Rejects with `UnavailableError` or `StorageFullError` if nothing was stored, and with `OutcomeUnknownError` if the
   * connection broke during the commit.
   */
  async inTransaction<Result>(write: (query: Query, client: pg.ClientBase) => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new UnavailableError('the system is stopped')
    let isCommitting = false
    let client: pg.PoolClient | undefined
    try {
      const connected = await this.#pool.connect()
      client = connected
      await client.query('BEGIN')
      const result = await write(async (sql, values = {}) => (await connected.query(bind(sql, values))).rows, connected)
      isCommitting = true
      await client.query('COMMIT')
      client.release()
      return result
    } catch (error) {
      client?.release(true)
      throw toWriteError(error, isCommitting)
    }
  }

  /** Nothing that is asked here harms if it is asked twice. */
  async #retried<Result>(ask: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new UnavailableError('the system is stopped')
    const giveUpAt = performance.now() + patienceMs
    for (;;) {
      const { current } = this.#addresses
      try {
        return await ask()
      } catch (error) {
        const failure = failureOf(error)
        const mayPass = failure === 'lost' || failure === 'refused'
        if (!mayPass || this.#isClosing || performance.now() >= giveUpAt) throw toReadError(error)
        this.#addresses.leave(current)
        await new Promise((resolve) => timers.setTimeout(resolve, retryMs))
      }
    }
  }

  async one<Row>(sql: string, values: Values = {}): Promise<Row | undefined> {
    const [row] = await this.all<Row>(sql, values)
    return row
  }

  /** From now on no read waits for a server that is not there, or does not answer. */
  stopWaiting(): void {
    this.#isClosing = true
    cutLate(this.#clients)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    cutLate(this.#clients)
    await this.#pool.end().catch(() => {})
  }
}

function toWriteError(error: unknown, isCommitting: boolean): unknown {
  const failure = failureOf(error)
  if (failure === 'lost' && isCommitting) return new OutcomeUnknownError(error as Error)
  if (failure === 'full') return new StorageFullError({ cause: error })
  if (failure === null || failure === 'given up') return error
  return new UnavailableError(`the database cannot be written: ${(error as Error).message}`, { cause: error })
}

function toReadError(error: unknown): unknown {
  const isBug = /^(22|42|P0)/.test(String((error as { code?: string }).code))
  return isBug
    ? error
    : new UnavailableError(`the database cannot be read: ${(error as Error).message}`, { cause: error })
}
