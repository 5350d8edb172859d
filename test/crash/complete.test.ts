import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import { briefly, built } from '../support/built.ts'
import { aConnection, aDatabase, aSchema } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { isWhole } from '../support/share.ts'
import { whenDone } from '../support/temp.ts'

async function startNode(address: string, schema: string): Promise<ChildProcess> {
  const args = [...briefly, join(import.meta.dirname, 'complete-node.mjs'), dirname(built('index.js')), address, schema]
  const node = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  whenDone(() => void node.kill('SIGKILL'))
  await once(node.stdout!, 'data')
  return node
}

/** A producer, and a client that reads the rows that handlers have written. */
async function aProducer() {
  const [address, schema] = [await aDatabase(), aSchema()]
  const system = await createJobSystem({ postgres: { connectionString: address, schema, maxConnections: 3 } })
  whenDone(() => system.stop())
  const client = await aConnection()
  await client.query(`CREATE TABLE ${schema}_effects (job_id int, pid int)`)
  const effects = async () =>
    (await client.query<{ id: number }>(`SELECT job_id AS id FROM ${schema}_effects ORDER BY job_id`)).rows.map(
      ({ id }) => id,
    )
  const enqueue = async (count: number, ms: number) => {
    const jobs = await system.enqueue(
      Array.from({ length: count }, () => ({ type: 'write', payload: ms, maxRetries: 900 })),
    )
    return jobs.map(({ id }) => id)
  }
  return { address, schema, system, effects, enqueue, client }
}

type Producer = Awaited<ReturnType<typeof aProducer>>

/** Each job has ended, and those that have succeeded, and no others, have written their row, once. One that ran at four kills is dead. */
async function expectOnce({ system, effects, client, schema }: Producer, ids: readonly number[]): Promise<void> {
  const inState = `SELECT id::int FROM ${schema}.jobs WHERE state = ANY ($1) ORDER BY id`
  const idsIn = async (...states: string[]) => (await client.query(inState, [states])).rows.map(({ id }) => id)
  const isOver = { interval: 50, timeout: 60_000 }
  await expect.poll(() => idsIn('succeeded', 'dead'), isOver).toEqual(ids.toSorted((a, b) => a - b))
  const succeeded = await idsIn('succeeded')
  expect(await effects()).toEqual(succeeded)
  expect(succeeded.length).toBeGreaterThan(ids.length / 2)
  expect((await system.verify()).violations).toEqual([])
}

describe.skipIf(postgresMissing)('a handler that completes its job in its own transaction', () => {
  test('writes exactly once when its process is killed at any moment', async () => {
    const producer = await aProducer()
    const ids: number[] = []
    let node = await startNode(producer.address, producer.schema)
    for (let kill = 0; kill < (isWhole ? 25 : 1); kill++) {
      ids.push(...(await producer.enqueue(15, kill % 5)))
      await setTimeout(Math.random() * 40)
      node.kill('SIGKILL')
      node = await startNode(producer.address, producer.schema)
    }

    await expectOnce(producer, ids)
  }, 120_000)

  test.runIf(isWhole)(
    'writes exactly once when its process is frozen with the transaction open, and another takes the job',
    async () => {
      const producer = await aProducer()
      const { address, schema, system, client } = producer
      const frozen = await startNode(address, schema)
      const ids = await producer.enqueue(4, 500)
      const isOpen = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      await expect.poll(async () => (await client.query(isOpen)).rows[0].n, { interval: 5 }).toBe(4)

      frozen.kill('SIGSTOP')
      await startNode(address, schema)
      await expect.poll(async () => (await system.counts()).succeeded, { interval: 50, timeout: 60_000 }).toBe(4)
      frozen.kill('SIGCONT')
      await expect.poll(async () => (await client.query(isOpen)).rows[0].n, { interval: 50, timeout: 60_000 }).toBe(0)

      await expectOnce(producer, ids)
      const pids = new Set((await client.query(`SELECT pid FROM ${schema}_effects`)).rows.map(({ pid }) => pid))
      expect(pids.has(frozen.pid)).toBe(false)
    },
    120_000,
  )
})
