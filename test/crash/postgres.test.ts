import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import { briefly, built } from '../support/built.ts'
import { patchedBuild } from '../support/patched-build.ts'
import { aDatabase, aSchema } from '../support/postgres.ts'
import { ownServer, postgresMissing } from '../support/postgres-server.ts'
import { isWhole } from '../support/share.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

interface Node extends ChildProcess {
  /** Everything that it wrote. */
  readonly output: () => string
}

async function startNode(
  address: string,
  schema: string,
  { leaseMs = 1_000, build = dirname(built('index.js')) } = {},
): Promise<Node> {
  const script = join(import.meta.dirname, 'postgres-node.mjs')
  const args = [...briefly, script, build, address, schema, String(leaseMs)]
  const node = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  whenDone(() => void node.kill('SIGKILL'))
  let output = ''
  node.stdout!.on('data', (text) => {
    output += text
  })
  await once(node.stdout!, 'data')
  return Object.assign(node, { output: () => output })
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

/** A node that runs one job, whose start is on disk. */
async function aNodeThatRuns(
  type: string,
  payload: number,
  options: Parameters<typeof startNode>[2] & { timeoutMs?: number },
) {
  const [address, schema] = [await aDatabase(), aSchema()]
  const producer = await aProducer(address, schema)
  const node = await startNode(address, schema, options)
  const { id } = await producer.enqueue({ type, payload, timeoutMs: options?.timeoutMs ?? 60_000 })
  const state = async () => (await producer.find(id))?.state
  await expect.poll(state, { interval: 5 }).toBe('running')
  const events = async () => (await producer.history(id)).map(({ event }) => event).join(' ')
  return { address, schema, producer, node, id, state, events }
}

/** How much longer than its jobs' timeout a loop may be blocked before the process is ended; the shipped code waits longer. */
const graceMs = 1_500

function impatientBuild(): string {
  const file = 'persistence/watchdog.js'
  return patchedBuild(join(tempFolder(), 'build'), [
    { file, find: 'const graceMs = 10_000;', replace: `const graceMs = ${graceMs};` },
    { file, find: 'const lastLineMs = 1_000;', replace: 'const lastLineMs = 60_000;' },
  ])
}

// The share freezes a node, and kills one below; failover.test.ts stops the server.
describe.skipIf(postgresMissing)('a node on PostgreSQL', () => {
  test.runIf(isWhole)('that a handler blocks for several leases keeps its jobs, and says so', async () => {
    const { address, schema, node, state, events, producer, id } = await aNodeThatRuns('block', 5_000, {
      leaseMs: 1_500,
    })
    // Another that would take them.
    await startNode(address, schema, { leaseMs: 1_500 })

    await expect.poll(state).toBe('succeeded')

    expect(await events()).toBe('enqueue lease start succeed')
    expect((await producer.find(id))?.attempt).toBe(1)
    await expect.poll(node.output).toContain('the event loop was blocked; its leases were renewed meanwhile')
  })

  test.runIf(isWhole)('that a handler blocks for good is ended, names its jobs, and another runs them', async () => {
    const options = { build: impatientBuild(), timeoutMs: 500 }
    const { address, schema, node, events, producer, id } = await aNodeThatRuns('block', 600_000, options)

    const [, signal] = await once(node, 'exit')

    expect(signal).toBe('SIGKILL')
    const line = JSON.parse(node.output().trim().split('\n').at(-1)!)
    expect(line).toMatchObject({ level: 60, running_jobs: [id], msg: expect.stringContaining('event loop') })
    expect(line.blocked_ms).toBeGreaterThan(500 + graceMs)
    await startNode(address, schema)
    await expect.poll(events).toMatch(/^enqueue lease start expire due lease start/)
    expect(await producer.find(id)).toMatchObject({ crashes: 1, state: 'running' })
  })

  test.runIf(isWhole)(
    'that was killed leaves the progress and the log of its jobs, for other nodes to read',
    async () => {
      const { producer, node, id } = await aNodeThatRuns('report', 600_000, {})
      await expect.poll(async () => (await producer.find(id))?.progress).toBe(50)

      node.kill('SIGKILL')
      await once(node, 'exit')

      expect((await producer.log(id)).lines).toMatchObject([{ n: 1, attempt: 1, message: 'half way' }])
      expect(await producer.progressSince(0)).toMatchObject([{ job: { id }, progress: 50 }])
      expect(await producer.find(id)).toMatchObject({ progress: 50, progressAttempt: 1 })
    },
  )

  test('that stands still for longer than its lease loses its jobs, and goes on as another node', async () => {
    const { address, schema, node, events, producer } = await aNodeThatRuns('sleep', 2_000, { leaseMs: 1_000 })

    node.kill('SIGSTOP')
    const other = await startNode(address, schema)
    await expect.poll(events).toBe('enqueue lease start expire due lease start succeed')
    other.kill('SIGKILL')
    node.kill('SIGCONT')

    await expect.poll(node.output).toContain('others declared it dead and run its jobs; it goes on as a new node')
    expect(node.output()).not.toContain('leases were renewed')
    const { id: next } = await producer.enqueue({ type: 'work', payload: 1 })
    await expect.poll(async () => (await producer.find(next))?.state).toBe('succeeded')
    expect(await events()).toBe('enqueue lease start expire due lease start succeed')
    expect((await producer.verify()).violations).toEqual([])
  })

  test.runIf(isWhole)(
    'that has nothing to do while the server is away lives on, and runs what comes when it is back',
    async () => {
      const server = ownServer()
      const node = await startNode(server.address, 'jobs')
      server.stop()
      await setTimeout(300)
      server.start()

      const producer = await aProducer(server.address, 'jobs')
      const { id } = await producer.enqueue({ type: 'work', payload: 1 })

      await expectAllDone(producer, [id])
      expect(node.exitCode).toBeNull()
    },
  )

  test('does not outlive its process: a program that has done its work ends by itself', async () => {
    const program = `
      import { createJobSystem } from ${JSON.stringify(built('index.js'))}
      const system = await createJobSystem({ postgres: ${JSON.stringify({ connectionString: await aDatabase(), schema: aSchema() })} })
      await system.enqueue({ type: 'work', payload: 1 })
      await system.stop()
      console.log('stopped')`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    whenDone(() => void child.kill('SIGKILL'))

    expect(await once(child, 'exit')).toEqual([0, null])
  })
})

describe.skipIf(postgresMissing)('on PostgreSQL', () => {
  test('no acknowledged job is lost when nodes are killed one after the other', async () => {
    const [address, schema] = [await aDatabase(), aSchema()]
    const producer = await aProducer(address, schema)
    const acknowledged: number[] = []
    let node = await startNode(address, schema)
    for (let kill = 0; kill < (isWhole ? 20 : 1); kill++) {
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
