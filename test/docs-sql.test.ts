import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startSystem, untilFinished } from './support/system.ts'
import { tempFolder } from './support/temp.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
const page = readFileSync(join(root, 'docs/sql.md'), 'utf8')

function example(language: string): string {
  return new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(page)![1]!
}

test('the examples of the page on SQL enqueue what they say', async ({ skip }) => {
  for (const command of ['python3', 'sqlite3'])
    if (!(await run(command, ['--version']).catch(() => null))) skip(`there is no ${command} on this machine`)
  const folder = tempFolder()
  mkdirSync(join(folder, 'data'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const ran: unknown[] = []
  const { system } = await startSystem({
    database: join(folder, 'data/jobs.db'),
    runs: { 'confirm-order': (payload: { order: number }) => void ran.push(payload.order) },
  })
  writeFileSync(join(folder, 'example.mjs'), example('js'))

  await run('python3', ['-c', example('python')], { cwd: folder })
  await run('sh', ['-ec', example('sh')], { cwd: folder })
  await run(process.execPath, ['example.mjs'], { cwd: folder })

  // The one with a delay is due at once, for this system's clock is years ahead.
  await untilFinished(system, 4)
  expect(ran.sort()).toEqual([1, 1, 7, 8])
  expect((await system.list({ text: '"order":1' })).jobs.at(-1)).toMatchObject({ idempotencyKey: 'confirm-order-1' })
  expect((await system.verify()).violations).toEqual([])
})
