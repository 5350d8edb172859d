import { runStoresHere } from './store-here.ts'

runStoresHere()
