import { openStoreHere } from '../support/store-here.ts'
import { testStore } from './store-conformance.ts'

testStore('SQLite', openStoreHere)
