import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, truncateSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import { briefly } from '../support/built.ts'
import type { Ordeal } from '../torture/ordeal.ts'
import { Random } from '../torture/random.ts'

export const files = ['', '-wal', '-shm', '-lock', '-mark'] as const
export const harms = ['removed', 'replaced', 'emptied', 'cut', 'copied', 'linked', 'moved'] as const

/** What happens to one of a database's files. `copied`: by the serving process. `moved`: a symbolic link leads to its new place. */
export interface Harm {
  readonly file: (typeof files)[number]
  readonly harm: (typeof harms)[number]
  /** Whether the server is running when it happens, or was killed before. */
  readonly live: boolean
  /** Whether a producer stores jobs at the same time. */
  readonly producer: boolean
}

export function describeHarm({ file, harm, live, producer }: Harm): string {
  return `jobs.db${file} ${harm}, ${live ? 'live' : 'dead'}${producer ? ', with a producer beside' : ''}`
}

/** Calls that each process completes before the harm, and how long it continues afterwards, in ms. */
const callsBefore = 8
const goOnMs = 250
const patienceMs = 90_000

/**
 * Harms a file while jobs are stored, kills all running processes, and starts again. Returns what is wrong: a start that does not refuse
 * must have every job that was acknowledged, before and after the harm.
 */
export async function harmFile(harm: Harm, folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'jobs.db')
  const server = new Client(path, false)
  await server.ready
  const clients = harm.producer ? [server, new Client(path, true)] : [server]
  await Promise.all(clients.map((client) => client.ready))
  const storing = clients.map((client) => client.store())
  await until(() => clients.every((client) => client.calls >= callsBefore || client.hasEnded))
  if (!harm.live) for (const client of clients) await client.kill()
  await inflict(harm, path, server)
  if (harm.live) await setTimeout(goOnMs)
  for (const client of clients) await client.kill()
  await Promise.all(storing)
  return judge(
    path,
    clients.flatMap(({ acknowledged }) => acknowledged),
  )
}

async function inflict({ file, harm }: Harm, path: string, server: Client): Promise<void> {
  const target = `${path}${file}`
  if (!existsSync(target)) return
  switch (harm) {
    case 'removed':
      return rmSync(target)
    case 'replaced':
      execFileSync('cp', [target, `${target}.copy`])
      return renameSync(`${target}.copy`, target)
    case 'emptied':
      return truncateSync(target, 0)
    case 'cut':
      return truncateSync(target, Math.floor(statSync(target).size / 2))
    case 'copied':
      await server.copyHere(target)
      // As somebody who copies the folder: a newer SQLite removes nothing while the lock on the index is held.
      if (file === '') await server.copyHere(`${path}-shm`)
      // If nobody holds a lock, SQLite's close believes that it is the last, and removes the log.
      return lookFromOutside(path)
    case 'linked':
      return linkSync(target, `${target}.link`)
    case 'moved':
      mkdirSync(`${path}.elsewhere`)
      renameSync(target, join(`${path}.elsewhere`, 'moved'))
      return symlinkSync(join(`${path}.elsewhere`, 'moved'), target)
  }
}

/** As an operator does, from another process. */
function lookFromOutside(path: string): void {
  const code = `const db = new (require('better-sqlite3'))(process.argv[1]); db.prepare('SELECT count(*) FROM jobs').get(); db.close()`
  execFileSync(process.execPath, ['-e', code, path], { stdio: 'ignore' })
}

/** A refusal says so; otherwise a start must have everything. A second name is removed, as its refusal says. */
async function judge(path: string, acknowledged: readonly number[]): Promise<string[]> {
  let again = new Client(path, false)
  let refusal = await again.ready
  if (refusal?.includes('hard links')) {
    rmSync(`${path}.link`)
    again = new Client(path, false)
    refusal = await again.ready
  }
  await again.kill()
  if (refusal !== null) return []
  const db = openKept(path, { readonly: true })
  const there = new Set(db.prepare('SELECT id FROM jobs').pluck().all() as number[])
  db.close()
  const lost = acknowledged.filter((id) => !there.has(id))
  return [
    ...(lost.length > 0 ? [`a start says nothing, and ${lost.length} of ${acknowledged.length} jobs are lost`] : []),
    ...verifyFile(path).violations.map(({ invariant, message }) => `${invariant}: ${message}`),
  ]
}

/** A server or a producer in a separate process that stores jobs until it ends. */
class Client {
  readonly acknowledged: number[] = []
  /** Null when it serves, else why it does not. */
  readonly ready: Promise<string | null>
  calls = 0
  hasEnded = false
  readonly #process: ChildProcess
  readonly #exited: Promise<void>
  readonly #waiting = new Map<number, (result: unknown) => void>()
  #last = 0

  constructor(database: string, producer: boolean) {
    const given = { database, producer, witness: `${database}.witness` }
    this.#process = fork(resolve('test/crash/server.mjs'), [JSON.stringify(given)], {
      execArgv: [...briefly],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#exited = new Promise((resolve) => {
      this.#process.once('exit', () => {
        this.hasEnded = true
        for (const settle of this.#waiting.values()) settle(undefined)
        resolve()
      })
    })
    this.ready = new Promise((resolve) => {
      this.#process.on(
        'message',
        (message: { ready?: true; refused?: { message: string }; answer: number; result: unknown }) => {
          if (message.ready) resolve(null)
          else if (message.refused) resolve(message.refused.message)
          else this.#waiting.get(message.answer)?.(message.result)
        },
      )
      void this.#exited.then(() => resolve('it ended'))
    })
  }

  /** Calls without end, each after the previous one was answered. */
  async store(): Promise<void> {
    while (!this.hasEnded) {
      const jobs = Array.from({ length: 1 + (this.calls % 3) }, () => ({ type: 'quick', payload: null, delayMs: 1e9 }))
      const stored = (await this.#call('enqueue', jobs)) as { id: number }[] | undefined
      // Refused, or it has ended; what it was asked to store may still be stored.
      if (!stored) return
      this.acknowledged.push(...stored.map(({ id }) => id))
      this.calls++
    }
  }

  async copyHere(file: string): Promise<void> {
    await this.#call('copyHere', file)
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#exited
  }

  #call(name: string, ...args: unknown[]): Promise<unknown> {
    if (this.hasEnded) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.#waiting.set(++this.#last, resolve)
      this.#process.send({ call: name, args, answer: this.#last }, () => {})
    })
  }
}

async function until(what: () => boolean): Promise<void> {
  for (const giveUpAt = performance.now() + patienceMs; !what(); await setTimeout(5))
    if (performance.now() > giveUpAt) throw new Error('the server stores nothing')
}

/** Harms each of a database's files in each way, in the order of the seed, again and again. */
export const harmed: Ordeal = async ({ seed, folder, isOver, tally }) => {
  for (let next = seed; !isOver(); next++) {
    const random = new Random(next)
    const harm = someHarm(random)
    const own = join(folder, `${next}`)
    const violations = await harmFile(harm, own)
    tally.harms++
    for (const violation of violations) tally.violations.push(`${describeHarm(harm)}, kept as ${own}: ${violation}`)
    if (violations.length === 0) rmSync(own, { recursive: true, force: true })
  }
}

function someHarm(random: Random): Harm {
  return {
    file: random.pick(files),
    harm: random.pick(harms),
    live: random.next() < 0.6,
    producer: random.next() < 0.5,
  }
}
