import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { briefly, built } from './built.ts'
import { tempFolder, whenDone } from './temp.ts'

export interface ServerProcess {
  readonly url: string
  readonly pid: number
  readonly folder: string
  readonly database: string
}

/**
 * A real server in a separate process, on a free port, killed when the test ends. `descriptors`: how many it may open. Resolves when it
 * listens.
 */
export async function startServer(
  env: Record<string, string> = {},
  folder = tempFolder(),
  main = built('main.js'),
  descriptors: number | null = null,
): Promise<ServerProcess> {
  const database = join(folder, 'jobs.db')
  const command = [process.execPath, ...briefly, main]
  const limit = descriptors === null ? [] : ['sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`]
  const [program = '', ...args] = [...limit, ...command]
  const child = spawn(program, args, {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', PORT: '0', DATABASE_PATH: database, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  whenDone(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const entry = JSON.parse(line)
    if (entry.msg !== 'listening') continue
    child.stdout.resume()
    return { url: entry.url, pid: child.pid!, folder, database }
  }
  throw new Error(`the server ended with ${child.exitCode} before it listened`)
}
