import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import {
  assertWitnessed,
  type Child,
  complaints,
  endWith,
  killChildren,
  startChild,
  started,
  witnessed,
} from '../support/child.ts'
import { shimDisk } from '../support/fsync-shim.ts'
import { isWhole } from '../support/share.ts'
import { eventsOf, until, untilFinished } from '../support/system.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'

let folder: string
beforeAll(() => {
  folder = tempFolder()
})
afterAll(async () => {
  killChildren()
  await cleanUp()
})

const noCompiler = 'the disk cannot be shimmed: there is no C compiler (cc)'
const jobs = (count: number, payload: unknown = null) =>
  Array.from({ length: count }, () => ({ type: 'quick', payload }))

/** Enqueues until the process ends, and returns how it ended. */
async function enqueueUntilItEnds(child: Child, payload: unknown) {
  for (;;) {
    const call = child.enqueue(jobs(10, payload))
    // If it no longer answers, or refuses, it is about to end.
    const ended = await Promise.race([
      child.exited,
      call.then(
        () => undefined,
        () => child.exited,
      ),
    ])
    if (ended) return ended
  }
}

/**
 * Starts again and checks that everything acknowledged is done, and that nothing was acknowledged after the process had said that it cannot
 * continue.
 */
async function assertRecovered(database: string) {
  const lines = witnessed(database)
  const acknowledged = lines.flatMap(({ what, ids }) => (what === 'acknowledged' ? ids : []))
  const fatalAt = lines.findIndex(({ what }) => what === 'fatal')
  expect(lines.slice(fatalAt + 1)).toEqual([])
  expect(acknowledged.length).toBeGreaterThan(0)

  const child = await startChild({ database })
  const reader = await createJobSystem({ database })
  await until(async () => {
    const { queued, leased, running, retrying } = await reader.counts()
    return queued + leased + running + retrying === 0
  })
  for (const id of acknowledged) expect((await reader.find(id))?.state).toBe('succeeded')
  await assertWitnessed(reader, database)
  await endWith(child, reader)
}

describe.concurrent('a process', () => {
  test('whose disk fails a flush acknowledges nothing more and ends with 1, and the next process recovers', async ({
    skip,
  }) => {
    const disk = shimDisk(join(folder, 'fsync'))
    if (!disk) return skip(noCompiler)
    const database = join(folder, 'fsync.db')
    const child = await startChild({ database, env: disk.env })
    await child.enqueue(jobs(50))

    disk.failOnce()
    const ended = await enqueueUntilItEnds(child, null)

    expect(ended).toEqual({ code: 1, signal: null })
    const fatal = witnessed(database).filter(({ what }) => what === 'fatal')
    expect(fatal.map(({ message }) => message)).toEqual([
      expect.stringMatching(/the store cannot continue: .*disk I\/O error/),
    ])
    await assertRecovered(database)
  })

  // In the share, the failing flush above covers it.
  test.runIf(isWhole)(
    'whose disk accepts no more writes acknowledges nothing more and ends with 1, and the next process recovers',
    async () => {
      const database = join(folder, 'ulimit.db')
      const child = await startChild({ database, after: 'ulimit -f 2000' })

      const ended = await enqueueUntilItEnds(child, 'x'.repeat(1_000))

      expect(ended).toEqual({ code: 1, signal: null })
      const fatal = witnessed(database).filter(({ what }) => what === 'fatal')
      expect(fatal.map(({ message }) => message)).toEqual([
        expect.stringMatching(/the store cannot continue: .*disk I\/O error/),
      ])
      await assertRecovered(database)
    },
  )

  test.runIf(isWhole)(
    'with a slow disk loses no lease and runs nothing twice, and its commits grow',
    async ({ skip }) => {
      const disk = shimDisk(join(folder, 'slow'))
      if (!disk) return skip(noCompiler)
      const database = join(folder, 'slow.db')
      const child = await startChild({ database, env: disk.env, settings: { leaseMs: 600 } })
      const reader = await createJobSystem({ database })

      disk.setSlow(true)
      await child.enqueue(Array.from({ length: 5 }, () => ({ type: 'sleep', payload: { ms: 1_500 } })))
      const later = { type: 'quick', payload: null, delayMs: 600_000 }
      // One after another they would take 250 s, far longer than this test may take.
      await Promise.all(Array.from({ length: 500 }, () => child.enqueue([later])))
      await untilFinished(reader, 5)
      disk.setSlow(false)

      expect(new Set(started(database)).size).toBe(started(database).length)
      for (let id = 1; id <= 5; id++) expect(await eventsOf(reader, id)).toBe('enqueue lease start succeed')
      expect(complaints(database)).toEqual([])
      await assertWitnessed(reader, database)
      await endWith(child, reader)
    },
  )
})
