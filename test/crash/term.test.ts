import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJobSystem, type JobSystem } from '../../src/index.ts'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import { briefly } from '../support/built.ts'
import { assertWitnessed, type Child, endWith, killChildren, startChild, started, witnessed } from '../support/child.ts'
import { patchedBuild } from '../support/patched-build.ts'
import { aRemote } from '../support/remote.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { fillDisk, mountSmall } from '../support/small-disk.ts'
import { eventsOf, until, untilFinished } from '../support/system.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'

let folder: string
/** A file system of one MiB; null if none can be mounted. */
let small: string | null
beforeAll(() => {
  folder = tempFolder()
  small = mountSmall(join(folder, 'small'))
})
afterAll(async () => {
  killChildren()
  await cleanUp()
})

/** Stops that a SIGKILL interrupts, one after another. */
const stopsMax = shareOf({ share: 1, whole: 5 })

const many = (count: number, job: object) => Array.from({ length: count }, () => ({ payload: null, ...job })) as never

/** Checks that it ends cleanly, even while something that would delay it for longer continues. */
async function assertEnds(child: Child): Promise<void> {
  child.kill('SIGTERM')
  expect(await child.exited).toEqual({ code: 0, signal: null })
}

/** Runs everything that is left in a second process, and checks that nothing was lost. */
async function assertFinishes(database: string, reader: JobSystem, count: number): Promise<void> {
  const child = await startChild({ database, settings: { retryBaseMs: 1 } })
  await untilFinished(reader, count)
  expect((await reader.counts()).succeeded).toBe(count)
  await assertWitnessed(reader, database)
  await endWith(child, reader)
}

/** Changes every queued job of a file as if its process had died while it held leases of all. */
function leaseAll(database: string): void {
  const db = openKept(database)
  db.exec(`BEGIN IMMEDIATE;
    INSERT INTO edge_counts SELECT 'queued', 'lease', 'leased', count(*) FROM jobs;
    INSERT INTO event_runs (id, first_job_id, seq, event, from_state, to_state, attempt, at, previous_id)
      SELECT id + (SELECT max(last_event_id) FROM jobs), id, 2, 'lease', 'queued', 'leased', 0, created_at, last_event_id FROM jobs;
    UPDATE jobs SET state = 'leased', seq = 2, lease_token = 2, lease_expires_at = created_at,
      last_event_id = id + (SELECT max(last_event_id) FROM jobs);
    COMMIT`)
  db.close()
}

// A share stops with jobs in every state, and is killed as it stops.
describe.concurrent('SIGTERM', () => {
  test('with jobs in every state ends in time, holds nothing any more and does not count the attempts it gave back', async () => {
    const database = join(folder, 'every.db')
    const child = await startChild({ database, graceMs: 50, holdMs: 600_000, settings: { retryBaseMs: 60_000 } })
    const reader = await createJobSystem({ database })
    await child.enqueue(many(100, { type: 'quick', priority: 2 }))
    await child.enqueue(many(20, { type: 'flaky', priority: 1 }))
    await child.enqueue(many(200, { type: 'polite' }))
    await child.enqueue(many(30, { type: 'quick', delayMs: 600_000 }))
    await until(async () => {
      const { running, retrying, succeeded } = await reader.counts()
      const called = started(database).length === 100 + 20 + 10
      return called && succeeded === 100 && retrying === 20 && running === 10
    })

    await assertEnds(child)

    expect(await reader.counts()).toEqual({
      ...{ blocked: 0, scheduled: 30, queued: 200, leased: 0, running: 0, retrying: 20 },
      ...{ succeeded: 100, dead: 0, cancelled: 0 },
    })
    for (const id of started(database).slice(-10)) {
      expect(await eventsOf(reader, id)).toBe('enqueue lease start release')
      expect((await reader.find(id))?.attempt).toBe(0)
    }
    await assertWitnessed(reader, database)
    await reader.stop()
  })

  test.runIf(isWhole)('during recovery ends in time, and the next server recovers the rest', async () => {
    const database = join(folder, 'recovering.db')
    const reader = await createJobSystem({ database })
    for (let batch = 0; batch < 10; batch++) await reader.enqueue(many(1_000, { type: 'nobody' }))
    leaseAll(database)
    const ended = await (await startChild({ database, endsAtStart: true })).exited
    const { leased } = await reader.counts()

    const next = await startChild({ database })

    expect(ended).toEqual({ code: 0, signal: null })
    expect(leased).toBeGreaterThan(0)
    expect(await reader.counts()).toMatchObject({ leased: 0, queued: 10_000 })
    expect(verifyFile(database).violations).toEqual([])
    await endWith(next, reader)
  })

  test.runIf(isWhole)(
    'while another process holds the file locked ends in time, and running jobs are recovered',
    async () => {
      const database = join(folder, 'locked.db')
      const child = await startChild({ database, graceMs: 50 })
      const reader = await createJobSystem({ database })
      const { port, asked, answer, answerAll } = await aRemote()
      await child.enqueue(many(8, { type: 'ask', payload: { port } }))
      await until(() => asked() === 8)
      const other = openKept(database)
      other.exec('BEGIN IMMEDIATE')
      // These succeed within the grace, and the others are aborted when it ends: no outcome can be stored.
      answer(5)

      await assertEnds(child)
      other.exec('ROLLBACK')
      other.close()

      expect(witnessed(database).map(({ message }) => message)).toContain(
        'the last results could not be stored; the next start recovers their jobs',
      )
      answerAll()
      await assertFinishes(database, reader, 8)
    },
  )

  test('followed by SIGKILL, as in a container, blames no job for a crash, however often', async () => {
    const database = join(folder, 'impatient.db')
    const reader = await createJobSystem({ database })
    const [job] = await reader.enqueue([{ type: 'hold', payload: null }])
    const meta = openKept(database, { readonly: true })
    for (let stops = 1; stops <= stopsMax; stops++) {
      const child = await startChild({ database, holdMs: 600_000, graceMs: 600_000 })
      await until(() => started(database).length === stops)
      child.kill('SIGTERM')
      await until(() => meta.prepare(`SELECT 1 FROM meta WHERE name = 'stopping'`).get() !== undefined)
      child.kill('SIGKILL')
      expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
    }
    meta.close()

    await assertFinishes(database, reader, 1)

    const events = Array(stopsMax).fill('lease start release').join(' ')
    expect(started(database)).toEqual(Array(stopsMax + 1).fill(job!.id))
    const after = await createJobSystem({ database })
    expect(await eventsOf(after, job!.id)).toBe(`enqueue ${events} lease start succeed`)
    await after.stop()
  })

  test.runIf(isWhole)(
    'while the disk is full ends in time, and running jobs are recovered when there is space',
    async ({ skip }) => {
      if (!small) return skip('a small file system cannot be mounted here')
      const database = join(small, 'jobs.db')
      // The witness has space.
      symlinkSync(join(folder, 'full.witness'), `${database}.witness`)
      const child = await startChild({ database, graceMs: 50 })
      const reader = await createJobSystem({ database })
      const { port, asked, answer, answerAll } = await aRemote()
      await child.enqueue(many(5, { type: 'ask', payload: { port } }))
      await until(() => asked() === 5)
      const makeRoom = fillDisk(small)
      answer(3)

      await assertEnds(child)
      makeRoom()

      answerAll()
      await assertFinishes(database, reader, 5)
    },
  )

  test.runIf(isWhole)('ends the process even if the stop never finishes because the disk does not answer', async () => {
    const build = patchedBuild(join(folder, 'build'), [
      { file: 'persistence/sqlite/thread/store-thread.js', find: 'this.#db.close();', replace: forever },
      { file: 'main.js', find: 'const beyondGraceMs = 10_000', replace: 'const beyondGraceMs = 2_000' },
    ])
    const { child, exited, said } = await startMain(join(build, 'main.js'))
    const before = performance.now()

    child.kill('SIGTERM')

    expect(await exited).toEqual({ code: null, signal: 'SIGKILL' })
    expect(performance.now() - before).toBeGreaterThan(1_000)
    expect(said()).toContain('stopping takes too long')
  })
})

/** Blocks a thread for good, like a system call that does not return. */
const forever = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'

/** The server of a build, once it listens. */
async function startMain(main: string) {
  const env = { PATH: process.env.PATH ?? '', PORT: '0', SHUTDOWN_GRACE_MS: '0' }
  const child = spawn(process.execPath, [...briefly, main], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const exited = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  await until(() => output.includes('"listening"'))
  return { child, exited, said: () => output }
}
