import { join, resolve } from 'node:path'

/** The built code that tests run: `dist`, or the copy with a seeded bug that stands for it (see `test/mutation`). */
export const builtFolder: string = process.env.JOBMACHINE_BUILD ?? resolve(import.meta.dirname, '../../dist')

/** A file of it. */
export function built(path: string): string {
  return join(builtFolder, path)
}

/**
 * For Node.js, where it runs something that lives briefly or waits: it does without optimised code, and a start of the server costs a
 * quarter less processor time.
 */
export const briefly: readonly string[] = ['--no-opt']
