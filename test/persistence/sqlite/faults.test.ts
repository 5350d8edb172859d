import { existsSync, readdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { StorageFullError } from '../../../src/errors.ts'
import { lockForServing } from '../../../src/persistence/sqlite/lock.ts'
import { Mark, readMark } from '../../../src/persistence/sqlite/mark.ts'
import { fillDisk, mountSmall } from '../../support/small-disk.ts'
import { aJob, openStore } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'

test('a full disk refuses new jobs, keeps outcomes until there is space, and goes on by itself', async ({ skip }) => {
  const folder = mountSmall(join(tempFolder(), 'small')) ?? skip('a small file system cannot be mounted here')
  const { store, notices } = await openStore({ path: join(folder, 'jobs.db') })
  await store.enqueue([aJob()])
  const [job] = await store.lease({ room: 1, wait: false })
  // Beyond what the log has had room for before it was begun anew.
  for (let i = 0; i < 8; i++) await store.enqueue([aJob({ delayMs: 1e9 })])
  const makeRoom = fillDisk(folder)

  const large = aJob({ payload: JSON.stringify('x'.repeat(200_000)) })
  const refused = await store.enqueue([large]).catch((error) => error)
  let applied = false
  const outcome = store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'start' }]).then((late) => {
    applied = true
    return late
  })
  // Tried together with the outcome, and refused when that had met the full disk too.
  const refusedAgain = await store.enqueue([large]).catch((error) => error)
  const wasApplied = applied
  makeRoom()

  expect([refused, refusedAgain]).toEqual([expect.any(StorageFullError), expect.any(StorageFullError)])
  expect(wasApplied).toBe(false)
  expect(await outcome).toEqual([])
  expect((await store.list({ limit: 9 })).jobs.at(-1)).toMatchObject({ id: job!.id, state: 'running' })
  expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
  expect(notices.map((notice) => notice.type === 'health' && notice.error)).toEqual([
    expect.stringMatching(/full/),
    null,
  ])
})

test('a first start on a full disk leaves nothing behind, and the next one begins', async ({ skip }) => {
  const folder = mountSmall(join(tempFolder(), 'small')) ?? skip('a small file system cannot be mounted here')
  const path = join(folder, 'jobs.db')
  const makeRoom = fillDisk(folder)

  expect(() => lockForServing(path)).toThrow(/ENOSPC|full/)
  await expect(openStore({ path })).rejects.toThrow(/ENOSPC|full/)
  const left = readdirSync(folder)
  const open = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`))
  makeRoom()
  const { store } = await openStore({ path })

  expect(left).toEqual(['ballast'])
  expect(open.filter((file) => file.startsWith(folder))).toEqual([])
  expect(await store.enqueue([aJob()])).toMatchObject({ jobs: [{ id: 1 }] })
})

/** Empty for the descriptor that the list itself was read by. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

test.runIf(existsSync('/dev/full'))(
  'a full disk leaves the mark behind, and it is made anew when there is space',
  () => {
    const path = join(tempFolder(), 'jobs.db')
    symlinkSync('/dev/full', `${path}-mark`)
    const mark = new Mark(path, { epoch: 'one', transitions: 1, jobs: 1 })

    mark.advance(7, 3)
    unlinkSync(`${path}-mark`)
    mark.keep()
    const whenThereIsSpace = readMark(path)
    mark.advance(8, 4)

    expect(whenThereIsSpace).toEqual({ epoch: 'one', transitions: 7, jobs: 3 })
    expect(readMark(path)).toEqual({ epoch: 'one', transitions: 8, jobs: 4 })
    mark.close()
  },
)
