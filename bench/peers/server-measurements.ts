import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'
import { openPostgresStore } from '../../src/persistence/postgres/client.ts'
import type { NewJobRow } from '../../src/persistence/store.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { Engine } from '../engine.ts'
import { bulkBatch, noop, payloadText, perSecond, repeatInLanes, warmUpJobs, workers } from '../load.ts'
import { median } from '../statistics.ts'
import type { Measurement } from './measurements.ts'
import type { Place } from './peer.ts'
import { urlOf } from './postgres.ts'
import { serverCpu } from './server-cpu.ts'

/** Run for each value of a ratio. */
const jobs = 40_000
const million = 1_000_000
/** Jobs that ended while a transaction could still see them as they were. */
const endedMax = 60_000
const claimed = 100
const claims = 40
const analyzeEveryMs = 100

/** What a store on PostgreSQL must not be slowed by, and what more nodes give. */
export const measurements: readonly Measurement[] = [
  {
    kind: 'server',
    names: ['backlog'],
    unit: 'ratio',
    about: 'drain/s with a million more jobs queued behind, over drain/s with none',
    detail: { workers, jobs, queued: million },
    async measure(_, place) {
      const withNone = await drain(place, 'few', jobs + 2 * warmUpJobs)
      return { backlog: (await drain(place, 'many', million + jobs)) / withNone }
    },
  },
  {
    kind: 'server',
    names: ['analyzed', 'beside_analyze'],
    unit: 'ratio',
    about:
      'processor time of a job without ANALYZE over that with ANALYZE at once and every 100 ms, its own left out; drain/s with, over drain/s without',
    detail: { workers, jobs },
    async measure(_, place) {
      const queued = jobs + 2 * warmUpJobs
      const without = await costOf(place, 'plain', queued)
      const client = await connected(place)
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
      let last: Promise<unknown> = Promise.resolve()
      const analyze = () => {
        last = last.then(() => client.query('ANALYZE'))
        return last
      }
      const analyzed = await costOf(place, 'analyzed', queued, analyze, rows[0]!.pid)
      return { analyzed: without.us / analyzed.us, beside_analyze: analyzed.rate / without.rate }
    },
  },
  {
    kind: 'server',
    names: ['old_snapshot'],
    unit: 'ratio',
    about:
      'time of a claim of 100 jobs after 60,000 ended beside an open transaction that still sees them, over that before',
    detail: { jobs: endedMax, claimed },
    async measure(_, place) {
      const owner = { pid: process.pid, host: 'bench', startedAt: '' }
      const store = await openPostgresStore({
        ...{ connectionString: urlOf(place.port), maxConnections: 3, serves: true, types: [noop.type], owner },
        ...{
          leaseMs: 30_000,
          maxQueueDepth: million,
          retentionMs: 0,
          newDatabaseId: 'bench',
          clock: systemClock,
          notify() {},
          longestTimeoutMs: () => 0,
          environment: {},
        },
      })
      const fill = async (count: number) => {
        for (let left = count; left > 0; left -= bulkBatch) await store.enqueue(Array(bulkBatch).fill(row))
      }
      const run = async (count: number, limit: number) => {
        const times: number[] = []
        for (let left = count; left > 0; left -= limit) {
          const begunAt = performance.now()
          const leased = await store.lease({ limit, wait: false, start: true })
          times.push(performance.now() - begunAt)
          await store.apply(leased.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' })))
        }
        return median(times)
      }
      await fill(endedMax + 4 * claims * claimed)
      await run(claims * claimed, claimed)
      const before = await run(claims * claimed, claimed)
      const client = await connected(place)
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await client.query('SELECT 1')
      await run(endedMax, 500)
      return { old_snapshot: (await run(claims * claimed, claimed)) / before }
    },
  },
  {
    kind: 'server',
    names: ['nodes_1', 'nodes_2', 'nodes_4'],
    unit: 'jobs/s',
    about: 'drain/s by so many processes with 100 workers each, which share the cores with the server',
    detail: { workers, jobs },
    async measure(_, place) {
      return { nodes_1: await byNodes(place, 1), nodes_2: await byNodes(place, 2), nodes_4: await byNodes(place, 4) }
    },
  },
]

const row: NewJobRow = {
  ...{ type: noop.type, queue: 'default', payload: payloadText, priority: 0, maxAttempts: 4, timeoutMs: null },
  ...{ runAt: null, delayMs: null, idempotency: null, unique: null, cause: null, trace: null },
}

async function connected({ port }: Place): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: urlOf(port) })
  await client.connect()
  return client
}

function postgresOf({ port }: Place, schema: string) {
  return { connectionString: urlOf(port), schema }
}

async function drain(place: Place, schema: string, queued: number): Promise<number> {
  return (await costOf(place, schema, queued)).rate
}

/**
 * Fills a schema and drains it; `meanwhile` is called again and again. Whatever the fill left to be written is written first. `us`: processor
 * time of a job, in this process and the server without the process `exceptPid`.
 */
async function costOf(
  place: Place,
  schema: string,
  queued: number,
  meanwhile?: () => Promise<unknown>,
  exceptPid?: number,
): Promise<{ readonly rate: number; readonly us: number }> {
  const engine = await filled(place, schema, queued)
  await meanwhile?.()
  const timer = meanwhile && setInterval(meanwhile, analyzeEveryMs)
  await engine.system.start()
  await engine.begun(warmUpJobs)
  const client = await connected(place)
  const cpu = async () => {
    const { user, system } = process.cpuUsage()
    return user + system + (await serverCpu(client, exceptPid))
  }
  const [begunAt, usedBefore, begunCount] = [performance.now(), await cpu(), engine.begunCount]
  await engine.begun(warmUpJobs + jobs - bulkBatch)
  const ms = performance.now() - begunAt
  const us = ((await cpu()) - usedBefore) / (engine.begunCount - begunCount)
  clearInterval(timer)
  await client.end()
  await engine.close()
  return { rate: perSecond({ count: jobs - bulkBatch, ms }), us }
}

async function filled(place: Place, schema: string, queued: number): Promise<Engine> {
  const engine = await Engine.open(place.folder, { workers, postgres: postgresOf(place, schema) })
  await repeatInLanes(4, queued / bulkBatch, () => engine.enqueueBatch())
  const client = await connected(place)
  await client.query('CHECKPOINT')
  await client.end()
  return engine
}

async function byNodes(place: Place, nodes: number): Promise<number> {
  const schema = `nodes_${nodes}`
  const engine = await filled(place, schema, jobs)
  const script = join(import.meta.dirname, 'node-process.js')
  const others = Array.from({ length: nodes - 1 }, () =>
    fork(script, [JSON.stringify(postgresOf(place, schema))], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }),
  )
  await Promise.all(others.map((child) => once(child, 'message')))
  const begunAt = performance.now()
  for (const child of others) child.send('start')
  await engine.system.start()
  while ((await engine.system.counts()).succeeded < jobs) await new Promise((resolve) => setTimeout(resolve, 2))
  const ms = performance.now() - begunAt
  for (const child of others) child.kill('SIGKILL')
  await engine.close()
  return perSecond({ count: jobs, ms })
}
