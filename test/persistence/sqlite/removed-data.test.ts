import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compact } from '../../../src/persistence/sqlite/file/compact.ts'
import { openForReading } from '../../../src/persistence/sqlite/file/connection.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { runCommand } from '../../support/cli.ts'
import { startServer } from '../../support/server-process.ts'
import { aJob, openStore, startAt } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

const keepMs = 1_000
const made = { newDatabaseId: 'another', now: startAt }
const secret = (index: number) => `secret-of-customer-${index}-`

/** How often the contents of removed jobs occur in the files of a database. */
function foundIn(path: string): number {
  const files = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)))
  const bytes = files.map((name) => readFileSync(join(dirname(path), name), 'latin1')).join('\n')
  return bytes.split('secret-of-customer-').length - 1
}

/** A database that is closed, of which retention has removed all that had a secret; the jobs 101 and 102 are left. */
async function fileOfRemoved(secureDelete?: boolean): Promise<string> {
  const { store, clock, path } = await openStore({ retentionMs: keepMs, secureDelete })
  for (let index = 0; index < 100; index++) {
    const payload = JSON.stringify(secret(index).repeat(index % 7 === 0 ? 400 : 1))
    await store.enqueue([aJob({ payload, idempotency: { key: secret(index), content: secret(index) } })])
    if (index % 2 === 0) await store.send('cancel', index + 1)
    else {
      const [job] = await store.lease({ limit: 1, wait: false, start: true })
      await store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'succeed', result: payload }])
    }
  }
  await store.enqueue([aJob({ delayMs: 1e9 }), aJob({ delayMs: 1e9 })])
  await store.sweep()
  clock.advance(keepMs)
  await store.sweep()
  expect((await store.list({ limit: 9 })).jobs.map(({ id }) => id)).toEqual([102, 101])
  await store.close()
  return path
}

describe('removed data', () => {
  test('can still be read in the file, unless it is overwritten', async () => {
    expect(foundIn(await fileOfRemoved())).toBeGreaterThan(0)
  })

  test('is in none of the files once they are closed, if deleting is secure', async () => {
    expect(foundIn(await fileOfRemoved(true))).toBe(0)
  })

  test('is in none of the files once they are compacted', async () => {
    const path = await fileOfRemoved()

    const { bytesBefore, bytesAfter } = compact(path, made)

    expect(foundIn(path)).toBe(0)
    expect(bytesAfter).toBeLessThan(bytesBefore)
  })
})

describe('a database that was compacted', () => {
  test('is the same for every reader: complete, with its ids and its epoch', async () => {
    const path = await fileOfRemoved()
    const files = () => readdirSync(dirname(path)).sort()
    const before = files()

    compact(path, made)
    const left = files()
    const { store, notices } = await openStore({ path })
    const next = await store.enqueue([aJob()])

    expect(left).toEqual([...before, 'jobs.db-lock'].sort())
    expect(verifyFile(path).violations).toEqual([])
    expect(notices).toEqual([])
    expect(next).toMatchObject({ jobs: [{ id: 103 }] })
    expect((await store.list({ limit: 9 })).jobs.map(({ id }) => id)).toEqual([103, 102, 101])
  })

  test('was open to nobody else: while somebody reads it nothing is done, which is reported', async () => {
    const path = await fileOfRemoved()
    const { store } = await openStore({ path, owner: null })
    const reader = openForReading(path)
    whenDone(() => reader.close())
    reader.prepare('SELECT count(*) FROM jobs').get()

    expect(() => compact(path, made)).toThrow(/another process has .* open, such as a producer or a shell/)
    expect(await store.find(101)).toBeDefined()
  })
})

describe('jobmachine compact', () => {
  const run = (...operands: string[]) => runCommand(['compact', ...operands])

  test('prints the sizes before and after', async () => {
    const path = await fileOfRemoved()

    const { code, stdout, stderr } = await run(path)

    expect([code, stderr]).toEqual([0, expect.stringMatching(/^rewriting [\d,]+ bytes\n$/)])
    expect(stdout).toMatch(/jobs\.db: [\d,]+ bytes before, [\d,]+ now\n$/)
  })

  test('is refused while a server runs, which it names', async () => {
    const { database } = await startServer()

    expect(await run(database)).toMatchObject({ code: 75, stderr: expect.stringContaining('is served by process') })
  })

  test('creates no database if there is none', async () => {
    const folder = tempFolder()

    expect(await run(join(folder, 'none.db'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no database'),
    })
    expect(readdirSync(folder)).toEqual([])
  })
})
