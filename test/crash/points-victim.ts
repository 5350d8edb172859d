import { type ChildProcess, fork } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Settings } from '../../src/config.ts'
import { migrations } from '../../src/persistence/sqlite/schema.ts'
import { type Patch, patchedBuild } from '../support/patched-build.ts'

/** Where on an edge's way to the disk a process dies: see `crash-point.mjs`. */
export const points = ['before', 'halfway', 'inside', 'committed', 'effect'] as const
export type Point = (typeof points)[number]

/** A place to die: a point on the way of `from event to`, or of a `migration`. */
export interface CrashAt {
  readonly point: Point
  readonly edge: string
}

export interface VictimOptions {
  /** A copy of dist. */
  readonly build: string
  readonly database: string
  /** Its number among the processes on the file. */
  readonly run: number
  readonly settings?: Partial<Settings>
  readonly crashAt?: CrashAt | undefined
  /**
   * Its work: `take` an edge, a `load` from a seed, `serve` over HTTP, `produce` jobs at intervals without running any, or `finish`
   * everything and end.
   */
  readonly work:
    | { readonly take: string }
    | { readonly load: number }
    | { readonly serve: true }
    | { readonly produce: number }
    | { readonly finish: true }
  /** How long it may live, in ms: a generous limit. */
  readonly lifeMs?: number
}

/** How a process ended, and what it wrote to its standard error. */
export interface Death {
  readonly signal: NodeJS.Signals | null
  readonly code: number | null
  readonly stderr: string
}

export interface Victim {
  readonly process: ChildProcess
  /** Resolves when it serves, with its address if it has one, or when it has died. */
  readonly serves: Promise<unknown>
  readonly died: Promise<Death>
}

/** The default limit of a life, in ms. */
const lifeMaxMs = 120_000

/** A server process: `victim.mjs`. */
export function startVictim(options: VictimOptions): Victim {
  const { build, database, run, settings = {}, crashAt, work, lifeMs = lifeMaxMs } = options
  const arg = JSON.stringify({ build, database, run, settings, witness: witnessOf(database), ...work })
  const armed = crashAt && {
    JOBMACHINE_CRASH_AT: `${crashAt.point} ${crashAt.edge}`,
    JOBMACHINE_CRASH_NOTE: crashNoteOf(database),
  }
  const child = fork(resolve('test/crash/victim.mjs'), [arg], {
    // Most live too briefly for optimised code: a start costs 0.28 s of processor time instead of 0.44.
    execArgv: lifeMs > lifeMaxMs ? [] : ['--no-opt'],
    env: { PATH: process.env.PATH, ...armed },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const tooLong = setTimeout(() => child.kill('SIGABRT'), lifeMs)
  let stderr = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  const died = new Promise<Death>((done) => {
    child.once('close', (code, signal) => {
      clearTimeout(tooLong)
      done({ code, signal, stderr })
    })
  })
  const serving = new Promise((done) => child.once('message', done))
  return { process: child, serves: Promise.race([serving, died]), died }
}

/** Describes how a process ended that should have ended in another way. */
export function describeDeath({ code, signal, stderr }: Death): string {
  const end = signal === 'SIGABRT' ? 'was ended since it lived for too long' : `ended with ${signal ?? code}`
  return stderr ? `${end}: ${stderr.trim()}` : end
}

/** What the processes on a file recorded: everything they saw, and what they did before they killed themselves. */
export function witnessOf(database: string): string {
  return `${database}.witness`
}
export function crashNoteOf(database: string): string {
  return `${database}.crash`
}

const imported = (file: string, module: string): Patch => ({
  file,
  // The end of each file: where an import is does not matter.
  text: '//# sourceMappingURL=',
  replace: `import * as crash from '${module}';\n//# sourceMappingURL=`,
})

const patches: readonly Patch[] = [
  // The store's thread must know too where to die.
  { file: 'runtime/own-thread.js', find: 'execArgv: [], env: {}', replace: 'execArgv: []' },
  imported('persistence/sqlite/write/transitions.js', '../../../crash-point.js'),
  {
    file: 'persistence/sqlite/write/transitions.js',
    find: 'let waiting = runs;',
    replace: `crash.foreseeMove(this.#db, events, runs, Boolean(values.crashed));
      crash.reach('before');
      let waiting = runs;`,
  },
  {
    file: 'persistence/sqlite/write/transitions.js',
    find: 'const { changes } = move.run({ event_id: first + (events.length - 1) * count, ...values });',
    replace: `crash.reach('halfway'); const { changes } = move.run({ event_id: first + (events.length - 1) * count, ...values });`,
  },
  imported('persistence/sqlite/thread/group-commit.js', '../../../crash-point.js'),
  {
    file: 'persistence/sqlite/thread/group-commit.js',
    find: 'writer.begin();',
    replace: 'crash.begin(); writer.begin();',
  },
  {
    file: 'persistence/sqlite/thread/group-commit.js',
    find: `db.exec('COMMIT');`,
    replace: `crash.reach('inside'); db.exec('COMMIT'); crash.reach('committed');`,
  },
  imported('persistence/sqlite/write/insert-jobs.js', '../../../crash-point.js'),
  {
    file: 'persistence/sqlite/write/insert-jobs.js',
    text: 'this.#insert(intoBatches(admission.newJobs.map(',
    replace: `crash.foreseeIntake(admission.newJobs); crash.reach('before'); this.#insert(intoBatches(admission.newJobs.map(`,
  },
  {
    file: 'persistence/sqlite/write/insert-jobs.js',
    find: 'const firstId = this.#insert(batches, now);',
    replace: `crash.foreseeIntake(fromBatches(batches, counts).flat().filter(({ idempotency }) => idempotency)
        .map((job) => ({ job, answers: [{ state: stateOf(job, now, false) }] })));
      crash.reach('before');
      const firstId = this.#insert(batches, now);`,
  },
  {
    file: 'persistence/sqlite/write/insert-jobs.js',
    text: 'this.#insertPayloads(first, payloads);',
    replace: `crash.reach('halfway'); this.#insertPayloads(first, payloads);`,
  },
  imported('persistence/sqlite/write/retention.js', '../../../crash-point.js'),
  {
    file: 'persistence/sqlite/write/retention.js',
    find: 'this.#sql.removeJobs.run(first, last);',
    replace: `{
      for (const { id, state } of removed) if (id >= first && id <= last) crash.foreseeRemoval(id, state);
      crash.reach('before');
      this.#sql.removeJobs.run(first, last);
      crash.reach('halfway');
    }`,
  },
  imported('persistence/sqlite/file/connection.js', '../../../crash-point.js'),
  {
    file: 'persistence/sqlite/file/connection.js',
    find: 'db.exec(sql);',
    replace: `{ crash.foreseeMigration(); crash.reach('before'); crash.migrate(db, sql); }`,
  },
  {
    file: 'persistence/sqlite/file/connection.js',
    text: `.run(random(), \`\${now}\`);`,
    replace: `.run(random(), \`\${now}\`); crash.reach('inside');`,
  },
  {
    file: 'persistence/sqlite/file/connection.js',
    text: '}).immediate();',
    replace: `}).immediate(); crash.reach('committed');`,
  },
  imported('engine/dispatch/attempt.js', '../../crash-point.js'),
  {
    file: 'engine/dispatch/attempt.js',
    find: 'this.#settle(this.#lost ? null : (this.#eventOfAbort() ?? outcome()), true);',
    replace: `const event = this.#lost ? null : (this.#eventOfAbort() ?? outcome());
      crash.ended(this.#job, event);
      this.#settle(event, true);`,
  },
]

/** A schema with one more version, to migrate to. */
const newerSchema: Patch = {
  file: 'persistence/sqlite/schema.js',
  text: `version${migrations.length},\n];`,
  replace: `version${migrations.length}, 'CREATE TABLE newer (id INTEGER); CREATE TABLE newest (id INTEGER);'];`,
}

/** Makes a copy of dist, in `folder`, that dies where it is told to; `newer`: with one more schema version. */
export function crashBuild(folder: string, { newer = false } = {}): string {
  const build = patchedBuild(folder, newer ? [...patches, newerSchema] : patches)
  copyFileSync(resolve('test/crash/crash-point.mjs'), join(build, 'crash-point.js'))
  return build
}
