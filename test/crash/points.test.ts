import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrations } from '../../src/persistence/sqlite/schema.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'
import { allCrashes, dieMigrating, runChain, someCrashes } from './points.ts'
import { crashBuild, startVictim } from './points-victim.ts'
import { schemaOf } from './points-witness.ts'

let folder: string
let build: string
beforeAll(() => {
  folder = tempFolder()
  build = crashBuild(join(folder, 'build'))
})
afterAll(cleanUp)

const crashesByEvent = shareOf({ share: someCrashes, whole: allCrashes })()

/** Those before its commit. A share only creates the file, which is a migration too. */
const pointsOfMigration = shareOf({ share: ['inside'] as const, whole: ['before', 'halfway', 'inside'] as const })

/** Each lane runs its tests one after another: two cores have no more capacity. */
const lanes = Array.from({ length: 3 }, () => Promise.resolve())
function inLane(run: () => Promise<void>): Promise<void> {
  const done = lanes.shift()!.then(run)
  lanes.push(done.catch(() => {}))
  return done
}

describe.concurrent('a process that dies at every point of', { timeout: 3_600_000 }, () => {
  test.each([...crashesByEvent])('%s has done it completely or not at all, and all jobs finish', (event, crashes) =>
    inLane(async () => {
      const { kills, wrong } = await runChain({ build, database: join(folder, `${event}.db`), crashes })

      expect(wrong.slice(0, 10)).toEqual([])
      expect(kills).toBeGreaterThanOrEqual(crashes.length)
    }),
  )

  test('creating the file leaves none or all of it, and the next process creates it', () =>
    inLane(async () => {
      const database = join(folder, 'made.db')
      const none = { version: 0, parts: 0 }

      for (const point of pointsOfMigration) expect(await dieMigrating(build, database, point)).toEqual(none)
      const made = await dieMigrating(build, database, 'committed')

      expect(made.version).toBe(migrations.length)
      expect((await runChain({ build, database, crashes: [] })).wrong).toEqual([])
      expect(schemaOf(database)).toEqual(made)
    }))

  test.runIf(isWhole)('a migration leaves the old version or the new one, with all its jobs', () =>
    inLane(async () => {
      const database = join(folder, 'migrated.db')
      const newer = crashBuild(join(folder, 'newer'), { newer: true })
      await runChain({ build, database, crashes: [{ point: 'committed', edge: 'new enqueue queued' }] })
      const old = schemaOf(database)

      for (const point of pointsOfMigration) expect(await dieMigrating(newer, database, point)).toEqual(old)
      expect((await runChain({ build, database, crashes: [] })).wrong).toEqual([])
      const migrated = await dieMigrating(newer, database, 'committed')

      expect(migrated).toEqual({ version: old.version + 1, parts: old.parts + 2 })
      const { died } = startVictim({ build: newer, database, run: 9, work: { finish: true } })
      expect(await died).toMatchObject({ code: 0 })
    }),
  )
})

test('the shipped code has no crash points', () => {
  const dist = resolve('dist')
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
  const armed = files.filter((file) => /JOBMACHINE_CRASH|crash-point/.test(readFileSync(join(dist, file), 'utf8')))

  expect(files.length).toBeGreaterThan(40)
  expect(armed).toEqual([])
})
