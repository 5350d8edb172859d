import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jobStates } from '../../../src/machines/edges.ts'
import { openForReading, openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { applicationId, migrations } from '../../../src/persistence/sqlite/schema.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { aJob, openStore } from '../../support/store.ts'
import { cleanUp, tempFolder, whenDone } from '../../support/temp.ts'

/** A file of the newest version with jobs in every state, one that was snoozed often, and gaps where retention removed some. */
async function aFile(): Promise<string> {
  const { store, clock, path } = await openStore({ retentionMs: 1_000 })
  await store.enqueue(Array.from({ length: 8 }, (_, index) => aJob({ maxAttempts: 2, payload: `{"n":${index}}` })))
  await store.enqueue([aJob({ delayMs: 60_000 }), aJob({ idempotency: { key: 'k', content: 'c' } })])
  await store.command('cancel', [2, 3])
  clock.advance(2_000)
  await store.sweep()
  await store.send('cancel', 4)
  for (let rounds = 0; rounds < 80; rounds++) {
    const [job] = await store.lease({ limit: 1, wait: true, start: true })
    await store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'snooze', delayMs: 0 }])
    await store.sweep()
  }
  const leased = await store.lease({ limit: 5, wait: true })
  const ends = ['succeed', 'fail', 'reject'] as const
  const lease = (index: number) => ({ id: leased[index]!.id, leaseToken: leased[index]!.leaseToken })
  await store.apply([0, 1, 2, 3].map((index) => ({ ...lease(index), event: 'start' })))
  await store.apply(
    ends.map((event, index) => ({ ...lease(index), event, delayMs: 9_000, error: { name: 'E', message: 'no' } })),
  )
  await store.close()
  return path
}

let newest: string
beforeAll(async () => {
  newest = await aFile()
})
afterAll(cleanUp)

/** The rows of `event_runs` as before version 18, when only jobs with consecutive ids shared one: here each event has its own. */
const singles = '(SELECT job_id AS first_job_id, 1 AS length, job_events.* FROM newest.job_events)'

/** The same as an earlier version had it. */
function asVersion(version: number, path: string): string {
  const old = join(tempFolder(), 'jobs.db')
  const db = openKept(old)
  for (const migration of migrations.slice(0, version)) db.exec(migration)
  db.pragma(`application_id = ${applicationId}`)
  db.pragma(`user_version = ${version}`)
  db.exec(`ATTACH '${path}' AS newest`)
  // A trigger of version 7 refuses jobs before their events.
  const guard = db.prepare(`SELECT sql FROM main.sqlite_schema WHERE name = 'jobs_have_events'`).pluck().get()
  if (guard) db.exec('DROP TRIGGER main.jobs_have_events')
  const events = version < 4 ? 'job_events' : 'event_runs'
  for (const table of ['jobs', 'job_payloads', events, 'edge_counts', 'meta']) {
    const columns = (db.pragma(`main.table_info(${table})`) as { name: string }[]).map(({ name }) => name).join(', ')
    db.exec(
      `INSERT INTO main.${table} (${columns}) SELECT ${columns} FROM ${table === events && version < 18 ? singles : `newest.${table}`}`,
    )
  }
  if (guard) db.exec(guard as string)
  // Its version had no mark beside the file.
  db.exec(`DELETE FROM main.meta WHERE name = 'marked'`)
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

describe.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])('a file of version %s', (version) => {
  test('is migrated to the newest with every job and every event, each in its place', async () => {
    const old = asVersion(version, newest)

    openForWriting(old, () => 'unused', 0).close()

    const { contents, schema } = contentsOf(old)
    expect(contents[2]?.length).toBeGreaterThan(250)
    expect({ contents, schema }).toEqual(contentsOf(newest))
    expect(verifyFile(old)).toEqual({ ...verifyFile(newest), violations: [], violationCount: 0 })
  })

  test('is unchanged if the process ends before the new version is committed', async () => {
    const old = asVersion(version, newest)
    const before = contentsOf(old)
    const db = openKept(old)
    db.exec('BEGIN IMMEDIATE')
    for (const migration of migrations.slice(version)) db.exec(migration)

    db.close()

    expect(contentsOf(old)).toEqual(before)
  })

  test('continues: histories grow, and no id is reused', async () => {
    const old = asVersion(version, newest)
    const { store, path } = await openStore({ path: old })
    await store.recoverOrphans()

    const stored = await store.enqueue([aJob()])
    const leased = await store.lease({ limit: 9, wait: true, start: true })
    await store.apply(leased.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' })))

    expect(stored).toMatchObject({ jobs: [{ id: 11 }] })
    expect(leased.length).toBeGreaterThan(2)
    expect(verifyFile(path).violations).toEqual([])
  })

  test('keeps its CHECKs and triggers', async () => {
    const old = asVersion(version, newest)
    const db = openForWriting(old, () => 'unused', 0)
    whenDone(() => db.close())

    expect(() => db.exec('DELETE FROM event_runs')).toThrow(/the history of a job goes only after its job/)
    expect(() => db.exec('UPDATE event_runs SET previous_id = NULL')).toThrow(/history is not rewritten/)
  })
})

// Files out there were made by these texts. A new version is appended, with its hash and with a file of the version before.
test('the text of a version never changes', () => {
  const hashes = migrations.map((sql) => createHash('sha256').update(sql).digest('hex'))

  expect(hashes).toEqual([
    '1e0bd184ac4ad96976265bc7dfef0474bf43668a5e893534edbeaefbc4b46911',
    '85e384a6433eb89c941abca0f2d776f71377423df137e01217cc08e1a1cd1c9c',
    '878959b95b988779c6765daac6289a1d37e101a63a17a3de122bf754a23af37e',
    '9ea213daf510ca2828262f0c5f71bd371be48b1bfaf23fcaf7946b8fe0e5c4c5',
    '68657b7bd23c8a129267df160a83f783404e33ca18d6acd14969ab3cea8c1ee5',
    '8fc6a68144e4123d165a477ba5bc034ff58297b7958be62b54500e92677cfb57',
    'f98b57863c95b1714fb2079b3fe095f36c2c7c70bf52b34b3ca3608865668b8e',
    '37c22ff33839ce9849bc582c09a5fff090f0df9f16601f146b4d253502ca4bf8',
    'c019e0c0eb54017d47ca69664b4b087da9f71fcb4bbe34e679a128f430645c5e',
    '93a699ae29a51474756ed89a98d4f5965a812f346aa984291c7c874402fc6895',
    '2897cc52da3e9ee9ea794b64e8cdd7178ed347b82736a9af6e3c76b549ebf325',
    '252aa0fa1f819fa347187bb48c00113d4a8252b2f16b2cbef7f9ce0ad006f23d',
    '7fbb4c9709bf87a4ea72875b0fe4d30c41edde91f1aa329de61624107ff09fdf',
    '645777a6882edf13e33b97c7dd0e442b38e283a8927d711feacaca8171532e79',
    '7bdb3c92b5d68af92aa1d14e9aa04229f8b5fdca0c6bae30caa4e8ba8b0b40f2',
    'b4b22cc8e25c5390ed3f7b8d2fd7c1357de9a9e098fd1edc287ffd3412bbbe32',
    '19788adde9e556acd5f36e59b110afe4aa2cd88a647fee6fe5f4bc6161da3eda',
    'e18511b87d9d7f0d4bb6d7c5663e9a29701594d139a3e81d54ce9a2ace00e8d3',
    'c9699b60df1bafc04a079b6a38f9f0700a4c5ce439e9039954238859c0964f05',
  ])
})

/** A file as the last commit with that schema version made it. */
function fileOf(version: number): string {
  const path = join(tempFolder(), 'jobs.db')
  writeFileSync(path, gunzipSync(readFileSync(join(import.meta.dirname, `files/version-${version}.db.gz`))))
  return path
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])(
  'a file of version %s whose process was killed',
  (version) => {
    test('has jobs in every state, and all of them after the migration to the newest', () => {
      const path = fileOf(version)
      const rowsOf = (sql: string) => {
        const db = openForReading(path)
        const rows = db.prepare(sql).raw().all()
        db.close()
        return rows
      }
      const job = 'SELECT id, state, seq, attempt, lease_token, run_at, error FROM jobs ORDER BY id'
      const history =
        'SELECT id, job_id, seq, event, from_state, to_state, attempt, at, error FROM job_events ORDER BY id'
      const before = [rowsOf(job), rowsOf(history)]
      const states = rowsOf('SELECT DISTINCT state FROM jobs').flat()

      openForWriting(path, () => 'unused', 0).close()

      // Before version 14 no job waited for another.
      expect([...states].sort()).toEqual(jobStates.filter((state) => version > 13 || state !== 'blocked').sort())
      expect([rowsOf(job), rowsOf(history)]).toEqual(before)
      expect(verifyFile(path)).toMatchObject({ jobs: before[0]!.length, events: before[1]!.length, violations: [] })
    })

    test('is recovered and its jobs run', async () => {
      const { store, clock, path } = await openStore({
        path: fileOf(version),
        types: ['work', 'unknown here'],
      })

      const recovered = await store.recoverOrphans()
      for (let rounds = 0; rounds < 9; rounds++) {
        clock.advance(3_600_000)
        await store.sweep()
        const leased = await store.lease({ limit: 9, wait: false, start: true })
        await store.apply(leased.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' })))
      }

      // From version 5 on a crash costs no attempt: one job more is left.
      expect(recovered).toEqual({ leased: version < 5 ? 2 : 3, running: 1, suspects: 0, wasStopping: false })
      expect((await store.list({ limit: 100 })).jobs.filter(({ finishedAt }) => finishedAt === null)).toEqual([])
      expect(verifyFile(path).violations).toEqual([])
    })
  },
)

test('results of a file of version 18 are read as before, and go with their jobs', async () => {
  const { store, clock, path } = await openStore({ path: fileOf(18), retention: { succeeded: { ms: 1_000 } } })
  await store.recoverOrphans()
  const kept = [3, 4, 5, 6, 12, 13]

  const before = [...(await store.ended(kept))].map(([id, { result }]) => [id, result])
  await store.enqueue([aJob()])
  clock.advance(7_200_000)
  for (let rounds = 0; rounds < 5; rounds++) await store.sweep()
  await store.close()

  expect(before).toEqual(kept.map((id) => [id, `{"id":${id}}`]))
  const db = openForReading(path)
  whenDone(() => db.close())
  expect(db.prepare('SELECT count(*) FROM job_results').pluck().get()).toBe(0)
  expect(verifyFile(path).violations).toEqual([])
})
