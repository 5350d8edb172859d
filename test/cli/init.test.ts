import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readEnvironment } from '../../src/cli/environment.ts'
import { initFiles } from '../../src/cli/init.ts'
import { briefly, built } from '../support/built.ts'
import { runCommand } from '../support/cli.ts'
import { tempFolder } from '../support/temp.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const parts = { token: randomBytes(32).toString('hex'), node: process.execPath, user: 'root' }
const main = (folder: string, ...args: string[]) => runCommand(args, { folder })

/** A folder in which those files are, and the packages that they use. */
function initialised(name = 'project'): string {
  const folder = join(tempFolder(), name)
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  symlinkSync(root, join(folder, 'node_modules/jobmachine'))
  symlinkSync(join(root, 'node_modules/zod'), join(folder, 'node_modules/zod'))
  initFiles(folder, parts)
  return folder
}

test('jobmachine init writes a handler, settings, a unit and a Dockerfile, and says what to do next', async () => {
  const folder = tempFolder()

  const { code, stdout } = await main(folder, 'init')

  expect(code).toBe(0)
  expect(readdirSync(folder).sort()).toEqual(['.env', 'Dockerfile', 'handlers.mjs', 'jobmachine.service'])
  expect(statSync(join(folder, '.env')).mode & 0o777).toBe(0o600)
  expect(stdout).toContain('npx jobmachine serve --handlers ./handlers.mjs')
})

test('it overwrites nothing: if one of the files exists, it writes none', async () => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch')

  const args = [...briefly, built('main.js'), 'init']
  const { code, stderr } = await run(process.execPath, args, { cwd: folder }).catch((error) => error)

  expect([code, stderr]).toEqual([78, 'jobmachine: nothing was written, because these exist already: Dockerfile\n'])
  expect(readdirSync(folder)).toEqual(['Dockerfile'])
})

test('in a missing folder it ends with a plain line', async () => {
  const { code, stderr } = await main(tempFolder(), 'init', 'nowhere')

  expect(code).toBe(1)
  expect(stderr).toMatch(/^jobmachine: the files could not be written: .*nowhere.*\n$/)
})

test('the handler runs, and the settings are the server’s defaults, with a token to be filled in', async () => {
  const folder = initialised()

  const program = `import('./handlers.mjs').then(({ welcome }) => welcome.run({ name: 'Ada' }, { attempt: 1 }))`
  const { stderr } = await run(process.execPath, ['--eval', program], { cwd: folder })
  const dotEnv = readFileSync(join(folder, '.env'), 'utf8')

  expect(stderr).toBe('welcome, Ada (attempt 1)\n')
  expect(readEnvironment({}, dotEnv)).toEqual(readEnvironment({}, ''))
  const open = dotEnv.replace('# API_TOKEN', 'API_TOKEN').replace('HOST=127.0.0.1', 'HOST=0.0.0.0')
  expect(readEnvironment({}, open).apiToken).toBe(parts.token)
})

test.runIf(await run('systemd-analyze', ['--version']).catch(() => null))(
  'systemd finds no fault in the unit, even if the folder has a strange name',
  async () => {
    for (const name of ['project', 'a %n folder with "quotes" and $HOME']) {
      const folder = initialised(name)
      const { stdout, stderr } = await run('systemd-analyze', ['verify', join(folder, 'jobmachine.service')])

      expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes('jobmachine.service'))).toEqual([])
    }
  },
)

test('the Dockerfile copies the existing files, and starts the server with the handlers', () => {
  const folder = initialised()
  const lines = readFileSync(join(folder, 'Dockerfile'), 'utf8').split('\n')
  const copied = lines.filter((line) => line.startsWith('COPY ')).flatMap((line) => line.split(' ').slice(1, -1))
  const command = JSON.parse(lines.find((line) => line.startsWith('CMD '))!.slice(4)) as string[]

  expect(copied).toEqual(['package.json', 'package-lock.json', 'handlers.mjs'])
  expect(command).toEqual(['node', 'node_modules/jobmachine/dist/main.js', 'serve', '--handlers', './handlers.mjs'])
  expect(lines.at(0)).toContain('--stop-timeout 30')
})
