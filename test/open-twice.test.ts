import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type * as library from '../src/index.ts'
import { built } from './support/built.ts'
import { shareOf } from './support/share.ts'
import { openSystem } from './support/system.ts'
import { tempFolder, whenDone } from './support/temp.ts'

const root = resolve(import.meta.dirname, '..')
const sharing = /globalThis\.jobs \?\?= createJobSystem/

/** A second copy of the package, as two bundles or a monorepo have it. */
async function anotherCopy(): Promise<typeof library> {
  const folder = join(tempFolder(), 'jobmachine')
  mkdirSync(folder)
  cpSync(dirname(built('index.js')), join(folder, 'dist'), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  symlinkSync(join(root, 'src'), join(folder, 'src'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return import(/* @vite-ignore */ pathToFileURL(join(folder, 'dist/index.js')).href)
}

const refusalOf = (opening: Promise<unknown>) =>
  opening.then(
    () => 'it was opened',
    (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
  )

test('a second server in a process is told where the first was created, and how to share it', async () => {
  const { path } = await openSystem({ runs: { work() {} } })

  const refusal = await refusalOf(openSystem({ database: path, runs: { work() {} } }))

  expect(refusal).toMatch(
    /^database_locked: .* is already open in this process \(\d+\), since \d{4}-.*Z, created at \/.*:\d+:\d+\. /,
  )
  expect(refusal).toMatch(sharing)
  expect(refusal).not.toContain('served by process')
})

test('a module that is loaded again, as by hot reload, is told the same, and names its own line', async () => {
  const folder = tempFolder()
  const database = join(folder, 'jobs.db')
  writeFileSync(
    join(folder, 'jobs.mjs'),
    `import { createJobSystem } from ${JSON.stringify(pathToFileURL(built('index.js')).href)}
    export const open = () =>
      createJobSystem({ database: ${JSON.stringify(database)}, handlers: [] })`,
  )
  const load = (version: number) =>
    import(/* @vite-ignore */ `${pathToFileURL(join(folder, 'jobs.mjs')).href}?v=${version}`)
  const system: library.JobSystem = await (await load(1)).open()
  whenDone(() => system.stop())

  const refusal = await refusalOf((await load(2)).open())

  expect(refusal).toContain(`created at ${join(folder, 'jobs.mjs')}?v=1:3:7. `)
  await system.stop()
  const next: library.JobSystem = await (await load(3)).open()
  await next.stop()
})

test('a system that is kept with the process is shared by every load of its module', async () => {
  const folder = tempFolder()
  const name = `jobs${folder}`
  writeFileSync(
    join(folder, 'jobs.mjs'),
    `import { createJobSystem } from ${JSON.stringify(pathToFileURL(built('index.js')).href)}
    globalThis[${JSON.stringify(name)}] ??= createJobSystem({ database: ${JSON.stringify(join(folder, 'jobs.db'))}, handlers: [] })
    export const jobs = globalThis[${JSON.stringify(name)}]`,
  )
  const load = (version: number) =>
    import(/* @vite-ignore */ `${pathToFileURL(join(folder, 'jobs.mjs')).href}?v=${version}`)

  const [one, two] = await Promise.all([1, 2].map(async (version) => (await load(version)).jobs))
  whenDone(() => one.stop())

  expect(one).toBe(two)
})

const pairs: readonly (readonly [string, firstServes: boolean, secondServes: boolean])[] = [
  ['a server', true, true],
  ['a producer', true, false],
  ['a server beside a producer', false, true],
  ['a producer beside a producer', false, false],
]

test.each(shareOf({ share: pairs.slice(0, 1), whole: pairs }))(
  'another copy of the package may not open the file as %s, also through a link',
  async (_, firstServes, secondServes) => {
    const { path } = await openSystem({ runs: firstServes ? { work() {} } : null })
    const { createJobSystem } = await anotherCopy()
    const link = join(tempFolder(), 'link.db')
    symlinkSync(path, link)
    const handlers = secondServes ? { handlers: [] } : {}

    const refusal = await refusalOf(createJobSystem({ database: link, ...handlers }))

    expect(refusal).toMatch(
      /^database_locked: .*already open in this process \(\d+\), by another copy or bundle .*created at /,
    )
    expect(refusal).toMatch(sharing)
  },
)

/** The answer of a thread of this process that opens the file with the package in `entry`. */
function inThread(entry: string, database: string, handlers: boolean): Promise<string> {
  const code = `
    import { parentPort } from 'node:worker_threads'
    const { createJobSystem } = await import(${JSON.stringify(pathToFileURL(entry).href)})
    try {
      const system = await createJobSystem({ database: ${JSON.stringify(database)}, ${handlers ? 'handlers: []' : ''} })
      const { id } = await system.enqueue([]).catch(() => system.health())
      await system.stop()
      parentPort.postMessage('it was opened')
    } catch (error) {
      parentPort.postMessage(error.code + ': ' + error.message)
    }`
  const file = join(tempFolder(), 'thread.mjs')
  writeFileSync(file, code)
  return new Promise((resolve, reject) => {
    const thread = new Worker(file)
    thread.once('message', resolve)
    thread.once('error', reject)
    whenDone(() => thread.terminate())
  })
}

test('another thread of the process may enqueue beside the server, and is no second server', async () => {
  const { system, path } = await openSystem({ runs: { work() {} } })

  expect(await inThread(built('index.js'), path, true)).toMatch(
    /^database_locked: .*already open in this process \(\d+\), by another thread, since .*Create the system in one thread/,
  )
  expect(await inThread(built('index.js'), path, false)).toBe('it was opened')

  await system.start()
  expect(await system.enqueue({ type: 'work', payload: 1 })).toMatchObject({ created: true })
})

test('a thread with another copy of better-sqlite3 may not open what is open here', async ({ skip }) => {
  if (process.platform !== 'linux') skip('only Linux shows which libraries a process has loaded')
  const { system, path } = await openSystem({ runs: { work() {} } })
  const folder = join(tempFolder(), 'jobmachine')
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  cpSync(dirname(built('index.js')), join(folder, 'dist'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  for (const name of ['zod', 'xstate', 'pino', 'bindings', 'file-uri-to-path', '@standard-schema'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  cpSync(join(root, 'node_modules/better-sqlite3'), join(folder, 'node_modules/better-sqlite3'), {
    recursive: true,
    filter: (path) => !/\/(deps|src|obj|obj\.target)(\/|$)/.test(path),
  })

  const refusal = await inThread(join(folder, 'dist/index.js'), path, false)

  expect(refusal).toMatch(
    /^database_locked: .*by another copy or bundle of jobmachine or better-sqlite3\. Two copies would/,
  )
  await system.start()
  expect(await system.enqueue({ type: 'work', payload: 1 })).toMatchObject({ created: true })
})
