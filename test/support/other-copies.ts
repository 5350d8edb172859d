import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runInNewContext } from 'node:vm'
import type * as errors from '../../src/errors.ts'
import { built } from './built.ts'
import { tempFolder } from './temp.ts'

type Errors = typeof errors

/** The error classes of a second copy of the package, as in a monorepo or a bundle. */
export async function errorsOfAnotherCopy(): Promise<Errors> {
  const copy = join(tempFolder(), 'errors.mjs')
  writeFileSync(copy, source())
  return await import(/* @vite-ignore */ pathToFileURL(copy).href)
}

/** The error classes of a copy that was loaded in another realm, as in test runners. */
export function errorsOfAnotherRealm(): Errors {
  return runInNewContext(`${source().replace(/^export /gm, '')}; branded`)
}

function source(): string {
  return readFileSync(built('errors.js'), 'utf8').replace(/^\/\/# sourceMappingURL.*/m, '')
}

/** The value of a script in another realm. */
export function fromAnotherRealm(script: string): unknown {
  return runInNewContext(script)
}
