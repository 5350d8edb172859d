import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { built } from '../support/built.ts'
import { onThreads } from '../support/store-here.ts'
import { tempFolder } from '../support/temp.ts'

onThreads()

const run = promisify(execFile)

/** A program that has every thread of ours do something: the store's, those for reading and checking, and the one for charts. */
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

test.each(['--require', 'NODE_OPTIONS'] as const)(
  'no thread runs what the process was told to run first by %s, or takes its text for a file',
  async (way) => {
    const folder = tempFolder()
    const preload = join(folder, 'preload.cjs')
    const ran = join(folder, 'ran')
    writeFileSync(
      preload,
      `require('node:fs').appendFileSync(${JSON.stringify(ran)}, require('node:worker_threads').threadId + '\\n')`,
    )
    const required = way === '--require' ? ['--require', preload] : []
    const env = { ...process.env, ...(way === 'NODE_OPTIONS' ? { NODE_OPTIONS: `--require ${preload}` } : {}) }

    const args = [...required, '--input-type=module', '--eval', program(folder)]
    const { stdout } = await run(process.execPath, args, { cwd: folder, env })

    expect(stdout).toBe('1 0 true\n')
    expect(readFileSync(ran, 'utf8')).toBe('0\n')
  },
)
