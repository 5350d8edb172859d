import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { whenDone } from './temp.ts'

/** `POSTGRES_BIN`, or where Debian and others put the server's programs, mostly off the PATH; the newest first. */
function findPrograms(): string | null {
  const { POSTGRES_BIN } = process.env
  if (POSTGRES_BIN) return POSTGRES_BIN
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

/** Why no standby can be made; null if one can. */
export const standbyMissing =
  postgresMissing ??
  (existsSync(join(programs!, 'pg_basebackup')) ? null : 'there is no pg_basebackup beside the server')

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
  makeCluster(folder)
  startCluster(folder, options)
  const guard = `while kill -0 ${mainPid}; do sleep 0.5; done; ${stopCommand(folder).flat().join(' ')}; rm -rf ${folder}`
  spawn('sh', ['-c', guard], { detached: true, stdio: 'ignore' }).unref()
}

const serverUser = () =>
  process.getuid?.() === 0 ? Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) : process.getuid!()

/** A command line that runs a program as the server's user, and who that is; null: whoever runs the tests. */
export function asServerUser(command: string, ...args: string[]): [string, string[], uid: number | null] {
  return process.getuid?.() === 0 ? [...asUser(serverUser(), command, ...args), serverUser()] : [command, args, null]
}

function run(command: string, ...args: string[]): void {
  execFileSync(...asUser(serverUser(), join(programs!, command), ...args), { stdio: 'pipe' })
}

function makeCluster(inFolder: string): void {
  chownSync(inFolder, serverUser(), -1)
  chmodSync(inFolder, 0o711)
  const data = join(inFolder, 'data')
  run('initdb', '--no-sync', '-D', data, '-A', 'trust', '-U', 'postgres', '--encoding=UTF8', '--locale=C')
}

function startCluster(inFolder: string, given: readonly string[]): void {
  const settings = [...given, `unix_socket_directories=${inFolder}`].map((option) => `-c ${option}`).join(' ')
  run('pg_ctl', '-D', join(inFolder, 'data'), '-w', '-l', join(inFolder, 'log'), '-o', settings, 'start')
}

function stopCommand(inFolder: string): [string, string[]] {
  return asUser(serverUser(), join(programs!, 'pg_ctl'), '-D', join(inFolder, 'data'), '-m', 'immediate', 'stop')
}

/** A server of a test's own, which flushes each commit, with further options if `given`; `stop` ends it at once, as a crash would. */
export function ownServer(given: readonly string[] = []) {
  const own = mkdtempSync(join(tmpdir(), 'jmpg-'))
  const durable = options.filter((option) => !/^(fsync|full_page_writes)=/.test(option))
  makeCluster(own)
  const server = {
    folder: own,
    address: `postgres://postgres@/postgres?host=${encodeURIComponent(own)}`,
    start: () => startCluster(own, [...durable, ...given]),
    stop: () => void execFileSync(...stopCommand(own), { stdio: 'pipe' }),
  }
  server.start()
  whenDone(() => {
    if (existsSync(join(own, 'data', 'postmaster.pid'))) server.stop()
    rmSync(own, { recursive: true, force: true })
  })
  return server
}

/** A standby that follows a server; `promote` makes a primary of it. */
export function aStandby(of: { readonly folder: string }) {
  const own = mkdtempSync(join('/tmp', 'jmpg-'))
  chownSync(own, serverUser(), -1)
  chmodSync(own, 0o711)
  const data = join(own, 'data')
  run('pg_basebackup', '-D', data, '-h', of.folder, '-U', 'postgres', '-R', '-X', 'stream', '--checkpoint=fast')
  const durable = options.filter((option) => !/^(fsync|full_page_writes|wal_level|max_wal_senders)=/.test(option))
  startCluster(own, [...durable, 'hot_standby=on'])
  whenDone(() => {
    execFileSync(...stopCommand(own), { stdio: 'pipe' })
    rmSync(own, { recursive: true, force: true })
  })
  return {
    folder: own,
    address: `postgres://postgres@/postgres?host=${encodeURIComponent(own)}`,
    /** From now on it follows nobody. */
    leave: () => {
      const psql = ['-h', own, '-U', 'postgres', '-c']
      run('psql', ...psql, "ALTER SYSTEM SET primary_conninfo TO ''")
      run('psql', ...psql, 'SELECT pg_reload_conf()')
    },
    promote: () => run('pg_ctl', '-D', data, '-w', 'promote'),
  }
}
