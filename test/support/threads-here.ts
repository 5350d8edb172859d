import { runStoresHere } from './store-here.ts'

// A build with a seeded bug may block its thread for good, and the test with it.
if (process.env.JOBMACHINE_BUILD === undefined) runStoresHere()
