import { existsSync, readdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { DatabaseUnusableError, StorageFullError } from '../../../src/errors.ts'
import { lockForServer } from '../../../src/persistence/sqlite/file/lock.ts'
import { lookAtMark, Mark } from '../../../src/persistence/sqlite/file/mark.ts'
import { fillDisk, makeReadOnly, mountSmall } from '../../support/small-disk.ts'
import { aJob, openStore } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { tempFolder } from '../../support/temp.ts'

test('a full disk refuses new jobs, keeps outcomes until there is space, and then continues by itself', async ({
  skip,
}) => {
  const folder = mountSmall(join(tempFolder(), 'small')) ?? skip('a small file system cannot be mounted here')
  const { store, notices } = await openStore({ path: join(folder, 'jobs.db') })
  await store.enqueue([aJob()])
  const [job] = await store.lease({ limit: 1, wait: false })
  // More than the log had room for before it was restarted.
  for (let i = 0; i < 8; i++) await store.enqueue([aJob({ delayMs: 1e9 })])
  const makeRoom = fillDisk(folder)

  const large = aJob({ payload: JSON.stringify('x'.repeat(200_000)) })
  const refused = await store.enqueue([large]).catch((error) => error)
  let applied = false
  const outcome = store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'start' }]).then((late) => {
    applied = true
    return late
  })
  // Tried together with the outcome, and refused once the outcome had met the full disk too.
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

test('a full disk is reported as full until a write succeeds, even if nobody asks for one', async ({ skip }) => {
  const folder = mountSmall(join(tempFolder(), 'small')) ?? skip('a small file system cannot be mounted here')
  const { store, notices } = await openStore({ path: join(folder, 'jobs.db') })
  for (let i = 0; i < 8; i++) await store.enqueue([aJob({ delayMs: 1e9 })])
  const makeRoom = fillDisk(folder)
  const told = () => notices.map((notice) => notice.type === 'health' && notice.error)
  await store.enqueue([aJob({ payload: JSON.stringify('x'.repeat(200_000)) })]).catch(() => {})

  // Two attempts at what is kept for later, and empty commits.
  const waitUntil = performance.now() + 1_200
  while (performance.now() < waitUntil) {
    await store.lease({ limit: 1, wait: false })
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const before = told()
  makeRoom()

  expect(before).toEqual([expect.stringMatching(/full/)])
  await vi.waitFor(() => expect(told()).toEqual([expect.stringMatching(/full/), null]), 90_000)
})

test('a first start on a full disk leaves nothing behind, and the next one begins', async ({ skip }) => {
  const folder = mountSmall(join(tempFolder(), 'small')) ?? skip('a small file system cannot be mounted here')
  const path = join(folder, 'jobs.db')
  const makeRoom = fillDisk(folder)

  expect(() => lockForServer(path)).toThrow(/jobs\.db-mark cannot be created: ENOSPC.*; free some space/)
  await expect(openStore({ path })).rejects.toThrow(/jobs\.db-mark cannot be created: ENOSPC.*; free some space/)
  const left = readdirSync(folder)
  const open = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`))
  makeRoom()
  const { store } = await openStore({ path })

  expect(left).toEqual(['ballast'])
  expect(open.filter((file) => file.startsWith(folder))).toEqual([])
  expect(await store.enqueue([aJob()])).toMatchObject({ jobs: [{ id: 1 }] })
})

test('a start on a full disk names the file that it cannot write, and what to do', async ({ skip }) => {
  const folder = mountSmall(join(tempFolder(), 'small')) ?? skip('a small file system cannot be mounted here')
  const path = join(folder, 'jobs.db')
  lockForServer(path).release()
  await (await openStore({ path })).store.close()
  const makeRoom = fillDisk(folder)

  const refusal = smtpFailureOf(() => lockForServer(path))
  makeRoom()

  expect(refusal).toBeInstanceOf(DatabaseUnusableError)
  expect(refusal).toMatchObject({ message: expect.stringMatching(/jobs\.db-lock: .*full; free some space on/) })
  lockForServer(path).release()
})

test('a mark that cannot be created again is reported once, and ends nothing', async ({ skip }) => {
  const folder = tempFolder()
  const { store, notices, path } = await openStore({ path: join(folder, 'jobs.db') })
  await store.enqueue([aJob()])
  unlinkSync(`${path}-mark`)
  const undo = makeReadOnly(folder) ?? skip('no folder can be made read-only here')

  await until(() => notices.length > 0)
  const stored = await store.enqueue([aJob()])
  const refusal = smtpFailureOf(() => new Mark(path, { epoch: '', transitions: 0, jobs: 0 }))
  undo()
  await until(() => existsSync(`${path}-mark`))

  expect(notices).toEqual([
    { type: 'file', message: expect.stringMatching(/jobs\.db-mark cannot be created: E.*permissions.*are safe, but/) },
  ])
  expect(stored).toMatchObject({ jobs: [{ id: 2 }] })
  expect(refusal).toBeInstanceOf(DatabaseUnusableError)
  await until(() => JSON.stringify(lookAtMark(path).mark).includes('"transitions":2'))
})

function smtpFailureOf(act: () => unknown): unknown {
  try {
    return act()
  } catch (error) {
    return error
  }
}

/** Empty for the descriptor with which the list itself was read. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

test.runIf(existsSync('/dev/full'))('a full disk delays the mark, and it is written when there is space', () => {
  const path = join(tempFolder(), 'jobs.db')
  symlinkSync('/dev/full', `${path}-mark`)
  const mark = new Mark(path, { epoch: 'one', transitions: 1, jobs: 1 })

  mark.advance(7, 3)
  unlinkSync(`${path}-mark`)
  mark.keep()
  const whenThereIsSpace = lookAtMark(path).mark
  mark.advance(8, 4)

  expect(whenThereIsSpace).toEqual({ epoch: 'one', transitions: 7, jobs: 3 })
  expect(lookAtMark(path).mark).toEqual({ epoch: 'one', transitions: 8, jobs: 4 })
  mark.close()
})
