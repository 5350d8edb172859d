import { compileJobMachine } from './compile.ts'

/**
 * The compiled job machine. The build replaces the call with its result (`scripts/compile-machine.js`), so that processes and threads that
 * only look up edges need not load XState.
 */
export const jobTable: ReturnType<typeof compileJobMachine> = compileJobMachine()
