import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import { jobStates } from '../../src/machines/edges.ts'
import { fill } from '../persistence/copy/a-file.ts'
import { storedAt, storedIn } from '../support/both-sides.ts'
import { briefly, built } from '../support/built.ts'
import { deferred } from '../support/deferred.ts'
import { aDatabase, aSchema, openPostgres } from '../support/postgres.ts'
import { ownServer, postgresMissing } from '../support/postgres-server.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { aJob, openStore } from '../support/store.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

interface Place {
  readonly path: string
  readonly connectionString: string
  readonly schema: string
}

function start(script: string, ...args: string[]): ChildProcess {
  const path = join(import.meta.dirname, script)
  const child = spawn(process.execPath, [...briefly, path, dirname(built('index.js')), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  whenDone(() => void child.kill('SIGKILL'))
  return child
}

/** Moves the jobs, unless it is killed; resolves with its exit code or the signal that ended it. */
async function copy(
  { path, connectionString, schema }: Place,
  dies: readonly string[] = [],
  { killAfterMs = 0, onSignal = (_: ChildProcess): void => {} } = {},
) {
  const child = start('copier.mjs', path, connectionString, schema, ...dies)
  child.stdout!.once('data', () => onSignal(child))
  let errors = ''
  child.stderr!.on('data', (data) => {
    errors += data
  })
  if (killAfterMs > 0) void setTimeout(killAfterMs).then(() => child.kill('SIGKILL'))
  const [code, signal] = await once(child, 'exit')
  if (code !== 0 && signal === null) throw new Error(errors)
  return signal ?? code
}

/** A file that a process serves, and what the process has acknowledged. */
async function serve(path: string, jobs = 0) {
  const acknowledged: [id: number, key: string][] = []
  const server = start('served-file.mjs', path, String(jobs))
  const lines = createInterface({ input: server.stdout! })
  lines.on('line', (line) => acknowledged.push(...(JSON.parse(line) as [number, string][])))
  await once(lines, 'line')
  return { server, acknowledged }
}

/** Every acknowledged job is there under its id and key, both sides have the same, and the database is right by its own laws. */
async function expectMoved({ path, connectionString, schema }: Place, acknowledged: readonly [number, string][]) {
  const there = await storedAt(connectionString, schema)
  expect(there).toEqual(storedIn(path))
  const keys = new Map(there.jobs!.map((job) => [job.id, job.idempotency_key]))
  expect(acknowledged.filter(([id, key]) => keys.get(id) !== key)).toEqual([])
  const system = await createJobSystem({ postgres: { connectionString, schema } })
  whenDone(() => system.stop())
  const report = await system.verify()
  expect(report.violations).toEqual([])
  for (const [id, key] of acknowledged.slice(-20)) {
    const job = (await system.find(id))!
    const again = { type: 'work', payload: job.payload, idempotencyKey: key }
    expect(await system.enqueue(again)).toMatchObject({ id, created: false })
  }
  await expect(createJobSystem({ database: path })).rejects.toThrow('moved to postgres://')
}

/** Steps, and how often each was reached. */
const boundaries = shareOf<[string, string][]>({
  share: [
    ['copying', '2'],
    ['closed', '1'],
  ],
  whole: [
    ['copying', '1'],
    ['copying', '2'],
    ['copying', '3'],
    ['locked', '1'],
    ['settled', '1'],
    ['closed', '1'],
  ],
})

describe.skipIf(postgresMissing)('a move to PostgreSQL', () => {
  test('that dies at any step goes on with the next run, or the file as before', { timeout: 120_000 }, async () => {
    const place = { path: join(tempFolder(), 'jobs.db'), connectionString: await aDatabase(), schema: aSchema() }
    const { store, clock } = await openStore({ path: place.path })
    await fill({ store, clock, notices: [], path: place.path })
    await store.enqueue(Array.from({ length: isWhole ? 10_000 : 2_500 }, () => aJob()))
    await store.close()
    for (const dies of boundaries) {
      expect(await copy(place, dies)).toBe('SIGKILL')

      await expect(openPostgres({ path: place.schema })).rejects.toThrow('only a part of the jobs')
      const opening = openStore({ path: place.path, clock })
      if (dies[0] === 'closed') await expect(opening).rejects.toThrow('moved to postgres://')
      else {
        const again = await opening
        await fill(again, 1)
        await again.store.close()
      }
    }

    expect(await copy(place)).toBe(0)
    await expectMoved(place, [])
    expect(await copy(place)).toBe(0)
  })

  test('of a file in use, killed again and again, loses no acknowledged job', { timeout: 300_000 }, async () => {
    const place = { path: join(tempFolder(), 'jobs.db'), connectionString: await aDatabase(), schema: aSchema() }
    const first = await serve(place.path)
    const acknowledged: [number, string][] = []
    let { server } = first
    acknowledged.push(...first.acknowledged)
    first.acknowledged.length = 0
    let live = first
    for (let kill = 0, ended: unknown = 'SIGKILL'; ended === 'SIGKILL'; kill++) {
      ended = await copy(place, [], { killAfterMs: kill < (isWhole ? 15 : 1) ? 250 + 60 * kill : 0 })
      // The one that was killed then may have stopped it.
      if (ended === 'SIGKILL' && server.exitCode !== null) {
        acknowledged.push(...live.acknowledged)
        live = await serve(place.path).catch(() => live)
        server = live.server
      }
    }
    acknowledged.push(...live.acknowledged)
    if (server.exitCode === null) await once(server, 'exit')

    expect(acknowledged.length).toBeGreaterThan(50)
    await expectMoved(place, acknowledged)
  })

  test.runIf(isWhole)('goes on when the server of PostgreSQL stops at once', { timeout: 300_000 }, async () => {
    const postgres = ownServer()
    const place = { path: join(tempFolder(), 'jobs.db'), connectionString: postgres.address, schema: 'jobs' }
    const { store, clock } = await openStore({ path: place.path })
    await fill({ store, clock, notices: [], path: place.path }, 5)
    await store.enqueue(Array.from({ length: 30_000 }, () => aJob()))
    await store.close()
    // The first connection is not tried again.
    const begun = deferred()
    const copied = copy(place, ['copying', '1', 'SIGCONT'], { onSignal: () => begun.resolve() })
    await begun.promise
    for (let stop = 0; stop < 5; stop++) {
      await setTimeout(700)
      postgres.stop()
      await setTimeout(100)
      postgres.start()
    }

    expect(await copied).toBe(0)
    await expectMoved(place, [])
  })

  test.each(shareOf({ share: [], whole: boundaries }))(
    'waits when the server of PostgreSQL stops at once as it is %s (%s)',
    { timeout: 300_000 },
    async (...at) => {
      const postgres = ownServer()
      const place = { path: join(tempFolder(), 'jobs.db'), connectionString: postgres.address, schema: 'jobs' }
      const { store, clock } = await openStore({ path: place.path })
      await fill({ store, clock, notices: [], path: place.path })
      await store.enqueue(Array.from({ length: 6_000 }, () => aJob()))
      await store.close()

      const copied = copy(place, [...at, 'SIGSTOP'], {
        onSignal(child) {
          if (child.exitCode !== null) return
          postgres.stop()
          child.kill('SIGCONT')
          void setTimeout(500).then(() => postgres.start())
        },
      })

      expect(await copied).toBe(0)
      await expectMoved(place, [])
    },
  )

  test.runIf(isWhole)(
    'of 200,000 jobs in every state, in use, has the same on both sides',
    {
      timeout: 3_600_000,
    },
    async () => {
      const place = { path: join(tempFolder(), 'jobs.db'), connectionString: await aDatabase(), schema: aSchema() }
      const { server, acknowledged } = await serve(place.path, 200_000)

      // It still runs jobs.
      const dies = { onSignal: () => void server.kill('SIGKILL') }
      expect(await copy(place, ['copying', '60', 'SIGCONT'], dies)).toBe(0)

      expect(acknowledged.length).toBeGreaterThan(1_000)
      await expectMoved(place, acknowledged)
      const there = await storedAt(place.connectionString, place.schema)
      expect(there.jobs!.length).toBeGreaterThan(200_000)
      // Whether one was leased ahead at that moment depends on the moment.
      const states = new Set(['leased', ...there.jobs!.map(({ state }) => state)])
      expect(jobStates.filter((state) => !states.has(state))).toEqual([])
    },
  )
})
