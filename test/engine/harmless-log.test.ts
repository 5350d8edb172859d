import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createJobSystem, type SystemLog } from '../../src/index.ts'
import { aHandler, until } from '../support/system.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

function broken(): never {
  throw new Error('a log that is broken')
}
const rejecting = () => Promise.reject(new Error('a log that rejects'))
const unreadable = {
  // biome-ignore lint/suspicious/noThenProperty: that is what is tried here
  get then() {
    throw new Error('a log whose answer cannot be read')
  },
}

/** Logs that fail in every way. */
const logs: Record<string, SystemLog> = {
  throws: { debug: broken, info: broken, warn: broken, error: broken, child: broken },
  'throws in its children': {
    ...{ debug() {}, info() {}, warn() {}, error() {} },
    child: () => ({ debug: broken, info: broken, warn: broken, error: broken, child: broken }),
  },
  rejects: { debug: rejecting, info: rejecting, warn: rejecting, error: rejecting, child: () => logs.rejects! },
  'answers what cannot be read': {
    ...{ debug: () => unreadable, info: () => unreadable, warn: () => unreadable, error: () => unreadable },
    child: () => logs['answers what cannot be read']!,
  },
  'has no method': {} as SystemLog,
}

test.each(Object.entries(logs))('a log that %s does not affect any job', async (_, log) => {
  const strays: unknown[] = []
  const note = (error: unknown) => void strays.push(error)
  process.on('unhandledRejection', note)
  whenDone(() => process.off('unhandledRejection', note))
  const fails = aHandler('fails', () => {
    throw new Error('of the job')
  })
  const tells = aHandler('tells', (_payload, context) => context.log.info({ of: 'handler' }, 'it runs'))
  const fatal: Error[] = []
  const system = await createJobSystem({
    database: join(tempFolder(), 'jobs.db'),
    handlers: [fails, tells],
    log,
    onFatal: (error) => fatal.push(error),
  })
  await system.start()

  await system.enqueue([
    { type: 'fails', payload: null, maxRetries: 0 },
    { type: 'tells', payload: null },
  ])
  await until(async () => {
    const { dead, succeeded } = await system.counts()
    return dead === 1 && succeeded === 1
  })
  await system.stop()

  expect(fatal).toEqual([])
  expect(strays).toEqual([])
})
