import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { Scanner } from '../../../src/persistence/sqlite/read/scanner.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

test('an abandoned read stops', async () => {
  const path = join(tempFolder(), 'jobs.db')
  openForWriting(path, () => 'id', 0).close()
  const scanner = new Scanner(path)
  whenDone(() => scanner.close())
  const gone = new AbortController()
  const reason = new Error('gone')

  const read = scanner.scan('list', { limit: 1 }, gone.signal).catch((error: unknown) => error)
  gone.abort(reason)

  expect(await read).toBe(reason)
  await expect(scanner.scan('list', { limit: 1 }, gone.signal)).rejects.toBe(reason)
  expect(await scanner.scan('list', { limit: 1 })).toEqual({ jobs: [], next: null })
})

test('a failed read says why, and the next one succeeds if the file is back', async () => {
  const path = join(tempFolder(), 'jobs.db')
  openForWriting(path, () => 'id', 0).close()
  const scanner = new Scanner(path)
  whenDone(() => scanner.close())

  renameSync(path, `${path}-away`)
  const failed = await scanner.scan('list', { limit: 1 }).catch((error: Error) => error.message)
  renameSync(`${path}-away`, path)
  const read = await scanner.scan('list', { limit: 1 })

  expect(failed).toMatch(/^the database cannot be read: (?!undefined)./)
  expect(read).toEqual({ jobs: [], next: null })
})
