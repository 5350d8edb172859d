import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import { built } from '../support/built.ts'
import { aDatabase, aSchema } from '../support/postgres.ts'
import { ownServer, postgresMissing } from '../support/postgres-server.ts'
import { whenDone } from '../support/temp.ts'

const isWhole = process.env.PROOFS === 'whole'

async function startNode(address: string, schema: string): Promise<ChildProcess> {
  const args = [join(import.meta.dirname, 'postgres-node.mjs'), dirname(built('index.js')), address, schema]
  const node = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  whenDone(() => void node.kill('SIGKILL'))
  await once(node.stdout!, 'data')
  return node
}

async function aProducer(connectionString: string, schema: string) {
  const system = await createJobSystem({ postgres: { connectionString, schema } })
  whenDone(() => system.stop())
  return system
}

type Producer = Awaited<ReturnType<typeof aProducer>>

/** Jobs that were acknowledged have all succeeded, once, and nothing is wrong. */
async function expectAllDone(producer: Producer, acknowledged: readonly number[]): Promise<void> {
  const isDone = async (id: number) => (await producer.find(id))?.state === 'succeeded'
  for (const id of acknowledged) await expect.poll(() => isDone(id), { interval: 20 }).toBe(true)
  const report = await producer.verify()
  expect(report.violations).toEqual([])
  expect(report.jobs).toBeGreaterThanOrEqual(acknowledged.length)
}

describe.skipIf(postgresMissing)('on PostgreSQL', () => {
  test('no acknowledged job is lost when nodes are killed one after the other', async () => {
    const [address, schema] = [await aDatabase(), aSchema()]
    const producer = await aProducer(address, schema)
    const acknowledged: number[] = []
    let node = await startNode(address, schema)
    for (let kill = 0; kill < (isWhole ? 20 : 2); kill++) {
      const jobs = await producer.enqueue(Array.from({ length: 100 }, () => ({ type: 'work', payload: 1 })))
      acknowledged.push(...jobs.map(({ id }) => id))
      await setTimeout(30)
      node.kill('SIGKILL')
      node = await startNode(address, schema)
    }

    await expectAllDone(producer, acknowledged)
  })

  test.runIf(isWhole)('no acknowledged job is lost when the server stops at once, again and again', async () => {
    const server = ownServer()
    const producer = await aProducer(server.address, 'jobs')
    await startNode(server.address, 'jobs')
    const acknowledged: number[] = []
    let isOver = false
    const lane = async () => {
      while (!isOver) {
        const stored = await producer.enqueue({ type: 'work', payload: 1 }).catch((error) => {
          expect(error).toMatchObject({ code: 'unavailable' })
          return null
        })
        if (stored) acknowledged.push(stored.id)
      }
    }
    const lanes = Promise.all(Array.from({ length: 10 }, lane))
    for (let stop = 0; stop < 5; stop++) {
      await setTimeout(500)
      server.stop()
      await setTimeout(stop * 200)
      server.start()
    }
    await setTimeout(500)
    isOver = true
    await lanes

    expect(new Set(acknowledged).size).toBe(acknowledged.length)
    await expectAllDone(producer, acknowledged)
  })
})
