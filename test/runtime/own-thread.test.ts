import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { briefly, built } from '../support/built.ts'
import { aDatabase } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { onThreads } from '../support/store-here.ts'
import { tempFolder } from '../support/temp.ts'

onThreads()

const run = promisify(execFile)

/** A module that writes, when it is loaded, in which thread that is; and what it wrote. */
function aPreload(folder: string, way: string) {
  const [script, ran] = [join(folder, `${way}.cjs`), join(folder, `${way}.ran`)]
  const note = `require('node:worker_threads').threadId + '\\n'`
  writeFileSync(script, `require('node:fs').appendFileSync(${JSON.stringify(ran)}, ${note})`)
  return { script, ran: () => readFileSync(ran, 'utf8') }
}

/** A program that uses every thread of ours: the store's, those for reading and checking, and the one for charts. */
const program = (folder: string) => `
  import { createJobSystem, defineHandler } from ${JSON.stringify(built('index.js'))}
  import { charts } from ${JSON.stringify(built('engine/front-door.js'))}
  import { layoutOf } from ${JSON.stringify(built('http/dashboard/charts/layout.js'))}
  const payload = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }
  const handlers = [defineHandler({ type: 'nothing', payload, run() {} })]
  const system = await createJobSystem({ database: ${JSON.stringify(join(folder, 'jobs.db'))}, handlers })
  await system.start()
  await system.enqueue({ type: 'nothing', payload: 1 })
  const { jobs } = await system.list()
  const { violationCount } = await system.verify()
  const { width } = await layoutOf(charts.job)
  console.log(jobs.length, violationCount, width > 0)
  await system.stop()`

test('no thread runs what the process was told to run first by --require or NODE_OPTIONS, or takes its text for a file', async () => {
  const folder = tempFolder()
  const [environment, argument] = [aPreload(folder, 'environment'), aPreload(folder, 'argument')]
  const env = { ...process.env, NODE_OPTIONS: `--require ${environment.script}` }

  const args = [...briefly, '--require', argument.script, '--input-type=module', '--eval', program(folder)]
  const { stdout } = await run(process.execPath, args, { cwd: folder, env })

  expect(stdout).toBe('1 0 true\n')
  expect([environment.ran(), argument.ran()]).toEqual(['0\n', '0\n'])
})

test.skipIf(postgresMissing)(
  'the thread of a node does not either, and connects by the variables of the environment',
  async () => {
    const folder = tempFolder()
    const preload = aPreload(folder, 'environment')
    const address = await aDatabase()
    const env = { ...process.env, NODE_OPTIONS: `--require ${preload.script}`, PGUSER: 'postgres', USER: 'nobody' }
    const nodeProgram = `
    import { createJobSystem } from ${JSON.stringify(built('index.js'))}
    const system = await createJobSystem({ postgres: ${JSON.stringify(address.replace('postgres@', ''))} })
    console.log(await system.enqueue({ type: 'nothing', payload: 1 }).then(() => 'stored'))
    await system.stop()`

    const args = [...briefly, '--input-type=module', '--eval', nodeProgram]
    const { stdout } = await run(process.execPath, args, { cwd: folder, env })

    expect([stdout, preload.ran()]).toEqual(['stored\n', '0\n'])
  },
)
