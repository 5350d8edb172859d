import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cleanUp, memoryFolder } from '../support/temp.ts'
import { describeHarm, type Harm, harmFile } from './files.ts'

let folder: string
beforeAll(() => {
  folder = memoryFolder()
})
afterAll(cleanUp)

/** The share that each run tries; `npm run test:torture` tries them all. */
const share: readonly Harm[] = [
  { file: '', harm: 'copied', live: true, producer: false },
  { file: '', harm: 'emptied', live: true, producer: false },
  { file: '-wal', harm: 'removed', live: true, producer: true },
  { file: '-wal', harm: 'emptied', live: true, producer: false },
  { file: '-wal', harm: 'cut', live: false, producer: true },
  { file: '-shm', harm: 'removed', live: true, producer: true },
  { file: '-shm', harm: 'emptied', live: true, producer: false },
  { file: '-lock', harm: 'replaced', live: true, producer: false },
  { file: '', harm: 'linked', live: true, producer: false },
  { file: '', harm: 'moved', live: false, producer: false },
]

describe.concurrent('a database, its file', () => {
  test.each(share.map((harm, index) => [describeHarm(harm), harm, index] as const))(
    '%s: keeps every acknowledged job, or a start says that it does not',
    async (_, harm, index) => {
      expect(await harmFile(harm, join(folder, `${index}`))).toEqual([])
    },
  )
})
