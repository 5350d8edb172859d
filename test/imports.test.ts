import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { built } from './support/built.ts'

const source = resolve(import.meta.dirname, '../src')
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((path) => /\.tsx?$/.test(path))
const importsIn = (code: string) =>
  [...code.matchAll(/^(?:import|export)\s[^;]*?from '([^']+)'/gm)].map((match) => match[1]!)
const importsOf = (file: string) => importsIn(readFileSync(join(source, file), 'utf8'))
const local = (file: string) =>
  importsOf(file)
    .filter((path) => path.startsWith('.'))
    .map((path) => relative(source, join(source, dirname(file), path)))

/** What the built files import as they start, files and packages, each other's imports included. */
function loadedBy(...starts: string[]): string[] {
  const loaded = new Set<string>()
  const load = (path: string) => {
    if (loaded.has(path)) return
    loaded.add(path)
    for (const next of importsIn(readFileSync(built(path), 'utf8'))) {
      if (next.startsWith('.')) load(join(dirname(path), next))
      else loaded.add(next)
    }
  }
  for (const start of starts) load(start)
  return [...loaded]
}

describe('imports point inward', () => {
  test.each(files.filter((file) => file.startsWith('machines/')))('%s knows only xstate and machines', (file) => {
    const known = ['xstate', 'node:assert/strict', 'node:perf_hooks', '../timers.ts']
    expect(importsOf(file).filter((path) => !known.includes(path) && !path.startsWith('./'))).toEqual([])
  })

  test.each(files.filter((file) => file.startsWith('job/')))('%s knows only machines, errors and bounds', (file) => {
    const known = /^(job|machines)\/|^(config|errors|did-you-mean)\.ts/
    expect(local(file).filter((path) => !known.test(path))).toEqual([])
  })

  test.each(files.filter((file) => file.startsWith('persistence/')))(
    '%s knows no handler, front door or system',
    (file) => {
      expect(
        local(file).filter((path) => /^(handlers|http)\/|^(system|index|main|environment)\.ts/.test(path)),
      ).toEqual([])
    },
  )

  test.each(files.filter((file) => file.startsWith('handlers/')))('%s knows no store and no front door', (file) => {
    expect(
      local(file).filter((path) => /^(persistence|http)\/|^(system|index|main|environment)\.ts/.test(path)),
    ).toEqual([])
  })

  test.each(files.filter((file) => file.startsWith('http/')))(
    '%s knows only the front door, errors and the escaping of text',
    (file) => {
      expect(local(file).filter((path) => !/^http\/|^(front-door|errors|escape-controls)\.ts/.test(path))).toEqual([])
    },
  )

  test('no files import each other in a circle, types included', () => {
    const circles: string[] = []
    const isDone = new Set<string>()
    const follow = (file: string, path: readonly string[]) => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '))
      if (isDone.has(file) || path.includes(file)) return
      for (const next of local(file)) if (files.includes(next)) follow(next, [...path, file])
      isDone.add(file)
    }
    for (const file of files) follow(file, [])

    expect(circles).toEqual([])
  })

  test('the system knows no concrete store', () => {
    expect(
      local('system.ts').filter((path) => path.startsWith('persistence/') && path !== 'persistence/store.ts'),
    ).toEqual([])
  })

  test("the store's threads load no XState: the build has compiled its machine", () => {
    const loaded = loadedBy(
      ...['thread', 'reader-thread', 'verify-thread', 'backup-thread'].map((name) => `persistence/sqlite/${name}.js`),
    )

    expect(loaded).toContain('machines/job-table.js')
    expect(loaded).not.toContain('xstate')
  })

  test('a start does not wait for the mail client', () => {
    const loaded = loadedBy('main.js')

    expect(loaded).toContain('handlers/email.js')
    expect(loaded).not.toContain('nodemailer')
  })

  test('nothing imports main', () => {
    expect(files.filter((file) => local(file).includes('main.ts'))).toEqual([])
  })
})

test('only front doors read the clock, chance or the environment', () => {
  const readers = files.filter((file) =>
    /Date\.now\(|new Date\(\)|Math\.random|randomUUID|process\.env/.test(readFileSync(join(source, file), 'utf8')),
  )
  expect(readers.sort()).toEqual(['clock.ts', 'index.ts', 'main.ts'])
})

test('what runs in a user’s event loop uses no timer and no measure of time that fake timers may replace', () => {
  const inLoop = loadedBy('index.js').filter((path) => existsSync(join(source, path.replace(/\.js$/, '.ts'))))
  const globals = /(?<![.\w])(?:(?:set|clear)(?:Timeout|Interval|Immediate)|queueMicrotask|performance)\b(?=[.(])/g
  const using = inLoop.flatMap((path) => {
    const code = readFileSync(join(source, path.replace(/\.js$/, '.ts')), 'utf8').replace(/\/\*.*?\*\/|\/\/.*?$/gms, '')
    const imported = importsIn(code).includes('node:perf_hooks') ? ['performance'] : []
    for (const [, name] of code.matchAll(/^import \{ (\w+) \} from '(?:node:timers\/promises|[./]+timers.ts)'/gm))
      imported.push(name!)
    return [...code.matchAll(globals)].flatMap(([name]) => (imported.includes(name) ? [] : [`${path}: ${name}`]))
  })
  expect(using).toEqual([])
})

test('no state is named outside the machine', () => {
  const name = /['"](scheduled|queued|leased|running|retrying|succeeded|dead|cancelled)['"]/
  const code = (file: string) => readFileSync(join(source, file), 'utf8').replace(/\/\*.*?\*\/|^\s*\/\/.*?$/gms, '')
  // A migration is the text that files were made by, whatever the machine has become since.
  const inside = /^(machines|persistence\/sqlite\/migrations)\//
  const naming = files.filter((file) => !inside.test(file) && name.test(code(file)))
  expect(naming).toEqual([])
})
