import { engineBugs } from './engine-bugs.ts'
import type { Mutation } from './mutation.ts'
import { storeBugs } from './store-bugs.ts'

/** Every seeded bug. */
export const mutations: readonly Mutation[] = [...storeBugs, ...engineBugs]

/** Those that are tried by `npm test` as well: the worst there could be, and quickly caught. */
export const share: readonly Mutation[] = mutations.filter(({ bug }) =>
  [
    'synchronous is NORMAL',
    'handlers are called before their start is on disk',
    'recovery forgets jobs that were leased and not started',
  ].includes(bug),
)
