import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { createJobSystem, type JobSystem, type JobSystemOptions } from '../../src/index.ts'
import { briefly, built } from '../support/built.ts'
import { patchedBuild } from '../support/patched-build.ts'
import { aDatabase, aSchema } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { isWhole } from '../support/share.ts'
import { cleanUp, tempFolder, whenDone } from '../support/temp.ts'

afterAll(cleanUp)

const schedules = 5
const shipped = dirname(built('index.js'))

async function startNode(
  database: Partial<JobSystemOptions>,
  startsAt: number,
  build = shipped,
): Promise<ChildProcess> {
  const script = join(import.meta.dirname, 'schedules-node.mjs')
  const args = [...briefly, script, build, JSON.stringify(database), `${schedules}`, `${startsAt}`]
  const node = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  whenDone(() => void node.kill('SIGKILL'))
  await Promise.race([once(node.stdout!, 'data'), once(node, 'exit')])
  return node
}

async function kill(node: ChildProcess): Promise<void> {
  const exited = node.exitCode === null && node.signalCode === null ? once(node, 'exit') : null
  node.kill('SIGKILL')
  await exited
}

/** Each schedule has dealt with each tick from its first to its last, and each has one job of its own. */
async function expectEachTickOnce(system: JobSystem, startsAt: number, atLeast: number): Promise<void> {
  const jobs = new Map<string, number>()
  for (let cursor: string | undefined; ; ) {
    const page = await system.list({ limit: 500, ...(cursor === undefined ? {} : { cursor }) })
    for (const { id } of page.jobs) {
      const [{ schedule, tick } = {}] = await system.history(id, { limit: 1 })
      const key = `${schedule} ${tick! - startsAt}`
      jobs.set(key, (jobs.get(key) ?? 0) + 1)
    }
    if (page.nextCursor === null) break
    cursor = page.nextCursor
  }
  for (let index = 0; index < schedules; index++) {
    const history = (await system.schedules.history(`s${index}`)).filter(({ tick }) => tick !== null).toReversed()
    const ticks = history.map(({ tick }) => tick! - startsAt)
    expect(ticks.length).toBeGreaterThan(atLeast)
    expect(ticks).toEqual(ticks.map((_, n) => ticks[0]! + n * 1_000))
    expect(ticks.map((tick) => jobs.get(`s${index} ${tick}`))).toEqual(ticks.map(() => 1))
  }
  const found = [...jobs.values()].reduce((sum, n) => sum + n, 0)
  expect(found).toBe(jobs.size)
  expect((await system.verify()).violations).toEqual([])
}

async function look(database: Partial<JobSystemOptions>): Promise<JobSystem> {
  const system = await createJobSystem(database as JobSystemOptions)
  whenDone(() => system.stop())
  return system
}

const dies = 'process.kill(process.pid, "SIGKILL")'
const ticks = 'moves.some(({ tick }) => tick !== null)'

/** Where the process ends: before, amid and after the transaction of a tick. */
const points: readonly (readonly [where: string, file: string, text: string, replace: string])[] = [
  [
    'before a tick is sent',
    'engine/schedules/scheduler.js',
    'const results = await this.#parts.store.move(moves);',
    `if (${ticks}) ${dies}; const results = await this.#parts.store.move(moves);`,
  ],
  [
    'when its job is stored, before its event',
    'persistence/sqlite/write/schedules.js',
    'this.#sql.insertEvent.run(',
    `(tick !== null && ${dies}), this.#sql.insertEvent.run(`,
  ],
  [
    'when its event is stored, before its schedule advances',
    'persistence/sqlite/write/schedules.js',
    'this.#sql.advance.run(',
    `${dies}, this.#sql.advance.run(`,
  ],
  [
    'when its schedule has advanced, before the commit',
    'persistence/sqlite/write/schedules.js',
    'if (seq % scheduleHistory.removedAtOnce === 0)',
    `if (tick !== null) ${dies}; if (seq % scheduleHistory.removedAtOnce === 0)`,
  ],
  [
    'after the commit, before anybody knows',
    'engine/schedules/scheduler.js',
    'for (const [index, result] of results.entries())',
    `if (${ticks}) ${dies}; for (const [index, result] of results.entries())`,
  ],
]

describe('a process that ends', () => {
  test.each(isWhole ? points : points.slice(1, 2))(
    '%s loses no tick and doubles none',
    async (_, file, text, replace) => {
      const database = { database: join(tempFolder(), 'jobs.db') }
      const startsAt = Date.now() + 500
      const build = patchedBuild(join(tempFolder(), 'build'), [{ file, text, replace }])
      for (let deaths = 0; deaths < (isWhole ? 2 : 1); deaths++) {
        const node = await startNode(database, startsAt, build)
        await expect.poll(() => node.signalCode, { timeout: 10_000 }).toBe('SIGKILL')
      }
      const node = await startNode(database, startsAt)
      await setTimeout(2_000)
      await kill(node)

      await expectEachTickOnce(await look(database), startsAt, 1)
    },
  )

  test('again and again around its ticks loses none and doubles none', async () => {
    const database = { database: join(tempFolder(), 'jobs.db') }
    const startsAt = Date.now()
    for (let kills = 0; kills < (isWhole ? 40 : 1); kills++) {
      const node = await startNode(database, startsAt)
      await setTimeout(250 + ((kills * 173) % 700))
      await kill(node)
    }
    const node = await startNode(database, startsAt)
    await setTimeout(1_500)
    await kill(node)

    await expectEachTickOnce(await look(database), startsAt, isWhole ? 3 : 1)
  })
})

describe.skipIf(postgresMissing)('two nodes on PostgreSQL', () => {
  test('of which one is killed again and again make each tick once', async () => {
    const database = { postgres: { connectionString: await aDatabase(), schema: aSchema() } }
    const startsAt = Date.now()
    const nodes = [await startNode(database, startsAt), await startNode(database, startsAt)]
    for (let kills = 0; kills < (isWhole ? 40 : 1); kills++) {
      await setTimeout(250 + ((kills * 173) % 700))
      await kill(nodes[kills % 2]!)
      nodes[kills % 2] = await startNode(database, startsAt)
    }
    await setTimeout(1_500)
    for (const node of nodes) await kill(node)

    await expectEachTickOnce(await look(database), startsAt, isWhole ? 3 : 1)
  })
})
