import { join, resolve } from 'node:path'

/** The built code that tests run: `dist`, or a copy with a seeded bug (see `test/mutation`). */
export const builtFolder: string = process.env.JOBMACHINE_BUILD ?? resolve(import.meta.dirname, '../../dist')

/** A file of it. */
export function built(path: string): string {
  return join(builtFolder, path)
}

/** For Node.js processes that live briefly or wait: without optimised code a start of the server costs a quarter less processor time. */
export const briefly: readonly string[] = ['--no-opt']
