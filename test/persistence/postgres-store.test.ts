import { describe, test } from 'vitest'
import { type OpenedPostgres, openPostgres, passLease } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { shareOfEachGroup } from '../support/share.ts'
import { whenDone } from '../support/temp.ts'
import type { Node, Open } from './conformance/helpers.ts'
import { testStore } from './store-conformance.ts'

/** Hundreds of stores, one after the other: each goes on with the connections of the one before. */
const open: Open = async (asked = {}) => {
  const given = { ...asked, keepsConnections: true }
  // Later nodes live as long as the first: the tests of a group continue with the last.
  const closes: (() => Promise<void>)[] = []
  const opened = await openPostgres(given)
  whenDone(async () => {
    for (const close of closes) await close()
  })
  return asNode(opened, given, (close) => closes.push(close))
}

/** It goes silent, and the next node notices when its lease has run out. */
function asNode(
  opened: OpenedPostgres,
  given: NonNullable<Parameters<Open>[0]>,
  atEnd: (close: () => Promise<void>) => void,
): Node {
  return {
    ...opened,
    endNode: async () => {
      opened.line.cut()
      const next = await openPostgres({ ...given, path: opened.path, clock: opened.clock }, atEnd)
      await passLease(opened.clock, next.store)
      return { ...asNode(next, given, atEnd), found: await next.store.recoverOrphans() }
    },
  }
}

// `npm test` runs the whole contract on SQLite.
shareOfEachGroup(6)

if (postgresMissing) describe('PostgreSQL store', () => test.skip(postgresMissing!, () => {}))
else testStore('PostgreSQL', open)
