import { join } from 'node:path'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { type OpenedStore, openStore } from '../support/store.ts'
import { memoryFolder } from '../support/temp.ts'
import type { Node } from './conformance/helpers.ts'
import { testStore } from './store-conformance.ts'

testStore('SQLite', async (given) => {
  const opened = await openStore({ path: join(memoryFolder(), 'jobs.db'), ...given })
  if (given?.path === undefined) beginHigh(opened.path)
  return asNode(opened)
})

/** Recovery does not ask who owns a lease, because the lock proves that the node is alone. So the same store can act as the next node. */
function asNode(opened: OpenedStore): Node {
  return {
    ...opened,
    endNode: async () => ({ ...asNode(opened), found: await opened.store.recoverOrphans() }),
  }
}

/** So that no test of the contract depends on ids that begin with 1. */
function beginHigh(path: string): void {
  const db = openKept(path)
  db.exec("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', 1000)")
  db.close()
}
