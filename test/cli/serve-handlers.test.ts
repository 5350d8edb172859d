import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readServeFlags } from '../../src/cli/serve-flags.ts'
import { briefly, built } from '../support/built.ts'
import { runCommand } from '../support/cli.ts'
import { until } from '../support/system.ts'
import { cleanUp, tempFolder, whenDone } from '../support/temp.ts'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)
const env = { PATH: process.env.PATH ?? '', PORT: '0', DATABASE_PATH: 'jobs.db' }

/** A user's folder with these files, in which `jobmachine` and zod can be imported. */
function aProject(files: Readonly<Record<string, string>>): string {
  const folder = tempFolder()
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/jobmachine'))
  symlinkSync(join(root, 'node_modules/zod'), join(folder, 'node_modules/zod'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const imports = `import { defineHandler } from 'jobmachine'\nimport { z } from 'zod'\n`
const aHandlerFile = (name: string, type = name, body = '') =>
  `${imports}export const ${name} = defineHandler({ type: '${type}', payload: z.unknown(), async run() { ${body} } })\n`

async function serve(folder: string, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [...briefly, built('main.js'), 'serve', ...args], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  whenDone(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const entry = JSON.parse(line)
    if (entry.msg !== 'listening') continue
    child.stdout.resume()
    return entry.url
  }
  throw new Error(`it ended with ${child.exitCode}`)
}

/** What a start that is refused ends with. */
async function refused(folder: string, ...args: string[]): Promise<[number, string]> {
  const { PORT, DATABASE_PATH } = env
  const command = ['serve', ...args.flatMap((file) => ['--handlers', file])]
  const { code, stderr } = await runCommand(command, { folder, env: { PORT, DATABASE_PATH } })
  return [code, stderr]
}

/** The error for a file in each of these folders, from one process, in which Node.js itself loads the package, not the loader of the tests. */
async function problemsOf(files: readonly { readonly folder: string; readonly name: string }[]): Promise<string[][]> {
  const script = `
    const { loadHandlers } = await import(${JSON.stringify(pathToFileURL(built('cli/load-handlers.js')))})
    const problems = []
    for (const { folder, name } of ${JSON.stringify(files)}) {
      process.chdir(folder)
      problems.push(await loadHandlers(['./' + name]).then(() => [], (error) => error.problems))
    }
    console.log(JSON.stringify(problems))`
  const { stdout } = await run(process.execPath, [...briefly, '--input-type=module', '--eval', script])
  return JSON.parse(stdout)
}

const post = async (url: string, job: object) => {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${url}/jobs`, { method: 'POST', headers, body: JSON.stringify(job) })
  return { status: answer.status, body: (await answer.json()) as { id: number } }
}

describe('jobmachine serve --handlers', () => {
  test('runs jobs with the handlers that files export, in addition to the built-in ones or instead of them', async () => {
    const folder = aProject({
      'a.js': `${aHandlerFile('resize', 'resize', `console.error('resized')`)}export default resize\nexport const limit = 3\n`,
      'b.mjs': `${imports}export default [
        defineHandler({ type: 'sleep', payload: z.literal('instead'), run: () => undefined }),
        defineHandler({ type: 'report', payload: z.unknown(), run: () => undefined }),
      ]`,
    })
    const url = await serve(folder, '--handlers', './a.js', '--handlers=b.mjs')

    const jobs = await Promise.all([
      post(url, { type: 'resize', payload: null }),
      post(url, { type: 'report', payload: null }),
      post(url, { type: 'sleep', payload: 'instead' }),
    ])

    expect(jobs.map(({ status }) => status)).toEqual([201, 201, 201])
    expect((await post(url, { type: 'sleep', payload: { ms: 1 } })).status).toBe(400)
    expect((await post(url, { type: 'webhook', payload: null })).status).toBe(400)
    await until(async () => {
      const { jobs } = (await (await fetch(`${url}/jobs?state=succeeded`)).json()) as { jobs: unknown[] }
      return jobs.length === 3
    })
  })

  const unfit: readonly [string, Readonly<Record<string, string>>, string][] = [
    ['a file that is not there', {}, 'there is no handler file at ./a.js'],
    ['a file that throws', { 'a.js': '\n\nthrow new Error("no database")\n' }, 'Error: no database (a.js:3:7)'],
    ['a file whose import throws', { 'a.js': 'import "./b.js"', 'b.js': '\nnull.x' }, '(b.js:2:6)'],
    ['a file with a syntax error', { 'a.js': 'const a = 1\n\nlet b = = 2\n' }, "Unexpected token '=' (a.js:3)"],
    ['the same in what it imports', { 'a.js': 'import "./b.js"', 'b.js': '\nlet b = = 2' }, '(b.js:2)'],
    ['CommonJS that throws', { 'a.cjs': '\n\nthrow new Error("no database")\n' }, 'Error: no database (a.cjs:3:7)'],
    ['CommonJS with a syntax error', { 'a.cjs': '\nlet b = = 2' }, "Unexpected token '=' (a.cjs:2)"],
    ['CommonJS that requires what is not there', { 'a.cjs': '\nrequire("nothing")' }, "'nothing' (a.cjs:2:1)"],
    [
      'a package that throws, by the line that imports it',
      { 'a.cjs': '\n\nrequire("./node_modules/b.cjs")', 'node_modules/b.cjs': 'null.x' },
      '(a.cjs:3:1)',
    ],
    [
      'an ES module in a package of CommonJS, and says how to name it',
      { 'a.js': aHandlerFile('resize'), 'package.json': '{ "type": "commonjs" }' },
      'rename it to a.mjs, or set "type": "module" in package.json',
    ],
    ['a file that imports what is not there', { 'a.js': 'import "./b.js"' }, 'imported from'],
    ['a file that throws no error', { 'a.js': 'throw "nothing"' }, 'it threw nothing'],
    ['a file without a handler', { 'a.js': 'export const limit = 3' }, './a.js exports no handler; write export const'],
    [
      'a handler that cannot work',
      { 'a.js': 'export const resize = { type: "resize", run() {} }' },
      './a.js: resize: handler "resize": payload must be a Standard Schema',
    ],
  ]

  describe('refuses', () => {
    let problems: readonly (readonly string[])[]
    beforeAll(async () => {
      problems = await problemsOf(
        unfit.map(([, files]) => ({ folder: aProject(files), name: Object.keys(files)[0] ?? 'a.js' })),
      )
    })
    afterAll(cleanUp)

    test.each(unfit.map(([what, , message], index) => [what, message, index] as const))(
      '%s, and says where the fault is',
      (_, message, index) => {
        expect(problems[index]).toEqual([expect.stringContaining(message)])
        expect(problems[index]![0]).not.toContain('\n')
      },
    )
  })

  test('refuses two handlers for one type, and names both', async () => {
    const folder = aProject({ 'a.js': aHandlerFile('resize'), 'b.js': aHandlerFile('other', 'resize') })

    const [code, stderr] = await refused(folder, 'a.js', 'b.js')

    expect([code, stderr]).toEqual([
      78,
      'jobmachine: b.js: other is a handler for the type "resize", and so is a.js: resize\n',
    ])
  })

  test('runs TypeScript if Node can, and otherwise says what to do', async () => {
    const folder = aProject({ 'a.ts': aHandlerFile('resize').replace('run()', 'run(): Promise<void>') })

    if ((process.features as { typescript?: unknown }).typescript)
      expect(await serve(folder, '--handlers', 'a.ts')).toContain('http')
    else expect((await refused(folder, 'a.ts'))[1]).toContain('does not run TypeScript; use Node 22.18 or later')
  })
})

test.each([
  [[], { acceptLoss: undefined, handlers: [] }],
  [['--handlers', 'a.js', '--accept-loss=c', '--handlers=b.js'], { acceptLoss: 'c', handlers: ['a.js', 'b.js'] }],
  [['--handlers'], '--handlers needs a FILE that exports handlers, such as ./handlers.js'],
  [['--handlers', ''], '--handlers needs a FILE that exports handlers, such as ./handlers.js'],
  [['--accept-loss', 'a', '--accept-loss', 'b'], null],
  [['--handler', 'a.js'], null],
  [['a.js'], null],
])('the arguments %j of serve mean %j', (args, expected) => {
  expect(readServeFlags(args)).toEqual(expected)
})
