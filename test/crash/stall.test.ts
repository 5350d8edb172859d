import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createJobSystem, type NewJob } from '../../src/index.ts'
import { assertWitnessed, complaints, endWith, killChildren, startChild, started, witnessed } from '../support/child.ts'
import { shimDisk } from '../support/fsync-shim.ts'
import { badOutputs } from '../support/outputs.ts'
import { patchedBuild } from '../support/patched-build.ts'
import { aRemote } from '../support/remote.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { eventsOf, until, untilFinished } from '../support/system.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'

/**
 * How much longer than its timeout a handler may block the loop in the copy of the built code that runs here; the shipped code waits
 * longer.
 */
const watchdogGraceMs = 3_000

let folder: string
/** The environment of each process, and one with more patience for the last log line, which a busy machine writes late. */
let env: { readonly JOBMACHINE_BUILD: string }
let patientEnv: typeof env
beforeAll(() => {
  folder = tempFolder()
  const grace = {
    file: 'persistence/watchdog.js',
    find: 'const graceMs = 10_000;',
    replace: `const graceMs = ${watchdogGraceMs};`,
  }
  const patience = { file: grace.file, find: 'const lastLineMs = 1_000;', replace: 'const lastLineMs = 60_000;' }
  env = { JOBMACHINE_BUILD: patchedBuild(join(folder, 'build'), [grace]) }
  patientEnv = { JOBMACHINE_BUILD: patchedBuild(join(folder, 'patient'), [grace, patience]) }
})
afterAll(async () => {
  killChildren()
  await cleanUp()
})

// A share stops one from outside, and blocks one for good. Each with its own file, all at once, because they wait for time to pass.
describe.concurrent('a process that is stopped or blocked', () => {
  test('for three leases from outside loses none of them and runs nothing twice', async () => {
    const database = join(folder, 'stopped.db')
    const child = await startChild({ database, env, settings: { leaseMs: 300 } })
    const reader = await createJobSystem({ database })
    await child.enqueue(Array.from({ length: 5 }, () => ({ type: 'sleep', payload: { ms: 1_200 } })))
    await until(() => started(database).length === 5)

    child.kill('SIGSTOP')
    await setTimeout(900)
    child.kill('SIGCONT')
    await untilFinished(reader, 5)

    expect(started(database)).toHaveLength(5)
    for (let id = 1; id <= 5; id++) expect(await eventsOf(reader, id)).toBe('enqueue lease start succeed')
    expect(complaints(database)).toEqual([])
    await endWith(child, reader)
  })

  test.runIf(isWhole)(
    'for longer than its attempts may take reads the answers that came meanwhile, and counts that time against no attempt',
    async () => {
      const database = join(folder, 'asking.db')
      const child = await startChild({ database, env, settings: { retryBaseMs: 1 } })
      const reader = await createJobSystem({ database })
      const { port, asked, answer } = await aRemote()
      // Half of them are answered only after the process continues, well within their remaining time.
      await child.enqueue(many(10, { type: 'ask', payload: { port }, timeoutMs: 2_000, maxRetries: 0 }))
      await until(() => asked() === 10)

      child.kill('SIGSTOP')
      answer(5)
      await setTimeout(3_000)
      child.kill('SIGCONT')
      // Its loop has turned, and handled everything that came due meanwhile.
      await child.call('find', 1)
      answer(5)
      await untilFinished(reader, 10)

      expect(await reader.counts()).toMatchObject({ succeeded: 10, dead: 0 })
      expect(started(database)).toHaveLength(10)
      await endWith(child, reader)
    },
  )

  test.runIf(isWhole)(
    'by a handler for longer than another attempt may take reads an answer that has arrived, and otherwise fails with an error that names the blocked time',
    async () => {
      const database = join(folder, 'late.db')
      const child = await startChild({ database, env })
      const reader = await createJobSystem({ database })
      const { port, asked, answer } = await aRemote()
      await child.enqueue(many(2, { type: 'ask', payload: { port }, timeoutMs: 2_000, maxRetries: 0 }))
      await until(() => asked() === 2)

      await child.enqueue([{ type: 'wait', payload: { ms: 3_000 }, timeoutMs: 60_000 }])
      await until(() => started(database).length === 3)
      answer(1)
      await untilFinished(reader, 3)

      expect(await reader.counts()).toMatchObject({ succeeded: 2, dead: 1 })
      const [late] = (await reader.list({ state: 'dead' })).jobs
      expect(late?.error).toMatchObject({
        name: 'AttemptTimeoutError',
        message: expect.stringMatching(
          /timeout of 2000 ms; the event loop was blocked for ([2-9]|\d\d)\.\d s meanwhile/,
        ),
      })
      await endWith(child, reader)
    },
  )

  test.runIf(isWhole)(
    'for five leases by a handler that blocks its loop loses none of them and runs nothing twice',
    async () => {
      const database = join(folder, 'blocked.db')
      const child = await startChild({ database, env, settings: { leaseMs: 300 } })
      const reader = await createJobSystem({ database })
      await child.enqueue([
        { type: 'sleep', payload: { ms: 100 } },
        { type: 'block', payload: { ms: 1_500 } },
        { type: 'sleep', payload: { ms: 100 } },
      ])
      await untilFinished(reader, 3)

      expect(started(database)).toHaveLength(3)
      for (let id = 1; id <= 3; id++) expect(await eventsOf(reader, id)).toBe('enqueue lease start succeed')
      // Reported in the log, with the duration.
      expect(witnessed(database)).toContainEqual(
        expect.objectContaining({ message: 'the event loop was blocked; its leases were renewed meanwhile' }),
      )
      await assertWitnessed(reader, database)
      await endWith(child, reader)
    },
  )

  test('forever ends after its timeout and a grace, names the jobs, and they are recovered', async () => {
    const database = join(folder, 'endless.db')
    const timeoutMs = 500
    const child = await startChild({ database, env: patientEnv, holdMs: 600_000 })
    const reader = await createJobSystem({ database })
    await child.enqueue([
      { type: 'hold', payload: null, timeoutMs },
      { type: 'wait', payload: {}, timeoutMs, maxRetries: 0 },
    ])
    await until(() => started(database).includes(2))

    // Long before the handler would end.
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
    const line = JSON.parse(child.output().trim().split('\n').at(-1)!)
    expect(line).toMatchObject({ level: 60, running_jobs: [1, 2], msg: expect.stringContaining('event loop') })
    expect(line.blocked_ms).toBeGreaterThan(timeoutMs + watchdogGraceMs)

    const second = await startChild({ database, env })
    await untilFinished(reader, 2)
    expect(await reader.find(1)).toMatchObject({ state: 'succeeded', attempt: 1 })
    expect(await reader.find(2)).toMatchObject({
      state: 'succeeded',
      attempt: 1,
      error: {
        name: 'ProcessEndedError',
        message: 'the process ended while it ran; 1 other ran beside it at that moment',
      },
    })
    await endWith(second, reader)
  })

  const outputs = Object.entries(badOutputs)
  test.each(shareOf({ share: [], whole: outputs }))(
    'forever ends as soon if its standard output is %s',
    async (kind, badOutput) => {
      const output = badOutput()
      if (!output) return
      const database = join(folder, `${kind}.db`)
      const child = await startChild({ database, env, stdout: output.descriptor })
      await child.enqueue([{ type: 'wait', payload: { ms: 600_000 }, timeoutMs: 1 }])
      await until(() => started(database).length === 1)

      // Long before the handler would end.
      expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
    },
  )

  test.runIf(isWhole)(
    'forever ends even if its store fails meanwhile, which the blocked loop does not notice',
    async ({ skip }) => {
      const disk = shimDisk(join(folder, 'shim'))
      if (!disk) return skip('there is no C compiler')
      const database = join(folder, 'failed.db')
      // Renewals of its lease are commits that do not need the loop.
      const child = await startChild({ database, env: { ...env, ...disk.env }, settings: { leaseMs: 300 } })
      await child.enqueue([{ type: 'wait', payload: { ms: 600_000 }, timeoutMs: 1 }])
      await until(() => started(database).length === 1)
      disk.failOnce()

      expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
    },
  )

  test.runIf(isWhole)(
    'for longer than that grace, but within its timeout, survives even if nothing ran before it',
    async () => {
      const database = join(folder, 'patient.db')
      const child = await startChild({ database, env })
      const reader = await createJobSystem({ database })
      await child.enqueue([{ type: 'wait', payload: { ms: watchdogGraceMs + 2_000 }, timeoutMs: 60_000 }])

      const ended = await Promise.race([child.exited, untilFinished(reader, 1)])

      expect(ended).toBeUndefined()
      expect(await eventsOf(reader, 1)).toBe('enqueue lease start succeed')
      await endWith(child, reader)
    },
  )
})

const many = (count: number, job: NewJob) => Array.from({ length: count }, () => job)
