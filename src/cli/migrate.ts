import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { escapeLine } from '../job/escape-controls.ts'
import type { CopyReport } from '../persistence/copy/copy-file.ts'
import type { CopyStep } from '../persistence/copy/copy-step.ts'
import {
  type PostgresOptions,
  postgresDefaults,
  postgresProblems,
  validPostgres,
} from '../persistence/postgres-options.ts'
import type { Output } from './verify.ts'

/** Ms between two lines of progress. */
const quietMs = 2_000

interface MigrateFlags {
  /** The database that gets the jobs of a file; null if only its own schema is to be brought up to date. */
  readonly to: PostgresOptions | null
  readonly stopServer: boolean
  readonly file: string | undefined
}

/**
 * Reads the arguments of `migrate`. Returns a text if a value is invalid, and null if it does not accept one of them. `usualSchema`: of the
 * database to move to, if the arguments name none.
 */
export function readMigrateFlags(
  args: readonly string[],
  usualSchema: () => string | undefined,
): MigrateFlags | string | null {
  const options = { to: { type: 'string' }, schema: { type: 'string' }, stop: { type: 'boolean' } } as const
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  if (tokens.some((token) => token.kind === 'option' && !Object.hasOwn(options, token.name))) return null
  const { to, schema: named, stop = false } = values as { to?: string | true; schema?: string | true; stop?: boolean }
  if (to === undefined) return positionals.length > 0 || named !== undefined || stop ? null : noCopy
  if (positionals.length > 1) return null
  if (to === true || named === true) return `--${to === true ? 'to' : 'schema'} needs a value`
  const schema = named ?? usualSchema()
  const postgres = { connectionString: to, ...(schema === undefined ? {} : { schema }) }
  const problem = problemOf(postgres, named)
  if (problem !== null) return problem
  return { to: postgres, stopServer: stop, file: positionals[0] }
}

/** `named`: the schema in the arguments; DATABASE_SCHEMA names it otherwise. */
function problemOf(postgres: PostgresOptions, named: string | undefined): string | null {
  const { schema = postgresDefaults.schema } = postgres
  if (named === undefined && !validPostgres.schemaPattern.test(schema))
    return `DATABASE_SCHEMA is ${JSON.stringify(schema)}; it must be ${validPostgres.schema}`
  const problems = postgresProblems(postgres)
  return problems.length > 0 ? `the database to migrate to ${problems.join('; ')}` : null
}

const noCopy: MigrateFlags = { to: null, stopServer: false, file: undefined }

/** `jobmachine migrate [file] --to URL`: moves the jobs of a file into PostgreSQL. Rejects as `copyFile` does. */
export async function copyCommand(
  path: string,
  postgres: PostgresOptions,
  given: { readonly stopServer: boolean; readonly now: () => number; readonly newDatabaseId: string },
  out: Output,
  err: Output,
): Promise<void> {
  const startedAt = performance.now()
  const onStep = (step: CopyStep) => {
    const text = progress.textOf(step, given.stopServer)
    if (text !== null) err.write(`${escapeLine(text)}\n`)
  }
  const progress = new Progress(startedAt)
  const { copyFile } = await import('../persistence/copy/copy-file.ts')
  const report = await copyFile({ path, postgres, ...given, onStep })
  out.write(describe(resolve(path), postgres, report, performance.now() - startedAt))
}

class Progress {
  #toldAt: number

  constructor(startedAt: number) {
    this.#toldAt = startedAt
  }

  /** A line about a step; null if the last was a moment ago. */
  textOf(step: CopyStep, stopServer: boolean): string | null {
    if (step.step === 'copying') return this.#textOfCopying(step)
    if (step.step === 'waiting') return waitingText(step, stopServer)
    if (step.step === 'locked') return 'the file is locked: copying what is left, and comparing both sides'
    return step.step === 'settled' ? 'both sides are the same: closing the file' : null
  }

  #textOfCopying({ jobs, of }: Extract<CopyStep, { step: 'copying' }>): string | null {
    const now = performance.now()
    if (now - this.#toldAt < quietMs) return null
    this.#toldAt = now
    return `${number(jobs)} of ${number(of)} jobs copied and read back`
  }
}

function waitingText({ server, stopped }: Extract<CopyStep, { step: 'waiting' }>, stopServer: boolean): string {
  const who = server.replace(/;.*/s, '')
  if (stopped) return `all jobs are copied, and the server was told to stop: ${who}`
  const advice = stopServer
    ? 'it is not certain which process of this machine that is: stop it yourself'
    : 'stop it when you like'
  return `all jobs are copied, and what happens to them is followed. ${who}; ${advice}`
}

function describe(
  path: string,
  { schema }: PostgresOptions,
  { to, jobs, transitions, refusedMs, stopMs }: CopyReport,
  tookMs: number,
): string {
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
  const refused =
    refusedMs === null
      ? 'the file had been closed before'
      : `writes were refused for ${seconds(refusedMs)}, ${seconds(stopMs)} of it while the server stopped, and are until you start on the database`
  return `${escapeLine(`${path}: its ${number(jobs)} jobs are now in ${to}`)}
${number(transitions)} transitions were copied, read back and compared in ${seconds(tookMs)}; ${refused}
The file is closed for good. Start with DATABASE_URL${schema === undefined ? '' : ` and DATABASE_SCHEMA=${schema}`} instead of DATABASE_PATH; jobmachine verify checks either side.
`
}

function number(value: number): string {
  return value.toLocaleString('en')
}
