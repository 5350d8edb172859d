import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import type { Store, StoreEvent } from '../../src/persistence/store.ts'
import { ids } from '../persistence/conformance/helpers.ts'
import { built } from '../support/built.ts'
import { aConnection, aDatabase, aSchema, openPostgres } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { isWhole } from '../support/share.ts'
import { aJob } from '../support/store.ts'
import { until } from '../support/system.ts'
import { whenDone } from '../support/temp.ts'

async function aSession(user = 'postgres'): Promise<pg.Client> {
  const address = (await aDatabase()).replace('//postgres@', `//${user}@`)
  return aConnection({ connectionString: address, application_name: 'stranger' })
}

/** Reads from a cursor until it is told to stop and has reached the end; returns what it saw, and every cursor that it had. */
async function follow(store: Store, from: number, isOver: () => boolean): Promise<number[]> {
  const seen: number[] = []
  for (let after = from; ; ) {
    const wasOver = isOver()
    const { transitions, last } = await store.transitions({ after, limit: 1 + Math.floor(Math.random() * 400) })
    seen.push(...transitions.map(({ id }) => id))
    if (transitions.length === 0 && wasOver) return seen
    if (transitions.length === 0) await setTimeout(5)
    // From the cursor that it was given, or from any transition that it has seen.
    after = transitions.length > 0 && Math.random() < 0.5 ? transitions.at(-1)!.id : last
  }
}

/** Which job's transitions it returns. */
async function seenBy(store: Store): Promise<string> {
  const { transitions } = await store.transitions({ after: 0, limit: 9 })
  return transitions.map(({ jobId }) => jobId).join()
}

describe.skipIf(postgresMissing)('the tail of transitions on PostgreSQL', () => {
  // In the share, test/persistence/postgres covers it, in one process.
  test.runIf(isWhole)(
    'misses nothing with eight connections that write in four processes, and strangers who write too',
    async () => {
      const [address, schema] = [await aDatabase(), aSchema()]
      const { store } = await openPostgres({ path: schema, serves: false, types: [] })
      const nodes = Array.from({ length: 4 }, () => {
        const args = [join(import.meta.dirname, 'tail-writer.mjs'), dirname(built('index.js')), address, schema]
        const node = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
        whenDone(() => void node.kill('SIGKILL'))
        return node
      })
      await Promise.all(nodes.map((node) => once(node.stdout!, 'data')))
      let isOver = false
      const admin = await aSession()
      await admin.query('CREATE TABLE strangers (n integer)')
      const strangers = Array.from({ length: 4 }, async (_, n) => {
        const stranger = await aSession()
        while (!isOver) {
          await stranger.query(`BEGIN; INSERT INTO strangers VALUES (${n})`)
          await setTimeout(Math.random() * 40)
          await stranger.query(Math.random() < 0.5 ? 'COMMIT' : 'ROLLBACK')
        }
      })
      const readers = Array.from({ length: 3 }, () => follow(store, 0, () => isOver))
      await setTimeout(60_000)
      const exits = nodes.map((node) => once(node, 'exit'))
      for (const node of nodes) node.kill('SIGTERM')
      expect(await Promise.all(exits)).toEqual(exits.map(() => [0, null]))
      isOver = true
      await Promise.all(strangers)

      const { rows } = await admin.query(`SELECT id::float8 AS id FROM ${schema}.job_events ORDER BY id`)
      const all = rows.map(({ id }) => id)
      expect(all.length).toBeGreaterThan(500)
      for (const seen of await Promise.all(readers)) expect(seen).toEqual(all)
      const middle = all[Math.floor(all.length / 2)]
      expect(await follow(store, middle, () => true)).toEqual(all.slice(all.indexOf(middle) + 1))
      expect((await store.verify()).violations).toEqual([])
    },
  )

  test('is held back by open transactions of its database, and names them, also where the role may not look into them', async () => {
    const { store, path, notices } = await openPostgres()
    const admin = await aSession()
    await admin.query(`CREATE ROLE reader LOGIN; GRANT ALL ON SCHEMA ${path} TO reader; GRANT ALL ON ALL TABLES IN SCHEMA ${path} TO reader;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA ${path} TO reader`)
    const connectionString = (await aDatabase()).replace('//postgres@', '//reader@')
    const reader = await openPostgres({ path, connectionString })
    const elsewhere = await aConnection({ connectionString: (await aDatabase()).replace(/\/tests_\w+/, '/postgres') })
    const stranger = await aSession()
    const pid = (await stranger.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
    await elsewhere.query('BEGIN; CREATE TEMP TABLE held (n integer)')
    const [before] = ids(await store.enqueue([aJob()]))
    await until(async () => (await seenBy(reader.store)) === `${before}`)

    await stranger.query('BEGIN; CREATE TEMP TABLE held (n integer)')
    await admin.query(`BEGIN; CREATE TABLE forgotten (n integer); PREPARE TRANSACTION 'forgotten'`)
    const [after] = ids(await store.enqueue([aJob()]))
    const names = (each: readonly StoreEvent[]) =>
      each.some((notice) => notice.type === 'warning' && notice.message?.includes(`session ${pid} `))
    await until(() => [notices, reader.notices].every(names))
    const held = [await seenBy(store), await seenBy(reader.store)]
    await stranger.query('ROLLBACK')
    await admin.query(`ROLLBACK PREPARED 'forgotten'`)

    expect(held).toEqual([`${before}`, `${before}`])
    const said = [notices, reader.notices].map((each) =>
      each.flatMap((notice) => (notice.type === 'warning' && notice.message ? [notice.message] : [])).at(-1),
    )
    const [open, advice] = [
      '/events and system.transitions hold back what is committed while ',
      `let it end, or end it: SELECT pg_terminate_backend(${pid})`,
    ]
    const instant = '\\S+Z'
    const prepared = `the prepared transaction 'forgotten' \\(user postgres, since ${instant}\\)`
    const session = (since: string) => `a transaction of session ${pid} \\(stranger, user postgres, ${since}\\)`
    for (const [index, since] of [`since ${instant}`, `since ${instant} or earlier`].entries())
      expect(said[index]!.replace(advice, 'ADVICE')).toMatch(
        new RegExp(`^${open}${session(since)}(, ${prepared} are| is) open; ADVICE$`),
      )
    await until(async () => (await seenBy(reader.store)) === `${before},${after}`)
    await until(() => reader.notices.some((notice) => notice.type === 'warning' && notice.message === null))
  })
})
