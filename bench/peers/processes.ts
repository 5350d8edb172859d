import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** What of a process's last words goes into a message. */
const lastWordsMax = 300
const serverStartMs = 20_000

/** Those that live, each with the signal that ends it at once. Whatever ends this process ends them; on SIGINT and SIGTERM, Scratch exits. */
const living = new Map<ChildProcess, NodeJS.Signals>()
process.once('exit', () => {
  for (const [child, endBy] of living) child.kill(endBy)
})

/** The path of an executable: `given`, else where one of `folders` or PATH has it; null where none does. */
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

/** What an executable answers to `--version`; null where it does not. */
export function versionOf(path: string): string | null {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return stdout?.match(/\d+(\.\d+)+/)?.[0] ?? null
}

/** A TCP port of 127.0.0.1 on which nobody listens. */
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

/** Starts a server; resolves when it says that it accepts connections, with how to end it. */
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

/** Runs a process to its end; gives what it wrote to its file descriptor 3. Rejects where it fails, or goes on for longer than `forMs`. */
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

/** Its message, where the last words are an uncaught error's. */
function errorIn(lastWords: string): string {
  return lastWords.match(/^\w*Error\b.*$/m)?.[0] ?? lastWords.trim().slice(-lastWordsMax)
}
