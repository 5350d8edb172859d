import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { isWhole } from './support/share.ts'
import { cleanUp, tempFolder, whenDone } from './support/temp.ts'

afterAll(cleanUp)

const root = resolve(import.meta.dirname, '..')
const run = promisify(execFile)
/** As in a shell that npm did not start. */
const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' }

/** What a build ends with. */
const finished = 'dist/http/dashboard/browser/favicon.svg'
/** Stands in for the real build, which `npm test` makes before any test. */
const build = `
  import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
  import { dirname } from 'node:path'
  mkdirSync(dirname('${finished}'), { recursive: true })
  cpSync('src/main.js', 'dist/main.js')
  writeFileSync('${finished}', '')
  console.log('building')`

interface Clone {
  readonly folder?: string
  readonly hasCompiler: boolean
  /** When its build was made; null if it has none. */
  readonly builtAt: Date | null
}

/** A clone of this repository with its scripts, and one file that is built. */
function clone({ folder = tempFolder(), hasCompiler, builtAt }: Clone): string {
  const { scripts, ...rest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  for (const name of ['src', 'scripts', 'node_modules']) mkdirSync(join(folder, name))
  write('package.json', JSON.stringify({ ...rest, scripts: { ...scripts, build: 'node build.js' } }))
  write('build.js', build)
  write('src/main.js', `console.log('serving')`)
  cpSync(join(root, 'scripts/build-if-needed.js'), join(folder, 'scripts/build-if-needed.js'))
  if (hasCompiler) mkdirSync(join(folder, 'node_modules/typescript'))
  if (builtAt) {
    execFileSync(process.execPath, ['build.js'], { cwd: folder })
    for (const name of ['dist/main.js', finished]) utimesSync(join(folder, name), builtAt, builtAt)
  }
  return folder
}

const longAgo = new Date(2020, 0)
const inTheFuture = new Date(2100, 0)

/** Runs what `npm start` runs, but without npm, which takes longer than the rest; returns its output. */
async function start(folder: string): Promise<string> {
  const { prestart, start } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).scripts
  const { stdout, stderr } = await run('sh', ['-c', `${prestart} && ${start}`], { cwd: folder, env })
  expect(stdout).toContain('serving')
  return stdout + stderr
}

describe.concurrent('npm start', () => {
  test('uses a build that is as new as its sources', async () => {
    const folder = clone({ hasCompiler: true, builtAt: inTheFuture })

    expect(await start(folder)).not.toContain('building')
    expect(statSync(join(folder, 'dist/main.js')).mtime).toEqual(inTheFuture)
  })

  test.each([
    ['no build', null],
    ['one that is older', longAgo],
  ])('builds if there is %s', async (_, builtAt) => {
    expect(await start(clone({ hasCompiler: true, builtAt }))).toContain('building')
  })

  test.runIf(isWhole)('uses an older build without a compiler, and says so', async () => {
    const folder = clone({ hasCompiler: false, builtAt: longAgo })

    expect(await start(folder)).toContain('TypeScript is not installed; the build that is there is used')
  })

  test.runIf(isWhole)('uses an older build in a folder that cannot be written', async ({ skip }) => {
    const folder = join(tempFolder(), 'read-only')
    mkdirSync(folder)
    try {
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { stdio: 'ignore' })
    } catch {
      return skip('no file system can be mounted here')
    }
    whenDone(() => execFileSync('umount', ['-l', folder]))
    clone({ folder, hasCompiler: true, builtAt: longAgo })
    execFileSync('mount', ['-o', 'remount,ro', folder])

    expect(await start(folder)).toContain('this folder is read-only; the build that is there is used')
  })

  test('says what to do without a build and without a compiler', async () => {
    const folder = clone({ hasCompiler: false, builtAt: null })

    const refused = await start(folder).catch((error) => error)

    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('run "npm ci && npm run build"') })
  })
})

/** The files that `npm pack` has put into the package. */
async function pack(folder: string, ...options: string[]): Promise<string[]> {
  const { stdout } = await run('npm', ['pack', '--json', ...options], { cwd: folder, env })
  const [{ files }] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ files: { path: string }[] }]
  return files.map(({ path }) => path)
}

let packing: ReturnType<typeof pack> | undefined
/** Those of this repository: its package is built once. */
function packed(): ReturnType<typeof pack> {
  packing ??= pack(root, '--dry-run', '--ignore-scripts')
  return packing
}

test.runIf(isWhole)('a clone is built before it is packed, and rebuilt if it is older than its sources', async () => {
  const folder = clone({ hasCompiler: true, builtAt: longAgo })

  expect(await pack(folder)).toContain('dist/main.js')
  expect(statSync(join(folder, 'dist/main.js')).mtimeMs).toBeGreaterThan(longAgo.getTime())
})

test.runIf(isWhole)('the package has what the library, the command and the pages need', async () => {
  expect(await packed()).toEqual(
    expect.arrayContaining([
      'dist/index.js',
      'dist/main.js',
      'dist/machines/job-table.js',
      'dist/http/dashboard/browser/app.js',
      'scripts/build-if-needed.js',
    ]),
  )
})

test('every source map of the package, and every link of its README, leads to a file that it has', async () => {
  const files = await packed()
  const sources = files
    .filter((path) => path.endsWith('.map'))
    .flatMap((path) =>
      (JSON.parse(readFileSync(join(root, path), 'utf8')) as { sources: string[] }).sources.map((source) =>
        join(dirname(path), source),
      ),
    )
  const links = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g)].map(
    ([, link]) => link!,
  )

  expect(sources.length).toBeGreaterThan(200)
  expect(links.length).toBeGreaterThan(15)
  const isThere = (path: string) => files.some((file) => file === path || file.startsWith(path))
  expect([...sources, ...links].filter((path) => !isThere(path))).toEqual([])
})

test('an install without a compiler changes nothing, and does not fail', async () => {
  const folder = clone({ hasCompiler: false, builtAt: null })

  const { prepare } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).scripts
  await run('sh', ['-c', prepare], { cwd: folder, env })

  expect(existsSync(join(folder, 'dist'))).toBe(false)
})
