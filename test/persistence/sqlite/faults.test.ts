import { execFileSync } from 'node:child_process'
import { mkdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { StorageFullError } from '../../../src/errors.ts'
import { aJob, openStore } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

test('a full disk refuses new jobs, keeps outcomes until there is space, and goes on by itself', async ({ skip }) => {
  const folder = join(tempFolder(), 'small')
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    skip('a small file system cannot be mounted here')
  }
  whenDone(() => execFileSync('umount', ['-l', folder]))
  const { store, notices } = await openStore({ path: join(folder, 'jobs.db') })
  await store.enqueue([aJob()])
  const [job] = await store.lease({ room: 1, wait: false })
  // Beyond what the log has had room for before it was begun anew.
  for (let i = 0; i < 8; i++) await store.enqueue([aJob({ delayMs: 1e9 })])
  const ballast = join(folder, 'ballast')
  fill(ballast)

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
  unlinkSync(ballast)

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

/** Writes until there is no space left. */
function fill(path: string): void {
  try {
    writeFileSync(path, Buffer.alloc(64 * 1024 * 1024))
  } catch {
    // It is full.
  }
}
