import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe } from 'vitest'
import { whenDone } from '../support/temp.ts'

/** Where `scripts/get-servers.sh` unpacks them. */
const unpacked = resolve('build/servers/root')

/** Below `/` or `unpacked`. */
const programs = {
  postfix: 'usr/lib/postfix/sbin/master',
  exim: 'usr/sbin/exim4',
  nginx: 'usr/sbin/nginx',
  haproxy: 'usr/sbin/haproxy',
  apache: 'usr/sbin/apache2',
  caddy: 'usr/bin/caddy',
  lighttpd: 'usr/sbin/lighttpd',
} as const

export type ServerName = keyof typeof programs

/** A file of a server's package, unpacked or installed; undefined if there is none. */
export function fileOf(path: string): string | undefined {
  return [join(unpacked, path), join('/', path)].find(existsSync)
}

/** A folder of a server's package, unpacked or installed. */
export function folderOf(path: string): string {
  return fileOf(path) ?? join('/', path)
}

/** The server's program; throws if there is none, which `describeWith` rules out. */
export function program(name: ServerName): string {
  const path = fileOf(programs[name])
  if (!path) throw new Error(`there is no ${name}`)
  return path
}

/** A group of tests with these servers; skipped, with a message, if one is missing, or if they need root and the user is another. */
export function describeWith(
  names: readonly ServerName[],
  title: string,
  tests: () => void,
  { asRoot = false }: { readonly asRoot?: boolean } = {},
): void {
  const missing = names.filter((name) => !fileOf(programs[name]))
  const why =
    missing.length > 0
      ? `there is no ${missing.join(', ')} (scripts/get-servers.sh fetches them)`
      : asRoot && process.getuid?.() !== 0
        ? `${names.join(', ')} must be started by root`
        : null
  if (why) console.warn(`skipped, as ${why}: ${title}`)
  describe.skipIf(why !== null)(title, tests)
}

/** What unpacked programs need to find their libraries. */
export const serverEnv = {
  PATH: process.env.PATH ?? '',
  LD_LIBRARY_PATH: ['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu', 'usr/lib/postfix']
    .map((folder) => join(unpacked, folder))
    .join(':'),
}

/** A free port of 127.0.0.1. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/**
 * Runs a server in the foreground until the test or group is done; then it and its children are ended. Resolves when `port` accepts
 * connections; rejects with its output if it ended before.
 */
export async function runServer(
  command: string,
  args: readonly string[],
  port: number,
  env: Readonly<Record<string, string>> = {},
): Promise<ChildProcess> {
  // A separate process group, so that its workers end with it.
  const child = spawn(command, args, {
    env: { ...serverEnv, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => {
      output = (output + data).slice(-10_000)
    })
  }
  const exited = once(child, 'exit')
  whenDone(async () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It has already ended.
    }
    await exited
  })
  while (!(await takesConnections(port))) {
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}: ${output}`)
    await sleep(20)
  }
  return child
}

async function takesConnections(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const answer = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false)
  socket.destroy()
  return answer
}
