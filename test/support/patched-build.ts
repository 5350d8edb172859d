import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** One change to a built file. */
export interface Patch {
  /** Below `dist`, such as `persistence/sqlite/thread.js`. */
  readonly file: string
  /** Text that occurs in it exactly once. */
  readonly find: string
  readonly replace: string
}

/** The store's thread never checks the file by itself, so whatever only a poll finds is never found. */
export const neverTicks: readonly Patch[] = [
  {
    file: 'persistence/sqlite/thread/store-thread.js',
    find: 'const tickMs = beatMs',
    replace: 'const tickMs = 86_400_000',
  },
  {
    file: 'persistence/sqlite/thread/store-thread.js',
    find: 'const fallbackTicks = 10',
    replace: 'const fallbackTicks = 1e9',
  },
]

/**
 * The patched contents of the files of `dist`, by name. Throws if a text is not found exactly once, so that a patch cannot outlive the code
 * that it was written for.
 */
export function patchedFiles(patches: readonly Patch[]): Map<string, string> {
  const files = new Map<string, string>()
  for (const { file, find, replace } of patches) {
    const parts = (files.get(file) ?? readFileSync(resolve('dist', file), 'utf8')).split(find)
    if (parts.length !== 2) throw new Error(`"${find}" stands ${parts.length - 1} times in dist/${file}, not once`)
    files.set(file, parts.join(replace))
  }
  return files
}

/**
 * Copies the built code into a folder, changes it, and returns the path of the copy of `dist`. Shipped code has nothing that tests could
 * switch on: crash points and seeded bugs exist only in such copies. Throws as `patchedFiles` does.
 */
export function patchedBuild(folder: string, patches: readonly Patch[]): string {
  const copy = join(folder, 'dist')
  const files = patchedFiles(patches)
  mkdirSync(folder, { recursive: true })
  cpSync(resolve('dist'), copy, { recursive: true })
  cpSync(resolve('package.json'), join(folder, 'package.json'))
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  // For the source maps of the copy.
  symlinkSync(resolve('src'), join(folder, 'src'))
  for (const [file, text] of files) writeFileSync(join(copy, file), text)
  if (files.has('machines/job.js')) execFileSync(process.execPath, [resolve('scripts/compile-machine.js'), copy])
  return copy
}
