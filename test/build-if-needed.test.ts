import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { builtFolder } from './support/built.ts'
import { tempFolder, whenDone } from './support/temp.ts'

const root = resolve(import.meta.dirname, '..')
const run = promisify(execFile)
/** As a shell has it that npm did not start. */
const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' }

/** A clone of this repository: what is in version control, and the packages of it that `isInstalled`. */
function clone(isInstalled: (name: string) => boolean, folder = tempFolder()): string {
  const copied = readdirSync(root).filter((name) => /^(package.*|tsconfig.*)\.json$|^(src|scripts|docs)$/.test(name))
  for (const name of copied) cpSync(join(root, name), join(folder, name), { recursive: true })
  mkdirSync(join(folder, 'node_modules'))
  for (const name of readdirSync(join(root, 'node_modules')).filter(isInstalled)) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
  return folder
}

/** The same with a build in it, made when `dist` says. */
function builtClone(isInstalled: (name: string) => boolean, builtAt: Date, folder = tempFolder()): string {
  clone(isInstalled, folder)
  cpSync(builtFolder, join(folder, 'dist'), { recursive: true })
  for (const name of readdirSync(join(folder, 'dist'), { recursive: true, encoding: 'utf8' })) {
    utimesSync(join(folder, 'dist', name), builtAt, builtAt)
  }
  return folder
}

const all = () => true
/** As `npm ci --omit=dev` leaves it, as far as it matters here. */
const withoutDev = (name: string) => name !== 'typescript'
const longAgo = new Date(2020, 0)
const inTheFuture = new Date(2100, 0)

/** `npm start`, until it listens; gives what it wrote. */
async function start(folder: string): Promise<string> {
  const database = join(tempFolder(), 'jobs.db')
  const child = spawn('npm', ['start'], {
    cwd: folder,
    env: { ...env, PORT: '0', DATABASE_PATH: database },
    detached: true,
  })
  const closed = once(child, 'close')
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
  whenDone(async () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
    await closed
  })
  await vi.waitFor(() => expect(said).toContain('"listening"'), { timeout: 90_000, interval: 20 })
  return said
}

describe('npm start', () => {
  test('uses a build that is as new as its sources', async () => {
    const folder = builtClone(all, inTheFuture)

    expect(await start(folder)).not.toContain('tsc')
    expect(statSync(join(folder, 'dist/main.js')).mtime).toEqual(inTheFuture)
  })

  test('uses an older build without a compiler, and says so', async () => {
    const folder = builtClone(withoutDev, longAgo)

    expect(await start(folder)).toContain('TypeScript is not installed; the build that is there is used')
  })

  test('uses an older build in a folder that cannot be written', async ({ skip }) => {
    const folder = join(tempFolder(), 'read-only')
    mkdirSync(folder)
    try {
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { stdio: 'ignore' })
    } catch {
      return skip('no file system can be mounted here')
    }
    whenDone(() => execFileSync('umount', ['-l', folder]))
    builtClone(all, longAgo, folder)
    execFileSync('mount', ['-o', 'remount,ro', folder])

    expect(await start(folder)).toContain('this folder is read-only; the build that is there is used')
  })

  test('without a build and without a compiler says what to do', async () => {
    const folder = clone(withoutDev)

    const refused = await run('npm', ['start'], { cwd: folder, env }).catch((error) => error)

    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('run "npm ci && npm run build"') })
  })
})

test('a clone is built before it is packed, and when it is older than its sources', async () => {
  const folder = builtClone(all, longAgo)
  rmSync(join(folder, 'dist/main.js'))

  const { stdout } = await run('npm', ['pack', '--json'], { cwd: folder, env })

  const [{ files }] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ files: { path: string }[] }]
  expect(files.map(({ path }) => path)).toEqual(
    expect.arrayContaining([
      'dist/index.js',
      'dist/main.js',
      'dist/machines/job-table.js',
      'dist/http/dashboard/browser/app.js',
    ]),
  )
  expect(existsSync(join(folder, 'dist/main.js'))).toBe(true)
})

test('an install without a compiler leaves all as it is, and does not fail', async () => {
  const folder = clone(withoutDev)

  await run('npm', ['run', 'prepare'], { cwd: folder, env })

  expect(existsSync(join(folder, 'dist'))).toBe(false)
})
