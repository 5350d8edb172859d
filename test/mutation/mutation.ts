import type { Patch } from '../support/patched-build.ts'

/** A bug as someone might write it, and the test that must catch it. */
export interface Mutation {
  readonly bug: string
  readonly patches: readonly Patch[]
  readonly caughtBy: {
    /** Below `test/`. */
    readonly file: string
    /** Its full name: the groups that it stands in, and its own. */
    readonly test: string
  }
}

/** One row of the table. */
export function bug(what: string, [file, test]: readonly [string, string], ...patches: readonly Patch[]): Mutation {
  return { bug: what, patches, caughtBy: { file, test } }
}
