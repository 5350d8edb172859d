import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openForReading, openForWriting } from '../../../src/persistence/sqlite/connection.ts'
import { openKept } from '../../../src/persistence/sqlite/kept.ts'
import { applicationId, migrations } from '../../../src/persistence/sqlite/schema.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify.ts'
import { aJob, openStore } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

/** A file of the newest version with jobs in every state, one that was snoozed often, and gaps where retention removed some. */
async function aFile(): Promise<string> {
  const { store, clock, path } = await openStore({ retentionMs: 1_000 })
  await store.enqueue(Array.from({ length: 8 }, (_, index) => aJob({ maxAttempts: 2, payload: `{"n":${index}}` })))
  await store.enqueue([aJob({ delayMs: 60_000 }), aJob({ idempotency: { key: 'k', content: 'c' } })])
  await store.command('cancel', [2, 3])
  clock.advance(2_000)
  await store.sweep()
  await store.cancel(4)
  for (let rounds = 0; rounds < 80; rounds++) {
    const [job] = await store.lease({ room: 1, wait: true, start: true })
    await store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'snooze', delayMs: 0 }])
    await store.sweep()
  }
  const leased = await store.lease({ room: 5, wait: true })
  const ends = ['succeed', 'fail', 'reject'] as const
  const lease = (index: number) => ({ id: leased[index]!.id, leaseToken: leased[index]!.leaseToken })
  await store.apply([0, 1, 2, 3].map((index) => ({ ...lease(index), event: 'start' })))
  await store.apply(
    ends.map((event, index) => ({ ...lease(index), event, delayMs: 9_000, error: { name: 'E', message: 'no' } })),
  )
  await store.close()
  return path
}

/** The same as an earlier version had it. */
function asVersion(version: number, path: string): string {
  const old = join(tempFolder(), 'jobs.db')
  const db = openKept(old)
  for (const migration of migrations.slice(0, version)) db.exec(migration)
  db.pragma(`application_id = ${applicationId}`)
  db.pragma(`user_version = ${version}`)
  db.exec(`ATTACH '${path}' AS newest`)
  for (const table of ['jobs', 'job_payloads', 'job_events', 'edge_counts', 'meta']) {
    const columns = (db.pragma(`main.table_info(${table})`) as { name: string }[]).map(({ name }) => name).join(', ')
    db.exec(`INSERT INTO main.${table} (${columns}) SELECT ${columns} FROM newest.${table}`)
  }
  db.exec('UPDATE main.sqlite_sequence SET seq = (SELECT seq FROM newest.sqlite_sequence)')
  db.close()
  return old
}

function contentsOf(path: string) {
  const db = openForReading(path)
  const rows = (table: string) => db.prepare(`SELECT * FROM ${table} ORDER BY 1`).all()
  const contents = ['jobs', 'job_payloads', 'job_events', 'edge_counts', 'sqlite_sequence'].map(rows)
  const schema = db.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2').raw().all()
  db.close()
  return { contents, schema }
}

describe.each([1, 2, 3])('a file of version %s', (version) => {
  test('is brought to the newest with every job and every event, each where it belongs', async () => {
    const newest = await aFile()
    const old = asVersion(version, newest)

    openForWriting(old, () => 'unused', 0).close()

    const { contents, schema } = contentsOf(old)
    expect(contents[2]?.length).toBeGreaterThan(250)
    expect({ contents, schema }).toEqual(contentsOf(newest))
    expect(verifyFile(old)).toEqual({ ...verifyFile(newest), violations: [], violationCount: 0 })
  })

  test('is as it was where the process ends before its new version is committed', async () => {
    const old = asVersion(version, await aFile())
    const before = contentsOf(old)
    const db = openKept(old)
    db.exec('BEGIN IMMEDIATE')
    for (const migration of migrations.slice(version)) db.exec(migration)

    db.close()

    expect(contentsOf(old)).toEqual(before)
  })

  test('goes on where it was: histories grow, and no id is used again', async () => {
    const old = asVersion(version, await aFile())
    const { store, path } = await openStore({ path: old })
    await store.recoverOrphans()

    const stored = await store.enqueue([aJob()])
    const leased = await store.lease({ room: 9, wait: true, start: true })
    await store.apply(leased.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' })))

    expect(stored).toMatchObject({ jobs: [{ id: 11 }] })
    expect(leased.length).toBeGreaterThan(2)
    expect(verifyFile(path).violations).toEqual([])
  })

  test('keeps what guards it', async () => {
    const old = asVersion(version, await aFile())
    const db = openForWriting(old, () => 'unused', 0)
    whenDone(() => db.close())

    expect(() => db.exec('DELETE FROM event_runs')).toThrow(/the history of a job goes only after its job/)
    expect(() => db.exec('UPDATE event_runs SET previous_id = NULL')).toThrow(/history is not rewritten/)
  })
})
