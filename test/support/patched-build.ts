import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** One change to a built file. */
export interface Patch {
  /** Below `dist`, such as `persistence/sqlite/thread.js`. */
  readonly file: string
  /** Text that stands in it exactly once. */
  readonly find: string
  readonly replace: string
}

/**
 * Copies the built code into a folder, changes it, and gives the path of the copy of `dist`. What ships holds nothing that tests could
 * switch on: crash points and seeded bugs exist in such copies alone. Throws where a text is not found exactly once, so that a patch
 * cannot outlive the code that it was written for.
 */
export function patchedBuild(folder: string, patches: readonly Patch[]): string {
  const copy = join(folder, 'dist')
  mkdirSync(folder, { recursive: true })
  cpSync(resolve('dist'), copy, { recursive: true })
  cpSync(resolve('package.json'), join(folder, 'package.json'))
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  for (const { file, find, replace } of patches) {
    const path = join(copy, file)
    const parts = readFileSync(path, 'utf8').split(find)
    if (parts.length !== 2) throw new Error(`"${find}" stands ${parts.length - 1} times in dist/${file}, not once`)
    writeFileSync(path, parts.join(replace))
  }
  return copy
}
