import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findExecutable, freePort, startServer, versionOf } from './processes.ts'
import type { Service } from './service.ts'

/** Where Debian puts one folder for each version, none of them on PATH. */
const debianFolder = '/usr/lib/postgresql'
const superuser = 'postgres'

/** A PostgreSQL with its own defaults: `fsync` and `synchronous_commit` are on. */
export function findPostgres(): Service {
  const { POSTGRES_BIN } = process.env
  const initdb = findExecutable('initdb', POSTGRES_BIN && join(POSTGRES_BIN, 'initdb'), debianFolders())
  const postgres = initdb && join(dirname(initdb), 'postgres')
  const version = postgres && versionOf(postgres)
  if (!version) {
    return { missing: 'no initdb and postgres found: apt-get install postgresql, or POSTGRES_BIN=/folder/of/both' }
  }
  return {
    version: ['postgresql', version],
    async start(folder) {
      const identity = identityFor(folder)
      const template = join(dirname(folder), 'postgres')
      if (!existsSync(template)) initialise(initdb, template, identity)
      const data = join(folder, 'postgres')
      execFileSync('cp', ['-a', template, data])
      const port = await freePort()
      const options = ['-D', data, '-p', `${port}`, '-h', '127.0.0.1', '-k', '']
      // Its immediate shutdown; if killed, it would leave its processes and its shared memory.
      return { port, stop: await startServer(postgres, options, { ...identity, endBy: 'SIGQUIT' }) }
    },
  }
}

/** Its address. */
export function urlOf(port: number | undefined): string {
  return `postgres://${superuser}@127.0.0.1:${port}/postgres`
}

interface Identity {
  readonly uid?: number
  readonly gid?: number
  readonly cwd: string
}

/** The user who runs it: PostgreSQL refuses root, so another user must have access to `folder`. */
function identityFor(folder: string): Identity {
  if (process.getuid?.() !== 0) return { cwd: folder }
  for (const path of [folder, dirname(folder)]) chmodSync(path, 0o711)
  const user = ['postgres', 'nobody'].find(exists) ?? 'nobody'
  return { uid: Number(id('-u', user)), gid: Number(id('-g', user)), cwd: '/' }
}

function exists(user: string): boolean {
  try {
    id('-u', user)
    return true
  } catch {
    return false
  }
}

function id(flag: string, user: string): string {
  return execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
}

/** Created once and copied, which is faster. */
function initialise(initdb: string, template: string, identity: Identity): void {
  mkdirSync(template)
  if (identity.uid !== undefined) chownSync(template, identity.uid, identity.gid!)
  const options = ['-D', template, '--auth=trust', `--username=${superuser}`, '--encoding=UTF8', '--locale=C']
  execFileSync(initdb, options, { ...identity, stdio: ['ignore', 'ignore', 'pipe'] })
}

function debianFolders(): string[] {
  if (!existsSync(debianFolder)) return []
  const newestFirst = readdirSync(debianFolder).sort((a, b) => Number(b) - Number(a))
  return newestFirst.map((version) => join(debianFolder, version, 'bin'))
}
