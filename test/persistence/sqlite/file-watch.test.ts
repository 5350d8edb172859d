import { appendFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FileWatch } from '../../../src/persistence/sqlite/file/file-watch.ts'
import { until } from '../../support/system.ts'
import { tempFolder } from '../../support/temp.ts'

function watched() {
  const path = join(tempFolder(), 'jobs.db')
  writeFileSync(path, 'some text')
  let changes = 0
  const watch = new FileWatch([path], () => changes++)
  return { path, watch, changes: () => changes }
}

describe.runIf(process.platform === 'linux')('a watch', () => {
  test('listens from the first call on, and says so from the second', () => {
    const { watch } = watched()

    expect([watch.listen(), watch.listen(), watch.listen()]).toEqual([false, true, true])
    watch.rest()
    expect([watch.listen(), watch.listen()]).toEqual([false, true])
    watch.rest()
  })

  test.each([
    ['written', (path: string) => appendFileSync(path, 'more')],
    ['cut', (path: string) => truncateSync(path, 1)],
    ['moved', (path: string) => renameSync(path, `${path}.old`)],
    ['removed', (path: string) => rmSync(path)],
    [
      'replaced',
      (path: string) => {
        writeFileSync(`${path}.new`, 'other')
        renameSync(`${path}.new`, path)
      },
    ],
  ])('hears when its file is %s', async (_, harm) => {
    const { path, watch, changes } = watched()
    watch.listen()
    harm(path)

    await until(() => changes() > 0)
    watch.rest()
  })

  test('that cannot watch a file leaves it to the poll', () => {
    const { path, watch } = watched()
    rmSync(path)

    expect([watch.listen(), watch.listen()]).toEqual([false, false])
  })
})
