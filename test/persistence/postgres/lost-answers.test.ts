import { setImmediate, setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { OutcomeUnknownError } from '../../../src/errors.ts'
import { Addresses } from '../../../src/persistence/postgres/addresses.ts'
import { connect, pinPlansSql } from '../../../src/persistence/postgres/connection.ts'
import type { LeasedJob, Store } from '../../../src/persistence/store.ts'
import { waitingPids } from '../../support/kept-connections.ts'
import { aDatabase, aDriver, aSchema, openPostgres, passLease } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('connections that break again and again', () => {
  test('lose no job and store none twice, whether its commit was answered or not', async () => {
    const { store, line } = await openPostgres({ maxConnections: 6 })
    const stored: number[] = []

    for (let round = 0; round < 12; round++) {
      const calls = Array.from({ length: 40 }, () => store.enqueue([aJob(), aJob()]))
      await setTimeout(round % 4)
      line.drop()
      stored.push(...(await Promise.all(calls)).flatMap(ids))
    }

    expect(new Set(stored).size).toBe(12 * 40 * 2)
    expect(await store.verify()).toMatchObject({ jobs: stored.length, violationCount: 0 })
  })

  test('lose no claim and no outcome: each job is given to one, and ends once', async () => {
    const { store, line } = await openPostgres({ maxConnections: 6 })
    await store.enqueue(Array.from({ length: 600 }, () => aJob()))
    const given: LeasedJob[] = []

    const work = async () => {
      for (;;) {
        const jobs = await store.lease({ limit: 10, wait: false, start: true })
        if (jobs.length === 0) return
        given.push(...jobs)
        const refused = await store.apply(jobs.map((job) => ({ ...leaseOf(job), event: 'succeed' })))
        expect(refused).toEqual([])
      }
    }
    let isDone = false
    const working = Promise.all([work(), work(), work()]).finally(() => {
      isDone = true
    })
    // The pause grows, so that the test ends on a machine that needs longer to connect.
    for (let pauseMs = 15; !isDone; pauseMs += 2) {
      await setTimeout(pauseMs)
      line.drop()
    }
    await working

    expect(new Set(given.map(({ id }) => id)).size).toBe(600)
    expect(given).toHaveLength(600)
    const { transitions } = await store.transitions({ after: 0, limit: 10_000 })
    expect(transitions.filter(({ event }) => event === 'succeed')).toHaveLength(600)
    expect((await store.verify()).violations).toEqual([])
  })

  /** Commits what `send` asks for, loses the answer, and lets another node declare this one dead before it can ask what became of it. */
  async function answerAfterDeath<T>(
    prepare: (store: Store) => Promise<unknown>,
    send: (store: Store) => Promise<T>,
    daysDead = 0,
  ) {
    const { store, line, clock, path } = await openPostgres()
    const other = await openPostgres({ path, clock })
    await prepare(store)
    const { prototype } = line.driver.Client
    const query = prototype.query as (...given: unknown[]) => Promise<unknown>
    let isLost = false
    let comeBack = () => {}
    const isBack = new Promise<void>((resolve) => {
      comeBack = resolve
    })
    prototype.query = async function (this: unknown, ...given: [{ name?: string } | string]) {
      const [asked] = given
      // Its writer connects only when it has come back under another id.
      if (isLost && asked === pinPlansSql) await isBack
      const answer = await query.apply(this, given)
      if (isLost && String((asked as { text?: string }).text).includes('INSERT INTO nodes')) comeBack()
      if (isLost || (asked as { name?: string }).name !== 'step') return answer
      isLost = true
      line.cut()
      throw Object.assign(new Error('the answer is lost'), { code: 'ECONNRESET' })
    } as never

    const answer = send(store)
    await expect.poll(() => isLost).toBe(true)
    await passLease(clock, other.store)
    await other.store.recoverOrphans()
    if (daysDead > 0) {
      clock.advance(daysDead * 86_400_000)
      await other.store.sweep()
    }
    line.mend()
    const swept = store.sweep()
    const told = await answer
    await swept
    return { told, store, other: other.store }
  }

  test('store no job twice if the node was declared dead before it could ask what became of a commit', async () => {
    const { told, store, other } = await answerAfterDeath(
      async () => {},
      (store) => store.enqueue([aJob(), aJob()]),
    )

    expect(await other.verify()).toMatchObject({ jobs: 2, violationCount: 0 })
    for (const id of ids(told)) expect(await other.find(id)).toBeDefined()
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
  })

  test('do not refuse a command that was committed before the node was declared dead', async () => {
    let job = 0
    const { told, other } = await answerAfterDeath(
      async (store) => {
        job = ids(await store.enqueue([aJob()]))[0]!
      },
      (store) => store.send('cancel', job),
    )

    expect(told).toMatchObject({ outcome: 'done', job: { id: job, state: 'cancelled' } })
    expect((await other.history(job, { after: 0, limit: 9 }))?.map(({ event }) => event)).toEqual(['enqueue', 'cancel'])
    expect((await other.verify()).violations).toEqual([])
  })

  test.each([
    { changes: { priority: 7 }, requeue: false, events: ['amend'] },
    { changes: { delayMs: 60_000 }, requeue: false, events: ['amend'] },
    { changes: { priority: 0 }, requeue: false, events: [] },
    { changes: { priority: 7 }, requeue: true, events: ['requeue', 'amend'] },
    { changes: { priority: 0 }, requeue: true, events: ['requeue'] },
  ])('do not refuse a change that was committed, and make it once: $changes, requeue: $requeue', async (change) => {
    const { changes, requeue, events } = change
    let job = 0
    let seq = 0
    const { told, other } = await answerAfterDeath(
      async (store) => {
        job = ids(await store.enqueue([aJob()]))[0]!
        if (requeue) await store.command('cancel', [job])
        seq = (await store.pathOf(job, 9))!.seq
      },
      (store) => store.amend(job, JSON.stringify(changes), null, requeue),
    )

    expect(told).toMatchObject({ outcome: 'done', job: { id: job } })
    expect((await other.history(job, { after: seq, limit: 9 }))?.map(({ event }) => event)).toEqual(events)
    expect((await other.verify()).violations).toEqual([])
  })

  test('say that nobody knows what became of a commit if the node has been dead for days', async () => {
    const sendAll = (store: Store) => store.enqueue([aJob()]).catch((error) => error)
    const { told, store, other } = await answerAfterDeath(async () => {}, sendAll, 2)

    expect(told).toBeInstanceOf(OutcomeUnknownError)
    expect(await other.verify()).toMatchObject({ jobs: 1, violationCount: 0 })
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
  })

  test('while they are made are refused to whoever makes them, and not reported as lost besides', async () => {
    const { driver } = aDriver()
    const { prototype } = driver.Client
    prototype.query = async function (this: { emit(name: string, error: Error): void }) {
      const broken = Object.assign(new Error('broken'), { code: 'ECONNRESET' })
      this.emit('error', broken)
      throw broken
    } as never
    const lost: Error[] = []

    const connecting = connect({ driver, addresses: new Addresses(await aDatabase()), schema: aSchema() }, (error) => {
      lost.push(error)
    })

    await expect(connecting).rejects.toThrow('broken')
    expect(lost).toEqual([])
  })

  test('do not keep a store from closing while the server is away: what became of a call is then unknown', async () => {
    const { store, line } = await openPostgres()
    await store.enqueue([aJob()])
    const asked = store.enqueue([aJob()]).catch((error) => error)
    await setImmediate()
    line.cut()

    await store.close()

    expect(await asked).toBeInstanceOf(OutcomeUnknownError)
  })

  type Query = (this: unknown, ...given: [{ text?: string } | string, ...unknown[]]) => Promise<unknown>
  /** Lets a test see, or refuse, what a store asks the server. */
  function hear(line: ReturnType<typeof aDriver>, look: (text: string) => void): void {
    const { prototype } = line.driver.Client
    const query = prototype.query as Query
    prototype.query = async function (this: unknown, ...given: Parameters<Query>) {
      const [asked] = given
      look(typeof asked === 'string' ? asked : String(asked?.text))
      return query.apply(this, given)
    } as never
  }
  async function aStranger(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: await aDatabase() })
    await client.connect()
    whenDone(() => client.end())
    return client
  }

  test('while the server still commits wait for that, however long it takes', async () => {
    const { store, line, path } = await openPostgres()
    const stranger = await aStranger()
    await stranger.query(`
      CREATE FUNCTION ${path}.hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout TO 0 AS $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON ${path}.job_payloads DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${path}.hold();
      SELECT pg_advisory_lock(4711)`)
    let asked = 0
    hear(line, (text) => {
      if (text.startsWith('UPDATE writers SET last_call')) asked++
    })

    const call = store.enqueue([aJob()]).catch((error) => error)
    const isHeld = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711`
    await expect.poll(async () => (await stranger.query(isHeld)).rowCount).toBe(1)
    line.drop()
    await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(1)
    await stranger.query('SELECT pg_advisory_unlock(4711)')

    expect(await call).toMatchObject({ outcome: 'stored' })
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect(await store.verify()).toMatchObject({ jobs: 2, violationCount: 0 })
  })

  test.each([-1, 1])(
    'a writer whose number in the database is off by %i gets another, and the node stays',
    async (by) => {
      const { store, path, notices } = await openPostgres()
      await store.enqueue([aJob()])
      await (await aStranger()).query(`UPDATE ${path}.writers SET last_call = last_call + ${by}`)

      expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
      expect(await store.verify()).toMatchObject({ jobs: 2, violationCount: 0 })
      expect(notices).toEqual([])
    },
  )

  test('a writer that is given up again and again pauses', async () => {
    const { store, line, path } = await openPostgres()
    await (await aStranger()).query(`
      CREATE FUNCTION ${path}.give_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'JM001'; END $$;
      CREATE TRIGGER give_up BEFORE UPDATE ON ${path}.writers FOR EACH ROW EXECUTE FUNCTION ${path}.give_up()`)
    let steps = 0
    hear(line, (text) => {
      if (text.startsWith('SELECT * FROM step_')) steps++
    })
    const begunAt = performance.now()

    store.enqueue([aJob()]).catch(() => {})
    await expect.poll(() => steps, { timeout: 10_000 }).toBeGreaterThan(2)

    expect(performance.now() - begunAt).toBeGreaterThan(450)
  })

  test('a node that cannot show itself when its writer was given up refuses calls, keeps outcomes, and goes on', async () => {
    const { store, line, path, notices } = await openPostgres()
    await store.enqueue([aJob()])
    const [job] = await store.lease({ limit: 1, wait: false, start: true })
    let isAway = true
    hear(line, (text) => {
      if (isAway && text.includes('UPDATE nodes SET seen_at'))
        throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    })
    await (await aStranger()).query(`UPDATE ${path}.writers SET last_call = last_call + 7`)

    const refusal = await store.enqueue([aJob()]).catch((error) => error)
    await (await aStranger()).query(`UPDATE ${path}.writers SET last_call = last_call + 7`)
    const applied = store.apply([{ ...leaseOf(job!), event: 'succeed' }])
    const leased = store.lease({ limit: 1, wait: false, start: true })
    await setTimeout(50)
    isAway = false

    expect(refusal).toMatchObject({ code: 'unavailable' })
    expect([await applied, await leased]).toEqual([[], []])
    expect(notices.filter(({ type }) => type !== 'health')).toEqual([])
  })

  test('a writer that cannot connect is told once and refuses in time, though the heartbeat goes on', async () => {
    const { store, line, notices } = await openPostgres({ leaseMs: 900 })
    await store.enqueue([aJob()])
    let tries = 0
    hear(line, (text) => {
      if (text !== pinPlansSql) return
      tries++
      throw Object.assign(new Error('remaining connection slots are reserved'), { code: '53300' })
    })
    line.drop()
    // Nothing was under way when it broke.
    await setTimeout(50)

    const refusal = await store.enqueue([aJob()]).catch((error) => error)

    // It waits twice as long after each try, for 2 s in all.
    expect(tries).toBeLessThan(10)
    expect(refusal).toMatchObject({ code: 'unavailable', message: expect.stringContaining('slots are reserved') })
    expect(notices.filter(({ type }) => type === 'health')).toHaveLength(1)
    const stranger = await aStranger()
    const sessions = `SELECT 1 FROM pg_stat_activity WHERE application_name = 'jobmachine' AND datname = current_database() AND pid <> ALL ($1)`
    await store.close()
    await expect.poll(async () => (await stranger.query(sessions, [waitingPids()])).rowCount).toBe(0)
  })

  test('are reported once, and are over when the server is there again', async () => {
    const { store, line, notices } = await openPostgres()
    await store.enqueue([aJob()])
    const [job] = await store.lease({ limit: 1, wait: false, start: true })
    line.cut()
    const asked = store.apply([{ ...leaseOf(job!), event: 'succeed' }])
    await expect.poll(() => notices.length).toBe(1)
    line.mend()

    expect(await asked).toEqual([])
    // The heartbeat too.
    await expect.poll(() => notices.length).toBe(2)
    expect(notices.map((notice) => notice.type === 'health' && notice.error === null)).toEqual([false, true])
  })
})
