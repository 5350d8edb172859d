import { copyBugs } from './copy-bugs.ts'
import { engineBugs } from './engine-bugs.ts'
import type { Mutation } from './mutation.ts'
import { nodeBugs } from './node-bugs.ts'
import { resultBugs } from './result-bugs.ts'
import { scheduleBugs } from './schedule-bugs.ts'
import { storeBugs } from './store-bugs.ts'
import { tickBugs } from './tick-bugs.ts'
import { transactionBugs } from './transaction-bugs.ts'

/** Every seeded bug. */
export const mutations: readonly Mutation[] = [
  ...storeBugs,
  ...engineBugs,
  ...copyBugs,
  ...nodeBugs,
  ...transactionBugs,
  ...resultBugs,
  ...scheduleBugs,
  ...tickBugs,
]

/** The one that `npm test` tries as well: the worst there could be, and quickly caught. */
export const share: readonly Mutation[] = mutations.filter(
  ({ bug }) => bug === 'handlers are called before their start is on disk',
)
