import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { EnqueuedJob, JobSystem, NewJob, Settings } from '../../src/index.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import { briefly } from './built.ts'
import { assertWhole, isOfMachine } from './system.ts'

/** What a child process recorded as it happened: its own account, not the queue's. */
export interface Witnessed {
  readonly what: 'starting' | 'start' | 'effect' | 'acknowledged' | 'log' | 'fatal'
  readonly at: number
  readonly pid: number
  readonly id: number
  readonly attempt: number
  readonly token: string
  readonly ids: readonly number[]
  readonly level: string
  readonly message: string
}

export interface ChildOptions {
  readonly database: string
  readonly producer?: boolean
  /** How long a `hold` job lasts. */
  readonly holdMs?: number
  /** The grace of the stop that SIGTERM begins. */
  readonly graceMs?: number
  readonly settings?: Partial<Settings>
  /** Whether it gets SIGTERM at the moment at which it starts. */
  readonly endsAtStart?: boolean
  /** How far its clock is ahead, in ms. */
  readonly aheadMs?: number
  /** Keeps its standard error, such as the stack of an abort, out of the test's output. */
  readonly quiet?: boolean
  readonly env?: Record<string, string>
  /** A descriptor for its standard output, instead of a pipe that is read here. */
  readonly stdout?: number
  /** A line of shell that runs before it, such as `ulimit -f 1000`. */
  readonly after?: string
}

/** A job system in a separate process: `test/crash/server.mjs`. */
export interface Child {
  readonly process: ChildProcess
  /** Resolves with how it ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** Everything that it wrote to its standard output. */
  output(): string
  enqueue(jobs: readonly NewJob[]): Promise<EnqueuedJob[]>
  call(name: string, ...args: unknown[]): Promise<unknown>
  kill(signal: NodeJS.Signals): void
}

const script = join(import.meta.dirname, '..', 'crash', 'server.mjs')
const children = new Set<ChildProcess>()

/** Ends what a test left running; for `afterAll`. */
export function killChildren(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** Resolves when it serves; rejects with its message if it could not open the file. */
export async function startChild({ env, after, stdout, ...options }: ChildOptions): Promise<Child> {
  const arg = JSON.stringify({ ...options, witness: witnessOf(options.database) })
  const child = fork(script, [arg], {
    stdio: ['ignore', stdout ?? 'pipe', options.quiet ? 'ignore' : 'inherit', 'ipc'],
    env: { ...process.env, ...env },
    execArgv: [...briefly],
    ...(after
      ? { execPath: '/bin/sh', execArgv: ['-c', `${after}; exec "$0" "$@"`, process.execPath, ...briefly] }
      : {}),
  })
  children.add(child)
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk
  })
  const exited = new Promise<Awaited<Child['exited']>>((resolve) => {
    child.once('close', (code, signal) => {
      children.delete(child)
      resolve({ code, signal })
    })
  })
  const waiting = new Map<number, { resolve(result: never): void; reject(error: Error): void }>()
  let lastCall = 0
  await new Promise<void>((resolve, reject) => {
    child.on(
      'message',
      (message: { ready?: true; refused?: object; answer: number; result: never; error?: object }) => {
        if (message.ready) resolve()
        else if (message.refused) reject(Object.assign(new Error('refused'), message.refused))
        else if (message.error) waiting.get(message.answer)?.reject(Object.assign(new Error('refused'), message.error))
        else waiting.get(message.answer)?.resolve(message.result)
      },
    )
    // A poison job may end it before it reports that.
    child.once('exit', () => resolve())
  })
  const call = (name: string, ...args: unknown[]) =>
    new Promise((resolve, reject) => {
      waiting.set(++lastCall, { resolve, reject })
      child.send({ call: name, args, answer: lastCall }, (error) => error && reject(error))
    })
  return {
    process: child,
    exited,
    output: () => output,
    enqueue: (jobs) => call('enqueue', jobs) as Promise<EnqueuedJob[]>,
    call,
    kill: (signal) => void child.kill(signal),
  }
}

/** Everything that the children on a file have recorded so far. */
export function witnessed(database: string): Witnessed[] {
  const text = readFileSync(witnessOf(database), 'utf8')
  // The last line may be incomplete.
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return lines.flatMap((line) => (line ? [JSON.parse(line) as Witnessed] : []))
}

/** The warnings and errors in their logs, except that the machine was busy. */
export function complaints(database: string): Witnessed[] {
  return witnessed(database).filter(
    ({ level, message }) => (level === 'warn' || level === 'error') && !isOfMachine(message),
  )
}

/** The attempts for which handlers were called, by their own account: the ids of the jobs, one for each call. */
export function started(database: string): number[] {
  return witnessed(database).flatMap(({ what, id }) => (what === 'start' ? [id] : []))
}

function witnessOf(database: string): string {
  return `${database}.witness`
}

/** Ends the server cleanly. */
export async function endWith(child: Child, reader: JobSystem): Promise<void> {
  await reader.stop()
  child.kill('SIGTERM')
  expect(await child.exited).toEqual({ code: 0, signal: null })
}

/**
 * Checks that `verify` finds nothing, every history is complete, no handler was called more often than its history has starts, and every
 * succeeded job had its effect: by the handlers' account, not the queue's.
 */
export async function assertWitnessed(reader: JobSystem, database: string): Promise<void> {
  expect(verifyFile(database).violations).toEqual([])
  const calls = new Map<number, number>()
  const effects = new Set<number>()
  for (const { what, id } of witnessed(database)) {
    if (what === 'start') calls.set(id, (calls.get(id) ?? 0) + 1)
    if (what === 'effect') effects.add(id)
  }
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await reader.list({ limit: 500, ...(cursor ? { cursor } : {}) })
    for (const { id, state } of page.jobs) {
      const history = await reader.history(id)
      assertWhole(history)
      expect(history.at(-1)?.to).toBe(state)
      expect(calls.get(id) ?? 0).toBeLessThanOrEqual(history.filter(({ event }) => event === 'start').length)
      if (state === 'succeeded') expect(effects.has(id)).toBe(true)
    }
    cursor = page.nextCursor
  }
}
