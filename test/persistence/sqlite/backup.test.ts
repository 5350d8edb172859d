import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { UnavailableError } from '../../../src/errors.ts'
import { backUp } from '../../../src/persistence/sqlite/file/backup.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { built } from '../../support/built.ts'
import { aJob, openStore } from '../../support/store.ts'
import { openSystem, until } from '../../support/system.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'
import { ids } from '../conformance/helpers.ts'

const jobs = (count: number, payload = '{}') => Array.from({ length: count }, () => aJob({ payload }))

describe('a backup', () => {
  test('of a working system is one instant of it, complete in one file, and drops no lock', async () => {
    const { store, path, notices } = await openStore()
    await store.enqueue(jobs(100, JSON.stringify('x'.repeat(50_000))))
    const target = join(tempFolder(), 'backup.db')
    let stored = 100
    let isDone = false
    const busy = (async () => {
      while (!isDone) stored += (await store.enqueue(jobs(10))).outcome === 'stored' ? 10 : 0
    })()
    const seen: number[] = []

    const report = await store.backup(target, (pages) => seen.push(pages))
    isDone = true
    await busy

    expect(report.jobs).toBeGreaterThanOrEqual(100)
    expect(report.jobs).toBeLessThanOrEqual(stored)
    expect(readdirSync(dirname(target))).toEqual(['backup.db'])
    expect(verifyFile(target)).toMatchObject({ jobs: report.jobs, violations: [] })
    await new Promise((resolve) => setTimeout(resolve, 250))
    expect(notices).toEqual([])
    await store.close()
    expect(verifyFile(path)).toMatchObject({ jobs: stored, violations: [] })
  })

  test('gives no id and no token a second time when it is restored', async () => {
    const { store } = await openStore()
    await store.enqueue(jobs(10))
    const target = join(tempFolder(), 'jobs.db')
    await store.backup(target)
    await store.enqueue(jobs(10))

    const restored = await openStore({ path: target, newDatabaseId: 'later' })
    const result = await restored.store.enqueue(jobs(1))

    const [job] = (result as { jobs: readonly { id: number }[] }).jobs
    expect(job!.id).toBeGreaterThan(1_000_000)
    expect([10, job!.id].map((id) => restored.store.databaseIdOf(id))).toEqual(['test-database', 'later'])
    expect(restored.notices).toEqual([{ type: 'file', message: expect.stringMatching(/restored backup/) }])
    await restored.store.close()
    const again = await openStore({ path: target, newDatabaseId: 'not used' })
    expect(again.notices).toEqual([])
  })

  test('that is restored beside the mark of later changes is refused until the loss is accepted', async () => {
    const { store, path } = await openStore()
    await store.enqueue(jobs(10))
    const target = join(tempFolder(), 'jobs.db')
    await store.backup(target)
    await store.enqueue(jobs(10))
    await store.close()
    renameSync(target, path)

    const refusal = await openStore({ path }).catch((error: unknown) => error as { acceptance: string })
    expect(refusal).toMatchObject({ code: 'jobs_lost', missing: 10 })
    expect(refusal).toMatchObject({ message: expect.stringContaining('If this is a restored backup') })

    const acceptLoss = (refusal as { acceptance: string }).acceptance
    const restored = await openStore({ path, acceptLoss, newDatabaseId: 'later' })
    expect((await restored.store.enqueue(jobs(1))).outcome).toBe('stored')
  })

  test.each([
    ['takes the place of nothing', (target: string) => writeFileSync(target, 'mine'), /exists/],
    [
      'takes no name that belongs to a database',
      (target: string) => writeFileSync(target.slice(0, -'-wal'.length), ''),
      /belongs to/,
    ],
  ])('%s', async (_, prepare, reason) => {
    const { store } = await openStore()
    const target = join(tempFolder(), 'other.db-wal')
    prepare(target)
    const before = readdirSync(dirname(target))

    await expect(store.backup(target)).rejects.toThrow(UnavailableError)
    await expect(store.backup(target)).rejects.toThrow(reason)
    expect(readdirSync(dirname(target))).toEqual(before)
  })

  test.each([1, 2, 3, 4])(
    'of a file of schema version %s has that version, and gives no id twice when it is restored',
    async (version) => {
      const folder = tempFolder()
      const [path, target] = [join(folder, 'jobs.db'), join(folder, 'b.db')] as const
      writeFileSync(path, gunzipSync(readFileSync(join(import.meta.dirname, 'files', `version-${version}.db.gz`))))

      const report = await backUp(path, target)

      const copy = openKept(target, { readonly: true })
      expect(copy.pragma('user_version', { simple: true })).toBe(version)
      expect(copy.prepare('SELECT max(id), (SELECT max(id) FROM jobs) FROM job_events').raw().get()).toEqual([
        report.transitions,
        report.jobs,
      ])
      copy.close()
      const { store, notices } = await openStore({ path: target, newDatabaseId: 'later' })
      const [id] = ids(await store.enqueue(jobs(1)))
      expect(id).toBeGreaterThan(1_000_000)
      expect(store.databaseIdOf(id!)).toBe('later')
      expect(notices).toContainEqual({ type: 'file', message: expect.stringMatching(/restored backup/) })
      await store.close()
      expect(verifyFile(target).violations).toEqual([])
    },
  )

  test('of an empty file is refused with that reason', async () => {
    const folder = tempFolder()
    writeFileSync(join(folder, 'jobs.db'), '')

    await expect(backUp(join(folder, 'jobs.db'), join(folder, 'b.db'))).rejects.toThrow(/jobs.db is empty/)
    expect(readdirSync(folder)).not.toContain('b.db')
  })

  test('is refused without a folder, without a file, or to another name of the file', async () => {
    const { path } = await openStore()
    const folder = tempFolder()

    await expect(backUp(path, join(folder, 'none', 'b.db'))).rejects.toThrow(/there is no folder/)
    await expect(backUp(join(folder, 'none.db'), join(folder, 'b.db'))).rejects.toThrow(/there is no file/)
    linkSync(path, join(folder, 'link.db'))
    await expect(backUp(join(folder, 'link.db'), join(folder, 'b.db'))).rejects.toThrow(/hard links/)
    expect(readdirSync(folder)).toEqual(['link.db'])
  })

  test('of a file whose copy is not complete is refused', async () => {
    const { store, path } = await openStore()
    await store.enqueue(jobs(10))
    await store.close()
    const db = openKept(path)
    db.exec(`UPDATE edge_counts SET n = n + 1`)
    db.close()
    const folder = tempFolder()

    await expect(backUp(path, join(folder, 'b.db'))).rejects.toThrow(/incomplete: 10 jobs are queued/)
    expect(readdirSync(folder)).toEqual([])
  })

  test('whose process is killed half-way leaves nothing under its name', async () => {
    const { store, path } = await openStore()
    for (let i = 0; i < 5; i++) await store.enqueue(jobs(100, JSON.stringify('x'.repeat(50_000))))
    const folder = join(tempFolder(), 'backups')
    mkdirSync(folder)
    const script = join(tempFolder(), 'half.mjs')
    writeFileSync(
      script,
      `import { backUp } from '${built('persistence/sqlite/file/backup.js')}'
       await backUp(process.argv[2], process.argv[3], (pages) => {
         if (pages > 2_000) process.kill(process.pid, 'SIGKILL')
       })`,
    )
    const child = fork(script, [path, join(folder, 'b.db')])
    whenDone(() => child.kill('SIGKILL'))
    const [, signal] = await once(child, 'exit')

    expect(signal).toBe('SIGKILL')
    expect(existsSync(join(folder, 'b.db'))).toBe(false)
    expect(readdirSync(folder).filter((name) => !name.startsWith('b.db.partial-'))).toEqual([])
    await store.backup(join(folder, 'b.db'))
    expect(verifyFile(join(folder, 'b.db'))).toMatchObject({ jobs: 500, violations: [] })
  })
})

test('a system can back itself up, and a stop ends a backup', async () => {
  const { system, path } = await openSystem({ runs: { work: () => {} } })
  await system.enqueue(
    Array.from({ length: 200 }, () => ({ type: 'work', payload: 'x'.repeat(100_000), delayMs: 1e9 })),
  )
  const folder = tempFolder()

  await system.backup(join(folder, 'whole.db'))
  const ended = system.backup(join(folder, 'ended.db')).then(
    () => 'made',
    (error: unknown) => error,
  )
  await until(() => readdirSync(folder).length > 1)
  await system.stop()

  // It may have been faster.
  expect(['made', expect.any(UnavailableError)]).toContainEqual(await ended)
  expect(existsSync(join(folder, 'ended.db'))).toBe((await ended) === 'made')
  expect(verifyFile(join(folder, 'whole.db'))).toMatchObject({ jobs: 200, violations: [] })
  expect(verifyFile(path)).toMatchObject({ jobs: 200, violations: [] })
})
