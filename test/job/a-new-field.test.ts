import { join } from 'node:path'
import { expect, test } from 'vitest'
import { patchedBuild } from '../support/patched-build.ts'
import { startServer } from '../support/server-process.ts'
import { isWhole } from '../support/share.ts'
import { tempFolder } from '../support/temp.ts'

/** Everything that a new field needs, except for its line in `NewJob`, which is a type, and the migration that adds its column. */
const tags = `
    tags: {
      takes: z.array(name).max(10).optional().meta({ description: 'What it is about.' }),
      stored: { unset: [], isJson: true, read: z.array(z.string()), title: 'Tags' },
    },
    runAt: {`
const column = `PRAGMA legacy_alter_table = OFF;

  ALTER TABLE jobs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';`

test.runIf(isWhole)(
  'a field that is described once is checked, stored, kept apart in one call, read, shown and documented',
  async () => {
    const build = patchedBuild(tempFolder(), [
      { file: 'job/fields.js', text: '    runAt: {', replace: tags },
      { file: 'persistence/sqlite/migrations/0014.js', text: 'PRAGMA legacy_alter_table = OFF;', replace: column },
    ])
    const { url } = await startServer({}, tempFolder(), join(build, 'main.js'))
    const post = async (body: unknown) => {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${url}/jobs`, { method: 'POST', headers, body: JSON.stringify(body) })
      return (await answer.json()) as never
    }
    const get = async (path: string) => (await fetch(`${url}${path}`)).text()
    const sleep = { type: 'sleep', payload: { ms: 1 }, delay_ms: 60_000 }
    const given = [['a'], ['a'], ['b', 'c'], undefined]

    const stored: { id: number }[] = await post(given.map((tags) => ({ ...sleep, tags })))
    const read = await Promise.all(stored.map(async ({ id }) => JSON.parse(await get(`/jobs/${id}`)).tags))
    const { errors } = (await post({ ...sleep, tags: 'a' })) as { errors: object[] }
    const page = await get(`/dashboard/jobs/${stored[2]!.id}`)
    const { NewJob, Job } = JSON.parse(await get('/openapi.json')).components.schemas

    expect(read).toEqual([['a'], ['a'], ['b', 'c'], []])
    expect(errors).toEqual([expect.objectContaining({ path: 'tags' })])
    expect(page).toMatch(/Tags[\s\S]*b,c/)
    expect(NewJob.properties.tags.description).toBe('What it is about.')
    expect(Job.properties.tags).toMatchObject({ type: 'array' })
  },
)
