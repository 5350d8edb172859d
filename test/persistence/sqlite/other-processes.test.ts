import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { DatabaseLockedError, UnavailableError } from '../../../src/errors.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { lockForServer } from '../../../src/persistence/sqlite/file/lock.ts'
import { built } from '../../support/built.ts'
import { shareOf } from '../../support/share.ts'
import { aJob, openStore } from '../../support/store.ts'
import { onThreads, startHere } from '../../support/store-here.ts'
import { until } from '../../support/system.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

onThreads()

describe('a job that another process put into the file', () => {
  test('reaches a waiting lease within 200 ms', async () => {
    const { store, path, clock } = await openStore({}, startHere)
    const producer = await openStore({ path, owner: null, clock })
    // From here on this test controls the store's timers.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const waiting = store.lease({ limit: 1, wait: true })
    await store.sweep()

    await producer.store.enqueue([aJob({ payload: '"from afar"' })])
    vi.advanceTimersByTime(200)

    expect(await waiting).toMatchObject([{ payload: '"from afar"' }])
  })

  test('is queued when it is due', async () => {
    const { store, path, clock } = await openStore()
    const producer = await openStore({ path, owner: null, clock })
    await producer.store.enqueue([aJob({ delayMs: 60_000 })])
    const waiting = store.lease({ limit: 1, wait: true })

    clock.advance(60_000)

    expect(await waiting).toHaveLength(1)
  })
})

describe('while another process holds a write lock', () => {
  test('a call waits, and is stored when the lock is released', async () => {
    const { store, path } = await openStore()
    const other = openKept(path)
    other.exec('BEGIN IMMEDIATE')

    const waiting = store.enqueue([aJob()])
    await new Promise((resolve) => setTimeout(resolve, 100))
    other.exec('ROLLBACK')
    other.close()

    expect(await waiting).toMatchObject({ outcome: 'stored' })
  })

  test('for longer than 2 s, a call is refused and not stored later, an outcome waits, and health reports it', async () => {
    const { store, path, notices } = await openStore()
    await store.enqueue([aJob()])
    const [job] = await store.lease({ limit: 1, wait: false })
    const other = openKept(path)
    other.exec('BEGIN IMMEDIATE')

    const refused = store.enqueue([aJob()])
    const applied = store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'start' }])
    await expect(refused).rejects.toThrow(UnavailableError)
    other.exec('ROLLBACK')
    other.close()

    expect(await applied).toEqual([])
    expect(await store.find(job!.id)).toMatchObject({ state: 'running' })
    expect((await store.list({ limit: 9 })).jobs).toHaveLength(1)
    expect(notices).toEqual([
      { type: 'health', error: 'another process holds a lock on the database', cause: 'locked' },
      { type: 'health', error: null },
    ])
  })

  test('health reports it after any refused call, and stops when the lock is gone, even without another call', async () => {
    const { store, path, notices } = await openStore({ owner: null }, startHere)
    const other = openKept(path)
    other.exec('BEGIN IMMEDIATE')

    // The thread stood still between the call and its first try.
    const now = performance.now.bind(performance)
    const stoodStill = vi
      .spyOn(performance, 'now')
      .mockImplementationOnce(now)
      .mockImplementation(() => now() + 2_500)
    await expect(store.enqueue([aJob()])).rejects.toThrow(UnavailableError)
    stoodStill.mockRestore()
    expect(notices).toEqual([
      { type: 'health', error: 'another process holds a lock on the database', cause: 'locked' },
    ])
    other.exec('ROLLBACK')
    other.close()

    await until(() => notices.length > 1)
    expect(notices.slice(1)).toEqual([{ type: 'health', error: null }])
  })
})

test('a server starts beside a process that writes again and again', async () => {
  const { store, path } = await openStore()
  await store.close()
  const script = join(tempFolder(), 'writer.mjs')
  writeFileSync(
    script,
    `import { openKept } from '${built('persistence/sqlite/file/kept.js')}'
     const db = openKept(process.argv[2], { timeout: 10_000 })
     const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
     process.send('writes')
     for (;;) {
       db.exec('BEGIN IMMEDIATE')
       wait(6)
       db.exec('ROLLBACK')
       wait(6)
     }`,
  )
  const writer = fork(script, [path])
  whenDone(() => writer.kill('SIGKILL'))
  await once(writer, 'message')

  // The statement that names the server was not repeated if it found the file locked.
  const { startsMax, thread } = shareOf({
    share: { startsMax: 10, thread: startHere },
    whole: { startsMax: 20, thread: undefined },
  })
  for (let starts = 0; starts < startsMax; starts++) await (await openStore({ path }, thread)).store.close()
})

describe('the lock of a server', () => {
  /** A process that takes the lock and holds it. */
  async function holder(path: string) {
    const script = join(tempFolder(), 'holder.mjs')
    writeFileSync(
      script,
      `import { lockForServer, thisProcess } from '${built('persistence/sqlite/file/lock.js')}'
       import { openForWriting } from '${built('persistence/sqlite/file/connection.js')}'
       lockForServer(process.argv[2])
       const db = openForWriting(process.argv[2], () => 'id', 0)
       db.prepare("INSERT INTO meta VALUES ('owner', ?)").run(JSON.stringify(thisProcess(0)))
       for (let i = 0; i < 3; i++) globalThis.gc()
       process.send('held')
       setInterval(() => {}, 1000)`,
    )
    const child = fork(script, [path], { execArgv: ['--expose-gc'] })
    whenDone(() => child.kill('SIGKILL'))
    await once(child, 'message')
    return child
  }

  test('is refused to a second server, which learns who holds it', async () => {
    const path = join(tempFolder(), 'jobs.db')
    const { pid } = await holder(path)

    expect(() => lockForServer(path)).toThrow(DatabaseLockedError)
    expect(() => lockForServer(path)).toThrow(`process ${pid} `)
  })

  test('holds while its process is stopped, and ends with SIGKILL', async () => {
    const path = join(tempFolder(), 'jobs.db')
    const child = await holder(path)
    child.kill('SIGSTOP')
    expect(() => lockForServer(path)).toThrow(DatabaseLockedError)

    child.kill('SIGKILL')
    await once(child, 'exit')

    // The pid of the dead one still stands in the file: the lock decides.
    lockForServer(path).release()
  })

  test('can be taken again after its release', () => {
    const path = join(tempFolder(), 'jobs.db')
    lockForServer(path).release()

    expect(() => lockForServer(path).release()).not.toThrow()
  })
})
