import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createJobSystem, OutcomeUnknownError } from '../src/index.ts'
import { passLook } from './support/store.ts'
import { aHandler, until } from './support/system.ts'
import { tempFolder, whenDone } from './support/temp.ts'

/** Opens a system that works on two jobs and has more to do, in a process that does not end by itself. */
async function aWorkingSystem(database: string) {
  const fatal: Error[] = []
  const ended: Promise<void>[] = []
  let started = 0
  const slow = aHandler('slow', (_, { signal }) => {
    started++
    return new Promise((resolve) => signal.addEventListener('abort', resolve))
  })
  const system = await createJobSystem({
    database,
    handlers: [slow, aHandler('work', () => {})],
    workers: 3,
    onFatal(error) {
      fatal.push(error)
      ended.push(system.stop())
    },
  })
  await system.start()
  await system.enqueue([1, 2].map(() => ({ type: 'slow', payload: null })))
  await until(() => started === 2)
  return { system, fatal, ended }
}

test('an application that continues after the store ends gets an answer to every call, can stop the system, and stores each job once with the same keys', async () => {
  const database = join(tempFolder(), 'jobs.db')
  const { system, fatal, ended } = await aWorkingSystem(database)
  const jobs = Array.from({ length: 20 }, (_, n) => ({ type: 'work', payload: n, idempotencyKey: `key ${n}` }))

  passLook()
  renameSync(`${database}-lock`, `${database}-lock.away`)
  const calls = jobs.map((job) => system.enqueue(job).catch((error) => error))
  const cancelled = system.cancel(1).catch((error) => error)
  const answers = await Promise.all([...calls, cancelled])
  const bulk = await system.prepareBulk('cancel').catch((error) => error)
  await Promise.all(ended)
  const late = await system.enqueue(jobs[0]!).catch((error) => error)

  expect(fatal).toEqual([expect.objectContaining({ code: 'database_lost' })])
  expect(answers).toEqual(answers.map(() => expect.any(OutcomeUnknownError)))
  expect(answers[0].cause).toBe(fatal[0])
  expect([bulk, late]).toEqual([1, 2].map(() => expect.objectContaining({ code: 'unavailable' })))

  renameSync(`${database}-lock.away`, `${database}-lock`)
  const next = await createJobSystem({ database })
  whenDone(() => next.stop())
  for (const job of jobs) await next.enqueue(job)
  const { jobs: stored } = await next.list({ type: 'work', limit: 100 })
  expect(stored.map(({ idempotencyKey }) => idempotencyKey).sort()).toEqual(
    jobs.map((job) => job.idempotencyKey).sort(),
  )
})

test('a failed system releases its file when it is stopped: the same process can serve it again', async () => {
  const database = join(tempFolder(), 'jobs.db')
  const { system, fatal } = await aWorkingSystem(database)
  passLook()
  renameSync(`${database}-lock`, `${database}-lock.away`)
  await until(() => fatal.length > 0)
  await system.stop()

  renameSync(`${database}-lock.away`, `${database}-lock`)
  const ran: number[] = []
  const again = await createJobSystem({ database, handlers: [aHandler('slow', (_, { jobId }) => ran.push(jobId))] })
  whenDone(() => again.stop({ graceMs: 0 }))
  await again.start()
  await until(() => ran.length === 2)

  expect(ran.sort()).toEqual([1, 2])
})
