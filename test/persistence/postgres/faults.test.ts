import { execFileSync } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import type { StoreEvent } from '../../../src/persistence/store.ts'
import { aConnection, openPostgres } from '../../support/postgres.ts'
import { ownServer, postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { mountSmall } from '../../support/small-disk.ts'
import { aJob } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { cleanUp, tempFolder, whenDone } from '../../support/temp.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

/** Connections of a store that writes by one of them, and reads by one. */
const oneWriter = 3

/** Another user's session. */
async function aSession(address: string | null = null, application = 'stranger'): Promise<pg.Client> {
  return aConnection({ application_name: application, ...(address !== null && { connectionString: address }) })
}

async function pidOf(client: pg.Client): Promise<number> {
  return (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
}

/** The backends of all stores on a server. */
async function ofStores(admin: pg.Client): Promise<{ readonly pid: number }[]> {
  return (await admin.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'jobmachine'")).rows
}

/** Stops backends of the server; returns what lets them go on. They do at the end too, or nothing could end the server. */
function freeze(backends: readonly { readonly pid: number }[]): () => void {
  let isFrozen = true
  for (const { pid } of backends) process.kill(pid, 'SIGSTOP')
  const goOn = () => {
    if (isFrozen) for (const { pid } of backends) process.kill(pid, 'SIGCONT')
    isFrozen = false
  }
  whenDone(goOn)
  return goOn
}

/** The last notice says that commits succeed again. */
function isOver(notice: StoreEvent | undefined): boolean {
  return (notice?.type === 'warning' && notice.message === null) || (notice?.type === 'health' && notice.error === null)
}

afterAll(cleanUp)

/** Concurrent, because most of the time they wait. */
shareOfEachGroup(3)

describe.skipIf(postgresMissing).concurrent('a store on PostgreSQL', () => {
  test('stores what it can while a stranger holds a lock on one job, says who does, and stores the rest afterwards', async () => {
    const { store, path, notices } = await openPostgres()
    await store.enqueue([aJob(), aJob(), aJob()])
    const jobs = await store.lease({ limit: 3, wait: false, start: true })
    const stranger = await aSession()
    await stranger.query(`BEGIN; SELECT * FROM ${path}.jobs WHERE id = ${jobs[1]!.id} FOR UPDATE`)

    const applied = store.apply(jobs.map((job) => ({ ...leaseOf(job), event: 'succeed' as const })))
    await until(() => notices.some((notice) => notice.type === 'warning' && notice.message?.includes('lock timeout')))
    const states = await Promise.all(jobs.map(async ({ id }) => (await store.find(id))?.state))
    const others = await store.enqueue([aJob()])
    await stranger.query('COMMIT')

    expect(states).toEqual(['succeeded', 'running', 'succeeded'])
    expect(others).toMatchObject({ outcome: 'stored' })
    const [told] = notices.flatMap((notice) => (notice.type === 'warning' && notice.message ? [notice.message] : []))
    expect(told).toContain(`a transaction of session ${await pidOf(stranger)} (stranger, user postgres, since `)
    expect(await applied).toEqual([])
    await until(() => isOver(notices.at(-1)))
    expect((await store.verify()).violations).toEqual([])
  })

  test('stores in halves what takes too long together, and refuses a call that takes too long alone', async () => {
    const { store, path, notices } = await openPostgres()
    const admin = await aSession()
    await store.enqueue(Array.from({ length: 8 }, () => aJob()))
    const jobs = await store.lease({ limit: 8, wait: false, start: true })
    // As the server says it of a statement that exceeds its time.
    await admin.query(`
      CREATE FUNCTION ${path}.too_long() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF (SELECT count(*) FROM rows) > 2 THEN RAISE EXCEPTION USING ERRCODE = '57014', MESSAGE = 'canceling statement due to statement timeout'; END IF;
        RETURN NULL;
      END
      $$;
      CREATE TRIGGER too_long AFTER INSERT ON ${path}.single_events REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION ${path}.too_long()`)

    const refused = await Promise.all([
      store.apply(jobs.slice(0, 5).map((job) => ({ ...leaseOf(job), event: 'succeed' as const }))),
      store.apply(jobs.slice(5).map((job) => ({ ...leaseOf(job), event: 'fail' as const, delayMs: 1 }))),
    ])
    const small = await Promise.all([store.enqueue([aJob()]), store.enqueue([aJob(), aJob()])])
    const large = await store.enqueue([aJob(), aJob(), aJob()]).catch((error) => error)
    const cancelled = await store.command('cancel', small.flatMap(ids))

    expect(refused).toEqual([[], []])
    expect(small).toMatchObject([{ outcome: 'stored' }, { outcome: 'stored' }])
    expect(large).toMatchObject({ code: 'unavailable', message: expect.stringContaining('fewer jobs at once') })
    expect(cancelled).toEqual(small.flatMap(ids))
    expect((await store.verify()).jobs).toBe(11)
    expect(notices.filter(({ type }) => type === 'fatal')).toEqual([])
  })

  test('may have changed some jobs of a command that it refuses, each whole, and changes the rest the next time', async () => {
    const { store, path } = await openPostgres()
    const stranger = await aSession()
    const [free, locked] = ids(await store.enqueue([aJob(), aJob()]))
    await stranger.query('BEGIN')
    await stranger.query(`SELECT 1 FROM ${path}.jobs WHERE id = $1 FOR UPDATE`, [locked])

    const refused = await store.command('cancel', [free!, locked!]).catch((error) => error)
    const states = await Promise.all([free!, locked!].map(async (id) => (await store.find(id))!.state))
    await stranger.query('ROLLBACK')

    expect(refused).toMatchObject({ code: 'unavailable', message: expect.stringContaining('has locked the job') })
    expect(states).toEqual(['cancelled', 'queued'])
    expect(await store.command('cancel', [free!, locked!])).toEqual([locked])
    expect((await store.verify()).violations).toEqual([])
  })

  test('refuses new jobs while the disk is full, keeps outcomes, and goes on when there is room', async (context) => {
    const server = ownServer()
    const folder = mountSmall(`${tempFolder()}/small`)
    if (folder === null) return context.skip('no file system can be mounted here')
    if (process.getuid?.() === 0) execFileSync('chown', ['postgres', folder])
    execFileSync('chmod', ['700', folder])
    execFileSync('chmod', ['711', `${folder}/..`])
    const { store, path, notices } = await openPostgres({ connectionString: server.address })
    const admin = await aSession(server.address)
    await store.enqueue([aJob()])
    const [job] = await store.lease({ limit: 1, wait: false, start: true })
    await admin.query(`CREATE TABLESPACE small LOCATION '${folder}'`)
    await admin.query(`ALTER TABLE ${path}.job_payloads SET TABLESPACE small`)
    await admin.query(`ALTER TABLE ${path}.single_events SET TABLESPACE small`)
    await admin.query(`CREATE TABLE ballast (filler text) TABLESPACE small`)
    let full: { code?: string } = {}
    while (full.code === undefined)
      await admin
        .query(`INSERT INTO ballast SELECT repeat(md5(random()::text), 60) FROM generate_series(1, 4)`)
        .catch((error) => (full = error))

    const big = JSON.stringify('x'.repeat(1_000))
    const refusals: unknown[] = []
    // What a busy machine did not store in time is refused as unavailable, whatever the disk.
    while (refusals.length < 3)
      await store.enqueue([aJob({ payload: big })]).catch(({ code }) => code === 'unavailable' || refusals.push(code))
    const stored = (await store.census()).reduce((sum, { count }) => sum + count, 0)
    const applied = store.apply([
      {
        ...leaseOf(job!),
        event: 'fail',
        delayMs: 1,
        error: { name: 'E', message: 'x'.repeat(9_000), stack: '' } as never,
      },
    ])
    await setTimeout(100)
    await admin.query('DROP TABLE ballast')

    expect(full.code).toBe('53100')
    expect(refusals).toEqual(['storage_full', 'storage_full', 'storage_full'])
    expect(notices).toContainEqual({ type: 'health', error: 'the disk that holds the database is full', cause: 'full' })
    expect(await applied).toEqual([])
    await until(() => isOver(notices.at(-1)))
    expect(await store.enqueue([aJob({ payload: big })])).toMatchObject({ outcome: 'stored' })
    expect(await store.verify()).toMatchObject({ jobs: stored + 1, violations: [] })
  })

  test('waits for connections while there are too many, and refuses writes meanwhile', async () => {
    const server = ownServer(['max_connections=12', 'superuser_reserved_connections=0'])
    const { store, line, notices } = await openPostgres({ connectionString: server.address })
    await store.enqueue([aJob()])
    const admin = await aSession(server.address)
    line.cut()
    // One that ends later would leave its place to the store.
    await until(async () => (await ofStores(admin)).length === 0)
    const others: pg.Client[] = []
    for (let code = ''; code !== '53300'; ) {
      const client = new pg.Client(server.address)
      client.on('error', () => {})
      await client.connect().then(
        () => others.push(client),
        (error) => (code = error.code),
      )
    }
    line.mend()

    const refusal = await store.enqueue([aJob()]).catch((error) => error)
    const read = await store.counts().catch((error) => error)
    await Promise.all(others.map((client) => client.end()))

    expect(refusal).toMatchObject({ code: 'unavailable', message: expect.stringContaining('too many clients') })
    expect(read).toMatchObject({ code: 'unavailable' })
    await until(() => isOver(notices.at(-1)))
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect((await store.verify()).jobs).toBe(2)
  })

  test('answers in time while the server does not, and says of what was under way that nobody knows', async () => {
    const { store, line, path, notices } = await openPostgres()
    const stranger = await aSession()
    await store.enqueue([aJob()])
    await stranger.query(`BEGIN; LOCK TABLE ${path}.jobs`)
    const asked = store.enqueue([aJob()]).catch((error) => error)
    const waiting = `SELECT 1 FROM pg_locks WHERE relation = '${path}.jobs'::regclass AND NOT granted`
    await until(async () => (await stranger.query(waiting)).rowCount === 1)
    line.cut()
    await stranger.query('COMMIT')
    const begunAt = performance.now()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        setTimeout(n * 50).then(() => store.enqueue([aJob()]).catch((error) => error)),
      ),
    )
    const command = await store.command('cancel', [1]).catch((error) => error)
    const tookMs = performance.now() - begunAt
    const unknown = await asked
    line.mend()

    expect(answers.map(({ code }) => code)).toEqual(answers.map(() => 'unavailable'))
    expect(command).toMatchObject({ code: 'unavailable' })
    expect(tookMs).toBeLessThan(30_000)
    expect(unknown).toMatchObject({ code: 'outcome_unknown' })
    await until(() => isOver(notices.at(-1)))
    const { jobs } = await store.verify()
    expect([1, 2]).toContain(jobs)
  })

  test('refuses what waits while a commit has no answer, and takes that when it comes', async () => {
    const server = ownServer()
    const { store, notices } = await openPostgres({ connectionString: server.address, maxConnections: oneWriter })
    await store.enqueue([aJob()])
    const admin = await aSession(server.address)
    const { rows } = await admin.query(`
      SELECT pid FROM pg_stat_activity WHERE application_name = 'jobmachine' AND query LIKE '%step%' AND pid <> pg_backend_pid()`)
    const goOn = freeze(rows)

    const asked = store.enqueue([aJob()])
    await until(() => notices.some((notice) => notice.type === 'health'))
    const refusal = await store.enqueue([aJob()]).catch((error) => error)
    goOn()

    expect(rows).toHaveLength(1)
    expect(notices[0]).toEqual({ type: 'health', error: 'a commit has not been answered for more than 5 s' })
    expect(refusal).toMatchObject({ code: 'unavailable' })
    expect(await asked).toMatchObject({ outcome: 'stored' })
    await until(() => isOver(notices.at(-1)))
    expect((await store.verify()).jobs).toBe(2)
  })

  test('is closed though the server does not answer any more', async () => {
    const server = ownServer()
    const { store } = await openPostgres({ connectionString: server.address })
    await store.enqueue([aJob()])
    await store.counts()
    const admin = await aSession(server.address)
    const goOn = freeze(await ofStores(admin))

    await store.close()

    goOn()
    await until(async () => (await ofStores(admin)).length === 0)
  })

  test('starts once the server is there again, however long that takes', async () => {
    const server = ownServer()
    const { store } = await openPostgres({ connectionString: server.address })
    server.stop()

    const recovering = store.recoverOrphans()
    const first = await Promise.race([recovering, setTimeout(3_000, 'waits')])
    server.start()

    expect(first).toBe('waits')
    expect(await recovering).toMatchObject({ leased: 0, running: 0 })
  })

  test('ends the wait of a start for a server when it is closed', async () => {
    const server = ownServer()
    const { store } = await openPostgres({ connectionString: server.address })
    server.stop()

    const refused = expect(store.recoverOrphans()).rejects.toMatchObject({ code: 'unavailable' })
    await store.close()

    await refused
  })

  test('refuses reads that get no connection in time, and new jobs whose table is locked, and serves both afterwards', async () => {
    const { store, path, notices } = await openPostgres({ maxConnections: oneWriter })
    const [id] = ids(await store.enqueue([aJob()]))
    const stranger = await aSession()
    await stranger.query(`BEGIN; LOCK TABLE ${path}.jobs`)

    const refused: string[] = []
    const note = (error: { code: string }) => void refused.push(error.code)
    // One connection is for reads.
    const reads = [store.find(id!), store.find(id!), store.history(id!, { after: 0, limit: 9 })]
    const settled = Promise.all(reads.map((read) => read.catch(note)))
    const enqueued = store.enqueue([aJob()]).catch(note)
    await until(() => refused.length >= 2)
    await enqueued
    await stranger.query('COMMIT')
    await settled

    expect(new Set(refused)).toEqual(new Set(['unavailable']))
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect((await store.verify()).jobs).toBe(2)
    expect(notices.filter(({ type }) => type === 'fatal')).toEqual([])
  })

  test('refuses writes while the database is read-only, as one that is taken out of service is', async () => {
    const server = ownServer()
    const { store, notices } = await openPostgres({ connectionString: server.address })
    const admin = await aSession(server.address)
    await store.enqueue([aJob()])
    const terminate = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jobmachine'`
    const { rows } = await admin.query(`SELECT pid FROM pg_stat_activity WHERE application_name = 'jobmachine'`)
    await admin.query(`ALTER DATABASE postgres SET default_transaction_read_only TO on; ${terminate}`)
    // Of a call that was sent before it knew that its connection had ended, nobody would know.
    const left = () => admin.query('SELECT 1 FROM pg_stat_activity WHERE pid = ANY ($1)', [rows.map(({ pid }) => pid)])
    await until(async () => (await left()).rowCount === 0)
    await new Promise(setImmediate)

    const refusal = await store.enqueue([aJob()]).catch((error) => error)
    const health = () => notices.flatMap((notice) => (notice.type === 'health' ? [notice.error] : [])).at(-1)
    await until(() => /read-only/.test(health() ?? ''))
    const told = [refusal.message, health()]
    await admin.query(`ALTER DATABASE postgres RESET default_transaction_read_only; ${terminate}`)

    expect(refusal).toMatchObject({ code: 'unavailable', message: expect.stringContaining('read-only transaction') })
    for (const each of told) expect(each.match(/takes no writes/g)?.length ?? 0).toBeLessThan(2)
    await until(() => isOver(notices.at(-1)))
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect((await store.verify()).jobs).toBe(2)
  })
})
