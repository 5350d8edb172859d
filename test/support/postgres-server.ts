import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** Where Debian and others put the server's programs, mostly off the PATH; the newest first. */
function findPrograms(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ]
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))) ?? null
}

const programs = findPrograms()

/** Why there is no server to test with; null if there is one. */
export const postgresMissing =
  programs === null ? 'no PostgreSQL server is installed: apt-get install postgresql' : null

/** The run of tests whose end ends the server too. */
const mainPid = Number(process.env.TESTS_PID ?? process.ppid)
/** Short, for a socket's path may have 107 bytes. */
const folder = join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `jmpg-${mainPid}`)

/** The server refuses to run as root. */
const asUser = (uid: number, command: string, ...args: string[]): [string, string[]] =>
  process.getuid?.() === 0
    ? ['setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', command, ...args]]
    : [command, args]

/** Without a flush for each commit: the contract does not need one. */
const options = [
  'fsync=off',
  'full_page_writes=off',
  'wal_level=minimal',
  'max_wal_senders=0',
  'autovacuum=off',
  'jit=off',
  'shared_buffers=32MB',
  'max_connections=200',
  'max_prepared_transactions=4',
  "listen_addresses=''",
]

/** Where the server of this run of tests listens; the first that asks starts it. It ends with the run, however that ends. */
export async function postgresServer(): Promise<string> {
  const ready = join(folder, 'ready')
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch {
    while (!existsSync(ready)) await setTimeout(20)
    const failure = readFileSync(ready, 'utf8')
    if (failure) throw new Error(failure)
    return folder
  }
  try {
    start()
    writeFileSync(ready, '')
  } catch (error) {
    writeFileSync(ready, String(error))
    throw error
  }
  return folder
}

function start(): void {
  const uid =
    process.getuid?.() === 0 ? Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) : process.getuid!()
  chownSync(folder, uid, -1)
  chmodSync(folder, 0o711)
  const run = (command: string, ...args: string[]) =>
    execFileSync(...asUser(uid, join(programs!, command), ...args), { stdio: 'pipe' })
  const data = join(folder, 'data')
  run('initdb', '--no-sync', '-D', data, '-A', 'trust', '-U', 'postgres', '--encoding=UTF8', '--locale=C')
  const given = [...options, `unix_socket_directories=${folder}`].map((option) => `-c ${option}`).join(' ')
  run('pg_ctl', '-D', data, '-w', '-l', join(folder, 'log'), '-o', given, 'start')
  const stop = `${asUser(uid, join(programs!, 'pg_ctl'), '-D', data, '-m', 'immediate', 'stop').flat().join(' ')}`
  const guard = `while kill -0 ${mainPid}; do sleep 0.5; done; ${stop}; rm -rf ${folder}`
  spawn('sh', ['-c', guard], { detached: true, stdio: 'ignore' }).unref()
}
