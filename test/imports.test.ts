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

/** What the files of a room may import from outside it, type imports too. */
const rooms: Readonly<Record<string, RegExp>> = {
  runtime: /^$/,
  machines: /^runtime\/timers/,
  job: /^(machines\/|errors|config)/,
  schedule: /^(job\/|errors|config)/,
  handlers: /^(job\/|errors|config)/,
  persistence: /^(machines\/|job\/|runtime\/|errors)/,
  observe: /^(machines\/|job\/|persistence\/(store|histogram)\.|runtime\/|errors|config)/,
  engine:
    /^(machines\/|job\/|schedule\/|handlers\/|observe\/|persistence\/(store|histogram|database-path|postgres-options)\.|runtime\/|errors|config)/,
  http: /^(engine\/front-door|job\/|errors)/,
  cli: /^(engine\/job-system|handlers\/define|job\/|errors|config)/,
  testing: /^(index|errors|engine\/(job-system|options)|handlers\/(define|result)|job\/payload|machines\/|runtime\/)/,
}

/** The imports that break the table, by file. None may be added; one that no longer exists must be removed here. */
const exceptions: Readonly<Record<string, readonly string[]>> = {
  'handlers/describe-error.ts': ['machines/stored-error.ts'],
  // These commands work on a file that no server has open.
  'cli/backup.ts': ['persistence/sqlite/file/backup.ts'],
  'cli/compact.ts': ['persistence/sqlite/file/compact.ts'],
  'cli/migrate.ts': [
    'persistence/copy/copy-file.ts',
    'persistence/copy/copy-step.ts',
    'persistence/postgres-options.ts',
  ],
  'cli/verify.ts': ['persistence/sqlite/verify/verify.ts', 'persistence/store.ts'],
  // It parses the settings of the handlers that come with the server, and the database's path.
  'cli/environment.ts': [
    'handlers/smtp.ts',
    'handlers/webhook-signature.ts',
    'persistence/database-path.ts',
    'persistence/postgres-options.ts',
  ],
  // A test ends the thread of its store.
  'testing/test-system.ts': ['persistence/sqlite/thread/store-threads.ts'],
  'cli/log.ts': ['engine/harmless-log.ts'],
}

/** The only rooms that use these packages. */
const packages: Readonly<Record<string, readonly string[]>> = {
  xstate: ['machines', 'engine'],
  'better-sqlite3': ['persistence'],
  pg: ['persistence'],
  hono: ['http'],
  'prom-client': ['http'],
  nodemailer: ['handlers'],
  pino: ['cli'],
  // Only types: it is loaded by `require` when a tracer is registered.
  '@opentelemetry/api': ['observe'],
}

const roomOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : null)

describe('imports point inward', () => {
  test('every file is in a room, except the entry points and what all rooms share', () => {
    const loose = files.filter((file) => !rooms[roomOf(file) ?? ''])

    expect(loose.sort()).toEqual(['config.ts', 'errors.ts', 'index.ts', 'main.ts'])
  })

  test.each(Object.keys(rooms))('%s/ imports only what its row of the table allows', (room) => {
    const inside = files.filter((file) => roomOf(file) === room)
    const breaking = inside.flatMap((file) => {
      const forbidden = local(file).filter((path) => roomOf(path) !== room && !rooms[room]!.test(path))
      return forbidden.length > 0 ? [[file, [...new Set(forbidden)].sort()] as const] : []
    })

    const excepted = Object.entries(exceptions).filter(([file]) => roomOf(file) === room)
    expect(Object.fromEntries(breaking)).toEqual(Object.fromEntries(excepted))
  })

  test.each(Object.entries(packages))('%s is imported only in %s', (name, inRooms) => {
    const users = files.filter((file) => importsOf(file).some((path) => path === name || path.startsWith(`${name}/`)))

    expect([...new Set(users.map(roomOf))].sort()).toEqual([...inRooms].sort())
  })

  test.each(files.filter((file) => file.startsWith('machines/')))('%s knows only xstate and machines', (file) => {
    const known = ['xstate', 'node:assert/strict', 'node:perf_hooks', '../runtime/timers.ts']
    expect(importsOf(file).filter((path) => !known.includes(path) && !path.startsWith('./'))).toEqual([])
  })

  test.each(files.filter((file) => file.startsWith('persistence/sql/')))('%s knows no particular database', (file) => {
    const outside = local(file).filter((path) => !/^(persistence\/sql|machines)\//.test(path))

    expect(outside.filter((path) => path !== 'persistence/store.ts')).toEqual([])
    expect(importsOf(file).filter((path) => !path.startsWith('.'))).toEqual([])
  })

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

  test("the store's threads load no XState: the build has compiled its machine", () => {
    const loaded = loadedBy(
      'persistence/postgres/node/thread.js',
      ...['thread/thread', 'read/reader-thread', 'verify/verify-thread', 'file/backup-thread'].map(
        (name) => `persistence/sqlite/${name}.js`,
      ),
    )

    expect(loaded).toContain('machines/job-table.js')
    expect(loaded).not.toContain('xstate')
  })

  test('a start does not wait for the mail client', () => {
    const loaded = loadedBy('main.js')

    expect(loaded).toContain('handlers/email.js')
    expect(loaded).not.toContain('nodemailer')
  })

  test('a process whose jobs are in a file loads nothing of PostgreSQL but the check of its addresses', () => {
    const loaded = loadedBy('main.js', 'index.js').filter((path) => path.startsWith('persistence/postgres/'))

    expect(loaded).toEqual(['persistence/postgres/addresses.js'])
  })

  test('nothing imports main', () => {
    expect(files.filter((file) => local(file).includes('main.ts'))).toEqual([])
  })
})

test('only entry points read the clock, randomness or the environment', () => {
  const readers = files.filter((file) =>
    /Date\.now\(|new Date\(\)|Math\.random|randomUUID|process\.env/.test(readFileSync(join(source, file), 'utf8')),
  )
  expect(readers.sort()).toEqual(['http/index.ts', 'index.ts', 'main.ts', 'runtime/clock.ts'])
})

test('code in a user’s event loop uses no timer or clock that fake timers may replace', () => {
  const inLoop = loadedBy('index.js', 'persistence/postgres/client.js').filter((path) =>
    existsSync(join(source, path.replace(/\.js$/, '.ts'))),
  )
  const globals = /(?<![.\w])(?:(?:set|clear)(?:Timeout|Interval|Immediate)|queueMicrotask|performance)\b(?=[.(])/g
  const using = inLoop.flatMap((path) => {
    const code = readFileSync(join(source, path.replace(/\.js$/, '.ts')), 'utf8').replace(/\/\*.*?\*\/|\/\/.*?$/gms, '')
    const imported = importsIn(code).includes('node:perf_hooks') ? ['performance'] : []
    for (const [, names] of code.matchAll(
      /^import \{ ([\w, ]+) \} from '(?:node:timers\/promises|[./]+(?:runtime\/)?timers.ts)'/gm,
    ))
      imported.push(...names!.split(', '))
    return [...code.matchAll(globals)].flatMap(([name]) => (imported.includes(name) ? [] : [`${path}: ${name}`]))
  })
  expect(using).toEqual([])
})

test('no state is named outside the machine', () => {
  const name = /['"](scheduled|queued|leased|running|retrying|succeeded|dead|cancelled)['"]/
  const code = (file: string) => readFileSync(join(source, file), 'utf8').replace(/\/\*.*?\*\/|^\s*\/\/.*?$/gms, '')
  // A migration is the text with which files were made, however the machine has changed since.
  const inside = /^(machines|persistence\/(sqlite|postgres)\/migrations)\//
  const naming = files.filter((file) => !inside.test(file) && name.test(code(file)))
  expect(naming).toEqual([])
})
