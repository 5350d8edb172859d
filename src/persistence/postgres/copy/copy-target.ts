import type pg from 'pg'
import { DatabaseUnusableError } from '../../../errors.ts'
import type { KnownRow, PlainRow, ScheduleRows, WholeJob } from '../../copy/whole-job.ts'
import type { Epoch } from '../../epoch.ts'
import type { EdgeCount, Owner } from '../../store.ts'
import { connect, pinPlansSql, type Settings } from '../connection.ts'
import { type CopyState, readDatabase } from '../database.ts'
import { failureOf } from '../failure.ts'
import { findLiveNode } from '../live-node.ts'
import { keepIdsAscending, migrate } from '../migrate.ts'
import { fencedCall } from '../node/row.ts'
import { toOpenError } from '../open-failure.ts'
import { type Columns, insertRows } from './insert-rows.ts'
import { readJobs, readRows } from './read-jobs.ts'
import { removeJobs, writeJobs, writeReports } from './write-jobs.ts'

/** How long a copy waits for a server that is away, and between two tries, in ms. */
const patienceMs = 60_000
const retryMs = 200
/** Ids of one page. */
const idsMax = 50_000
/** How long a statement that looks at all jobs may take, and how much longer its answer, in ms. */
const wholeMaxMs = 3_600_000
const answerMarginMs = 5_000

const undefinedTable = '42P01'

/** What a file says of itself, of which a database must know. */
interface Origin {
  readonly epochs: readonly Epoch[]
  readonly owner: Owner | null
  readonly wasStopping: boolean
  /** The highest ids given out. */
  readonly transitions: number
  readonly jobs: number
}

/**
 * The schema that gets the jobs of a file. Each call is one transaction, and can be made again: what it does depends on what is there. While
 * the server is away it is tried again, for a minute.
 */
export class CopyTarget {
  readonly #settings: Settings
  #client: pg.Client | null = null
  #isPatient = false
  #state: CopyState | null = null
  /** The connection that read all jobs last. */
  #comparedBy: pg.Client | null = null

  constructor(settings: Settings) {
    this.#settings = settings
  }

  /** How far the copy has come; null if all is there, and processes may start. */
  get state(): CopyState | null {
    return this.#state
  }

  /**
   * Begins the copy of a file, or finds out how far it came. Rejects with `DatabaseUnusableError` if the schema has other jobs, or if a
   * process has it open. `newDatabaseId`: for a schema that is made. `movedTo`: where a closed file says that its jobs are; no copy of it
   * begins a second time.
   */
  async begin(origin: Origin, from: string, newDatabaseId: string, movedTo: string | null = null): Promise<void> {
    const { schema } = this.#settings
    const [{ id }] = origin.epochs as readonly [Epoch]
    if (movedTo !== null && !(await this.#hasBegun(id)))
      throw unusable(
        schema,
        `of this database is not the one to which the jobs of the file moved: that is in ${movedTo}`,
      )
    await this.#patiently((client) => migrate(client, schema, newDatabaseId))
    this.#state = await this.#transact(async (client) => {
      await client.query('LOCK TABLE nodes IN SHARE ROW EXCLUSIVE MODE')
      const { epochs, copy } = await readDatabase(client)
      if (epochs[0]!.id === id && (copy || movedTo !== null)) return copy
      if (copy) throw unusable(schema, `has a part of the jobs of ${copy.from}: finish that copy, or drop the schema`)
      await assertUnused(client, schema)
      const begun: CopyState = {
        from,
        node: await addNode(client, origin),
        lastJob: 0,
        lastTransition: origin.transitions,
      }
      await setMeta(client, { database_id: id, copy: JSON.stringify(begun) })
      return begun
    })
  }

  /** Only the begin of a copy gives a schema the id of a file. */
  #hasBegun(id: string): Promise<boolean> {
    return this.#patiently(async (client) => {
      try {
        return (await readDatabase(client)).epochs[0]!.id === id
      } catch (error) {
        if (Object(error).code === undefinedTable) return false
        throw error
      }
    })
  }

  /** What is there of some jobs. */
  rows(ids: readonly number[]): Promise<Map<number, KnownRow>> {
    return this.#patiently((client) => readRows(client, ids))
  }

  /** Stores jobs, and how far that brings the copy; `known` is what `rows` gave. Returns how they are stored now. */
  async write(
    jobs: readonly WholeJob[],
    known: ReadonlyMap<number, KnownRow>,
    progress: Partial<CopyState>,
  ): Promise<Map<number, WholeJob>> {
    const ids = jobs.map(({ row }) => row.id)
    await this.#advance(progress, async (client) => {
      // What was committed before the connection broke is not written again.
      const now = await readRows(client, ids)
      const left = jobs.filter(({ row }) => now.get(row.id)?.seq === known.get(row.id)?.seq)
      await writeJobs(client, left, known, this.#state!.node)
    })
    return this.#patiently((client) => readJobs(client, ids, known))
  }

  /** Removes those of some jobs that are there, and that the file has no more. */
  remove(ids: readonly number[], progress: Partial<CopyState> = {}): Promise<void> {
    return this.#advance(progress, async (client) => {
      await removeJobs(client, [...(await readRows(client, ids)).values()], this.#state!.node)
    })
  }

  idsAfter(id: number): Promise<number[]> {
    return this.#patiently(async (client) => {
      const sql = `SELECT id FROM jobs WHERE id > $1 ORDER BY id LIMIT ${idsMax}`
      return (await client.query<{ id: number }>(sql, [id])).rows.map((row) => row.id)
    })
  }

  async count(): Promise<number> {
    return (await this.all<{ n: number }>('SELECT count(*) AS n FROM jobs'))[0]!.n
  }

  /** The rows of a statement that looks at all jobs. */
  all<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
    return this.#transact(async (client) => {
      await client.query('SET LOCAL enable_seqscan TO on')
      const { rows } = await queryWhole<Row>(client, sql)
      this.#comparedBy = client
      return rows
    })
  }

  /** How often keys were used again, of some jobs. */
  writeReplays(
    replays: readonly { readonly id: number; readonly n: number; readonly lastAt: number }[],
  ): Promise<void> {
    const columns = {
      job_id: ({ id }: (typeof replays)[number]) => id,
      n: ({ n }: (typeof replays)[number]) => n,
      last_at: ({ lastAt }: (typeof replays)[number]) => lastAt,
    }
    const isNew = 'ON CONFLICT (job_id) DO UPDATE SET n = excluded.n, last_at = excluded.last_at'
    return this.#change((client) => insertRows(client, 'key_replays', columns, replays, isNew))
  }

  /** What handlers have reported, of jobs that are there. */
  writeReports(jobs: readonly WholeJob[]): Promise<void> {
    return this.#change((client) => writeReports(client, jobs))
  }

  /** All that hold a unique key, or held one: when nobody writes the file any more. */
  writeUniqueKeys(keys: readonly PlainRow[]): Promise<void> {
    return this.#change(async (client) => {
      await client.query('DELETE FROM unique_jobs')
      await insertRows(client, 'unique_jobs', columnsOf(keys), keys)
    })
  }

  /** All schedules with their histories, in the place of those that an earlier run wrote: when nobody writes the file any more. */
  writeSchedules({ schedules, eventsAfter }: ScheduleRows): Promise<void> {
    return this.#change(async (client) => {
      // The histories name jobs that retention has removed, and what an earlier run wrote may be removed.
      for (const table of ['schedules', 'schedule_events']) {
        await client.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`)
        await client.query(`DELETE FROM ${table}`)
      }
      await insertRows(client, 'schedules', columnsOf(schedules), schedules)
      for (let events = eventsAfter(0, 0); events.length > 0; ) {
        await insertRows(client, 'schedule_events', columnsOf(events), events)
        const last = events.at(-1)!
        events = eventsAfter(last.schedule_id as number, last.seq as number)
      }
      for (const table of ['schedules', 'schedule_events'])
        await client.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`)
      await client.query(
        `SELECT setval(pg_get_serial_sequence('schedules', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM schedules), false)`,
      )
    })
  }

  /** Everything that is not a job: what was counted, which ids come next, and who had the file. No transition has an id below those to come. */
  settle(origin: Origin, counts: readonly EdgeCount[]): Promise<void> {
    return this.#change(async (client) => {
      await client.query('DELETE FROM edge_counts')
      // Of jobs that retention removed before they were copied.
      await queryWhole(client, 'DELETE FROM key_replays WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id)')
      const columns = {
        writer_id: () => 0,
        n: ({ count }: EdgeCount) => count,
        from_state: ({ from }: EdgeCount) => from,
        event: ({ event }: EdgeCount) => event,
        to_state: ({ to }: EdgeCount) => to ?? '',
      }
      await insertRows(client, 'edge_counts', columns, counts)
      await client.query(
        `SELECT setval('job_ids', greatest((SELECT last_value + 1000 FROM job_ids), ($1::bigint / 1000 + 1) * 1000 + 1), false)`,
        [origin.jobs],
      )
      await keepIdsAscending(client, origin.transitions)
      await setMeta(client, { epochs: JSON.stringify(origin.epochs.slice(1)) })
      await client.query(nodeSql, [this.#state!.node, ...ownerOf(origin), origin.wasStopping])
    })
  }

  /**
   * From now on processes may start. False if another connection compared all jobs: the server was away since, and may have lost what it
   * had committed.
   */
  async open(): Promise<boolean> {
    const isOpen = await this.#transact(async (client) => {
      const isCompared = client === this.#comparedBy
      await client.query(`DELETE FROM meta WHERE name = 'copy' AND $1`, [isCompared])
      // The answer to an earlier try may have been lost.
      return isCompared || (await readDatabase(client)).copy === null
    })
    if (isOpen) this.#state = null
    return isOpen
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => {})
  }

  async #advance(progress: Partial<CopyState>, run: (client: pg.ClientBase) => Promise<unknown>): Promise<void> {
    const next = { ...this.#state!, ...progress }
    await this.#change(async (client) => {
      await run(client)
      await setMeta(client, { copy: JSON.stringify(next) })
    })
    this.#state = next
  }

  /** Should two copies run, one after the other, and none once a copy has ended: processes may have stored other jobs since. */
  #change<Result>(run: (client: pg.ClientBase) => Promise<Result>): Promise<Result> {
    return this.#transact(async (client) => {
      const { rowCount } = await client.query(`SELECT 1 FROM meta WHERE name = 'copy' FOR UPDATE`)
      if (rowCount === 0)
        throw unusable(this.#settings.schema, 'has all the jobs of the file: another run has ended the copy')
      return run(client)
    })
  }

  #transact<Result>(run: (client: pg.Client) => Promise<Result>): Promise<Result> {
    return this.#patiently(async (client) => {
      await client.query('BEGIN')
      try {
        const result = await run(client)
        await client.query('COMMIT')
        return result
      } catch (error) {
        await client.query('ROLLBACK').catch(() => {})
        throw error
      }
    })
  }

  async #patiently<Result>(run: (client: pg.Client) => Promise<Result>): Promise<Result> {
    const giveUpAt = performance.now() + patienceMs
    for (;;) {
      try {
        return await run(await this.#connected())
      } catch (error) {
        const failure = failureOf(error)
        const isPassing = failure === 'lost' || failure === 'retry' || failure === 'refused' || failure === 'full'
        if (!this.#isPatient || !isPassing || performance.now() > giveUpAt) throw toOpenError(error)
        await new Promise((resolve) => setTimeout(resolve, retryMs))
      }
    }
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    const client = await connect(this.#settings, () => {
      this.#client = null
    })
    await client.query(pinPlansSql)
    this.#client = client
    this.#isPatient = true
    return client
  }
}

/** Those of the first row: all have the same. */
function columnsOf(rows: readonly PlainRow[]): Columns<PlainRow> {
  return Object.fromEntries(Object.keys(rows[0] ?? {}).map((name) => [name, (row: PlainRow) => row[name]!]))
}

function unusable(schema: string, fault: string): DatabaseUnusableError {
  return new DatabaseUnusableError(`the schema ${schema} ${fault}`)
}

/** A statement that looks at all jobs, in the caller's transaction. */
async function queryWhole<Row extends pg.QueryResultRow>(client: pg.ClientBase, text: string) {
  await client.query(`SET LOCAL statement_timeout TO ${wholeMaxMs}`)
  const query: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: wholeMaxMs + answerMarginMs }
  return client.query<Row>(query)
}

/** Nodes that were killed are declared dead. If one was only frozen, it can store nothing here any more. */
async function assertUnused(client: pg.ClientBase, schema: string): Promise<void> {
  const used = await findLiveNode(client)
  if (used) throw unusable(schema, `is used by ${used.heard}: stop it, or name another schema; ${used.advice}`)
  await client.query('UPDATE nodes SET ended_at = instant(NULL) WHERE ended_at IS NULL')
  // Waits for what their writers have under way.
  await client.query(`UPDATE writers SET last_call = ${fencedCall('last_call')} WHERE last_call >= 0`)
  const { rowCount } = await client.query(
    '(SELECT 1 FROM jobs LIMIT 1) UNION ALL (SELECT 1 FROM single_events LIMIT 1) UNION ALL (SELECT 1 FROM event_runs LIMIT 1)',
  )
  if (rowCount !== 0) throw unusable(schema, 'has jobs already: name another schema, or drop this one')
}

/** What the process that served the file leaves is recovered as that of any node that is gone. */
async function addNode(client: pg.ClientBase, origin: Origin): Promise<number> {
  const { rows } = await client.query<{ id: number }>(
    `INSERT INTO nodes (pid, host, started_at, serves, types, lease_ms, seen_at, ended_at)
     VALUES ($1, $2, $3, true, '{}', 1, instant(NULL), instant(NULL)) RETURNING id`,
    ownerOf(origin),
  )
  return rows[0]!.id
}

const nodeSql = `
  UPDATE nodes SET pid = $2, host = $3, started_at = $4, is_stopping = $5, seen_at = instant(NULL), ended_at = instant(NULL), ran_together = NULL
  WHERE id = $1`

function ownerOf({ owner }: Origin): [pid: number, host: string, startedAt: string] {
  return [owner?.pid ?? 0, owner?.host ?? '', owner?.startedAt ?? new Date(0).toISOString()]
}

async function setMeta(client: pg.ClientBase, values: Readonly<Record<string, string>>): Promise<void> {
  const columns = {
    name: ([name]: [string, string]) => name,
    value: ([, value]: [string, string]) => value,
  }
  const isNew = 'ON CONFLICT (name) DO UPDATE SET value = excluded.value'
  await insertRows(client, 'meta', columns, Object.entries(values), isNew)
}
