import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** Characters of a process's last output that go into a message. */
const lastWordsMax = 300
const serverStartMs = 20_000

/**
 * The running ones, each with the signal that ends it at once. Whatever ends this process ends them; on SIGINT and SIGTERM, Scratch exits.
 */
const living = new Map<ChildProcess, NodeJS.Signals>()
process.once('exit', () => {
  for (const [child, endBy] of living) child.kill(endBy)
})

/** The path of an executable: `given`, else the one in `folders` or PATH; null if there is none. */
export function findExecutable(name: string, given?: string, folders: readonly string[] = []): string | null {
  if (given) return given
  const inPath = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return [...folders, ...inPath].map((folder) => join(folder, name)).find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The answer of an executable to `--version`; null if there is none. */
export function versionOf(path: string): string | null {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return stdout?.match(/\d+(\.\d+)+/)?.[0] ?? null
}

/** A free TCP port of 127.0.0.1. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** How a server is started, and ended. */
export interface ServerOptions extends SpawnOptions {
  /** The signal that ends it at once and leaves nothing behind. */
  readonly endBy: NodeJS.Signals
}

/** Starts a server; resolves when it says that it accepts connections, with a function that ends it. */
export async function startServer(
  path: string,
  args: readonly string[],
  { endBy, ...options }: ServerOptions,
): Promise<() => Promise<void>> {
  const child = spawn(path, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  living.set(child, endBy)
  const ended = once(child, 'exit').finally(() => living.delete(child))
  let said = ''
  const ready = new Promise<true>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (words: string) => {
        said = (said + words).slice(-lastWordsMax)
        if (/ready to accept connections/i.test(said)) resolve(true)
      })
    }
  })
  const timeUp = new AbortController()
  const late = sleep(serverStartMs, false, { signal: timeUp.signal }).catch(() => false)
  const isReady = await Promise.race([ready, late, ended.then(() => false)])
  timeUp.abort()
  const stop = async () => {
    child.kill(endBy)
    await ended
  }
  if (isReady) return stop
  await stop()
  throw new Error(`${path} does not accept connections: ${said.trim()}`)
}

/** Runs a process to its end; returns what it wrote to its file descriptor 3. Rejects if it fails, or runs for longer than `forMs`. */
export async function answerOf(
  path: string,
  args: readonly string[],
  { forMs, cwd }: { readonly forMs: number; readonly cwd: string },
): Promise<string> {
  const child = spawn(path, args, { cwd, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
  living.set(child, 'SIGKILL')
  const timer = setTimeout(() => child.kill('SIGKILL'), forMs)
  try {
    const [answer, complaint, [code, signal]] = await Promise.all([
      text(child.stdio[3] as NodeJS.ReadableStream as AsyncIterable<string>),
      text(child.stderr as AsyncIterable<string>),
      once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>,
    ])
    if (code === 0) return answer
    throw new Error(signal === null ? errorIn(complaint) : `ended by ${signal} within ${forMs} ms`)
  } finally {
    clearTimeout(timer)
    living.delete(child)
  }
}

/** Its message, if the last output is an uncaught error. */
function errorIn(lastWords: string): string {
  return lastWords.match(/^\w*Error\b.*$/m)?.[0] ?? lastWords.trim().slice(-lastWordsMax)
}
