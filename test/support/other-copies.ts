import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runInNewContext } from 'node:vm'
import type * as errors from '../../src/errors.ts'
import { built } from './built.ts'
import { tempFolder } from './temp.ts'

type Errors = typeof errors

/** The error classes of a second copy of the package, as a monorepo or a bundle has it. */
export async function errorsOfAnotherCopy(): Promise<Errors> {
  const copy = join(tempFolder(), 'errors.mjs')
  writeFileSync(copy, source())
  return await import(/* @vite-ignore */ pathToFileURL(copy).href)
}

/** Those of a copy that was loaded in another realm, as test runners do. */
export function errorsOfAnotherRealm(): Errors {
  return runInNewContext(`${source().replace(/^export /gm, '')}; branded`)
}

function source(): string {
  return readFileSync(built('errors.js'), 'utf8').replace(/^\/\/# sourceMappingURL.*/m, '')
}

/** What a script in another realm evaluates to. */
export function fromAnotherRealm(script: string): unknown {
  return runInNewContext(script)
}
