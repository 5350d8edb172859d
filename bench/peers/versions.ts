import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sqliteVersion } from '../machine.ts'
import type { Entry } from './catalogue.ts'
import { peersFolder, rootFolder } from './folders.ts'

/** The versions of jobmachine, of the peers' package, and of the servers that `entries` start. */
export function describePeerVersions(entries: readonly Entry[]): Record<string, string> {
  const { dependencies } = read<{ dependencies: Record<string, string> }>(peersFolder, 'package.json')
  const services = entries.flatMap(({ service }) => (service && 'version' in service ? [service.version] : []))
  return {
    jobmachine: versionIn(rootFolder),
    node: process.versions.node,
    sqlite: sqliteVersion(),
    'better-sqlite3': versionIn(join(rootFolder, 'node_modules/better-sqlite3')),
    ...dependencies,
    ...Object.fromEntries(services),
  }
}

function versionIn(folder: string): string {
  return read<{ version: string }>(folder, 'package.json').version
}

function read<T>(folder: string, name: string): T {
  return JSON.parse(readFileSync(join(folder, name), 'utf8')) as T
}
