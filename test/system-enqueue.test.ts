import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../src/index.ts'
import { startSystem } from './support/system.ts'

const resize = defineHandler({ type: 'resize', payload: z.strictObject({ width: z.int() }), run() {} })

test('a handler and a payload make a job of its type, with the options of a job', async () => {
  const { system } = await startSystem({ handlers: [resize] })

  const { id } = await system.enqueue(resize, { width: 3 }, { priority: 7, delayMs: 60_000 })

  expect(await system.find(id)).toMatchObject({
    type: 'resize',
    payload: { width: 3 },
    priority: 7,
    state: 'scheduled',
  })
})

test('a handler with a payload that its schema refuses, with none, or with an unknown option makes no job', async () => {
  const { system } = await startSystem({ handlers: [resize] })
  const enqueue = system.enqueue.bind(system) as (...given: unknown[]) => Promise<unknown>

  await expect(enqueue(resize, { width: 'wide' })).rejects.toThrow(/payload\.width/)
  await expect(enqueue(resize)).rejects.toThrow(/payload/)
  await expect(enqueue(resize, { width: 3 }, { delay: 5 })).rejects.toThrow(/delay/)
  expect((await system.list()).jobs).toEqual([])
})

test('a handler of another system is refused by its type', async () => {
  const { system } = await startSystem({ runs: {} })

  await expect(system.enqueue(resize, { width: 3 })).rejects.toMatchObject({ code: 'unknown_type' })
})
