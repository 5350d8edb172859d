import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { shareOf } from '../support/share.ts'
import { cleanUp, memoryFolder } from '../support/temp.ts'
import { describeHarm, type Harm, harmFile } from './files.ts'

let folder: string
beforeAll(() => {
  folder = memoryFolder()
})
afterAll(cleanUp)

/** `npm run test:torture` does each to every file. */
const share: readonly Harm[] = [
  { file: '', harm: 'copied', live: true, producer: false },
  { file: '-wal', harm: 'cut', live: false, producer: false },
]
const whole: readonly Harm[] = [
  ...share,
  { file: '-wal', harm: 'removed', live: true, producer: true },
  { file: '', harm: 'linked', live: true, producer: false },
  { file: '-wal', harm: 'emptied', live: true, producer: false },
  { file: '-wal', harm: 'cut', live: false, producer: true },
  { file: '-lock', harm: 'replaced', live: true, producer: false },
  { file: '', harm: 'moved', live: false, producer: false },
  { file: '', harm: 'emptied', live: true, producer: false },
  { file: '-shm', harm: 'removed', live: true, producer: true },
  { file: '-shm', harm: 'emptied', live: true, producer: false },
]

describe.concurrent('a database, its file', () => {
  test.each(shareOf({ share, whole }).map((harm, index) => [describeHarm(harm), harm, index] as const))(
    '%s: keeps every acknowledged job, or a start reports the loss',
    async (_, harm, index) => {
      expect(await harmFile(harm, join(folder, `${index}`))).toEqual([])
    },
  )
})
