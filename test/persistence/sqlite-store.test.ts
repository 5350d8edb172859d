import { join } from 'node:path'
import { openForWriting } from '../../src/persistence/sqlite/file/connection.ts'
import { type OpenedStore, openStore, startAt } from '../support/store.ts'
import { memoryFolder } from '../support/temp.ts'
import type { Node } from './conformance/helpers.ts'
import { testStore } from './store-conformance.ts'

testStore('SQLite', async (given) => asNode(await openStore({ path: aDatabase(), ...given })))

/** Recovery asks nobody whose a lease is, for the lock proves that the node is alone: so the same store can stand for the next node. */
function asNode(opened: OpenedStore): Node {
  return {
    ...opened,
    endNode: async () => ({ ...asNode(opened), found: await opened.store.recoverOrphans() }),
  }
}

/** In memory, for the contract needs no flush; so that no test of it depends on ids that begin with 1. */
function aDatabase(): string {
  const path = join(memoryFolder(), 'jobs.db')
  const db = openForWriting(path, () => 'test-database', startAt)
  db.exec("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', 1000)")
  db.close()
  return path
}
