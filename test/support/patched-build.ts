import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { replaceCode } from './replace-code.ts'
import { replaceSql } from './replace-sql.ts'

/** One change to a built file: to a piece of its code or of its SQL, found as `replaceCode` and `replaceSql` do, or to a text that is there exactly once. */
export type Patch = {
  /** Below `dist`, such as `persistence/sqlite/thread.js`. */
  readonly file: string
  readonly replace: string
} & (
  | { readonly find: string; readonly sql?: never; readonly text?: never }
  | { readonly sql: string; readonly find?: never; readonly text?: never }
  | { readonly text: string; readonly find?: never; readonly sql?: never }
)

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

/** The contents of the patched files of `dist`, by name. Throws if something is not found exactly once: a patch cannot outlive its code. */
export function patchedFiles(patches: readonly Patch[]): Map<string, string> {
  const files = new Map<string, string>()
  for (const patch of patches) {
    const before = files.get(patch.file) ?? readFileSync(resolve('dist', patch.file), 'utf8')
    files.set(patch.file, applied(patch, before))
  }
  return files
}

function applied({ file, find, sql, text, replace }: Patch, before: string): string {
  try {
    if (sql !== undefined) return replaceSql(before, sql, replace)
    return text === undefined ? replaceCode(before, find, replace) : replaceText(before, text, replace)
  } catch (error) {
    throw new Error(`dist/${file}: ${(error as Error).message}`)
  }
}

function replaceText(before: string, text: string, replace: string): string {
  const parts = before.split(text)
  if (parts.length !== 2) throw new Error(`this text is there ${parts.length - 1} times, not once: ${text}`)
  return parts.join(replace)
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
