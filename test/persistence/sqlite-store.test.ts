import { openStore } from '../support/store.ts'
import { testStore } from './store-conformance.ts'

testStore('SQLite', openStore)
