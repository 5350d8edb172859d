import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { peersFolder } from './folders.ts'
import { findExecutable } from './processes.ts'
import type { Runtime } from './service.ts'

/** The one that BUN names, else the one that `npm ci` installed for this platform. */
export function findBun(): Runtime {
  const ovens = join(peersFolder, 'node_modules', '@oven')
  const folders = existsSync(ovens) ? readdirSync(ovens).map((name) => join(ovens, name, 'bin')) : []
  const path = findExecutable('bun', process.env.BUN, folders)
  return path === null ? { missing: 'no bun found: npm has none for this platform; BUN=/path/to/it' } : { path }
}
