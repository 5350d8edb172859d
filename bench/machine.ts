import { statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, platform, release, totalmem } from 'node:os'
import Database from 'better-sqlite3'

/** What the figures depend on besides the code. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly system: string
  /** The file system of the folder with the databases. */
  readonly filesystem: string
}

/** `f_type` of statfs(2). */
const filesystems = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0x794c7630, 'overlayfs'],
  [0x01021994, 'tmpfs'],
  [0x6969, 'nfs'],
  [0x1a, 'apfs'],
])
const memoryFilesystem = 'tmpfs'

export function describeMachine(folder: string): Machine {
  const { type } = statfsSync(folder)
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    filesystem: filesystems.get(type) ?? `0x${type.toString(16)}`,
  }
}

/** Whether nothing there is ever flushed to a disk, so that no figure means anything. */
export function isMemory({ filesystem }: Machine): boolean {
  return filesystem === memoryFilesystem
}

export function describeVersions(): Record<string, string> {
  const require = createRequire(import.meta.url)
  const versionOf = (name: string) => (require(`${name}/package.json`) as { version: string }).version
  return {
    jobmachine: versionOf('jobmachine'),
    node: process.versions.node,
    sqlite: sqliteVersion(),
    'better-sqlite3': versionOf('better-sqlite3'),
    xstate: versionOf('xstate'),
  }
}

/** The SQLite version of better-sqlite3. */
export function sqliteVersion(): string {
  const db = new Database(':memory:')
  try {
    return db.prepare('SELECT sqlite_version()').pluck().get() as string
  } finally {
    db.close()
  }
}
