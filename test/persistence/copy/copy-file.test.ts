import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { jobStates } from '../../../src/machines/edges.ts'
import { JobCopy } from '../../../src/persistence/copy/job-copy.ts'
import { Addresses } from '../../../src/persistence/postgres/addresses.ts'
import { loadDriver } from '../../../src/persistence/postgres/connection.ts'
import { CopyTarget } from '../../../src/persistence/postgres/copy/copy-target.ts'
import { backUp } from '../../../src/persistence/sqlite/file/backup.ts'
import { openForReading } from '../../../src/persistence/sqlite/file/connection.ts'
import { WholeJobs } from '../../../src/persistence/sqlite/read/whole-jobs.ts'
import { migrations } from '../../../src/persistence/sqlite/schema.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { storedAt, storedIn } from '../../support/both-sides.ts'
import { openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aMove, aScheduleIn, scheduleIn } from '../../support/schedules.ts'
import { aJob, openStore, startAt } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'
import { ids, rows } from '../conformance/helpers.ts'
import { aServedFile, copy, fill, keyed } from './a-file.ts'

/** A producer may do so after the server has stopped, until the move has the file alone. */
function enqueueBySql(path: string): void {
  const db = new Database(path)
  db.exec("INSERT INTO new_jobs (type, payload) VALUES ('noop', '{}')")
  db.close()
}

describe.skipIf(postgresMissing)('the jobs of a file that moves to PostgreSQL', () => {
  test('are there in every state, with all that is stored of them', async () => {
    const file = await aServedFile()
    await fill(file)
    await file.stop()
    const { run, connectionString, schema } = await copy(file.path)

    const report = await run()

    const [here, there] = [storedIn(file.path), await storedAt(connectionString, schema)]
    expect(new Set(here.jobs!.map(({ state }) => state))).toEqual(new Set(jobStates))
    expect(there).toEqual(here)
    expect(report).toMatchObject({ jobs: here.jobs!.length, transitions: here.transitions!.length })
    const { store } = await openPostgres({ path: schema })
    expect((await store.verify()).violations).toEqual([])
  })

  test('come along with all that happens to them while they are copied', async () => {
    const file = await aServedFile()
    await fill(file, 1)
    let [during, waiting] = [0, 0]
    const steps: string[] = []
    const { run, connectionString, schema } = await copy(file.path, ({ step }) => {
      steps.push(step)
      if (step === 'locked') enqueueBySql(file.path)
    })
    const working = (async () => {
      while (!steps.includes('waiting')) {
        await fill(file, 1)
        during++
      }
      for (; waiting < 3; waiting++) await fill(file, 1)
      await file.stop()
    })()

    await Promise.all([run(), working])

    const here = storedIn(file.path)
    expect(await storedAt(connectionString, schema)).toEqual(here)
    expect(during).toBeGreaterThan(0)
    expect(here.jobs!.length).toBeGreaterThan(100)
    const { store } = await openPostgres({ path: schema })
    expect((await store.verify()).violations).toEqual([])
  })

  test('keep their ids, keys and epochs, and those to come get higher ids', async () => {
    const file = await aServedFile()
    await fill(file, 1)
    // PostgreSQL gives out a thousand ids at a time.
    await file.store.enqueue(Array.from({ length: 1_000 }, () => aJob()))
    const [known] = rows(await file.store.enqueue([keyed('key-0')]))
    const token = file.store.databaseIdOf(known!.id)
    await file.stop()
    const { run, schema } = await copy(file.path)
    await run()
    const { transitions, jobs } = storedIn(file.path)

    const { store } = await openPostgres({ path: schema, clock: file.clock })

    expect(rows(await store.enqueue([keyed('key-0')]))).toEqual([{ ...known!, created: false }])
    expect(await store.enqueue([{ ...keyed('key-0'), idempotency: { key: 'key-0', content: 'other' } }])).toMatchObject(
      {
        outcome: 'conflict',
        id: known!.id,
      },
    )
    expect(store.databaseIdOf(known!.id)).toBe(token)
    const [next] = ids(await store.enqueue([aJob()]))
    expect(next).toBeGreaterThan(jobs!.at(-1)!.id as number)
    // A start that finds lower ids to come than are there takes its server for one that went back, and leaves out a million.
    expect(next).toBeLessThan(3_000)
    const tail = await store.transitions({ after: transitions!.at(-1)!.id as number, limit: 10 })
    expect(tail.transitions.map(({ jobId }) => jobId)).toEqual([next])
  })

  test('are read on from the same cursor of transitions', async () => {
    const file = await aServedFile()
    await fill(file, 1)
    const page = await file.store.transitions({ after: 0, limit: 20 })
    const rest = await file.store.transitions({ after: page.last, limit: 1_000 })
    await file.stop()
    const { run, schema } = await copy(file.path)
    await run()

    const { store } = await openPostgres({ path: schema })

    expect(await store.transitions({ after: page.last, limit: 1_000 })).toEqual(rest)
  })

  test('come with the schedules that make more, whose next ticks follow the last', async () => {
    const file = await aServedFile()
    const { store } = file
    const kept = await aScheduleIn(store, 'a', { nextTick: startAt + 1 })
    const plan = { lastTick: startAt + 1, nextTick: startAt + 2 }
    await store.schedules.move([aMove(kept, 'tick', { tick: startAt + 1, job: aJob(), plan, details: '{"é":1}' })])
    const gone = await aScheduleIn(store, 'b', { overlap: 'skip', spec: '{"text":"\\u0000"}' })
    await store.schedules.move([aMove(gone, 'end', { plan: { nextTick: null } })])
    await file.stop()
    const { run, schema } = await copy(file.path)

    await run()

    const there = await openPostgres({ path: schema, clock: file.clock })
    const before = await openStore({ path: file.path }).catch(() => null)
    expect(before).toBe(null)
    expect((await there.store.verify()).violations).toEqual([])
    expect(await scheduleIn(there.store, 'a')).toMatchObject({ ...plan, id: kept.id, seq: 2, state: 'active' })
    expect(await scheduleIn(there.store, 'b')).toMatchObject({
      id: gone.id,
      state: 'ended',
      overlap: 'skip',
      spec: '{"text":"\\u0000"}',
    })
    expect(await there.store.schedules.history(kept.id, { before: 9, limit: 9 })).toMatchObject([
      { seq: 2, event: 'tick', tick: startAt + 1, details: '{"é":1}' },
      { seq: 1, event: 'create' },
    ])
    const again = aMove(await scheduleIn(there.store, 'a'), 'tick', { tick: startAt + 1, job: aJob(), plan })
    await expect(there.store.schedules.move([again])).rejects.toThrow(/schedule_events_ticks/)
    expect((await aScheduleIn(there.store, 'c')).id).toBeGreaterThan(gone.id)
  })

  test('that a killed server held are recovered as its crash', async () => {
    const file = await aServedFile()
    const [id] = ids(await file.store.enqueue([aJob({ maxAttempts: 3 })]))
    await file.store.lease({ limit: 1, wait: false, start: true })
    await file.stop()
    const { run, schema } = await copy(file.path)
    await run()

    const { store } = await openPostgres({ path: schema, clock: file.clock })

    expect(await store.recoverOrphans()).toEqual({ leased: 0, running: 1, suspects: 0, wasStopping: false })
    expect(await store.find(id!)).toMatchObject({ state: 'queued', crashes: 1, attempt: 0 })
    expect((await store.verify()).violations).toEqual([])
  })

  test('have what their handlers reported until the end of a server that was killed', async () => {
    const file = await aServedFile()
    const { store } = file
    await store.enqueue([aJob()])
    const [job] = await store.lease({ limit: 1, wait: false, start: true })
    const line = (message: string) => ({ at: 1, level: 'info' as const, message, fields: null, bytes: 9 })
    const report = (progress: string) =>
      store.report([{ id: job!.id, leaseToken: job!.leaseToken, report: { progress, lines: [line(progress)] } }])
    await report('1')
    let isLater = false
    const { run, connectionString, schema } = await copy(file.path, ({ step }) => {
      isLater ||= step === 'waiting'
    })
    const working = (async () => {
      while (!isLater) await pause(5)
      await report('2')
      await file.stop()
    })()

    await Promise.all([run(), working])

    const here = storedIn(file.path)
    expect(here.progress).toMatchObject([{ value: '2' }])
    expect(here.logs).toHaveLength(2)
    expect(await storedAt(connectionString, schema)).toEqual(here)
  })

  test('that a server held while it stopped are given back without blame', async () => {
    const file = await aServedFile()
    await file.store.enqueue([aJob()])
    await file.store.lease({ limit: 1, wait: false, start: true })
    await file.store.noteStop()
    await file.stop()
    const { run, schema } = await copy(file.path)
    await run()

    const { store } = await openPostgres({ path: schema, clock: file.clock })

    expect(await store.recoverOrphans()).toMatchObject({ running: 1, wasStopping: true })
  })

  test('are changed there too, with what they were before, and a key that goes to another goes there too', async () => {
    const file = await aServedFile()
    const { store } = file
    await store.enqueue([aJob({ payload: '1', delayMs: 1e9 }), keyed('a'), aJob({ payload: '1', delayMs: 1e9 })])
    await store.amend(1, '{"payload":"2","maxAttempts":9}')
    const [job] = await store.lease({ limit: 1, wait: false, start: true })
    await store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'reject' }])
    let done = false
    const { run, connectionString, schema } = await copy(file.path, ({ step }) => {
      if (step === 'waiting' && !done) done = true
    })
    const working = (async () => {
      while (!done) await new Promise((resolve) => setTimeout(resolve, 5))
      await store.amend(1, '{"payload":"3","priority":5}')
      await store.amend(3, '{"payload":"2","delayMs":5}')
      await store.amend(3, '{"payload":"1"}')
      const { idempotency, ...rest } = keyed('a')
      await store.enqueue([{ ...rest, idempotency: { ...idempotency!, replaceDead: true } }])
      await file.stop()
    })()

    await Promise.all([run(), working])

    const here = storedIn(file.path)
    expect(await storedAt(connectionString, schema)).toEqual(here)
    expect(here.versions).toHaveLength(4)
    expect(here.jobs!.map((row) => row.idempotency_key)).toEqual([null, null, null, 'a'])
    const { store: moved } = await openPostgres({ path: schema })
    expect((await moved.verify()).violations).toEqual([])
    expect(await moved.payloadAt(1, 1)).toBe('1')
  })

  test('that are changed so often that payloads go keep there what they keep here', async () => {
    const file = await aServedFile()
    const { store } = file
    await store.enqueue(Array.from({ length: 3 }, () => aJob({ payload: '"0"', delayMs: 1e9 })))
    const amend = async (id: number, from: number, to: number, length = 0) => {
      for (let n = from; n <= to; n++) {
        await store.amend(id, JSON.stringify({ payload: JSON.stringify(`${n}`.padEnd(length, '.')) }))
      }
    }
    await amend(1, 1, 110)
    await amend(2, 1, 5)
    await amend(3, 1, 3, 260_000)
    const begun = await copy(file.path, ({ step }) => {
      if (step === 'waiting') throw new Error('interrupted')
    })
    await expect(begun.run()).rejects.toThrow('interrupted')
    await amend(1, 111, 115)
    await amend(2, 6, 120)
    await amend(3, 4, 9, 260_000)
    await file.stop()
    const { run, connectionString, schema } = await copy(file.path, undefined, begun.schema)

    await run()

    const here = storedIn(file.path)
    expect(await storedAt(connectionString, schema)).toEqual(here)
    const { store: moved } = await openPostgres({ path: schema })
    expect((await moved.verify()).violations).toEqual([])
    expect([await moved.payloadAt(2, 1), await moved.payloadAt(2, 6)]).toEqual(['"0"', ''])
  })

  test('are removed there too if retention removes them meanwhile, and their keys are free', async () => {
    const file = await aServedFile({ retentionMs: 1_000 })
    const { store, clock } = file
    await store.enqueue([keyed('a'), ...Array.from({ length: 5 }, () => aJob())])
    let done = false
    const { run, connectionString, schema } = await copy(file.path, ({ step }) => {
      if (step === 'waiting' && !done) done = true
    })
    const working = (async () => {
      while (!done) await new Promise((resolve) => setTimeout(resolve, 5))
      const jobs = await store.lease({ limit: 6, wait: false, start: true })
      await store.apply(jobs.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' as const })))
      clock.advance(120_000)
      await store.sweep()
      await store.enqueue([keyed('a')])
      await file.stop()
    })()

    await Promise.all([run(), working])

    const here = storedIn(file.path)
    expect(here.jobs!.map(({ id }) => id)).not.toContain(1)
    expect(here.jobs!.at(-1)).toMatchObject({ id: 7, idempotency_key: 'a' })
    const { transitions: _, ...there } = await storedAt(connectionString, schema)
    const { transitions: __, ...kept } = here
    expect(there).toEqual(kept)
    const node = await openPostgres({ path: schema })
    expect((await node.store.verify()).violations).toEqual([])
  })

  test('are not switched if one is damaged, and the file goes on', async () => {
    const file = await aServedFile()
    await fill(file, 1)
    await file.stop()
    const { default: Database } = await import('better-sqlite3')
    const db = new Database(file.path)
    db.prepare('UPDATE jobs SET crashes = 7 WHERE id = 3').run()
    db.close()
    const { run, schema } = await copy(file.path)

    await expect(run()).rejects.toThrow(/^job 3 of the file is damaged: the row has crashes 7/)
    await expect(openPostgres({ path: schema })).rejects.toThrow('only a part of the jobs')
    const again = await aServedFile()
    await again.stop()
  })

  test('do not go to a schema that has jobs, is in use, or has a part of another file', async () => {
    const [one, two] = [await aServedFile(), await aServedFile({ newDatabaseId: 'another' })]
    for (const file of [one, two]) await file.store.enqueue([aJob(), aJob()])
    const node = await openPostgres({ clock: new ManualClock(Date.now()) })
    const into = async (path: string, schema: string) => (await copy(path, undefined, schema)).run()

    await expect(into(one.path, node.path)).rejects.toThrow(
      /is used by process \d+ on .*, heard of \d+ s ago: stop it, .*if it was killed, run this again in \d+ s$/,
    )
    await node.store.enqueue([aJob()])
    await node.store.close()
    await expect(into(one.path, node.path)).rejects.toThrow('has jobs already')

    const begun = await copy(one.path, () => {
      throw new Error('interrupted')
    })
    await expect(begun.run()).rejects.toThrow('interrupted')
    await expect(into(two.path, begun.schema)).rejects.toThrow(`has a part of the jobs of ${one.path}`)
    await Promise.all([one.stop(), two.stop()])
    expect((await into(one.path, begun.schema)).jobs).toBe(2)
  })

  test('are changed no more by a second run when the first has ended, for there may be new ones', async () => {
    const file = await aServedFile()
    await file.store.enqueue([aJob(), aJob()])
    await file.stop()
    const { run, schema, connectionString } = await copy(file.path)
    const db = openForReading(file.path)
    const slow = new CopyTarget({ driver: loadDriver(), addresses: new Addresses(connectionString), schema })
    await slow.begin(new WholeJobs(db).facts(), 'the slow one', 'new')
    const late = new JobCopy(slow, () => {})
    db.close()
    await run()
    const { store } = await openPostgres({ path: schema })
    await store.enqueue([aJob()])
    const again = openForReading(file.path)

    await expect(late.copyAll(new WholeJobs(again))).rejects.toThrow('another run has ended the copy')
    await expect(slow.remove([1_001])).rejects.toThrow('another run has ended the copy')
    again.close()
    await slow.close()
    expect((await store.verify()).jobs).toBe(3)
    await expect(openPostgres({ path: schema })).resolves.toBeDefined()
  })

  test('of a file that an earlier version wrote are left there until this one has opened it', async () => {
    const path = join(tempFolder(), 'jobs.db')
    const old = join(import.meta.dirname, '../sqlite/files/version-8.db.gz')
    writeFileSync(path, gunzipSync(readFileSync(old)))
    const { run } = await copy(path)

    await expect(run()).rejects.toThrow(
      `has schema version 8; a server or producer of this version brings it to ${migrations.length}`,
    )
  })

  test('of a restored backup get a new epoch, so that later ids are not used again', async () => {
    const file = await aServedFile()
    await file.store.enqueue([aJob(), aJob()])
    const path = join(tempFolder(), 'restored.db')
    await backUp(file.path, path)
    await file.stop()
    const { run, schema } = await copy(path)

    await run()

    const { store } = await openPostgres({ path: schema })
    const [next] = ids(await store.enqueue([aJob()]))
    expect(next).toBeGreaterThan(1_000_000)
    expect([2, next!].map((id) => store.databaseIdOf(id))).toEqual(['test-database', 'new'])
  })

  test('are found by the database to have gone on by edges alone', async () => {
    const file = await aServedFile()
    await file.store.enqueue([aJob()])
    await file.stop()
    const { run, schema, connectionString } = await copy(file.path)
    await run()
    const client = new pg.Client({ connectionString })
    await client.connect()

    await expect(
      client.query(`UPDATE ${schema}.jobs SET state = 'dead', seq = seq + 1, finished_at = 1`),
    ).rejects.toThrow('no edge of the job machine')
    await client.end()
  })
})
