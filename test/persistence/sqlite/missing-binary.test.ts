import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { briefly } from '../../support/built.ts'
import { patchedBuild } from '../../support/patched-build.ts'
import { memoryFolder } from '../../support/temp.ts'

const run = promisify(execFile)

/** A package with its own better-sqlite3, as an install left it, and the output of a server there when it starts. */
async function startWith(leave: (driver: string) => void): Promise<string> {
  const folder = memoryFolder()
  const main = join(patchedBuild(folder, []), 'main.js')
  const modules = join(folder, 'node_modules')
  const driver = join(modules, 'better-sqlite3')
  // A link to ours, from which nothing may be removed.
  unlinkSync(modules)
  mkdirSync(modules)
  const ours = resolve('node_modules')
  for (const name of readdirSync(ours)) {
    if (name !== 'better-sqlite3') symlinkSync(join(ours, name), join(modules, name))
  }
  cpSync(join(ours, 'better-sqlite3'), driver, { recursive: true, filter: (path) => !/\/(deps|src)$/.test(path) })
  leave(driver)
  const env = { PATH: process.env.PATH, PORT: '0', DATABASE_PATH: join(folder, 'jobs.db') }
  const { stderr } = await run(process.execPath, [...briefly, main], { cwd: folder, env }).catch((error) => error)
  return stderr
}

test('an install without the binary of better-sqlite3 is refused with the commands that install it', async () => {
  const said = await startWith((driver) => {
    for (const name of ['build', 'prebuilds']) rmSync(join(driver, name), { recursive: true, force: true })
  })

  expect(said).toMatch(/better-sqlite3 \d+\.\d+\.\d+ under Node\.js v\S+ on \S+ has no binary for this system/)
  expect(said).toContain('Run npm rebuild better-sqlite3')
  expect(said).not.toMatch(/permissions|at new Database/)
})

test.runIf(Number.parseInt(process.versions.node, 10) < 22)(
  'a better-sqlite3 that would crash this Node.js is refused',
  async () => {
    const said = await startWith((driver) => {
      const file = join(driver, 'package.json')
      writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version: '13.2.0' }))
    })

    expect(said).toMatch(
      /better-sqlite3 13\.2\.0 under Node\.js v\S+ on \S+ needs Node\.js 22: run npm install better-sqlite3@12/,
    )
  },
)
